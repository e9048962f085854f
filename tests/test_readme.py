"""What the README promises exists: commands parse, flag tables match --help, links lead somewhere, houses stay tidy."""

import re
import shlex
from pathlib import Path

import pytest
from pytest import MonkeyPatch

from modules import arguments, windows
from tests.conftest import ROOT, Run

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"python ((?:train|predict)\.py [^`'\n|&.][^`'\n|&]+)", README)
COMMANDS = [command for command in COMMANDS if "..." not in command]
LADDER = re.findall(r"^\| [^|]+\| `(--[^`]+)` \|", README, re.MULTILINE)


@pytest.mark.parametrize("command", [*COMMANDS, *(f"train.py -m output/m.pth -p output/p.png {row}" for row in LADDER)])
def test_every_command_parses(monkeypatch: MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(arguments, "check_writable", lambda _: None)
    monkeypatch.setattr(windows, "has_screen", lambda: True)
    script, *flags = shlex.split(command)
    assert len(COMMANDS) >= 5 <= len(LADDER) + 1
    parse = arguments.training_arguments if script == "train.py" else arguments.prediction_arguments
    assert parse(flags).model.parts[0] == "output"


@pytest.mark.parametrize("script", ["train.py", "predict.py"])
def test_the_flag_tables_match_the_help(script: str, run: Run) -> None:
    text = run(script, "--help").out
    section = README.split(f"\n`{script}`:\n")[1].strip().split("\n\n")[0]
    table = dict(re.findall(r"^\| (`.+?`) \| (.+?) \|", section, re.MULTILINE))
    documented = {flag for flags in table for flag in re.findall(r"--[a-z-]+", flags)}
    assert documented == set(re.findall(r"^  (?:-\w .*?, )?(--[a-z-]+)", text, re.MULTILINE)) - {"--help"}
    entries = {
        re.findall(r"--[a-z-]+", entry)[0]: " ".join(entry.split()) for entry in re.split(r"\n  (?=-)", text)[1:]
    }
    for flags, default in table.items():
        if re.fullmatch(r"[\d.]+", default):
            name = re.findall(r"--[a-z-]+", flags)[-1]
            assert f"(default: {default})" in entries[name], name


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)]+)\)", README))))
def test_every_link_to_a_file_works(target: str) -> None:
    assert (ROOT / target).is_file()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:modules|tests)/\w+\.py|\w+\.py)`", README))))
def test_every_file_that_is_named_exists(name: str) -> None:
    assert (ROOT / name).is_file() or (ROOT / "modules" / name).is_file()


def test_every_module_is_in_the_tour() -> None:
    for path in (ROOT / "modules").glob("[a-z]*.py"):
        assert f"`modules/{path.name}`" in README, path.name


def imports(path: Path) -> set[str]:
    return set(re.findall(r"^\s*(?:import|from) (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def test_no_module_knows_a_network_or_the_scripts_and_files_are_opened_safely() -> None:
    sources = [*ROOT.glob("*.py"), *(ROOT / "modules").glob("*.py")]
    for path in sources:
        assert not imports(path) & {"socket", "ssl", "http", "urllib", "requests", "ftplib", "train", "predict"}
        for call in re.findall(r"torch\.load\(.*", path.read_text(encoding="utf-8")):
            assert 'map_location="cpu", weights_only=True' in call
    assert imports(ROOT / "modules" / "lenet.py") == {"torch"}
