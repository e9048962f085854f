"""What the tests share: the scripts as callables, a small KMNIST, the project's model, a folder of characters.

Nothing slow is imported on top: pytest's first process, which only hands the tests out, reads this file too.
"""

import gzip
import hashlib
import importlib
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pytest import MonkeyPatch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread for each of the two processes that run the tests
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, and children inherit that

ROOT = Path(__file__).parent.parent
SMALL = {"train": 800, "t10k": 400}  # images
ODD = "\x1b[2J\n\udcff" if sys.platform == "linux" else "ä"  # Linux alone takes file names that are no UTF-8
posix = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and permissions as Linux and macOS have them")


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]  # the fixture below


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: MonkeyPatch) -> Run:
    """Run a script's command line in this process, as importing torch anew takes seconds."""
    from modules import command_line
    from modules.show import windows

    monkeypatch.setattr(windows, "has_screen", lambda: False)

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


def denied(path: Path = Path(), *_: object, **__: object) -> None:
    """In place of a function: the tests' user may be one who can read and write anywhere."""
    raise PermissionError(13, "Permission denied", str(path))


@pytest.fixture(scope="session")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first images and labels of KMNIST in files like the official ones."""
    from modules import kmnist

    folder = tmp_path_factory.mktemp("raw")
    for name in kmnist.MD5:
        count, (header, size) = SMALL[name.split("-")[0]], (16, 784) if "images" in name else (8, 1)
        with gzip.open(kmnist.RAW / name) as whole:
            content = whole.read(header + size * count)
        (folder / name).write_bytes(gzip.compress(content[:4] + count.to_bytes(4, "big") + content[8:], 1))
    return folder


@pytest.fixture
def small(small_files: Path, monkeypatch: MonkeyPatch) -> None:
    """Make KMNIST small, and draw no plots, which would take most of a quick run's time."""
    import train
    from modules import kmnist

    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in small_files.iterdir()}
    monkeypatch.setattr(kmnist, "MD5", sums)
    monkeypatch.setattr(kmnist, "RAW", small_files)
    monkeypatch.setattr(train.plot, "draw_plot", lambda *_: b"a plot")


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A copy of the model that comes with the project."""
    return Path(shutil.copy(ROOT / "output" / "pretrained.pth", tmp_path / "model.pth"))


@pytest.fixture
def characters(small_files: Path, tmp_path: Path) -> Path:
    """A folder of three classes, eight PNG pictures each."""
    content = gzip.decompress((small_files / "t10k-images-idx3-ubyte.gz").read_bytes())
    images, folder = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28), tmp_path / "my characters"
    for index, image in enumerate(images[:24]):
        save_picture(folder / ("b", "a a", "き")[index % 3] / f"{index // 3}.png", 255 - image)
    return folder


def save_picture(path: Path, picture: np.ndarray) -> None:
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())  # cv2.imwrite fails on some names on Windows


def quick(folder: Path, *more: object) -> list[object]:
    """Flags of a run of train.py that takes a fraction of a second on the small KMNIST."""
    return ["-m", folder / "m.pth", "-p", folder / "p.png", "--epochs", 1, "--train-split", 0.25, *more]
