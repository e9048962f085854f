"""A window to write in: what the network reads in a character while a person writes it."""

from modules.console import on_interrupts, printable

from collections.abc import Callable
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from modules import windows
from modules.draw import BLACK, GREY, bars, enlarge, write
from modules.pictures import SIZE, PictureError, to_network_input

PAPER, PANEL = 600, 370  # pixels: the paper, a square, on the left, what the network makes of it on the right
SHEET = 300  # pixels of the paper as it is read and saved: four times as fast, and enough for 28
PEN = 32  # pixels: 99% of 500 training images, thinned and written again with it, are read right, large or small
KEYS = ["c   clear", "z   undo", "s   save", "q   end"]

Stroke = list[tuple[int, int]]  # the pen's way, x and y in pixels, from touching the paper to leaving it


def run(classify: Callable[[np.ndarray], np.ndarray], names: list[str], folder: Path) -> None:
    """Open the window; return when it is closed. Drawings are saved in `folder`.

    `classify` gives the probability of each class, of these names, for an image, 28 x 28, uint8, light on dark.
    """
    strokes: list[Stroke] = []
    pen: Stroke = []
    interrupts: list[int] = []
    on_interrupts(lambda number, _: interrupts.append(number))  # in the midst of on_mouse, OpenCV would lose it

    def on_mouse(event: int, x: int, y: int, flags: int, _: object) -> None:
        nonlocal pen
        if event in (cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONDBLCLK):  # two quick dots arrive as a double click
            pen = [(x, y)]
            if x < PAPER:
                strokes.append(pen)
        elif flags & cv2.EVENT_FLAG_LBUTTON:
            pen.append((x, y))

    windows.open_window(PAPER + PANEL, PAPER)
    cv2.setMouseCallback(windows.WINDOW, on_mouse)
    drawn = None
    while (key := windows.read_key()) != "q":
        if interrupts:
            raise KeyboardInterrupt
        if key == "c":
            strokes.clear()
        elif key == "z":
            del strokes[-1:]
        lengths = [len(stroke) for stroke in strokes]
        if lengths == drawn and key != "s":
            continue
        drawn, paper = lengths, draw_ink(strokes)
        sheet = cv2.resize(paper, (SHEET, SHEET), interpolation=cv2.INTER_AREA)
        seen, note = look_at(sheet)
        probabilities = classify(seen) if seen.any() else np.zeros(len(names))
        if key == "s" and seen.any():
            note = save(sheet, folder)
            print(f"[INFO] {note}: reads {names[probabilities.argmax()]} ({probabilities.max():.1%})")
        cv2.imshow(windows.WINDOW, np.hstack([paper, draw_panel(seen, probabilities, names, note)]))
    cv2.destroyAllWindows()


def draw_ink(strokes: list[Stroke]) -> np.ndarray:
    """The paper with all strokes on it, PAPER x PAPER x 3, uint8."""
    paper = np.full((PAPER, PAPER, 3), 255, np.uint8)
    for stroke in strokes:
        dense = cv2.resize(np.array(stroke, np.float32), (2, 4 * len(stroke)))  # four points to a segment
        curve = cv2.blur(dense, (1, 5), borderType=cv2.BORDER_REPLICATE)  # rounds its corners
        cv2.polylines(paper, [curve.round().astype(np.int32)], False, BLACK, PEN, cv2.LINE_AA)
    return paper


def look_at(sheet: np.ndarray) -> tuple[np.ndarray, str]:
    """What the network gets, 28 x 28, black if there is nothing to read, and a remark about it."""
    if sheet.min() == 255:
        return np.zeros((SIZE, SIZE), np.uint8), "write one character on the left, with mouse or pen"
    try:
        return to_network_input(sheet), ""
    except PictureError as error:
        return np.zeros((SIZE, SIZE), np.uint8), f"the sheet {error}"


def draw_panel(seen: np.ndarray, probabilities: np.ndarray, names: list[str], note: str) -> np.ndarray:
    """The network's image, its answer and the keys: PAPER x PANEL x 3, uint8."""
    panel = np.full((PAPER, PANEL, 3), 255, np.uint8)
    panel[:, :2] = GREY
    write(panel, "what the network gets: 28 x 28", (20, 32), 19, BLACK)
    panel[46:270, 20:244] = enlarge(seen, 224)
    for line, text in enumerate(KEYS):
        write(panel, text, (266, 70 + 32 * line), 19, BLACK)
    panel[286:566, 20:] = bars(probabilities, names, PANEL - 20, 280)
    write(panel, note, (20, 587), 18, GREY)
    return panel


def save(sheet: np.ndarray, folder: Path) -> str:
    """Write the sheet into the folder under the first free number; returns a line that says where it is."""
    path = next(path for n in count(1) if not (path := folder / f"drawing-{n}.png").exists())
    try:
        with path.open("xb") as file:
            file.write(cv2.imencode(".png", sheet)[1].tobytes())
    except OSError as error:
        return f"cannot write {printable(path)} ({error.strerror})"
    return f"drawing saved as {printable(path)}"
