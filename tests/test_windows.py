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

import cv2
import numpy as np
import pytest
import torch
from PIL import ImageGrab
from pytest import MonkeyPatch

from modules import kmnist
from modules.display import canvas
from modules.handwriting import pictures
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


def again(action: Callable[[], object], event: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Act, again if nothing of it shows: one click in 60 is lost between openbox and Qt, and keys on a busy machine."""
    for _ in range(4):
        action()
        with contextlib.suppress(TimeoutError):
            return wait_for(event, patience=5)
    raise TimeoutError


def write(stroke: list[tuple[int, int]], event: Callable[[np.ndarray], bool]) -> np.ndarray:
    def draw() -> None:
        for x, y in stroke:
            act("mousemove", "--window", "%1", x, y, *["mousedown", 1] * ((x, y) == stroke[0]))
        act("mouseup", 1)

    return again(draw, event)


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
    again(lambda: act("key", "space"), lambda view: (view != first).any())
    subprocess.run(["xdotool", "key", "alt+F4"], check=False)  # as the close button; act would search a closed window
    out = process.communicate(timeout=PATIENCE)[0]
    assert process.returncode == 0
    assert out.count("ground truth label") in (2, 3)  # a line for each that was shown; alt is a key, too


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

    write(LINE, lambda view: not blank(view))
    act("key", "a")
    wait_for(blank)
    write(LINE, lambda view: not blank(view))
    write([(canvas.PAPER + 60, canvas.BARS[0] + 10)], blank)  # a click on the likeliest class
    assert [path.parent.name in ("a", *kmnist.CLASSES) for path in folder.rglob("*.png")] == [True, True]
    act("mousemove", "--window", "%1", 150, 150, "mousedown", 1)
    process.send_signal(signal.SIGINT)  # Ctrl-C, in the middle of a stroke
    assert process.wait(PATIENCE) == 130
    assert "drawing-1.png: predicted label: " in run("predict.py", "-m", pretrained, "--image", drawing).out


BUTTON = cv2.EVENT_FLAG_LBUTTON


@pytest.fixture
def paper(tmp_path: Path) -> canvas.Canvas:
    """A canvas of three classes, of which the second is the likeliest, without its window."""

    def classify(images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([[0.1, 0.7, 0.2]])

    return canvas.Canvas(classify, ["A", "か", "../up"], 0.95, tmp_path / "out", tmp_path / "mine")


def move(paper: canvas.Canvas, *points: tuple[int, int]) -> None:
    for x, y in points:
        paper.on_mouse(cv2.EVENT_MOUSEMOVE, x, y, BUTTON)


def press_button(paper: canvas.Canvas, x: int, y: int) -> None:
    paper.on_mouse(cv2.EVENT_LBUTTONDOWN, x, y, BUTTON)


def files(paper: canvas.Canvas) -> list[str]:
    return sorted(str(path.relative_to(paper.drawings.parent)) for path in paper.drawings.parent.rglob("*.png"))


def test_a_click_on_the_right_answer_files_the_drawing_and_can_be_taken_back(
    paper: canvas.Canvas, monkeypatch: MonkeyPatch
) -> None:
    rows = [(canvas.PAPER + 50, canvas.BARS[0] + 28 * row + 5) for row in range(4)]
    press_button(paper, *rows[0])
    assert files(paper) == []  # there is no drawing
    for left in (50, 250, 450):  # three characters
        press_button(paper, left, 100)
        move(paper, (left + 100, 100), (left, 220), (left + 100, 220))
    paper.read()
    press_button(paper, *rows[0])
    assert (files(paper), "must be one character" in paper.note) == ([], True)
    paper.press("space")
    press_button(paper, *LINE[0])
    move(paper, *LINE)
    paper.read()
    before = paper.draw()
    paper.on_mouse(cv2.EVENT_MOUSEMOVE, *rows[1], 0)
    assert paper.pointed_class() == "../up"
    assert (before != paper.draw()).any()  # the pointer shows what would be filed
    press_button(paper, *rows[1])
    press_button(paper, *rows[3])
    assert files(paper) == []  # a name that is no folder's; no class
    press_button(paper, *rows[0])
    assert (files(paper), paper.strokes) == (["mine/か/1.png"], [])
    now = [100.0]
    monkeypatch.setattr(canvas.time, "monotonic", lambda: now[0])
    for _ in range(40):  # Backspace is held: the drawing comes back, and stays
        paper.press("backspace")
        now[0] += 0.04
    assert (files(paper), len(paper.strokes)) == ([], 1)
    now[0] += 2
    paper.press("backspace")
    assert paper.strokes == []
    assert not (paper.folder / "か").exists()


def test_a_tall_picture_opens_in_a_window_for_a_small_screen(monkeypatch: MonkeyPatch) -> None:
    sizes: list[tuple[int, ...]] = []
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "resizeWindow", lambda _, *size: sizes.append(size))
    canvas.screen.open_window(900, 1050)
    canvas.screen.open_window(970, 600)
    assert sizes == [(600, 700), (970, 600)]


def test_a_drawing_that_cannot_be_removed_ends_nothing(paper: canvas.Canvas, monkeypatch: MonkeyPatch) -> None:
    press_button(paper, *LINE[0])
    move(paper, *LINE)
    paper.press("a")

    def refuse(path: Path, missing_ok: bool) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    paper.press("backspace")
    assert files(paper) == ["mine/a/1.png"]
    assert paper.note.endswith("a/1.png cannot be removed: Permission denied")


def test_the_classes_with_the_fewest_drawings_are_counted(paper: canvas.Canvas, monkeypatch: MonkeyPatch) -> None:
    for number, name in enumerate("gfedcba"):
        (paper.folder / name).mkdir(parents=True)
        for drawing in range(number + 1):
            (paper.folder / name / f"{drawing}.png").touch()
    texts: list[str] = []
    monkeypatch.setattr(canvas, "write", lambda panel, text, *_: texts.append(text))
    paper.draw()
    assert "mine has g: 1, f: 2, e: 3, d: 4, c: 5, ..." in texts


def test_enter_saves_a_drawing_once_and_all_of_it(paper: canvas.Canvas) -> None:
    press_button(paper, *LINE[0])
    paper.read()
    move(paper, *LINE[1:])
    for _ in range(40):  # it is held
        paper.press("enter")
    assert files(paper) == ["out/drawing-1.png"]
    saved = cv2.imread(str(paper.drawings / "drawing-1.png"))
    assert np.array_equal(saved, canvas.draw_sheet(paper.strokes))  # with the points after the last look at it
    move(paper, (400, 400))
    paper.press("enter")
    assert files(paper) == ["out/drawing-1.png", "out/drawing-2.png"]


@pytest.mark.parametrize("key", ["space", "backspace", "a"])
def test_a_key_in_the_middle_of_a_stroke_leaves_no_invisible_pen(paper: canvas.Canvas, key: str) -> None:
    press_button(paper, 100, 100)
    move(paper, (100, 200))
    paper.press(key)
    assert paper.strokes == []
    move(paper, (200, 300), (300, 300))
    assert paper.strokes == [[(200, 300), (300, 300)]]
    press_button(paper, canvas.PAPER + 10, 100)
    move(paper, (300, 100))
    assert len(paper.strokes) == 1  # a drag from beside the paper writes nothing


@pytest.mark.smoke
def test_characters_written_with_the_pen_are_read_like_the_originals() -> None:
    images, labels = (part[:30] for part in kmnist.load(train=False).tensors)
    sheets = [canvas.draw_sheet(ink.strokes(image)) for image in images[:, 0].numpy()]
    written = torch.cat([pictures.find_characters(sheet)[0] for sheet in sheets])
    assert (read(written) == labels).sum() >= 0.9 * (read(images) == labels).sum()
