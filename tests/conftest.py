"""What the tests share: the scripts as callables, a small KMNIST, the project's model, a folder of characters.

Nothing slow is imported on top: pytest's first process, which only hands the tests out, reads this file too.
"""

import gzip
import hashlib
import importlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pytest import MonkeyPatch

os.environ.setdefault("OMP_NUM_THREADS", "1")  # one thread for each of the two processes that run the tests
signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored, and children inherit that
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored under nohup

ROOT = Path(__file__).parent.parent
SMALL = {"train": 800, "t10k": 400}  # images
# Linux alone takes file names that are no UTF-8
ODD, ODD_SHOWN = ("\x1b[2J\n\udcff", r"\x1b[2J\n\xff") if sys.platform == "linux" else ("ä", "ä")
posix = pytest.mark.skipif(os.name != "posix", reason="signals, pipes and permissions as Linux and macOS have them")


class Result(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Result]  # the fixture below


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: MonkeyPatch) -> Run:
    """Call a script's main as its command line would, in this process, as importing torch anew takes seconds."""
    from modules import console, windows

    monkeypatch.setattr(windows, "has_screen", lambda: False)

    def call(script: str, *arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", [script])
        capsys.readouterr()
        main = importlib.import_module(script.removesuffix(".py")).main
        code = console.exit_code(lambda: main([*map(str, arguments)]))
        console.on_interrupts(signal.default_int_handler)  # a run that saves ends by ignoring them
        return Result(code, *capsys.readouterr())

    return call


def denied(path: Path = Path(), *_: object, **__: object) -> None:
    """In place of a function: the tests' user may be one who can read and write anywhere."""
    raise PermissionError(13, "Permission denied", str(path))


def command(script: str, *arguments: object, cwd: Path = ROOT, **settings: str) -> Result:
    """Run a script as a process of its own, its output in pipes."""
    words, settings = [sys.executable, ROOT / script, *map(str, arguments)], {**os.environ, **settings}
    more = {"capture_output": True, "encoding": "utf-8", "timeout": 100, "check": False}
    done = subprocess.run(words, cwd=cwd, env=settings, **more)
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first images and labels of KMNIST in files like the official ones."""
    from modules import kmnist

    folder = tmp_path_factory.mktemp("raw")
    for name in kmnist.MD5:
        header, size = (16, 784) if "images" in name else (8, 1)
        with gzip.open(kmnist.RAW / name) as whole:
            content = whole.read(header + size * SMALL[name.split("-")[0]])
        (folder / name).write_bytes(gzip.compress(content, 1))
    return folder


@pytest.fixture
def small(small_files: Path, monkeypatch: MonkeyPatch) -> None:
    """Make KMNIST small, and draw no plots, which would take most of a quick run's time."""
    import train
    from modules import kmnist

    sums = {file.name: hashlib.md5(file.read_bytes()).hexdigest() for file in small_files.iterdir()}
    monkeypatch.setattr(kmnist, "MD5", sums)
    monkeypatch.setattr(kmnist, "RAW", small_files)
    monkeypatch.setattr(train, "draw_plot", lambda *_: b"a plot")


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
