"""What the README promises exists: commands parse, links lead somewhere, houses stay tidy."""

import re
import shlex
from pathlib import Path

import pytest
from pytest import MonkeyPatch

from modules import arguments, windows
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"python ((?:train|predict)\.py [^`'\n|&.][^`'\n|&]+)", README)
COMMANDS = [command for command in COMMANDS if "..." not in command and "--help" not in command]
LADDER = re.findall(r"^\| [^|]+\| `(--[^`]+)` \|", README, re.MULTILINE)


@pytest.mark.parametrize("command", [*COMMANDS, *(f"train.py -m output/m.pth -p output/p.png {row}" for row in LADDER)])
def test_every_command_parses(monkeypatch: MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(arguments, "check_writable", lambda _: None)
    monkeypatch.setattr(windows, "has_screen", lambda: True)
    script, *flags = shlex.split(command)
    assert len(COMMANDS) >= 5 <= len(LADDER) + 1
    parse = arguments.training_arguments if script == "train.py" else arguments.prediction_arguments
    assert parse(flags, "").model.parts[0] == "output"


def test_every_file_and_link_exists_and_every_module_is_in_the_tour() -> None:
    for name in re.findall(r"`((?:modules|tests)/\w+\.py|\w+\.py)`|\]\((?!http)([^)]+)\)", README):
        assert (ROOT / "".join(name)).is_file() or (ROOT / "modules" / name[0]).is_file(), name
    for path in (ROOT / "modules").glob("[a-z]*.py"):
        assert f"`modules/{path.name}`" in README, path.name


def imports(path: Path) -> list[str]:
    return re.findall(r"^\s*(?:import|from) ([\w.]+)", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_no_module_knows_a_network_or_the_scripts_and_ctrl_c_comes_first() -> None:
    for path in [*ROOT.glob("*.py"), *(ROOT / "modules").glob("*.py")]:
        roots = {name.split(".")[0] for name in imports(path)}
        assert not roots & {"socket", "ssl", "http", "urllib", "requests", "ftplib", "train", "predict"}, path
    assert {*imports(ROOT / "modules" / "lenet.py")} == {"torch"}
    assert {imports(path)[0] for path in ROOT.glob("*.py")} == {"modules.console"}
