"""Model files that are none: each is refused in one line that names the file, and none runs code."""

from modules.console import BadInput

import io
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest import MonkeyPatch

from modules import checkpoint, kmnist
from modules.lenet import LeNet
from tests.conftest import Run, posix


class Command:
    """Unpickles by making a folder where the test works."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("canary",)


def write_good(path: Path, **changes: object) -> Path:
    torch.manual_seed(0)
    about = {"history": {"train_loss": [0.5]}, "settings": {"epochs": 1}, "test_accuracy": 0.5}
    known = {"state_dict": LeNet(1, 10).state_dict(), "classes": kmnist.CLASSES, "dataset": "KMNIST"}
    checkpoint.save(path, **(known | about | changes))
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_good(tmp_path_factory.mktemp("good") / "m.pth").read_bytes()


def saved(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def changed(good: bytes, **changes: object) -> bytes:
    values = torch.load(io.BytesIO(good), weights_only=True)
    for key, value in changes.items():
        if value is None:
            del values[key]
        else:
            values[key] = value
    return saved(values)


def weights_changed(good: bytes, **changes: torch.Tensor | None) -> bytes:
    weights = torch.load(io.BytesIO(good), weights_only=True)["state_dict"]
    for key, value in changes.items():
        weights[key.replace("__", ".")] = value
    return changed(good, state_dict={name: value for name, value in weights.items() if value is not None})


def repacked(good: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return buffer.getvalue()


def bomb(good: bytes) -> bytes:
    """A record of 20 MB of zeros in 0.02 MB."""

    def change(name: str, content: bytes) -> bytes:
        return bytes(20_000_000) if name.endswith("data/4") else content

    return repacked(good, change, zipfile.ZIP_DEFLATED)


NAN = torch.full((10,), float("nan"))
BAD_FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "not a model"),
    "last half": (lambda good: good[len(good) // 2 :], "another way"),
    "half its records": (lambda good: good[:500_000] + good[900_000:], "another way"),
    "a command inside a checkpoint": (lambda good: changed(good, history=Command()), "could run any code"),
    "a numpy array inside": (lambda good: changed(good, history=np.zeros(3)), "could run any code"),
    "the tutorial's whole model": (lambda good: saved(LeNet(1, 10)), "could run any code"),
    "bare weights": (lambda good: saved(LeNet(1, 10).state_dict()), "not a model"),
    "a missing weight": (lambda good: weights_changed(good, fc2__bias=None), "fc2.bias"),
    "a surplus weight": (lambda good: weights_changed(good, fc3__bias=torch.ones(2)), "fc3.bias"),
    "a wrong shape": (lambda good: weights_changed(good, fc1__weight=torch.ones(500, 801)), "fc1.weight"),
    "nan weights": (lambda good: weights_changed(good, fc2__bias=NAN), "not finite"),
    "a list of weights": (lambda good: changed(good, state_dict=[1, 2]), "no weights"),
    "too many classes": (lambda good: changed(good, classes=["o"] * 1001), "class names"),
    "classes in one text": (lambda good: changed(good, classes="okisutsuna"), "class names"),
    "classes with control characters": (lambda good: changed(good, classes=["\x1b[2J"] * 10), "class names"),
    "a newer version": (lambda good: changed(good, version=2), "this version"),
    "no data set": (lambda good: changed(good, dataset=None), "data set"),
    "a data set with an escape": (lambda good: changed(good, dataset="\x1b[2J"), "data set"),
    "the stand-in that is gone": (lambda good: changed(good, dataset="rendered"), "train again, on KMNIST"),
    "three channels": (lambda good: changed(good, state_dict=LeNet(3, 10).state_dict()), "conv1.weight"),
    "a zip bomb": (bomb, "packed in another way"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_model_file_is_one_line_and_exit_code_2(
    tmp_path: Path, run: Run, good: bytes, kind: str, monkeypatch: MonkeyPatch
) -> None:
    make, reason = BAD_FILES[kind]
    path = tmp_path / "model.pth"
    path.write_bytes(make(good))
    monkeypatch.chdir(tmp_path)
    done = run("predict.py", "--model", path)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert len(done.err) < 500
    assert done.err.startswith(f"predict.py: error: {path} ")
    assert reason in done.err
    assert [*tmp_path.iterdir()] == [path]


@posix
@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("missing.pth", "does not exist: write one with"),
        (".", "is not a file"),
        ("/dev/zero", "is not a file"),
        ("file/below", "cannot be read"),
        ("loop", "cannot be read"),
        ("giant", "is not a file of at most 64 MiB"),
    ],
)
def test_a_path_that_is_no_model_file(tmp_path: Path, run: Run, place: str, reason: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with (tmp_path / "giant").open("wb") as file:
        file.truncate(10 * 2**30)
    done = run("predict.py", "--model", tmp_path / place)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert reason in done.err


@pytest.mark.smoke
def test_what_is_saved_is_loaded_from_any_layout_and_device(tmp_path: Path) -> None:
    """A file from a GPU names its device."""
    model = LeNet(1, 10).to(memory_format=torch.channels_last)
    path = write_good(tmp_path / "deep" / "m.pth", state_dict=model.state_dict())
    assert torch.load(path, weights_only=True)["state_dict"]["conv2.weight"].is_contiguous()
    cpu, cuda = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    moved = repacked(path.read_bytes(), lambda _, content: content.replace(cpu, cuda))
    assert cuda in moved
    path.write_bytes(moved)
    again, values = checkpoint.load(path)
    assert not again.training
    for one, two in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
        assert two.device.type == "cpu"
    assert (values["classes"], values["history"]) == (kmnist.CLASSES, {"train_loss": [0.5]})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 2500), piece=st.binary(min_size=1, max_size=4))
def test_any_change_of_the_plain_values_gives_a_model_or_one_line(
    tmp_path: Path, good: bytes, place: int, piece: bytes
) -> None:
    """Changed inside a whole archive, the checksums in order: the reader of pickles itself is reached."""

    def change(name: str, content: bytes) -> bytes:
        return content[:place] + piece + content[place + len(piece) :] if name.endswith("data.pkl") else content

    path = tmp_path / "m.pth"
    path.write_bytes(repacked(good, change))
    try:
        model, values = checkpoint.load(path)
    except BadInput as error:
        assert re.fullmatch(rf"{path} .+", str(error))
    else:
        assert model(torch.zeros(1, 1, 28, 28)).shape == (1, len(values["classes"]))
