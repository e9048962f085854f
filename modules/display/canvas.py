"""A window to write in. The network reads along; the drawings can become classes of one's own characters."""

import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np

from modules.command_line import CommandError, write_whole
from modules.handwriting.pictures import SIZE, find_characters
from modules.display import screen
from modules.display.annotations import BLACK, GREY, bars, encode, enlarge, write

PAPER, PANEL = 600, 370  # pixels: the paper, a square, on the left, what the network makes of it on the right
SHEET = 300  # pixels of the paper as it is read and saved: four times as fast, and enough for 28
PEN = 32  # pixels; with it 99% of 500 training images, written again, large or small, are read right
KEYS = ["space: clear", "backspace: undo", "enter: save", "esc: end"]
Stroke = list[tuple[int, int]]  # the pen's way, x and y in pixels, from touching the paper to leaving it


def run(classify: Callable, names: list[str], sure: float, drawings: Path, folder: Path | None) -> None:
    """Open the window; return when it is closed. Enter saves a drawing in the folder `drawings`.

    `classify` maps images, N x 28 x 28, uint8, to the probabilities of the classes `names`; below `sure` it is unsure.
    With a `folder`, a letter or digit key files the drawing there, in the class of that name.
    """
    strokes: list[Stroke] = []
    pen: Stroke = []
    filed: list[tuple[Path, list[Stroke]]] = []  # the last drawing that was filed, until the next stroke
    interrupts: list[int] = []
    signal.signal(signal.SIGINT, lambda number, _: interrupts.append(number))  # OpenCV would lose it in on_mouse

    def on_mouse(event: int, x: int, y: int, flags: int, _: object) -> None:
        nonlocal pen
        if event in (cv2.EVENT_LBUTTONDOWN, cv2.EVENT_LBUTTONDBLCLK):  # two quick dots arrive as a double click
            pen = [(x, y)]
            if x < PAPER:
                strokes.append(pen)
                filed.clear()
        elif flags & cv2.EVENT_FLAG_LBUTTON:
            pen.append((x, y))

    screen.open_window(PAPER + PANEL, PAPER)
    cv2.setMouseCallback(screen.WINDOW, on_mouse)
    shown, sheet = None, None
    while (key := screen.wait_key()) != "esc":
        if interrupts:
            raise KeyboardInterrupt
        if [len(stroke) for stroke in strokes] == shown and not key:
            continue
        note = ""
        if key == "space":
            strokes.clear()
        elif key == "backspace" and strokes:
            strokes.pop()
        elif key == "backspace" and filed:
            path, strokes[:] = filed.pop()
            path.unlink(missing_ok=True)
            with suppress(OSError):
                path.parent.rmdir()  # if it is empty now: a class without pictures could not be trained
            note = f"{path} is removed"
        elif key == "enter" and strokes:
            _, note = save(sheet, drawings, "drawing-")
        elif folder and strokes and len(key) == 1 and key.isascii() and key.isalnum():
            if (folder / key).is_dir() and key not in [path.name for path in folder.iterdir()]:
                note = f"this disk takes {key.upper()} and {key.lower()} for one: press the other"
            else:
                path, note = save(sheet, folder / key)
                if path.exists():
                    filed[:] = [(path, strokes.copy())]
                    strokes.clear()
        shown, paper = [len(stroke) for stroke in strokes], draw_ink(strokes)
        sheet = cv2.resize(paper, (SHEET, SHEET), interpolation=cv2.INTER_AREA)
        seen, remark = look_at(sheet)
        chances = classify(seen[None])[0] if seen.any() else np.zeros(len(names))
        if 0 < chances.max() <= sure:
            remark = "unsure: is it a character that the model knows?"
        panel = draw_panel(seen, chances, names, folder, note or remark)
        cv2.imshow(screen.WINDOW, np.hstack([paper, panel]))


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
    try:
        characters, _, remark = find_characters(sheet)
    except CommandError:
        return np.zeros((SIZE, SIZE), np.uint8), "write one character on the left"
    if len(characters) > 1:
        return np.zeros((SIZE, SIZE), np.uint8), "more than one character: press backspace or space"
    return characters[0, 0].numpy(), remark


def draw_panel(seen: np.ndarray, chances: np.ndarray, names: list[str], folder: Path | None, note: str) -> np.ndarray:
    """The network's image, its answer, the keys and the drawings of each class: PAPER x PANEL x 3, uint8."""
    panel = np.full((PAPER, PANEL, 3), 255, np.uint8)
    panel[:, :2] = GREY
    write(panel, "what the network gets: 28 x 28", (20, 32), 19, BLACK)
    panel[46:242, 20:216] = enlarge(seen, 7)
    for line, text in enumerate([*KEYS, "letter, digit: file it"] if folder else KEYS):
        write(panel, text, (226, 66 + 34 * line), 17, BLACK)
    panel[250:530, 20:] = bars(chances, names, PANEL - 20, 280)
    if folder:
        classes = sorted(path for path in folder.glob("[!.]*") if path.is_dir())
        counts = [f"{path.name}: {len(list(path.glob('[!.]*')))}" for path in classes]
        write(panel, f"{folder.name} has {', '.join(counts) or 'no drawings'}", (20, 556), 18, BLACK)
    write(panel, note, (20, 585), 18, GREY)
    return panel


def save(sheet: np.ndarray, folder: Path, prefix: str = "") -> tuple[Path, str]:
    """Write a drawing under the first free number, and return its path and a line about it."""
    number = 1
    while (path := folder / f"{prefix}{number}.png").exists():
        number += 1
    try:
        write_whole(path, encode(sheet, ".png"))
    except OSError as error:
        return path, f"not saved: {path}: {error.strerror}"
    print(f"[INFO] drawing saved as {path}")
    return path, f"saved as {path}"
