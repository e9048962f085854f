"""Flags and model files that are refused in one line, before any work and without running code from them."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest import MonkeyPatch
from torch import nn

from modules import checkpoint, kmnist
from modules.lenet import LeNet
from tests.conftest import Run, save_picture

METADATA: checkpoint.Metadata = {"classes": kmnist.CLASSES, "dataset": "KMNIST"}


class Command:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("canary",)  # what unpickling would call


def changed(**changes: object) -> Callable[[Path], None]:
    return lambda path: torch.save(torch.load(path, weights_only=True) | changes, path)


DAMAGED, OBJECTS = "it is damaged, or no model that train.py wrote", "it holds Python objects, which may run code"
BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "No such file"),
    "a pipe": (lambda path: path.with_name("pipe").rename(path), "no ordinary file"),
    "no zip": (lambda path: path.write_text("text"), DAMAGED),
    "first half": (lambda path: os.truncate(path, 800_000), DAMAGED),
    "a changed byte": (lambda path: path.write_bytes(path.read_bytes().replace(b"KMNIST", b"KMNISS")), DAMAGED),
    "weights alone": (lambda path: torch.save(LeNet(1, 10).state_dict(), path), DAMAGED),
    "a list of weights": (changed(state_dict=["fc2.bias"]), DAMAGED),
    "classes with control characters": (changed(classes=["\x1b[2J"] * 10), DAMAGED),
    "a temperature of another type": (changed(temperature=[1]), DAMAGED),
    "a fingerprint of another shape": (changed(fingerprint=torch.zeros(3)), DAMAGED),
    "a command inside": (changed(history=Command()), OBJECTS),
    "the tutorial's whole model": (lambda path: torch.save(LeNet(1, 10), path), OBJECTS),
    "a newer version": (changed(version=2), "another version of this project wrote it"),
    "three channels": (changed(state_dict=LeNet(3, 10).state_dict()), "does not fit modules/lenet.py: size mismatch"),
}


@pytest.mark.parametrize("script", ["predict.py --model", "train.py -m new.pth -p new.png --start-from"])
@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_model_file_is_one_line(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, kind: str, script: str
) -> None:
    path = tmp_path / "model.pth"
    checkpoint.save(path, LeNet(1, 10), METADATA)
    getattr(os, "mkfifo", Path.touch)(tmp_path / "pipe")  # Windows has none
    spoil, reason = BAD_FILES[kind]
    spoil(path)
    monkeypatch.chdir(tmp_path)
    name, *flags = script.split()
    done = run(name, *flags, path, *["--output", "sheet.png"] * (name == "predict.py"))
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert done.err.startswith(f"{name}: error: {path} ")
    assert reason in done.err
    assert {*tmp_path.iterdir()} <= {path, tmp_path / "pipe"}


def test_models_of_another_network_are_refused(tmp_path: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    path, model = tmp_path / "m.pth", LeNet(1, 10)
    nn.init.normal_(model.fc2.weight)  # as if it had learned
    checkpoint.save(path, model, METADATA)
    flags = ["predict.py", "-m", path, "--output", tmp_path / "sheet.png"]
    monkeypatch.setattr(nn, "ReLU", nn.Tanh)  # as in 1998, which no weight tells of
    line = f"{path} fits another modules/lenet.py than this one: undo your changes, or train again"
    assert run(*flags) == (2, "", f"predict.py: error: {line}\n")
    monkeypatch.delattr(nn, "Conv2d")
    with pytest.raises(AttributeError, match="Conv2d"):  # a traceback: it names the line
        run(*flags)


def test_a_network_whose_dropout_never_ends_is_named_before_it_is_trained(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, small: None
) -> None:
    forward = LeNet.forward
    monkeypatch.setattr(LeNet, "forward", lambda self, x: forward(self, nn.functional.dropout(x)))
    done = run("train.py", "-m", tmp_path / "m.pth", "-p", tmp_path / "p.png")
    assert (done.code, "EPOCH" in done.out) == (1, False)
    assert "modules/lenet.py gives two answers to one image: does dropout go on after training?" in done.err


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    history = {"train_loss": [np.float64(0.5)]}
    with pytest.raises(TypeError, match=r"history is .*float64.*: a model file holds plain Python values only"):
        checkpoint.save(tmp_path / "m.pth", LeNet(1, 10), {**METADATA, "history": history})
    assert not any(tmp_path.iterdir())


@pytest.mark.smoke
def test_what_is_saved_is_loaded_from_any_layout_and_device(tmp_path: Path) -> None:
    path, model = tmp_path / "deep" / "m.pth", LeNet(1, 10).to(memory_format=torch.channels_last)
    checkpoint.save(path, model, {**METADATA, "history": {"train_loss": [0.5]}})
    assert torch.load(path, weights_only=True)["state_dict"]["conv2.weight"].is_contiguous()
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():  # a file from a GPU names its device
            archive.writestr(name, content.replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    assert b"cuda:0" in path.read_bytes()
    again, saved = checkpoint.load(str(path))
    torch.testing.assert_close([*again.parameters()], [*model.parameters()], rtol=0, atol=0)
    nn.init.zeros_(again.fc2.bias)
    checkpoint.save(path, again, saved)  # with new weights, and what was loaded
    assert not checkpoint.load(path)[0].fc2.bias.any()
    assert (again.training, saved["classes"], saved["history"]) == (False, kmnist.CLASSES, {"train_loss": [0.5]})


REFUSED = {
    "train.py --model class/a/m.pth --folder class": "lies among the pictures of class: name a file",
    "train.py --plot class/a/p.png --folder class": "lies among the pictures of class: name a file",
    "predict.py --output class/a/p.png --folder class": "lies among the pictures of class",
    "predict.py --image=": "argument --image: it is empty",
    "train.py --epochs 0": "argument --epochs: '0' is not a whole number from 1 to 10000",
    "train.py --epochs 1.5": "'1.5' is not a whole number from 1 to 10000",
    "train.py --lr nan": "'nan' is not a number from 1e-08 to",
    "train.py --device gpu": "'gpu' cannot be used here",
    "train.py --plot p.doc": "cannot write p.doc: its name must end in .eps",
    "train.py --model README.md": "must end in .pth .pt",
    "train.py --model folder.pth": "cannot write folder.pth: it is write-protected, or no ordinary file",
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
    for name in ("drawing.png", "class/there.png"):
        save_picture(Path(name), np.eye(28))
    Path("README.md").write_text("# Somebody's work\n")
    Path("folder.pth").mkdir()
    Path("file").touch()
    before = {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")}
    monkeypatch.setattr(kmnist, "load", None)
    monkeypatch.setattr(checkpoint, "load", None)
    done = run(script, *required, *flags)
    assert (done.code, done.out) == (2, "")
    last = done.err.splitlines()[-1]
    assert last.startswith(f"{script}: error: ")
    assert REFUSED[command] in last
    assert {path: path.is_file() and path.read_bytes() for path in Path().rglob("*")} == before
