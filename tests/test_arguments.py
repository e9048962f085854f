"""Flags that both scripts refuse before any work is done: one line that says why, and every file stays as it is."""

import os
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pytest import MonkeyPatch

import train
from modules import checkpoint
from tests.conftest import Run, denied, save_picture

REFUSED = {
    "train.py --epochs 0": "argument --epochs: '0' is not from 1 to 10000",
    "train.py --epochs 1.5": "'1.5' is not a whole number",
    "train.py --lr nan": "'nan' is not from",
    "train.py --device gpu": "'gpu' cannot be used here",
    "train.py --epoch=3": "unrecognized arguments: --epoch=3",
    "train.py --model ": "argument -m/--model: the name is empty",
    "train.py --model sub/../p.png": "cannot both be files",
    "train.py --model new --plot new/p.png": "cannot both be files",
    "train.py --plot p.doc": "must end in one of",
    "train.py --model class": "cannot write class: it is not an ordinary file",
    "train.py --model protected.png": "cannot write protected.png: it is write-protected",
    "train.py --model README.md": "README.md exists and is not a model",
    "train.py --model archive.zip": "archive.zip exists and is not a model",
    "train.py --plot locked/p.png": "cannot write locked",
    "train.py --folder . --model class/there.png": "lies among the pictures",
    "train.py --folder class --plot class/new/p.png": "lies among the pictures",
    "predict.py --image ": "the name is empty",
    "predict.py --folder ": "the name is empty",
    "predict.py --mistakes --image drawing.png": "not allowed with",
    "predict.py --draw --layers": "not allowed with",
    "predict.py --folder . --image drawing.png": "not allowed with",
    "predict.py --output sheet.doc": "must end in one of",
    "predict.py --output model.png": "would be overwritten",
    "predict.py --image ./drawing.png --output link.png": "would be overwritten",
}


if os.name == "posix":  # anybody may make links there
    REFUSED |= {f"{script} --folder loop": "'loop' cannot be used" for script in ("train.py", "predict.py")}
    REFUSED[f"train.py --model {'long' * 100}"] = "File name too long"


@pytest.mark.smoke
@pytest.mark.parametrize("command", REFUSED, ids=lambda command: command[:60])
def test_bad_arguments_are_refused_before_the_work(
    pretrained: Path, run: Run, monkeypatch: MonkeyPatch, command: str
) -> None:
    script, *flags = command.split(" ")
    required = ["-m", "model.pth"] + ["-p", "p.png"] * (script == "train.py")
    monkeypatch.chdir(pretrained.parent)
    for name in ("drawing.png", "protected.png", "locked/there.png", "class/there.png"):
        save_picture(Path(name), np.eye(28))
    for link, target in (("model.png", "model.pth"), ("link.png", "drawing.png")):
        os.link(target, link)
    Path("README.md").write_text("# Somebody's work\n")
    with zipfile.ZipFile("archive.zip", "w") as archive:
        archive.writestr("thesis.txt", "the only copy")
    if os.name == "posix":
        Path("loop").symlink_to("loop")
    before = {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    monkeypatch.setattr(train, "load_data", None)
    monkeypatch.setattr(checkpoint, "load", None)
    monkeypatch.setattr(os, "access", lambda path, _: "protected" not in str(path))
    make = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda dir: denied() if dir.name == "locked" else make(dir=dir))
    done = run(script, *required, *flags)
    assert (done.code, done.out) == (2, "")
    last = done.err.splitlines()[-1]
    assert last.startswith(f"{script}: error: ")
    assert REFUSED[command] in last
    assert {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before
