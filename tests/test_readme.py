"""What README.md and docs/ promise is so: commands run, links lead somewhere, snippets print what they should."""

import ast
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from pytest import CaptureFixture, MonkeyPatch

from modules.display import screen
from modules.display.canvas import Canvas
from modules.lenet import LeNet
from tests.conftest import ROOT, Run

PAGES = {page: page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *ROOT.glob("docs/*.md"))}
README = PAGES[ROOT / "README.md"]
COMMANDS = re.findall(r"python ((?:train|predict)\.py -(?!-help)[^`'\n|&]+)", "\n".join(PAGES.values()))
LADDER = PAGES[ROOT / "docs" / "lesson.md"].partition("### The ladder\n")[2].partition("\n### ")[0]
FLAGS = re.findall(r"(?m)^\| .*?`(--[^`]+)`", LADDER)
COMMANDS += [f"train.py --model output/m.pth --plot p.png {flags}" for flags in FLAGS]


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_each_command_runs(tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, characters: Path, command: str) -> None:
    characters.rename(tmp_path / "my-characters")
    for old, new in zip(sorted((tmp_path / "my-characters").iterdir()), ("ha", "ki", "o"), strict=True):
        shutil.copytree(old, tmp_path / "digits" / new)
    (tmp_path / "output").mkdir()
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    for name in ("pretrained", "model", "mine", "try"):
        shutil.copy(ROOT / "output" / "pretrained.pth", tmp_path / "output" / f"{name}.pth")
    monkeypatch.chdir(tmp_path)
    if "--draw" in command:
        monkeypatch.setattr(screen, "find_obstacle", lambda: "")
        monkeypatch.setattr(Canvas, "run", lambda canvas: print(canvas.folder))  # a person would write now
    done = run(*shlex.split(command), *["--epochs", 1] * command.startswith("train"))
    assert done.code == 0, done.err


def test_every_link_and_file_exists_and_the_modules_to_read_are_named() -> None:
    for page, text in PAGES.items():
        for link in re.findall(r"\]\((?!http)([^)#]+)", text):
            assert (page.parent / link).is_file(), link
        for target, anchor in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", text):
            other = PAGES[(page.parent / target).resolve() if target else page]
            headings = re.findall(r"(?m)^#+ (.+)$", other)
            assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], anchor
        for file in re.findall(r"`(?:python )?((?:modules|tests|docs)/[\w/]+\.\w+|\w+\.py)", text):
            assert (ROOT / file).is_file(), file
    for path in ROOT.glob("modules/*.py"):
        assert path.stem == "__init__" or f"`modules/{path.name}`" in README, path.name


def test_the_lines_for_ones_own_program_read_a_page(capsys: CaptureFixture, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    exec(re.search(r"```python\n(.+?)```", README, re.DOTALL)[1], {})
    answers = ast.literal_eval(capsys.readouterr().out)
    names = "ha ki tsu ma su ya na su ki ha ma tsu ya ma na ki tsu ha"
    assert " ".join(name for name, _ in answers) == names
    assert all(0 < probability <= 1 for _, probability in answers)
    weights = torch.load("output/pretrained.pth", weights_only=True)["state_dict"]
    LeNet(numChannels=1, classes=10).load_state_dict(weights)
