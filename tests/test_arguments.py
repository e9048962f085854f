"""Flags that both scripts refuse before any work is done: one line that says why, and every file stays as it is."""

import os
from pathlib import Path

import numpy as np
import pytest
from pytest import MonkeyPatch

from modules import checkpoint, kmnist
from tests.conftest import Run, save_picture

REFUSED = {
    "train.py --epochs 0": "argument --epochs: '0' is not from 1 to 10000",
    "train.py --epochs 1.5": "invalid whole number value: '1.5'",
    "train.py --lr nan": "'nan' is not from",
    "train.py --device gpu": "'gpu' cannot be used here",
    "train.py --plot p.doc": "cannot write p.doc: its name must end in .eps",
    "train.py --model README.md": "must end in .pth .pt",
    "train.py --model folder.pth": "cannot write folder.pth: it is write-protected, or no ordinary file",
    "train.py --plot protected.png": "it is write-protected",
    "train.py --plot file/p.png": "cannot write file",
    "predict.py --draw --layers": "not allowed with",
    "predict.py --folder . --image drawing.png": "not allowed with",
    "predict.py --output sheet.doc": "must end in .png",
    "predict.py --image class/../drawing.png --output drawing.png": "is one of the pictures to read",
}
if os.name == "posix":  # Windows takes long names
    REFUSED[f"train.py --model {'long' * 100}.pth"] = "File name too long"


@pytest.mark.smoke
@pytest.mark.parametrize("command", REFUSED, ids=lambda command: command[:60])
def test_bad_arguments_are_refused(pretrained: Path, run: Run, monkeypatch: MonkeyPatch, command: str) -> None:
    script, *flags = command.split(" ")
    required = ["-m", "model.pth"] + ["-p", "p.png"] * (script == "train.py")
    monkeypatch.chdir(pretrained.parent)
    for name in ("drawing.png", "protected.png", "class/there.png"):
        save_picture(Path(name), np.eye(28))
    Path("README.md").write_text("# Somebody's work\n")
    Path("folder.pth").mkdir()
    Path("file").touch()
    before = {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    monkeypatch.setattr(kmnist, "load_all", None)
    monkeypatch.setattr(checkpoint, "load", None)
    monkeypatch.setattr(os, "access", lambda path, _: "protected" not in str(path))
    done = run(script, *required, *flags)
    assert (done.code, done.out) == (2, "")
    last = done.err.splitlines()[-1]
    assert last.startswith(f"{script}: error: ")
    assert REFUSED[command] in last
    assert {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before
