"""Flags that both scripts refuse before any work is done: one line that says why, and every file stays as it is."""

import os
import tempfile
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
    "train.py --epochs " + "9" * 5000: "argument --epochs: '9999",
    "train.py --lr nan": "'nan' is not from",
    "train.py --lr fast": "'fast' is not a number",
    "train.py --train-split 1": "'1' is not from 0.001 to 0.999",
    "train.py --device gpu": "'gpu' cannot be used here",
    "train.py --epoch=3": "unrecognized arguments: --epoch=3",
    "train.py sur\x1b[2Jplus": r"unrecognized arguments: sur\x1b[2Jplus",
    "train.py --model": "expected one argument",
    "train.py --model sub/../p.png": "name the same file",
    "train.py --plot model.png": "name the same file",
    "train.py --plot p.doc": "must end in one of",
    "train.py --model .": "not an ordinary file",
    "train.py --model protected.png": "write-protected",
    "train.py --model protected.png/m.pth": "Not a directory",
    "train.py --model " + "n" * 260: "cannot write 'nnn",
    "predict.py --device cuda:99": "cannot be used here",
    "predict.py --mistakes --image drawing.png": "not allowed with",
    "predict.py --draw --layers": "not allowed with",
    "predict.py --folder . --draw": "not allowed with",
    "predict.py --draw": "opens a window, and there is no screen for it",
    "predict.py --output sheet.doc": "must end in one of",
    "predict.py --output locked/s.png": "Permission denied",
    "predict.py --output model.png": "would be overwritten",
    "predict.py --image ./drawing.png --output link.png": "would be overwritten",
    "predict.py --image model-predictions.png": "would be overwritten",
    "predict.py --image .": "would be overwritten",
    "train.py --model sub --plot sub/p.png": "not an ordinary file",
    "train.py --folder . --model class/there.png": "lies among the pictures",
    "train.py --folder . --plot class/there.png": "lies among the pictures",
    "train.py --folder class --model class/new/m.pth": "lies among the pictures",
    "predict.py --folder . --output class/there.png": "lies among the pictures",
}


def contents() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path().rglob("*.*")}


@pytest.mark.smoke
@pytest.mark.parametrize("command", REFUSED, ids=lambda command: repr(command)[:40])
def test_bad_arguments_are_refused_before_the_work(
    pretrained: Path, run: Run, monkeypatch: MonkeyPatch, command: str
) -> None:
    script, *flags = command.split(" ")
    required = ["-m", "model.pth"] + ["-p", "p.png"] * (script == "train.py")
    monkeypatch.chdir(pretrained.parent)
    for name in ("drawing.png", "model-predictions.png", "protected.png", "locked/there.png", "class/there.png"):
        save_picture(Path(name), np.eye(28))
    for link, target in (("model.png", "model.pth"), ("link.png", "drawing.png")):
        os.link(target, link)
    before = contents()
    monkeypatch.setattr(train, "load_data", None)
    monkeypatch.setattr(checkpoint, "load", None)
    monkeypatch.setattr(os, "access", lambda path, _: "protected" not in str(path))
    if "locked" in command:
        monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    done = run(script, *required, *flags)
    assert (done.code, done.out) == (2, "")
    last = done.err.splitlines()[-1]
    assert last.startswith(f"{script}: error: ")
    assert REFUSED[command] in last
    assert len(last) < 400
    assert contents() == before
