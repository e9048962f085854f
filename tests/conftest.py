"""What all tests share: the two scripts as callables, a small stand-in data set, a trained model."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other are slow on a busy machine

import gc
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import pytest

import predict
import train
from modules import console, rendered

cv2.setNumThreads(1)
gc.freeze()  # what was imported stays: looking through it for garbage takes 5% of the suite
BOTH = {"OMP_NUM_THREADS": "2"}  # for the two longest trainings
ROOT = Path(__file__).parent.parent
FIXED_LINES = """[INFO] generating the train/validation split...
[INFO] initializing the LeNet model...
[INFO] training the network...
[INFO] EPOCH: 1/1""".splitlines()


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the stand-in small."""
    monkeypatch.setattr(rendered, "TRAIN_IMAGES", 800)
    monkeypatch.setattr(rendered, "TEST_IMAGES", 200)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Call a script's main as its command line would, in this process: importing torch anew takes seconds."""

    def call(script: str, *arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", [script])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        capsys.readouterr()
        code = 0
        try:
            with console.program():
                {"train.py": train, "predict.py": predict}[script].main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code or 0
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        out, err = capsys.readouterr()
        return Result(code, out, err)

    return call


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one epoch on the stand-in, trained through the real command line."""
    folder = tmp_path_factory.mktemp("trained")
    arguments = ["--model", folder / "model.pth", "--plot", folder / "plot.png", "--dataset", "rendered", "--epochs", 1]
    done = command("train.py", *arguments, **BOTH)
    assert done.code == 0, done.err
    (folder / "out.txt").write_text(done.out)
    return folder / "model.pth"


def command(script: str, *arguments: object, **settings: str) -> Result:
    """Run a script as a process of its own, its output in pipes."""
    done = subprocess.run(
        [sys.executable, ROOT / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **settings},
        check=False,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def kmnist_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the real files: unpacking must not write into the original."""
    original = os.environ.get("KMNIST_ROOT")
    if not original:
        pytest.skip("KMNIST_ROOT is not set: no real KMNIST files to test with")
    copy = tmp_path_factory.mktemp("data")
    raw = copy / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for file in (Path(original) / "KMNIST" / "raw").glob("*.gz"):
        (raw / file.name).write_bytes(file.read_bytes())
    return copy


@pytest.fixture(scope="session")
def kmnist_model(kmnist_root: Path) -> Path:
    """A model of two quick epochs on the real data."""
    model = kmnist_root / "model.pth"
    arguments = ["-m", model, "-p", model.with_suffix(".png"), "--data", kmnist_root, "--dataset", "kmnist"]
    done = command("train.py", *arguments, "--one-cycle", "--lr", "4e-3", "--epochs", "2", "--amp", **BOTH)
    assert done.code == 0, done.err
    return model
