"""Cards, each with a picture and what was read in it, and sheets of cards."""

import math

import cv2
import numpy as np
from imutils import build_montages

from modules.handwriting.binarize import scaled

PICTURE = 336  # pixels: twelve for each of a KMNIST image
PAGE = 1000  # pixels: the longer side of a page of characters
MARGIN = 14  # pixels around a picture
CAPTION, HEADING = 90, 56  # pixels: two lines of text below a picture, one above a sheet
GREEN, RED, GREY, BLACK = (40, 130, 20), (40, 30, 200), (110, 110, 110), (40, 40, 40)  # blue, green, red
FONT = cv2.FONT_HERSHEY_SIMPLEX  # OpenCV 5 draws most scripts with it
ENCODING = "utf-8" if int(cv2.__version__[0]) >= 5 else "ascii"  # OpenCV 4 draws Latin letters alone, here ? for others


def write(canvas: np.ndarray, text: str, corner: tuple[int, int], size: int, colour: tuple[int, int, int]) -> None:
    """Write text from `corner`, its baseline's left end, in a font of `size` pixels, or smaller, so that it fits."""
    text = text.encode(ENCODING, "replace").decode(ENCODING)
    room = canvas.shape[1] - corner[0] - MARGIN // 2
    while size > 1 and cv2.getTextSize(text, FONT, size / 32, 1 + size // 25)[0][0] > room:
        size -= 1
    cv2.putText(canvas, text, corner, FONT, size / 32, colour, 1 + size // 25, cv2.LINE_AA)


def bordered(picture: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """A picture, H x W x 3, with white around it."""
    return cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def enlarge(image: np.ndarray, factor: int = 12) -> np.ndarray:
    """A grey image, H x W, in three channels, each pixel a crisp square, `factor` pixels wide."""
    return cv2.cvtColor(np.kron(image, np.ones((factor, factor), np.uint8)), cv2.COLOR_GRAY2BGR)


def tiled(images: np.ndarray, columns: int, gap: float) -> np.ndarray:
    """Images, N x H x W, side by side in rows, with a line of the shade `gap` below and right of each."""
    padded = np.pad(images, ((0, -len(images) % columns), (0, 1), (0, 1)), constant_values=gap)
    return np.vstack([np.hstack(padded[start : start + columns]) for start in range(0, len(padded), columns)])


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


def card(pictures: list[np.ndarray], title: str, colour: tuple[int, int, int], note: str = "") -> np.ndarray:
    """Pictures, H x W x 3, side by side above a title in colour and a note in grey."""
    height = max(map(len, pictures))
    row = [bordered(picture, MARGIN, height - len(picture) + CAPTION, MARGIN, 0) for picture in pictures]
    canvas = bordered(np.hstack(row), 0, 0, 0, MARGIN)
    write(canvas, title, (MARGIN, MARGIN + height + 40), 34, colour)
    write(canvas, note, (MARGIN, MARGIN + height + 72), 22, GREY)
    return canvas


def page(picture: np.ndarray, boxes: list, answers: np.ndarray, names: list[str], sure: float, note: str) -> np.ndarray:
    """A card of a page, each character framed by its box from find_characters, with its answer of N x classes."""
    canvas = scaled(picture, PAGE)
    for box, chances in zip(boxes, answers, strict=True):
        left, top, width, height = (round(PAGE * length) for length in box)
        colour = GREEN if chances.max() > sure else RED
        cv2.rectangle(canvas, (left - 3, top - 3), (left + width + 2, top + height + 2), colour, 2)
        write(canvas, names[chances.argmax()], (left, max(16, top - 8)), 20, colour)
    return card([canvas], f"{len(boxes)} characters (red: unsure)", BLACK, note)


def sheet(drawn: list[np.ndarray], heading: str) -> np.ndarray:
    """All cards under one heading, on a sheet about the shape of a 4:3 screen."""
    height, width = np.max([each.shape[:2] for each in drawn], axis=0).tolist()
    columns = min(len(drawn), math.ceil(math.sqrt(len(drawn) * height / width * 4 / 3)))
    rows = math.ceil(len(drawn) / columns)
    cells = [bordered(each, 0, height - len(each), 0, width - each.shape[1]) for each in drawn]
    cells += [np.full_like(cells[0], 255)] * (columns * rows - len(drawn))
    body = build_montages(cells, (width, height), (columns, rows))[0]
    canvas = bordered(body, HEADING, 0, 0, max(0, 2 * PICTURE - body.shape[1]))
    write(canvas, heading, (MARGIN, 40), 28, BLACK)
    return canvas


def encode(picture: np.ndarray, ending: str) -> bytes:
    """The bytes of a picture file: H x W x 3, uint8, in OpenCV's order of colours, and its ending ".png", ".jpg" ..."""
    flags = [cv2.IMWRITE_PNG_COMPRESSION, 6] if ending.lower() == ".png" else []  # makes smaller files
    return cv2.imencode(ending, picture, flags)[1].tobytes()
