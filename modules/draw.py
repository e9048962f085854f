"""The pictures that predict.py makes: cards, sheets of them, and windows where there is a screen."""

import os
import subprocess
import sys

import cv2
import numpy as np
from imutils import build_montages, resize

PICTURE = 224  # pixels: eight for each of a KMNIST image
MARGIN = 14  # pixels around a picture
CAPTION = 78  # pixels below a picture: two lines of text
COLUMNS = 5
GREEN, RED, GREY, BLACK = (40, 130, 20), (40, 30, 200), (110, 110, 110), (40, 40, 40)  # blue, green, red
KEY_ESC = 27
POLL = 50  # milliseconds between two looks at the keyboard and at the window


def write(canvas: np.ndarray, text: str, corner: tuple[int, int], size: int, colour: tuple[int, int, int]) -> None:
    """Write text, kana too, into a picture; `corner` is the left end of its baseline, `size` is in pixels.

    The text gets smaller where it would not fit: OpenCV 5 wraps a long line onto the next one.
    """
    font = cv2.FontFace("uni")
    room = canvas.shape[1] - corner[0] - MARGIN // 2
    while size > 8 and cv2.getTextSize((100_000, 1000), text, corner, font, size)[2] > room:
        size -= 1
    while len(text) > 1 and cv2.getTextSize((100_000, 1000), text, corner, font, size)[2] > room:
        text = text[:-2] + "…"
    cv2.putText(canvas, text, corner, colour, font, size)


def enlarge(image: np.ndarray) -> np.ndarray:
    """A 28 x 28 grey image as 224 x 224 x 3, each pixel a crisp square."""
    return cv2.cvtColor(cv2.resize(image, (PICTURE, PICTURE), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR)


def fit(picture: np.ndarray) -> np.ndarray:
    """Any picture, H x W x 3, inside 224 x 224 x 3, its aspect kept."""
    height, width = picture.shape[:2]
    longer = {"width": PICTURE} if width >= height else {"height": PICTURE}
    way = cv2.INTER_AREA if max(height, width) > PICTURE else cv2.INTER_NEAREST
    if min(height, width) * PICTURE < max(height, width):  # thinner than one pixel when reduced
        inside = cv2.resize(picture, (PICTURE, 1) if width > height else (1, PICTURE), interpolation=way)
    else:
        inside = resize(picture, inter=way, **longer)
    canvas = np.full((PICTURE, PICTURE, 3), 225, np.uint8)
    top, left = (PICTURE - inside.shape[0]) // 2, (PICTURE - inside.shape[1]) // 2
    canvas[top : top + inside.shape[0], left : left + inside.shape[1]] = inside[:PICTURE, :PICTURE]
    return canvas


def card(pictures: list[np.ndarray], title: str, colour: tuple[int, int, int], note: str = "") -> np.ndarray:
    """Pictures of 224 x 224 x 3 side by side above a title in colour and a note in grey."""
    width = len(pictures) * (PICTURE + MARGIN) + MARGIN
    canvas = np.full((PICTURE + MARGIN + CAPTION, width, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        left = MARGIN + index * (PICTURE + MARGIN)
        canvas[MARGIN : MARGIN + PICTURE, left : left + PICTURE] = picture
    write(canvas, title, (MARGIN, MARGIN + PICTURE + 33), 30, colour)
    write(canvas, note, (MARGIN, MARGIN + PICTURE + 62), 20, GREY)
    return canvas


def sheet(cards: list[np.ndarray], heading: str) -> np.ndarray:
    """All cards, of equal size, under one heading."""
    height, width = cards[0].shape[:2]
    columns = min(len(cards), max(1, COLUMNS * (PICTURE + 2 * MARGIN) // width))
    rows = -(-len(cards) // columns)
    cards = cards + [np.full_like(cards[0], 255)] * (rows * columns - len(cards))
    body = build_montages(cards, (width, height), (columns, rows))[0]
    canvas = np.full((body.shape[0] + 56, max(body.shape[1], 2 * PICTURE), 3), 255, np.uint8)
    canvas[56:, : body.shape[1]] = body
    write(canvas, heading, (MARGIN, 40), 28, BLACK)
    return canvas


def can_hold_a_sheet(ending: str) -> bool:
    """Whether OpenCV writes pictures in colour into files with this ending, its dot included."""
    try:
        return cv2.imencode(ending, np.zeros((2, 2, 3), np.uint8))[0]
    except cv2.error:
        return False


def has_screen() -> bool:
    """Whether OpenCV can open a window.

    Without a display OpenCV's window library aborts the whole process, uncatchably: a child process tries it first.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    trial = [sys.executable, "-c", "import cv2; cv2.namedWindow('trial'); cv2.waitKey(1)"]
    try:
        return subprocess.run(trial, capture_output=True, timeout=20, check=False).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def is_open(window: str) -> bool:
    try:
        return cv2.getWindowProperty(window, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # with Qt there is nothing left to ask once the last window is closed
        return False


def show(cards: list[np.ndarray], window: str) -> None:
    """Show one card after the other: any key goes on; q, Esc or the window's close button ends."""
    # OpenCV's wheels ship Qt without its fonts, and Qt says so several times; nothing here uses them
    os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
    for picture in cards:
        cv2.imshow(window, picture)
        while (key := cv2.waitKey(POLL) & 0xFF) == 0xFF:  # no key yet
            # waitKey(0) would wait for ever once the window is closed
            if not is_open(window):
                return
        if key in (ord("q"), KEY_ESC):
            break
    cv2.destroyAllWindows()
