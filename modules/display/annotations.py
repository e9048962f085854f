"""Pictures with what was read in them: samples, pages, sheets of samples, and bars of probabilities.

Pictures are H x W x 3, uint8, in OpenCV's order of colours: blue, green, red.
"""

import math

import cv2
import imutils
import numpy as np

from modules.handwriting.binarize import scaled

PICTURE = 336  # pixels: twelve for each of a KMNIST image
PAGE = 1000  # pixels: the longer side of a page of characters
MARGIN = 14  # pixels around a picture
CAPTION, HEADING = 90, 56  # pixels: two lines of text below a picture, one above a sheet
GREEN, RED, GREY, BLACK = (40, 130, 20), (40, 30, 200), (110, 110, 110), (40, 40, 40)  # blue, green, red
FONT = cv2.FONT_HERSHEY_SIMPLEX  # OpenCV 5 draws most scripts with it
ENCODING = "utf-8" if int(cv2.__version__[0]) >= 5 else "ascii"  # OpenCV 4 draws Latin letters alone, here ? for others
Colour = tuple[int, int, int]


def write(canvas: np.ndarray, text: str, corner: tuple[int, int], size: int, colour: Colour) -> None:
    """Write text from `corner`, its baseline's left end, in a font of `size` pixels, or smaller, so that it fits."""
    text = text.encode(ENCODING, "replace").decode(ENCODING)
    room = canvas.shape[1] - corner[0] - MARGIN // 2
    while size > 1 and cv2.getTextSize(text, FONT, size / 32, 1 + size // 25)[0][0] > room:
        size -= 1
    cv2.putText(canvas, text, corner, FONT, size / 32, colour, 1 + size // 25, cv2.LINE_AA)


def pad(picture: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    """A picture with white around it."""
    return cv2.copyMakeBorder(picture, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(255, 255, 255))


def enlarge(image: np.ndarray, width: int = PICTURE) -> np.ndarray:
    """A grey image, H x W, in three channels and so many pixels wide, each of its own pixels a crisp square."""
    return imutils.resize(cv2.cvtColor(image, cv2.COLOR_GRAY2BGR), width=width, inter=cv2.INTER_NEAREST)


def draw_bars(probabilities: np.ndarray, names: list[str], width: int, height: int) -> np.ndarray:
    """The ten likeliest classes, likeliest first, each with its name, a bar and its probability."""
    canvas = np.full((height, width, 3), 255, np.uint8)
    middle = width // 3
    for row, index in zip(np.array_split(canvas, 10), likeliest(probabilities), strict=False):
        end = middle + 2 + round(float(probabilities[index]) * (width - middle - 75))
        gap, baseline = len(row) // 5, len(row) // 2 + 7
        row[gap:-gap, middle:end] = BLACK if probabilities[index] == probabilities.max() > 0 else GREY
        write(row[:, :middle], names[index], (0, baseline), 20, BLACK)
        write(row, f"{probabilities[index]:.1%}", (end + 8, baseline), 18, BLACK)
    return canvas


def likeliest(probabilities: np.ndarray) -> list[int]:
    """The numbers of the ten likeliest classes, likeliest first."""
    return np.argsort(-probabilities, kind="stable")[:10].tolist()


def annotate(pictures: list[np.ndarray], label: str, colour: Colour, note: str = "") -> np.ndarray:
    """Pictures side by side above a label in colour and a note in grey."""
    height = max(map(len, pictures))
    row = [pad(picture, MARGIN, height - len(picture) + CAPTION, MARGIN, 0) for picture in pictures]
    canvas = pad(np.hstack(row), 0, 0, 0, MARGIN)
    write(canvas, label, (MARGIN, MARGIN + height + 40), 34, colour)
    write(canvas, note, (MARGIN, MARGIN + height + 72), 22, GREY)
    return canvas


def annotate_page(
    picture: np.ndarray, boxes: list[np.ndarray], probabilities: np.ndarray, names: list[str], sure: float, note: str
) -> np.ndarray:
    """A page, each character framed by its box from find_characters, with its answer of N x classes."""
    canvas = scaled(picture, PAGE)
    for box, chances in zip(boxes, probabilities, strict=True):
        left, top, width, height = (round(PAGE * length) for length in box)
        colour = GREEN if chances.max() > sure else RED
        cv2.rectangle(canvas, (left - 3, top - 3), (left + width + 2, top + height + 2), colour, 2)
        write(canvas, names[chances.argmax()], (left, max(16, top - 8)), 20, colour)
    return annotate([canvas], f"{len(boxes)} characters (green: sure, red: unsure)", BLACK, note)


def draw_sheet(samples: list[np.ndarray], heading: str) -> np.ndarray:
    """All samples under one heading, on a sheet about the shape of a 4:3 screen."""
    height = max(sample.shape[0] for sample in samples)
    width = max(sample.shape[1] for sample in samples)
    columns = min(len(samples), math.ceil(math.sqrt(len(samples) * height / width * 4 / 3)))
    cells = [pad(sample, 0, height - sample.shape[0], 0, width - sample.shape[1]) for sample in samples]
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    body = np.vstack([np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)])
    canvas = pad(body, HEADING, 0, 0, max(0, 2 * PICTURE - body.shape[1]))
    write(canvas, heading, (MARGIN, 40), 28, BLACK)
    return canvas


def encode(picture: np.ndarray, ending: str) -> bytes:
    """The bytes of a picture file: a picture, and the file's ending ".png", ".jpg" ..."""
    flags = [cv2.IMWRITE_PNG_COMPRESSION, 6] if ending.lower() == ".png" else []  # makes smaller files
    return cv2.imencode(ending, picture, flags)[1].tobytes()
