"""A window to write in. The network reads along; the drawings can become classes of one's own characters."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from unicodedata import normalize

import cv2
import numpy as np
import torch

from modules import kmnist
from modules.command_line import CommandError, write_whole
from modules.display import screen
from modules.display.annotations import BLACK, GREEN, GREY, draw_bars, encode, enlarge, likeliest, write
from modules.handwriting.pictures import SIZE, find_characters

PAPER, PANEL = 600, 370  # pixels: the paper, a square, on the left, what the network makes of it on the right
BARS = 250, 530  # pixels: top and bottom of the bars in the panel
SHEET = 300  # pixels of the paper as it is read and saved: four times as fast, and enough for 28
PEN = 32  # pixels; with it 99% of 500 training images, written again, large or small, are read right
PAUSE = 1.0  # seconds; a key that is held down repeats sooner
COUNTED = 5  # classes whose drawings are counted in one line: those with the fewest
KEYS = ["space: clear", "backspace: undo", "enter: save", "esc: end"]
FILING = ["click an answer, or", "a letter: save in class"]
Stroke = list[tuple[int, int]]  # the pen's way, x and y in pixels, from touching the paper to leaving it


class Canvas:
    """The strokes on the paper, what the network reads in them, and what keys and the mouse do.

    `classify` maps images, N x 1 x 28 x 28, uint8, to the probabilities of the classes; below `sure` it is unsure.
    Enter saves a drawing in the folder `drawings`. With a `folder`, a click on a class files it there, in that class. A
    letter or digit key files it in the class of that name.
    """

    def __init__(
        self,
        classify: Callable[[torch.Tensor], torch.Tensor],
        classes: list[str],
        sure: float,
        drawings: Path,
        folder: Path | None,
    ) -> None:
        self.classify, self.classes, self.sure = classify, classes, sure
        self.drawings, self.folder = drawings, folder
        self.strokes: list[Stroke] = []
        self.pen: Stroke | None = None  # the last stroke, which goes on while the mouse button is down
        self.pointer = (0, 0)
        self.writing = False  # the mouse button went down on the paper, not beside it
        self.saved: list[Stroke] = []  # what Enter saved last
        self.filed: tuple[Path, list[Stroke]] | None = None  # what was filed last, until the next stroke
        self.taken_back = -PAUSE  # when Backspace last took a filed drawing back, in seconds
        self.note = ""  # what a key or a click did
        self.read()

    def run(self) -> None:
        """Open the window; return when it is closed."""
        interrupts: list[int] = []
        signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))  # OpenCV would lose it in on_mouse
        screen.open_window(PAPER + PANEL, PAPER)
        cv2.setMouseCallback(screen.WINDOW, self.on_mouse)
        ink: list[int] = []
        shown = None
        while (key := screen.wait_key()) != "esc":
            if interrupts:
                raise KeyboardInterrupt
            if key:
                self.press(key)
            if ink != [len(stroke) for stroke in self.strokes]:
                ink = [len(stroke) for stroke in self.strokes]
                self.read()
            if (ink, self.pointed_class(), self.note) != shown:
                shown = ink, self.pointed_class(), self.note
                cv2.imshow(screen.WINDOW, self.draw())

    def on_mouse(self, event: int, x: int, y: int, flags: int, _: object = None) -> None:
        """Write on the paper, or file the drawing in the class that is clicked. In pixels of the window."""
        self.pointer = (x, y)
        pressed = event in (cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONDBLCLK)  # two quick dots arrive as a double click
        if pressed:
            self.writing = x < PAPER
        if not (self.writing and (pressed or flags & cv2.EVENT_FLAG_LBUTTON)):
            if pressed and (name := self.pointed_class()):
                self.file(name)
        elif pressed or self.pen is None:  # a key in the middle of a stroke ends it, and the rest is a stroke again
            self.pen = [(x, y)]
            self.strokes.append(self.pen)
            self.filed, self.note = None, ""
        else:
            self.pen.append((x, y))

    def press(self, key: str) -> None:
        """Do what a key does: "space", "backspace", "enter", or a letter or digit."""
        self.note = ""
        if key == "space":
            self.strokes, self.pen = [], None
        elif key == "backspace":
            self.undo()
        elif key == "enter" and self.strokes and self.strokes != self.saved:  # a held key saves once
            self.saved = deepcopy(self.strokes)
            self.save(self.drawings, "drawing-")
        elif self.folder and self.strokes and len(key) == 1 and key.isascii() and key.isalnum():
            self.file(key)

    def undo(self) -> None:
        """Take the last stroke back, or on an empty paper the drawing that was just filed."""
        now = time.monotonic()
        if now - self.taken_back < PAUSE:  # a held key takes back a filed drawing, but not also its strokes
            self.taken_back = now
        elif self.strokes:
            self.strokes.pop()
            self.pen = None
        elif self.filed:
            path, self.strokes = self.filed
            self.filed, self.taken_back = None, now
            try:
                path.unlink(missing_ok=True)
                self.note = f"{path} is removed"
            except OSError as error:
                self.note = f"{path} cannot be removed: {error.strerror}"
            with suppress(OSError):
                path.parent.rmdir()  # if it is empty now: a class without pictures could not be trained

    def file(self, name: str) -> None:
        """Save the drawing in the class of that name, and begin a new one."""
        assert self.folder  # without one, nothing calls this
        folder = self.folder / name
        self.read()  # the key or the click may come with the last points of a stroke
        if not self.image.any():
            self.note = "not saved: it must be one character"
        elif Path(name).name != name or name.startswith("."):
            self.note = f"no folder can be named {name}"
        elif os.path.isdir(folder) and name not in [normalize("NFC", path.name) for path in self.folder.iterdir()]:
            self.note = f"this disk takes {name} for a class that is there: choose another name"
        elif path := self.save(folder):
            self.filed = path, self.strokes
            self.strokes, self.pen = [], None

    def save(self, folder: Path, prefix: str = "") -> Path | None:
        """Write the drawing under the first free number. Returns its path, or None if that failed."""
        number = 1
        while os.path.exists(path := folder / f"{prefix}{number}.png"):
            number += 1
        try:
            write_whole(path, encode(draw_sheet(self.strokes), ".png"))
        except CommandError as error:
            self.note = f"not saved: {error}"
            return None
        self.note = f"saved as {path}"
        print(f"[INFO] drawing {self.note}")
        return path

    def pointed_class(self) -> str | None:
        """The name of the class that a click would file the drawing in."""
        x, y = self.pointer
        row = (y - BARS[0]) * 10 // (BARS[1] - BARS[0])
        order = likeliest(self.probabilities)
        if self.folder and self.strokes and x >= PAPER and 0 <= row < len(order):
            return self.classes[order[row]]
        return None

    def read(self) -> None:
        """Read the paper: sets what the network gets, what it answers, and a remark about it."""
        self.image = np.zeros((SIZE, SIZE), np.uint8)
        self.probabilities = np.zeros(len(self.classes))
        try:
            characters, _, self.remark = find_characters(draw_sheet(self.strokes))
        except CommandError:
            self.remark = "write one character on the left"
            return
        if len(characters) > 1:
            self.remark = "more than one character: press backspace or space"
            return
        self.image = characters[0, 0].numpy()
        self.probabilities = self.classify(characters)[0].numpy()
        if self.probabilities.max() <= self.sure:
            self.remark = "unsure: is it a character that the model knows?"

    def draw(self) -> np.ndarray:
        """The whole window: the paper, the network's image and answer, the keys, and the drawings of each class."""
        remark = self.remark
        panel = np.full((PAPER, PANEL, 3), 255, np.uint8)
        panel[:, :2] = GREY
        write(panel, "what the network gets: 28 x 28", (20, 32), 19, BLACK)
        panel[46:242, 20:216] = enlarge(self.image, 196)
        for line, text in enumerate(KEYS + FILING if self.folder else KEYS):
            write(panel, text, (226, 66 + 34 * line), 17, BLACK)
        top, bottom = BARS
        panel[top:bottom, 20:] = draw_bars(
            self.probabilities, kmnist.display_names(self.classes), PANEL - 20, bottom - top
        )
        if name := self.pointed_class():
            row = likeliest(self.probabilities).index(self.classes.index(name))
            height = (bottom - top) // 10
            cv2.rectangle(panel, (12, top + row * height), (PANEL - 6, top + (row + 1) * height - 1), GREEN, 2)
            remark = f"click: save this drawing as {name}" if self.image.any() else self.remark
        if self.folder:
            classes = [path for path in self.folder.glob("[!.]*") if path.is_dir()]
            counts = sorted((len(list(path.glob("[!.]*"))), path.name) for path in classes)
            fewest = [f"{name}: {count}" for count, name in counts[:COUNTED]] + ["..."] * (len(counts) > COUNTED)
            write(panel, f"{self.folder.resolve().name} has {', '.join(fewest) or 'no drawings'}", (20, 556), 18, BLACK)
        write(panel, self.note or remark, (20, 585), 18, GREY)
        return np.hstack([draw_ink(self.strokes), panel])


def draw_ink(strokes: list[Stroke]) -> np.ndarray:
    """The paper with all strokes on it, PAPER x PAPER x 3, uint8."""
    paper = np.full((PAPER, PAPER, 3), 255, np.uint8)
    for stroke in strokes:
        cv2.polylines(paper, [smooth(np.array(stroke))], False, BLACK, PEN, cv2.LINE_AA)
    return paper


def smooth(points: np.ndarray) -> np.ndarray:
    """A line through points, N x 2, in pixels, with round corners."""
    dense = cv2.resize(points.astype(np.float32), (2, 4 * len(points)))  # four points to a segment
    return cv2.blur(dense, (1, 5), borderType=cv2.BORDER_REPLICATE).round().astype(np.int32)


def draw_sheet(strokes: list[Stroke]) -> np.ndarray:
    """The paper as it is read and saved, SHEET x SHEET x 3, uint8."""
    return cv2.resize(draw_ink(strokes), (SHEET, SHEET), interpolation=cv2.INTER_AREA)
