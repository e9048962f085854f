"""What the tests share. Nothing slow is imported on top: pytest's first process, which hands them out, reads it."""

import functools
import importlib
import os
import shutil
import signal
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pytest import MonkeyPatch

if TYPE_CHECKING:
    import torch

    from modules import kmnist

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread for each of the two processes that run the tests
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, and children inherit that

ROOT = Path(__file__).parent.parent
SMALL = {True: 800, False: 400}  # training and test images
ODD = "\x1b[2J\n\udcff" if sys.platform == "linux" else "ä"  # Linux alone takes file names that are no UTF-8
Result = namedtuple("Result", "code out err")
Run = Callable[..., Result]  # the fixture below


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: MonkeyPatch) -> Run:
    """Run a script's command line in this process, as importing torch anew takes seconds."""
    from modules import command_line
    from modules.display import screen

    monkeypatch.setattr(screen, "find_obstacle", lambda: "there is no screen")

    def call(script: str, *arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", [script, *map(str, arguments)])
        main = importlib.import_module(script.removesuffix(".py")).main
        capsys.readouterr()
        try:
            code = command_line.run(main)
        except SystemExit as end:
            code = end.code or 0
        return Result(code, *capsys.readouterr())

    return call


@functools.cache
def first_images(train: bool) -> "kmnist.ImageDataset":
    """The first images and labels of KMNIST."""
    from modules import kmnist

    images, labels = kmnist.load(train).tensors
    return kmnist.ImageDataset(images[: SMALL[train]], labels[: SMALL[train]])


@pytest.fixture
def small(monkeypatch: MonkeyPatch) -> None:
    """Make KMNIST small, and draw no plots, which would take most of a quick run's time."""
    import train
    from modules import kmnist

    small = {part: first_images(part) for part in SMALL}
    monkeypatch.setattr(kmnist, "load", lambda train: small[train])
    monkeypatch.setattr(train.plot, "draw_plot", lambda *_: b"a plot")


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A copy of the model that comes with the project."""
    return Path(shutil.copy(ROOT / "output" / "pretrained.pth", tmp_path / "model.pth"))


@pytest.fixture
def characters(tmp_path: Path) -> Path:
    """A folder of three classes, eight PNG pictures each."""
    folder = tmp_path / "my characters"
    for index, image in enumerate(first_images(False).tensors[0][:24, 0].numpy()):
        save_picture(folder / ("b", "a a", "き")[index % 3] / f"{index // 3}.png", 255 - image)
    return folder


def read(images: "torch.Tensor") -> "torch.Tensor":
    """The classes that the project's model reads in images, N x 1 x 28 x 28, uint8."""
    import predict
    from modules import checkpoint

    model, _ = checkpoint.load(ROOT / "output" / "pretrained.pth")
    return predict.predict(model, images, temperature=1.0).argmax(1)


def save_picture(path: Path, picture: np.ndarray) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())  # cv2.imwrite fails on some names on Windows


def quick(folder: Path, *more: object) -> list[object]:
    """Flags of a run of train.py that takes a fraction of a second on the small KMNIST."""
    return ["-m", folder / "m.pth", "-p", folder / "p.png", "--epochs", 1, "--train-split", 0.25, *more]
