"""Cards, each with a picture and what was read in it, and sheets of cards."""

import math

import cv2
import numpy as np
from imutils import build_montages

from modules.own.paper import scaled

PICTURE = 336  # pixels: twelve for each of a KMNIST image
PAGE = 1000  # pixels: the longer side of a page of characters
MARGIN = 14  # pixels around a picture
CAPTION, HEADING = 90, 56  # pixels: two lines of text below a picture, one above a sheet
LARGEST_SHEET = 8000  # pixels along the longer side of its cards, which any viewer opens
GREEN, RED, GREY, BLACK = (40, 130, 20), (40, 30, 200), (110, 110, 110), (40, 40, 40)  # blue, green, red
FONT = cv2.FONT_HERSHEY_SIMPLEX  # OpenCV 5 draws most scripts with it
ENCODING = "utf-8" if int(cv2.__version__[0]) >= 5 else "ascii"  # OpenCV 4 draws Latin letters alone, here ? for others


def write(canvas: np.ndarray, text: str, corner: tuple[int, int], size: int, colour: tuple[int, int, int]) -> None:
    """Write text from `corner`, its baseline's left end, in a font of `size` pixels; smaller or shorter at need."""
    text = text.encode(ENCODING, "replace").decode(ENCODING)
    room = canvas.shape[1] - corner[0] - MARGIN // 2
    while size > 10 and text_width(text, size) > room:
        size -= 1
    while len(text) > 4 and text_width(text, size) > room:
        middle = len(text) // 2
        text = f"{text[: middle - 2]}...{text[middle + 2 :]}"
    cv2.putText(canvas, text, corner, FONT, size / 32, colour, 1 + size // 25, cv2.LINE_AA)


def text_width(text: str, size: int) -> int:
    return cv2.getTextSize(text, FONT, size / 32, 1 + size // 25)[0][0]


def enlarge(image: np.ndarray, size: int = PICTURE) -> np.ndarray:
    """A square grey image as size x size x 3, each pixel a crisp square."""
    return cv2.cvtColor(cv2.resize(image, (size, size), interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2BGR)


def strip(images: np.ndarray) -> np.ndarray:
    """Up to three images, N x 28 x 28, one below the other, as high as a card's picture."""
    size, gap = 104, 12
    canvas = np.full((PICTURE, size, 3), 255, np.uint8)
    for number, image in enumerate(images):
        top = number * (size + gap)
        canvas[top : top + size] = enlarge(image, size)
    return canvas


def bars(probabilities: np.ndarray, names: list[str], width: int, height: int) -> np.ndarray:
    """The ten likeliest classes, likeliest first, each with its name, a bar and its probability."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    middle = width // 3
    for row, index in zip(np.array_split(canvas, 10), np.argsort(-probabilities, kind="stable"), strict=False):
        end = middle + 2 + round(float(probabilities[index]) * (width - middle - 75))
        gap, baseline = len(row) // 5, len(row) // 2 + 7
        row[gap:-gap, middle:end] = BLACK if probabilities[index] == probabilities.max() > 0 else GREY
        write(row[:, :middle], names[index], (0, baseline), 20, BLACK)
        write(row, f"{probabilities[index]:.1%}", (end + 8, baseline), 18, BLACK)
    return canvas


def fit(picture: np.ndarray) -> np.ndarray:
    """Any picture, H x W x 3, inside a square of PICTURE pixels, its aspect kept."""
    inside = scaled(picture, PICTURE)
    below, right = PICTURE - inside.shape[0], PICTURE - inside.shape[1]
    border = (below // 2, below - below // 2, right // 2, right - right // 2)
    return cv2.copyMakeBorder(inside, *border, cv2.BORDER_CONSTANT, value=(225, 225, 225))


def card(pictures: list[np.ndarray], title: str, colour: tuple[int, int, int], note: str = "") -> np.ndarray:
    """Pictures of equal height, H x W x 3, side by side above a title in colour and a note in grey."""
    white = {"borderType": cv2.BORDER_CONSTANT, "value": (255, 255, 255)}
    row = np.hstack([cv2.copyMakeBorder(picture, 0, 0, MARGIN, 0, **white) for picture in pictures])
    canvas = cv2.copyMakeBorder(row, MARGIN, CAPTION, 0, MARGIN, **white)
    top = canvas.shape[0] - CAPTION
    write(canvas, title, (MARGIN, top + 40), 34, colour)
    write(canvas, note, (MARGIN, top + 72), 22, GREY)
    return canvas


def page(picture: np.ndarray, boxes: list, answers: np.ndarray, names: list[str], sure: float, note: str) -> np.ndarray:
    """A card of a page of characters: each framed, with its answer beside it, in red where it is not sure.

    `boxes` are (left, top, width, height) in pixels of the picture; `answers` are probabilities, N x classes.
    """
    canvas, scale = scaled(picture, PAGE), PAGE / max(picture.shape[:2])
    for box, chances in zip(boxes, answers, strict=True):
        left, top, width, height = (round(scale * length) for length in box)
        colour = GREEN if chances.max() > sure else RED
        cv2.rectangle(canvas, (left - 3, top - 3), (left + width + 2, top + height + 2), colour, 2)
        write(canvas, names[chances.argmax()], (left, max(16, top - 8)), 20, colour)
    return card([canvas], f"{len(boxes)} characters (red: unsure)", BLACK, note)


def sheet(cards: list[np.ndarray], heading: str) -> np.ndarray:
    """All cards under one heading, as large as they can be on a screen of 4:3."""
    height, width = np.max([card.shape[:2] for card in cards], axis=0).tolist()
    white = {"borderType": cv2.BORDER_CONSTANT, "value": (255, 255, 255)}
    cards = [cv2.copyMakeBorder(card, 0, height - len(card), 0, width - card.shape[1], **white) for card in cards]
    shapes = [(columns, math.ceil(len(cards) / columns)) for columns in range(1, len(cards) + 1)]
    columns, rows = min(shapes, key=lambda shape: max(shape[0] * width / 4, (shape[1] * height + HEADING) / 3))
    shrink = min(1, LARGEST_SHEET / max(columns * width, rows * height))
    blank = [np.full_like(cards[0], 255)] * (columns * rows - len(cards))
    body = build_montages(cards + blank, (round(width * shrink), round(height * shrink)), (columns, rows))[0]
    canvas = np.full((body.shape[0] + HEADING, max(body.shape[1], 2 * PICTURE), 3), 255, np.uint8)
    canvas[HEADING:, : body.shape[1]] = body
    write(canvas, heading, (MARGIN, 40), 28, BLACK)
    return canvas


def encode(picture: np.ndarray, ending: str) -> bytes:
    """The bytes of a picture file: H x W x 3, uint8, in OpenCV's order of colours, and its ending ".png", ".jpg" ..."""
    small = [cv2.IMWRITE_PNG_COMPRESSION, 6] * (ending.lower() == ".png")  # a quarter of the usual size
    return cv2.imencode(ending, picture, small)[1].tobytes()
