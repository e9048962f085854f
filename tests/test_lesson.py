"""What docs/lesson.md shows is so: its code is the project's, its snippets print what they should, its edits fit."""

import contextlib
import io
import re
import shutil
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest
import torch
from pytest import MonkeyPatch

from tests.conftest import ROOT, quick

LESSON = (ROOT / "docs" / "lesson.md").read_text(encoding="utf-8")
# each block of code: its language, what it says, and the output that follows, if any
BLOCKS = re.findall(r"```(\w+)\n(.*?)```(?:\n\n```text\n(.*?)```)?", LESSON, re.DOTALL)
SHOWN = [code for language, code, _ in BLOCKS if language == "python" and not code.startswith("# try this\n")]
SNIPPETS = [(code, output) for language, code, output in BLOCKS if language == "python" and code not in SHOWN]
EDITS = [code for language, code, _ in BLOCKS if language == "diff"]
NUMBER = re.compile(r"-?\d+\.\d+")


def flat(code: str) -> str:
    """Code without indentation and empty lines."""
    return "".join(f"{line.strip()}\n" for line in code.splitlines() if line.strip())


def edited(edit: str) -> str:
    """The source that an edit names, once the edit is made in it. Each of its parts must fit at one place."""
    name, edit = edit.removeprefix("--- ").split("\n", 1)
    source = (ROOT / name).read_text(encoding="utf-8")
    for part in edit.split("@@\n"):
        lines = part.splitlines(keepends=True)
        old = "".join(line[1:] for line in lines if line[0] in " -")
        assert source.count(old) == 1, part
        source = source.replace(old, "".join(line[1:] for line in lines if line[0] in " +"))
    return source


def execute(source: str) -> ModuleType:
    module = ModuleType("edited")
    module.__file__ = str(ROOT / "modules" / "edited.py")
    exec(compile(source, "edited", "exec"), vars(module))
    return module


def test_the_code_shown_is_the_projects() -> None:
    sources = [flat(path.read_text(encoding="utf-8")) for path in (*ROOT.glob("*.py"), *ROOT.glob("modules/**/*.py"))]
    assert len(SHOWN) > 20
    for code in SHOWN:
        assert any(flat(code) in source for source in sources), code


def test_snippets_pasted_one_after_the_other_print_what_they_should(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    (tmp_path / "output").mkdir()
    shutil.copy(ROOT / "output" / "pretrained.pth", tmp_path / "output")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code, output in SNIPPETS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert NUMBER.sub("#", printed.getvalue()) == NUMBER.sub("#", output), code
        for found, expected in zip(NUMBER.findall(printed.getvalue()), NUMBER.findall(output), strict=True):
            last_digit = 10.0 ** -len(expected.partition(".")[2])
            assert float(found) == pytest.approx(float(expected), abs=2 * last_digit), (
                code
            )  # computers round differently
    assert Counter(path.parent.name for path in tmp_path.glob("digits/*/*.png"))["3"] == 183


@pytest.mark.parametrize("edit", [edit for edit in EDITS if "lenet.py" in edit])
def test_an_edited_network_still_takes_images_and_learns(edit: str) -> None:
    model = execute(edited(edit)).LeNet(numChannels=1, classes=10)
    log_probs = model(torch.rand(3, 1, 28, 28))
    assert log_probs.exp().sum(1).tolist() == pytest.approx([1, 1, 1], abs=1e-5)
    log_probs[:, 0].sum().backward()
    assert all(weights.grad.any() for weights in model.parameters())


def test_the_edit_of_the_data_shuffles_pixels_alike() -> None:
    from modules import kmnist

    shuffle = next(edit for edit in EDITS if "kmnist.py" in edit)
    whole, shuffled = (module.load(train=False).tensors[0][:50] for module in (kmnist, execute(edited(shuffle))))
    assert shuffled.shape == whole.shape
    assert not torch.equal(shuffled, whole)
    places = [Counter(map(tuple, images.flatten(1).T.tolist())) for images in (whole, shuffled)]
    assert places[0] == places[1]  # each pixel is somewhere else, in all images at the same place


def test_the_edit_of_the_training_trains(tmp_path: Path, monkeypatch: MonkeyPatch, small: None) -> None:
    sgd = next(edit for edit in EDITS if "train.py" in edit)
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, quick(tmp_path))])
    assert execute(edited(sgd)).main() == 0


def test_the_first_line_of_the_report_is_that_of_the_confusions() -> None:
    row, column = (
        [int(count.strip("* ").replace(",", "")) for count in line.split("|")[2:-1]]
        for line in re.findall(r"\n(\| (?:row|column): .*)", LESSON)
    )
    assert (sum(row[:-1]), sum(column[:-1]), row[0]) == (row[-1], column[-1], column[0])
    precision, recall = column[0] / column[-1], row[0] / row[-1]
    f1 = 2 * precision * recall / (precision + recall)
    assert f"           o     {precision:.4f}    {recall:.4f}    {f1:.4f}" in LESSON


def test_each_picture_has_a_caption() -> None:
    assert not re.findall(r"!\[[^]]*\]\([^)]+\)\n\n(?!\*)", LESSON)
