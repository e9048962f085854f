"""Real windows on a virtual screen, with keys, a mouse and a window manager, and what the pen writes."""

import itertools
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ImageGrab

import predict
from modules import canvas, checkpoint, kmnist, pictures
from tests import ink
from tests.conftest import ROOT, Result

PATIENCE = 30  # seconds
DOT, LINE = [(150, 150)], [(300, 60), (310, 200), (290, 300), (200, 500)]  # two strokes
WINDOW = ["search", "--sync", "--onlyvisible", "--name", "^LeNet$"]
AWAY = ["mousemove", 0, 0]  # the pointer would hide pixels


class Person:
    """Somebody before a screen who sees one window, presses keys and moves the mouse."""

    def __init__(self, display: str) -> None:
        self.display, self.settings = display, {**os.environ, "DISPLAY": display}

    def starts(self, *command: object) -> subprocess.Popen:
        words = [sys.executable, *map(str, command)]
        self.process = subprocess.Popen(words, cwd=ROOT, env=self.settings, stdout=subprocess.PIPE, text=True)
        return self.process

    def does(self, *words: object) -> str:
        command = ["xdotool", *map(str, words)]
        return subprocess.check_output(command, env=self.settings, timeout=PATIENCE, text=True)

    def writes(self, stroke: list[tuple[int, int]]) -> None:
        press, *moves = [["mousemove", "--window", "%1", x, y] for x, y in stroke]
        self.does(*WINDOW, *press, "mousedown", 1, *itertools.chain(*moves), "mouseup", 1, *AWAY)

    def sees(self) -> np.ndarray:
        """The window's pixels, H x W x 3."""
        corner = ["mousemove", "--window", "%1", 0, 0, "getmouselocation", "--shell"]  # without the window's frame
        found = self.does(*WINDOW, *corner, "getwindowgeometry", "--shell", *AWAY)
        numbers = (re.search(rf"\b{name}=(\d+)", found)[1] for name in ("X", "Y", "WIDTH", "HEIGHT"))
        left, top, width, height = map(int, numbers)
        return np.array(ImageGrab.grab(xdisplay=self.display))[top : top + height, left : left + width]

    def waits_for(self, event: Callable[[np.ndarray], bool]) -> np.ndarray:
        """What the window shows once it is what was waited for and does not change any more."""
        end, before = time.monotonic() + PATIENCE, None
        while not (event(view := self.sees()) and np.array_equal(view, before)):
            assert time.monotonic() < end
            before = view
            time.sleep(0.1)
        return view


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    for program in ("Xvfb", "openbox", "xdotool"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed: no screen to open windows on")
    reading, writing = os.pipe()
    flags = ["-displayfd", str(writing), "-screen", "0", "1440x900x24", "-noreset"]
    server = subprocess.Popen(["Xvfb", *flags], pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as numbers:
        display = f":{numbers.readline().strip()}"
    manager = subprocess.Popen(["openbox"], env={**os.environ, "DISPLAY": display}, stderr=subprocess.DEVNULL)
    yield display
    for process in (manager, server):
        process.terminate()
        process.wait()


@pytest.fixture
def person(display: str) -> Iterator[Person]:
    somebody = Person(display)
    yield somebody
    somebody.process.kill()
    somebody.process.wait()


@pytest.mark.smoke
def test_samples_open_one_after_the_other(person: Person, pretrained: Path) -> None:
    process = person.starts("predict.py", "--model", pretrained)
    first = person.waits_for(lambda view: view.std() > 30)
    person.does("key", "space")
    person.waits_for(lambda view: (view != first).any())
    person.does("key", "Escape")
    assert process.communicate(timeout=PATIENCE)[0].count("ground truth label") == 10
    assert process.returncode == 0


def test_writing_in_the_window(person: Person, pretrained: Path, tmp_path: Path, run: Callable[..., Result]) -> None:
    earlier = tmp_path / "drawing-1.png"
    earlier.write_text("somebody's own")
    process = person.starts("predict.py", "--model", pretrained, "--draw")

    def answer(view: np.ndarray) -> np.ndarray:
        return view[:, canvas.PAPER + 2 :]

    empty = person.waits_for(lambda view: view.shape == (600, 970, 3) and (answer(view) == 0).any())
    assert (empty[:, : canvas.PAPER] == 255).all()
    person.writes(DOT)
    one = person.waits_for(lambda view: (answer(view) != answer(empty)).any())
    person.writes(LINE)
    person.waits_for(lambda view: (answer(view) != answer(one)).any())
    person.does("key", "z")
    person.waits_for(lambda view: (view == one).all())
    person.does("key", "s")
    line = process.stdout.readline()
    while "drawing saved" not in line:
        line = process.stdout.readline()
    person.does("key", "c")
    person.waits_for(lambda view: (view == empty).all())
    person.does("key", "alt+F4")  # as the close button
    assert process.communicate(timeout=PATIENCE) == ("", None)
    assert process.returncode == 0

    drawing = tmp_path / "drawing-2.png"
    assert earlier.read_text() == "somebody's own"
    name, probability = re.fullmatch(rf"\[INFO\] drawing saved as {drawing}: \S (\w+) \((.*)\)\n", line).groups()
    done = run("predict.py", "--model", pretrained, "--image", drawing)
    assert f"predicted label: {name} ({probability})" in done.out


@pytest.mark.smoke
def test_characters_written_with_the_pen_are_read_like_the_originals(pretrained: Path) -> None:
    model, _ = checkpoint.load(pretrained)
    images, labels = (part[:60] for part in kmnist.read("t10k"))
    written = [
        pictures.to_network_input(canvas.draw_ink(ink.strokes(image), canvas.SHEET)) for image in images[:, 0].numpy()
    ]

    def right(inputs: torch.Tensor) -> int:
        return int((predict.predict(model, inputs, torch.device("cpu")).argmax(1) == labels).sum())

    assert right(torch.from_numpy(np.stack(written))[:, None]) >= 0.9 * right(images)
