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


def written(image: np.ndarray, paper: np.ndarray, top: int, left: int, size: int = 200) -> np.ndarray:
    """A character in dark ink at a place of some paper, H x W or H x W x 3."""
    there = paper[top : top + size, left : left + size]
    ink = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC).clip(0, 255) / 255.0
    ink = ink.reshape(*ink.shape, *[1] * (paper.ndim - 2))
    paper = paper.astype(np.float32)
    paper[top : top + size, left : left + size] = there * (1 - ink) + 40 * ink
    return grey(paper)


def somewhere(image: np.ndarray, paper: np.ndarray, numbers: np.random.RandomState, margin: int = 20) -> np.ndarray:
    top, left = (numbers.randint(margin, side - 200 - margin) for side in paper.shape[:2])
    return written(image, paper, top, left)


def photographed(picture: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    """With noise, and a shadow from left to right."""
    light = np.linspace(0.7, 1, picture.shape[1]).reshape(1, -1, *[1] * (picture.ndim - 2))
    return ".jpg", grey(picture * light + numbers.normal(0, 3, picture.shape))


def table_at_one_side(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    page = somewhere(image, np.full((400, 400), 235), numbers)
    table = grey(numbers.normal(70, 10, (400, numbers.randint(20, 120))))
    sides = [np.hstack([table, page]), np.hstack([page, table]), np.vstack([table.T, page]), np.vstack([page, table.T])]
    return photographed(sides[numbers.randint(4)], numbers)


def corner_of_a_desk(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    page = somewhere(image, np.full((500, 500), 235), numbers, 110)
    legs = numbers.randint(100, 200, 2)
    return photographed(cv2.fillPoly(page, [np.array([[0, 0], [legs[0], 0], [0, legs[1]]])], 60), numbers)


def sheet_on_a_dark_table(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    """Ruled, turned a little, and taking less than half of the picture."""
    page = somewhere(image, lines(50, (180, 160, 140), 2)[:300, :340], numbers)
    turn = cv2.getRotationMatrix2D((170, 150), numbers.uniform(-4, 4), 1)
    turn[:, 2] += 80
    return photographed(cv2.warpAffine(page, turn, (500, 460), borderValue=(50, 60, 80)), numbers)


def bar_of_a_scanner(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    page = somewhere(image, np.full((300, 300), 255), numbers)
    page[:, :12] = 0
    return ".png", page


def punch_holes(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    page = written(image, np.full((500, 350), 235), numbers.randint(20, 280), numbers.randint(80, 130))
    for y in (100, 400):
        cv2.circle(page, (40, y), 15, 50, -1, cv2.LINE_AA)
    return photographed(page, numbers)


def lines(spacing: int, colour: tuple[int, int, int], breadth: int, crossed: bool = False) -> np.ndarray:
    paper = np.full((400, 400, 3), 240, np.uint8)
    for place in range(spacing // 2, 400, spacing):
        cv2.line(paper, (0, place), (400, place), colour, breadth)
        if crossed:
            cv2.line(paper, (place, 0), (place, 400), colour, breadth)
    return paper


def blue_rules_and_a_red_margin(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    paper = cv2.line(lines(50, (220, 160, 110), 2), (60, 0), (60, 400), (80, 80, 220), 2)
    return photographed(somewhere(image, paper, numbers), numbers)


def sloping_dark_rules(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    page = somewhere(image, lines(50, (70, 70, 70), 2), numbers, 50)
    turn = cv2.getRotationMatrix2D((200, 200), numbers.uniform(-1, 1), 1.08)
    return photographed(cv2.warpAffine(page, turn, (400, 400)), numbers)


def squared_paper(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    return photographed(somewhere(image, lines(22, (190, 150, 120), 1, crossed=True), numbers), numbers)


def practice_box(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    """One box of three, with a cross in it."""
    paper = np.full((300, 800), 250, np.uint8)
    for left in (30, 280, 530):
        cv2.rectangle(paper, (left, 30), (left + 240, 270), 90, 2)
        cv2.line(paper, (left, 150), (left + 240, 150), 200, 1)
        cv2.line(paper, (left + 120, 30), (left + 120, 270), 200, 1)
    return ".png", written(image, paper, 50, [50, 300, 550][numbers.randint(3)])


def print_below(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    page = written(image, np.full((320, 300), 255), numbers.randint(10, 40), 50)
    return ".png", cv2.putText(page, "KMNIST no. 17", (30, 290), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 60, 2, cv2.LINE_AA)


def red_on_green(image: np.ndarray, numbers: np.random.RandomState) -> tuple[str, np.ndarray]:
    """The red as bright as the green."""
    ink = page(image, 200, 400, 400, numbers)[..., None]
    return photographed(np.array([60, 115, 40]) * (1 - ink) + np.array([39, 39, 214]) * ink, numbers)


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
    table_at_one_side,
    corner_of_a_desk,
    sheet_on_a_dark_table,
    bar_of_a_scanner,
    punch_holes,
    blue_rules_and_a_red_margin,
    sloping_dark_rules,
    squared_paper,
    practice_box,
    print_below,
    red_on_green,
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
