"""Characters as people would show them: ink on paper, in several sizes, places and colours, among other things."""

import cv2
import numpy as np

Random = np.random.RandomState
Colour = tuple[int, int, int]  # blue, green, red
WHITE, BLACK, BLUE_INK, TABLE = (255, 255, 255), (30, 30, 30), (110, 50, 40), (50, 60, 80)
SLATE, GREEN, RED, SQUARES = (60, 90, 50), (60, 115, 40), (39, 39, 214), (190, 150, 120)  # red is as bright as green


def paper(height: int, width: int, colour: Colour = (225, 235, 240)) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def written(image: np.ndarray, page: np.ndarray, place: tuple, size: int = 200, pen: Colour = BLACK) -> np.ndarray:
    """A page, H x W x 3, uint8, with a 28 x 28 uint8 image enlarged to `size`, its top and left at a place."""
    there = page[place[0] : place[0] + size, place[1] : place[1] + size]
    ink = cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC)[..., None] / 255
    there[:] = (there * (1 - ink) + np.array(pen) * ink).round()
    return page


def somewhere(image: np.ndarray, page: np.ndarray, rng: Random, size: int = 200, pen: Colour = BLACK) -> np.ndarray:
    height, width = (side - size + 1 for side in page.shape[:2])
    return written(image, page, (rng.randint(height), rng.randint(width)), size, pen)


def photographed(page: np.ndarray, rng: Random) -> np.ndarray:
    light = np.linspace(0.6, 1, page.shape[1])[:, None]
    return (page * light + rng.normal(0, 3, page.shape)).clip(0, 255).astype(np.uint8)


def lines(spacing: int, colour: Colour, breadth: int, crossed: bool = False) -> np.ndarray:
    page = paper(400, 400)
    for place in range(spacing // 2, 400, spacing):
        cv2.line(page, (0, place), (400, place), colour, breadth)
        if crossed:
            cv2.line(page, (place, 0), (place, 400), colour, breadth)
    return page


def turned(page: np.ndarray, degrees: float, size: int, shift: int, beside: Colour) -> np.ndarray:
    turn = cv2.getRotationMatrix2D((page.shape[1] / 2, page.shape[0] / 2), degrees, 1)
    turn[:, 2] += shift
    return cv2.warpAffine(page, turn, (size, size), borderValue=beside)


def table_at_one_side(image: np.ndarray, rng: Random) -> np.ndarray:
    page, broad = somewhere(image, paper(360, 360), rng), rng.randint(20, 120)
    sides = np.roll([broad, 0, 0, 0], rng.randint(4)).tolist()
    return photographed(cv2.copyMakeBorder(page, *sides, cv2.BORDER_CONSTANT, value=TABLE), rng)


def corner_of_a_desk(image: np.ndarray, rng: Random) -> np.ndarray:
    page = written(image, paper(450, 450), (rng.randint(110, 250), rng.randint(110, 250)))
    legs = rng.randint(100, 200, 2)
    return photographed(cv2.fillPoly(page, [np.array([[0, 0], [legs[0], 0], [0, legs[1]]])], TABLE), rng)


def sheet_on_a_dark_table(image: np.ndarray, rng: Random) -> np.ndarray:
    page = somewhere(image, lines(50, (180, 160, 140), 2)[:300, :340], rng)
    return photographed(turned(page, rng.uniform(-4, 4), 490, 80, TABLE), rng)


def bar_of_a_scanner(image: np.ndarray, rng: Random) -> np.ndarray:
    page = written(image, paper(300, 300, WHITE), (rng.randint(100), rng.randint(20, 100)))
    page[:, :12] = 0
    return page


def punch_holes(image: np.ndarray, rng: Random) -> np.ndarray:
    page = written(image, paper(500, 350), (rng.randint(20, 280), rng.randint(80, 130)))
    for y in (100, 400):
        cv2.circle(page, (40, y), 15, TABLE, -1, cv2.LINE_AA)
    return photographed(page, rng)


def blue_rules_and_a_red_margin(image: np.ndarray, rng: Random) -> np.ndarray:
    page = cv2.line(lines(50, (220, 160, 110), 2), (60, 0), (60, 400), (80, 80, 220), 2)
    return photographed(somewhere(image, page, rng), rng)


def sloping_dark_rules(image: np.ndarray, rng: Random) -> np.ndarray:
    page = written(image, lines(50, (70, 70, 70), 2), (rng.randint(30, 170), rng.randint(30, 170)))
    return photographed(turned(page, rng.uniform(-2, 2), 360, -20, WHITE), rng)


def practice_box(image: np.ndarray, rng: Random) -> np.ndarray:
    page = paper(300, 800)
    for left in (30, 280, 530):
        cv2.rectangle(page, (left, 30), (left + 240, 270), (90, 90, 90), 2)
        cv2.line(page, (left, 150), (left + 240, 150), (200, 200, 200), 1)
        cv2.line(page, (left + 120, 30), (left + 120, 270), (200, 200, 200), 1)
    return written(image, page, (50, 50 + 250 * rng.randint(3)))


def print_below(image: np.ndarray, rng: Random) -> np.ndarray:
    page = written(image, paper(320, 300), (rng.randint(10, 40), 50))
    return cv2.putText(page, "KMNIST no. 17", (30, 290), cv2.FONT_HERSHEY_SIMPLEX, 0.9, BLACK, 2, cv2.LINE_AA)


KINDS = {
    "black on white": lambda image, rng: somewhere(image, paper(300, 300, WHITE), rng),
    "filling the frame": lambda image, rng: somewhere(image, paper(112, 112), rng, 112),
    "small on a page": lambda image, rng: somewhere(image, paper(700, 500), rng, 60),
    "tiny": lambda image, rng: somewhere(image, paper(64, 200, WHITE), rng, 28),
    "photograph": lambda image, rng: photographed(somewhere(image, paper(600, 800), rng, 260, BLUE_INK), rng),
    "chalk on green": lambda image, rng: photographed(somewhere(image, paper(300, 500, SLATE), rng, 180, WHITE), rng),
    "red on green": lambda image, rng: photographed(somewhere(image, paper(400, 400, GREEN), rng, 200, RED), rng),
    "squared paper": lambda image, rng: photographed(somewhere(image, lines(22, SQUARES, 1, True), rng), rng),
}
for kind in (table_at_one_side, corner_of_a_desk, sheet_on_a_dark_table, bar_of_a_scanner, punch_holes):
    KINDS[kind.__name__] = kind
for kind in (blue_rules_and_a_red_margin, sloping_dark_rules, practice_box, print_below):
    KINDS[kind.__name__] = kind


def page(images: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Characters, N x 28 x 28, uint8, on a photographed sheet, in rows, each moved a little."""
    rng, pitch, size = Random(0), 150, 96
    sheet = paper(rows * pitch + 60, columns * pitch + 60)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        place = [40 + pitch * cell + rng.randint(-8, 9) for cell in (row, column)]
        written(image, sheet, (place[0], place[1]), size)
    return photographed(sheet, rng)


def strokes(image: np.ndarray) -> list[list[tuple[int, int]]]:
    """A character, 28 x 28, uint8, as a pen would write it on 600 x 600: along its thinned lines and back."""
    fine, shortest = 4, 12  # shorter lines are thinning's leftovers
    enlarged = cv2.resize(np.pad(image, 2), None, fx=fine, fy=fine, interpolation=cv2.INTER_CUBIC)
    thin = cv2.ximgproc.thinning(np.where(enlarged > 100, 255, 0).astype(np.uint8))
    ways, _ = cv2.findContours(thin, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    ways = [60 + way[:, 0] * 480 / (32 * fine) for way in ways if len(way) > shortest]
    return [[(round(x), round(y)) for x, y in way.tolist()] for way in ways]


def digit_rows(digits: str, rows: int, height: int, gap: float, slope: float) -> np.ndarray:
    """Rows of digits, drawn as broad as they are, on white; the gaps and the rows' slope in heights and widths."""
    broad = [cv2.getTextSize(digit, cv2.FONT_HERSHEY_SIMPLEX, height / 22, 4)[0][0] for digit in digits]
    width = round(sum(broad) + gap * height * len(digits)) + 120
    sheet = paper(round(rows * 1.6 * height + abs(slope) * width) + 100, width, WHITE)
    for row in range(rows):
        left = 60.0
        for digit, breadth in zip(digits, broad, strict=True):
            y = 60 + height + row * 1.6 * height + slope * left + max(-slope, 0) * width
            cv2.putText(
                sheet, digit, (round(left), round(y)), cv2.FONT_HERSHEY_SIMPLEX, height / 22, BLACK, 4, cv2.LINE_AA
            )
            left += breadth - 4 + gap * height
    return sheet
