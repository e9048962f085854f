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

import predict
from modules import canvas, checkpoint, kmnist, pictures
from tests import ink
from tests.conftest import ROOT, Result

PATIENCE = 30  # seconds
DOT, LINE = [(150, 150)], [(300, 60), (310, 200), (290, 300), (200, 500)]  # two strokes
WINDOW = ["search", "--sync", "--onlyvisible", "--name", "^LeNet$"]
AWAY = ["mousemove", 0, 0]  # the pointer would hide pixels
THREE_SHOWS = """
import numpy as np
from modules import windows
for _ in range(3):
    windows.show([np.full((300, 300, 3), grey, np.uint8) for grey in (50, 100, 150)], "LeNet")
    print("ended", flush=True)
"""


class Person:
    """Somebody before a screen who sees one window, presses keys and moves the mouse."""

    def __init__(self, display: str, memory: Path) -> None:
        self.settings, self.memory = {**os.environ, "DISPLAY": display}, memory

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
        """The window's pixels, H x W x 3: Xvfb keeps its screen in a file, a header of 32-bit words before it."""
        corner = ["mousemove", "--window", "%1", 0, 0, "getmouselocation", "--shell"]  # without the window's frame
        found = self.does(*WINDOW, *corner, "getwindowgeometry", "--shell", *AWAY)
        numbers = (re.search(rf"\b{name}=(\d+)", found)[1] for name in ("X", "Y", "WIDTH", "HEIGHT"))
        left, top, width, height = map(int, numbers)
        content = self.memory.read_bytes()
        header = np.frombuffer(content, ">u4", 25)
        start, shape = header[0] + 12 * header[19], (header[5], header[4], 4)
        screen = np.frombuffer(content, np.uint8, offset=start).reshape(shape)[..., :3]
        return screen[top : top + height, left : left + width].copy()

    def waits_for(self, event: Callable[[np.ndarray], bool]) -> np.ndarray:
        """What the window shows once it is what was waited for and does not change any more."""
        end, before = time.monotonic() + PATIENCE, None
        while not (event(view := self.sees()) and np.array_equal(view, before)):
            assert time.monotonic() < end
            before = view
            time.sleep(0.1)
        return view


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    for program in ("Xvfb", "openbox", "xdotool"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed: no screen to open windows on")
    folder = tmp_path_factory.mktemp("screen")
    reading, writing = os.pipe()
    flags = ["-displayfd", str(writing), "-screen", "0", "1440x900x24", "-fbdir", str(folder), "-noreset"]
    server = subprocess.Popen(["Xvfb", *flags], pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    with os.fdopen(reading) as numbers:
        display = f":{numbers.readline().strip()}"
    manager = subprocess.Popen(["openbox"], env={**os.environ, "DISPLAY": display}, stderr=subprocess.DEVNULL)
    yield display, folder / "Xvfb_screen0"
    for process in (manager, server):
        process.terminate()
        process.wait()


@pytest.fixture
def person(screen: tuple[str, Path]) -> Iterator[Person]:
    somebody = Person(*screen)
    yield somebody
    somebody.process.kill()
    somebody.process.wait()


@pytest.mark.smoke
def test_samples_open_one_after_the_other(person: Person, pretrained: Path) -> None:
    process = person.starts("predict.py", "--model", pretrained)
    first = person.waits_for(lambda view: view.std() > 30)
    person.does("key", "space")
    person.waits_for(lambda view: (view != first).any())
    person.does("key", "q")
    assert process.communicate(timeout=PATIENCE)[0].count("ground truth label") == 10
    assert process.returncode == 0


def test_esc_the_close_button_and_the_last_picture_end(person: Person) -> None:
    process = person.starts("-c", THREE_SHOWS)
    for keys in (["Escape"], ["alt+F4"], ["space", "a", "Return"]):
        for grey, key in zip((50, 100, 150), keys, strict=False):
            person.waits_for(lambda view, grey=grey: (view == grey).all())
            person.does("key", key)
        assert process.stdout.readline() == "ended\n"
    assert process.communicate(timeout=PATIENCE) == ("", None)
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
    person.does("key", "q")
    assert process.communicate(timeout=PATIENCE) == ("", None)
    assert process.returncode == 0

    drawing = tmp_path / "drawing-2.png"
    assert earlier.read_text() == "somebody's own"
    name, probability = re.fullmatch(rf"\[INFO\] drawing saved as {drawing}: \S (\w+) \((.*)\)\n", line).groups()
    done = run("predict.py", "--model", pretrained, "--image", drawing)
    assert f"predicted label: {name} ({probability})" in done.out


def test_without_a_screen_there_is_nothing_to_write_on(pretrained: Path, run: Callable[..., Result]) -> None:
    done = run("predict.py", "--model", pretrained, "--draw")
    assert done == (2, "", "predict.py: error: --draw opens a window, and there is no screen for it\n")


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
