"""Real windows on a virtual screen, with keys, a mouse and a window manager, and what the pen writes."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import ImageGrab
from pytest import MonkeyPatch

from modules import kmnist
from modules.handwriting import pictures
from modules.display import canvas
from tests import ink
from tests.conftest import ROOT, Run, read

PATIENCE = 30  # seconds
DOT, LINE = [(150, 150)], [(300, 60), (310, 200), (290, 300), (200, 500)]  # two strokes


@pytest.fixture
def screen(monkeypatch: MonkeyPatch) -> Iterator[None]:
    for program in ("Xvfb", "openbox", "xdotool"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed: no screen to open windows on")
    reading, writing = os.pipe()
    flags = ["-displayfd", str(writing), "-screen", "0", "1440x900x24", "-noreset"]
    server = subprocess.Popen(["Xvfb", *flags], pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as numbers:
        monkeypatch.setenv("DISPLAY", f":{numbers.readline().strip()}")
    manager = subprocess.Popen("openbox", stderr=subprocess.DEVNULL)
    yield
    for process in (manager, server):
        process.terminate()
        process.wait()


def start(*flags: object) -> subprocess.Popen:
    words = [sys.executable, "predict.py", *map(str, flags)]
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def act(*words: object) -> str:
    """What a person does with keys and mouse, in the words of xdotool; %1 is the window."""
    command = ["xdotool", "search", "--sync", "--onlyvisible", "--name", "^LeNet$", *map(str, words)]
    end = time.monotonic() + PATIENCE
    while (done := subprocess.run(command, capture_output=True, timeout=PATIENCE, text=True, check=False)).returncode:
        assert time.monotonic() < end, done.stderr  # it gives up where any window vanishes while it searches
    return done.stdout


def write(stroke: list[tuple[int, int]], event: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Write in the window, again if nothing of it shows: one click in 60 is lost between openbox and Qt."""
    for _ in range(4):
        for x, y in stroke:
            act("mousemove", "--window", "%1", x, y, *["mousedown", 1] * ((x, y) == stroke[0]))
        act("mouseup", 1)
        with contextlib.suppress(TimeoutError):
            return wait_for(event, patience=5)
    raise TimeoutError


def look() -> np.ndarray:
    """The window's pixels, H x W x 3, without its frame and the pointer."""
    corner = ["mousemove", "--window", "%1", 0, 0, "getmouselocation", "--shell", "mousemove", 0, 0]
    found = act("getwindowgeometry", "--shell", "%1", *corner)
    numbers = (re.findall(rf"\b{name}=(\d+)", found)[-1] for name in ("X", "Y", "WIDTH", "HEIGHT"))
    left, top, width, height = map(int, numbers)
    return np.array(ImageGrab.grab(xdisplay=os.environ["DISPLAY"]))[top : top + height, left : left + width]


def wait_for(event: Callable[[np.ndarray], bool], patience: float = PATIENCE) -> np.ndarray:
    """What the window shows once it is what was waited for and does not change any more."""
    end, before = time.monotonic() + patience, None
    while not (event(view := look()) and np.array_equal(view, before)):
        if time.monotonic() > end:
            raise TimeoutError
        before = view
        time.sleep(0.1)
    return view


@pytest.mark.smoke
def test_samples_open_one_after_the_other(screen: None, pretrained: Path) -> None:
    process = start("--model", pretrained)
    first = wait_for(lambda view: view.std() > 30)
    act("key", "space")
    wait_for(lambda view: (view != first).any())
    subprocess.run(["xdotool", "key", "alt+F4"], check=False)  # as the close button; act would search a closed window
    assert process.communicate(timeout=PATIENCE)[0].count("ground truth label") == 10
    assert process.returncode == 0


def test_writing_in_the_window_and_filing_what_is_written(screen: None, pretrained: Path, run: Run) -> None:
    folder, drawing = pretrained.with_name("mine"), pretrained.with_name("drawing-1.png")
    process = start("--model", pretrained, "--draw", "--folder", folder)

    def blank(view: np.ndarray) -> bool:
        paper, panel = view[:, : canvas.PAPER], view[:, canvas.PAPER + 2 :]
        return view.shape == (600, 970, 3) and (paper == 255).all() and (panel == 0).any()

    empty = wait_for(blank)
    one = write(DOT, lambda view: (view[:, canvas.PAPER :] != empty[:, canvas.PAPER :]).any())
    write(LINE, lambda view: (view != one).any())
    act("key", "Left")  # no letter
    act("key", "BackSpace")
    wait_for(lambda view: (view == one).all())
    act("key", "Return")
    wait_for(lambda _: drawing.exists())
    act("key", "space")
    wait_for(blank)

    for key in ("a", "a", "3"):
        write(LINE, lambda view: not blank(view))
        act("key", key)
        wait_for(blank)
    files = [folder / "3" / "1.png", folder / "a" / "1.png", folder / "a" / "2.png"]
    assert sorted(folder.rglob("*.png")) == files
    act("key", "BackSpace")
    wait_for(lambda view: not blank(view))  # the drawing is back
    act("key", "a")
    write(LINE, lambda view: not blank(view))
    act("key", "BackSpace", "key", "BackSpace", "key", "b")  # takes no file back now, and files no blank sheet
    wait_for(blank)
    act("mousemove", "--window", "%1", 150, 150, "mousedown", 1)
    process.send_signal(signal.SIGINT)  # Ctrl-C, in the middle of a stroke
    assert process.wait(PATIENCE) == 130
    assert sorted(folder.rglob("*.*")) == [*files[1:], folder / "a" / "3.png"]
    assert "drawing-1.png: predicted label: " in run("predict.py", "-m", pretrained, "--image", drawing).out


@pytest.mark.smoke
def test_characters_written_with_the_pen_are_read_like_the_originals() -> None:
    images, labels = (part[:30].numpy() for part in kmnist.load("t10k"))
    sheets = (canvas.draw_ink(ink.strokes(image))[::2, ::2] for image in images[:, 0])
    written = [pictures.find_characters(sheet)[0][0, 0].numpy() for sheet in sheets]
    right = (read([*images[:, 0], *written]).reshape(2, -1) == labels).sum(1)
    assert right[1] >= 0.9 * right[0]
