"""Characters as people would show them: ink on paper, in several sizes, places, polarities and file formats."""

from collections.abc import Callable

import cv2
import numpy as np


def page(image: np.ndarray, size: int, height: int, width: int, numbers: np.random.RandomState) -> np.ndarray:
    """Ink in [0, 1], height x width, with a 28 x 28 uint8 image enlarged to `size` at a random place."""
    canvas = np.zeros((height, width), np.float32)
    top, left = numbers.randint(0, height - size + 1), numbers.randint(0, width - size + 1)
    character = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    canvas[top : top + size, left : left + size] = character.clip(0, 1)
    return canvas


def grey(levels: np.ndarray) -> np.ndarray:
    return levels.clip(0, 255).round().astype(np.uint8)


def black_on_white(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    return ".png", grey(255 - 255 * page(image, 200, 300, 300, numbers))


def white_on_black(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    return ".png", grey(255 * page(image, 200, 300, 300, numbers))


def filling_the_frame(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    return ".png", grey(255 - 255 * page(image, 112, 112, 112, numbers))


def small_on_a_page(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    return ".png", grey(250 - 230 * page(image, 60, 700, 500, numbers))


def tiny(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    return ".png", grey(255 - 255 * page(image, 28, 64, 200, numbers))


def photograph(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    """Blue ink on yellowish paper with a shadow, noise and JPEG's artefacts."""
    height, width = 600, 800
    ink = page(image, 260, height, width, numbers)[..., None]
    paper, pen = np.array([190, 220, 230], np.float32), np.array([110, 50, 40], np.float32)
    light = 0.55 + 0.45 * np.linspace(0, 1, width)[None, :, None] * np.linspace(0.7, 1, height)[:, None, None]
    return ".jpg", grey((paper * (1 - ink) + pen * ink) * light + numbers.normal(0, 5, (height, width, 1)))


def scan_16_bit(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    return ".png", (60_000 - 50_000 * page(image, 150, 400, 400, numbers)).astype(np.uint16)


def transparent(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    """Black ink on nothing, as drawing programs save it."""
    ink = page(image, 180, 256, 256, numbers)
    return ".png", np.dstack([np.zeros((256, 256, 3), np.uint8), grey(255 * ink)])


def chalk_on_green(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    ink = page(image, 180, 300, 500, numbers)[..., None]
    return ".jpg", grey(np.array([60, 90, 50]) * (1 - ink) + 225 * ink + numbers.normal(0, 4, (300, 500, 1)))


Kind = Callable[[np.ndarray, np.random.RandomState], tuple[str, np.ndarray]]
KINDS: list[Kind] = [
    black_on_white,
    white_on_black,
    filling_the_frame,
    small_on_a_page,
    tiny,
    photograph,
    scan_16_bit,
    transparent,
    chalk_on_green,
]


def strokes(image: np.ndarray) -> list[list[tuple[int, int]]]:
    """A character, 28 x 28, uint8, as a pen would write it on a sheet of 600 x 600: its thinned lines, one by one."""
    fine, length, shortest = 4, 5, 6
    enlarged = cv2.resize(np.pad(image, 2), None, fx=fine, fy=fine, interpolation=cv2.INTER_CUBIC)
    thin = cv2.ximgproc.thinning(np.where(enlarged > 100, 255, 0).astype(np.uint8))
    left = {(int(x), int(y)) for y, x in np.argwhere(thin)}

    def around(x: int, y: int) -> list[tuple[int, int]]:
        return [place for dx in (-1, 0, 1) for dy in (-1, 0, 1) if (place := (x + dx, y + dy)) in left]

    lines = []
    while left:
        line = [min(left, key=lambda place: len(around(*place)))]  # an end, where there is one
        left.remove(line[0])
        while onward := around(*line[-1]):
            x, y = 2 * np.array(line[-1]) - line[max(0, len(line) - length)]  # straight ahead
            line.append(min(onward, key=lambda place: (place[0] - x) ** 2 + (place[1] - y) ** 2))
            left.remove(line[-1])
        if len(line) >= shortest or not lines:  # shorter ones are thinning's leftovers
            lines.append(line)
    scale = 480 / (32 * fine)
    return [[(round(60 + scale * x), round(60 + scale * y)) for x, y in line] for line in lines]
