"""What the README promises exists: commands parse, flag tables match --help, links lead somewhere, houses stay tidy."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from modules import arguments, checkpoint
from tests.conftest import ROOT, Result

README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"python ((?:train|predict)\.py [^`'\n|&.][^`'\n|&]+)", README)
COMMANDS = [command for command in COMMANDS if "..." not in command]
LADDER = re.findall(r"^\| [^|]+\| `(--[^`]+)` \|", README, re.MULTILINE)


@pytest.mark.parametrize("command", [*COMMANDS, *(f"train.py -m output/m.pth -p output/p.png {row}" for row in LADDER)])
def test_every_command_parses(monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr(arguments, "check_writable", lambda _: None)
    script, *flags = shlex.split(command)
    parse = arguments.training_arguments if script == "train.py" else arguments.prediction_arguments
    assert parse(flags).model.parts[0] == "output"


def test_there_are_commands_to_check() -> None:
    assert len(COMMANDS) >= 5
    assert len(LADDER) >= 4


@pytest.mark.parametrize("script", ["train.py", "predict.py"])
def test_the_flag_tables_match_the_help(script: str, run: Callable[..., Result]) -> None:
    text = run(script, "--help").out
    section = README.split(f"\n`{script}`:\n")[1].strip().split("\n\n")[0]
    table = dict(re.findall(r"^\| (`.+?`) \| (.+?) \|", section, re.MULTILINE))
    documented = {flag for flags in table for flag in re.findall(r"--[a-z-]+", flags)}
    assert documented == set(re.findall(r"^  (?:-\w .*?, )?(--[a-z-]+)", text, re.MULTILINE)) - {"--help"}
    entries = {
        re.findall(r"--[a-z-]+", entry)[0]: " ".join(entry.split()) for entry in re.split(r"\n  (?=-)", text)[1:]
    }
    for flags, default in table.items():
        if re.fullmatch(r"[\d.]+|data|auto", default):
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


def test_the_main_command_stands_with_its_real_output_lines() -> None:
    for line in ("[INFO] EPOCH: 1/10", "[INFO] total time taken to train the model:", "[INFO] evaluating network..."):
        assert line in README
    assert "@" not in re.sub(r"`[^`]*`", "", README)


def test_torch_load_is_only_ever_called_safely() -> None:
    sources = [*ROOT.glob("*.py"), *(ROOT / "modules").glob("*.py")]
    calls = [call for path in sources for call in re.findall(r"torch\.load\(.*", path.read_text())]
    assert calls
    assert all("weights_only=True" in call and 'map_location="cpu"' in call for call in calls)
    assert checkpoint.VERSION == 1


def test_modules_never_import_the_scripts_and_lenet_stands_alone() -> None:
    for path in (ROOT / "modules").glob("*.py"):
        assert not re.search(r"^\s*(?:import|from) (?:train|predict)\b", path.read_text(), re.MULTILINE)
    imports = re.findall(r"^(?:import|from) (\w+)", Path(ROOT / "modules" / "lenet.py").read_text(), re.MULTILINE)
    assert set(imports) == {"torch"}
