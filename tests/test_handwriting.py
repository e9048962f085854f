"""People's own pictures: how they are opened, which ink is found on them, and which parts are one character."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from modules import kmnist
from modules.command_line import CommandError
from modules.handwriting import pictures
from tests import ink
from tests.conftest import first_images, read

PAGE = np.full((200, 240), 255, np.uint8)
cv2.polylines(PAGE, [np.array([[60, 60], [150, 60], [90, 110], [140, 150]])], False, 0, 12)  # no turn or mirror alike


def first(picture: np.ndarray) -> np.ndarray:
    return pictures.find_characters(picture)[0][0, 0].numpy()


def seen(path: Path, picture: np.ndarray) -> np.ndarray:
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())
    return first(pictures.load_picture(path))


@pytest.mark.parametrize("kind", ink.KINDS)
def test_ink_on_paper_is_read_nearly_as_well_as_the_originals(tmp_path: Path, kind: str) -> None:
    images, labels = (part[:6] for part in first_images(False).tensors)
    draw, numbers = ink.KINDS[kind], np.random.RandomState(0)
    inputs = [seen(tmp_path / "picture.jpg", draw(image, numbers)) for image in images[:, 0].numpy()]
    written = torch.from_numpy(np.stack(inputs))[:, None]
    assert (read(written) == labels).sum() >= 0.8 * (read(images) == labels).sum()


@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (2, 1), (3, 1), (1, 3), (5, 7)])
def test_a_page_is_read_character_by_character_in_reading_order(rows: int, columns: int) -> None:
    images, labels = (part[:35] for part in first_images(False).tensors)
    clear = np.resize(np.flatnonzero(read(images) == labels), rows * columns)
    characters, boxes, _ = pictures.find_characters(ink.page(images[clear, 0].numpy(), rows, columns))
    assert len(characters) == rows * columns
    assert (read(characters) == labels[clear]).float().mean() >= 0.9
    lefts, tops = np.array(boxes).T[:2]
    assert (np.diff(lefts.reshape(rows, columns)) > 0).all()
    assert (np.diff(tops.reshape(rows, columns).mean(1)) > 0).all()


@pytest.mark.smoke
def test_16_bit_and_alpha_and_grey_give_the_same_character(tmp_path: Path) -> None:
    clear = np.dstack([np.zeros((*PAGE.shape, 3), np.uint8), 255 - PAGE])
    variants = {
        "deep.pgm": PAGE.astype(np.uint16) * 257,
        "12 bits of 16.pgm": PAGE.astype(np.uint16) * 16,
        "clear.png": clear,
        "light.png": np.dstack([np.full((*PAGE.shape, 3), 255, np.uint8), 255 - PAGE]),
        "negative.png": 255 - PAGE,
        "as blue as red.png": np.where(PAGE[..., None] < 128, (250, 0, 250), (0, 150, 0)).astype(np.uint8),
    }
    expected = seen(tmp_path / "grey.png", PAGE).astype(int)
    for name, picture in variants.items():
        assert np.abs(seen(tmp_path / name, picture) - expected).mean() < 3, name
    seen(tmp_path / "red.png", np.where(PAGE[..., None] < 128, (0, 0, 255), (255, 255, 255)).astype(np.uint8))
    assert (pictures.load_picture(tmp_path / "red.png").min((0, 1)) == (0, 0, 255)).all()  # blue, green, red


ODD_TAG, WORDS = b"\x01\x28", b"\x82\x98"  # tags; words in the first cannot be written by Pillow
HELD = [
    (".png", 0, ODD_TAG),
    (".png", 1, ODD_TAG),
    (".jpg", 0, ODD_TAG),
    (".tif", 0, WORDS),
    (".webp", 1, ODD_TAG),
    (".heic", 0, ODD_TAG),
]


@pytest.mark.parametrize(("ending", "alpha", "tag"), HELD)
def test_pictures_are_turned_as_their_camera_was_held(tmp_path: Path, ending: str, alpha: int, tag: bytes) -> None:
    held = {1: PAGE, 2: PAGE[:, ::-1], 3: PAGE[::-1, ::-1], 4: PAGE[::-1], 5: PAGE.T, 6: np.rot90(PAGE)}
    held |= {7: PAGE[::-1, ::-1].T, 8: np.rot90(PAGE, -1)}
    upright = seen(tmp_path / "upright.png", PAGE).astype(int)
    for orientation, grey in held.items():
        colour = np.dstack([grey] * 3 + [255 - grey] * alpha)
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x8298] = "odd"
        path = tmp_path / f"held{ending}"
        Image.fromarray(colour).save(path, exif=exif.tobytes().replace(WORDS, tag))
        image = first(pictures.load_picture(path))
        assert np.abs(image - upright).mean() < 8, orientation


def test_huge_pictures_and_blank_scans_are_refused(tmp_path: Path) -> None:
    noise = np.random.RandomState(0).uniform(size=(50, 50))
    (tmp_path / "huge.pbm").write_bytes(b"P4 32768 16384\n")
    with pytest.raises(CommandError, match="too large"):
        pictures.load_picture(tmp_path / "huge.pbm")
    with pytest.raises(CommandError, match="no ink stands out"):
        seen(tmp_path / "scan.png", (60_000 + 40 * noise).astype(np.uint16))


def drawn(size: int, *lines: list[tuple[int, int]], pen: int = 20) -> np.ndarray:
    page = np.full((size, size, 3), 255, np.uint8)
    return cv2.polylines(page, [np.array(line) for line in lines], False, (0, 0, 0), pen)


ONE = [(2, [(40, 100), (360, 105)]), (4, [(40, 100), (45, 370)]), (2, [(90, 90), (300, 300)], [(300, 90), (90, 300)])]
ONE += [(20, [(90, 100), (110, 300)], [(230, 120), (240, 260)]), (20, [(80, 90), (300, 90)], [(70, 220), (320, 230)])]


@pytest.mark.parametrize(("pen", "lines"), [(pen, lines) for pen, *lines in ONE])
def test_a_stroke_is_a_character_and_two_are_one_as_broad_as_a_brushs(pen: int, lines: list) -> None:
    (character,), *_ = pictures.find_characters(drawn(400, *lines, pen=pen))
    assert character.float().mean() / 255 > 0.08


def test_a_bar_from_edge_to_edge_of_a_strip_is_a_character() -> None:
    strip = cv2.rectangle(np.full((20, 300, 3), 255, np.uint8), (100, 0), (180, 19), (0, 0, 0), -1)
    assert len(pictures.find_characters(strip)[0]) == 1


def test_dots_belong_to_a_character_and_small_marks_far_away_are_counted() -> None:
    page = cv2.circle(drawn(400), (200, 250), 70, (0, 0, 0), 14)
    plain = first(page)
    for left in (160, 240):
        cv2.circle(page, (left, 155), 10, (0, 0, 0), -1)
    (character,), _, remark = pictures.find_characters(page)
    assert remark == ""
    assert not np.array_equal(character[0].numpy(), plain)  # the dots are in the frame
    cv2.circle(page, (20, 20), 9, (0, 0, 0), -1)
    assert pictures.find_characters(page)[2] == "left out: marks (1)"


def test_a_fine_stroke_between_broad_ones_is_no_ruled_line() -> None:
    for image in kmnist.load(train=False).tensors[0][[3029, 3037], 0].numpy():
        page = ink.KINDS["filling the frame"](image, np.random.RandomState(0))
        characters, _, remark = pictures.find_characters(page)
        assert (len(characters), "ruled" in remark) == (1, False)


def test_a_sign_a_third_as_high_as_the_digits_is_a_character() -> None:
    seven, four = [(60, 150), (120, 150), (80, 250)], [(290, 150), (270, 210), (340, 210), (310, 160), (310, 250)]
    page = drawn(400, seven, [(183, 205), (213, 205)], [(198, 190), (198, 220)], four, pen=6)  # 7 + 4
    assert len(pictures.find_characters(page)[0]) == 3


def test_strokes_of_a_fine_pen_stay_and_what_is_left_out_is_named() -> None:
    page = drawn(600, [(60, 60), (540, 60), (60, 540), (540, 540)], pen=6)
    (character,), _, remark = pictures.find_characters(page)
    assert remark == ""
    assert character[0, :4].any(0).all() and character[0, -4:].any(0).all()  # both bars of a Z
    cv2.line(page, (0, 300), (600, 302), (120, 120, 120), 2)
    assert pictures.find_characters(page)[2] == "left out: ruled lines"
    cross = cv2.line(drawn(400, [(200, 60), (200, 340)], pen=30), (60, 200), (340, 200), (170, 170, 170), 30)
    assert pictures.find_characters(cross)[2] == "left out: fainter ink"
    page[:, :150] //= 2  # a shadow with a hard edge
    assert pictures.find_characters(page)[2] == "left out: ruled lines"


PAGES: dict[str, Callable[[np.ndarray], object]] = {
    "plain": lambda page: None,
    "light on dark": lambda page: np.subtract(255, page, out=page),
    "in a frame": lambda page: cv2.rectangle(page, (8, 8), (page.shape[1] - 9, page.shape[0] - 9), (0, 0, 0), 3),
    "with a shadow": lambda page: np.multiply(
        page, np.linspace(0.4, 1, page.shape[1])[:, None], out=page, casting="unsafe"
    ),
    "at a desk's edge": lambda page: page[:, :14].fill(40),
    "on ruled paper": lambda page: [
        cv2.line(page, (0, y), (page.shape[1], y + 2), (150, 120, 90), 1, cv2.LINE_AA)
        for y in range(20, page.shape[0], 45)
    ],
}


@pytest.mark.parametrize("kind", PAGES)
@pytest.mark.parametrize(("gap", "slope"), [(0.2, 0), (0.35, 0.05), (0.5, -0.05)])
def test_rows_of_digits_as_people_write_them_are_counted(kind: str, gap: float, slope: float) -> None:
    page = ink.digit_rows("3141592653", 2, 60, gap, slope)
    PAGES[kind](page)
    assert len(pictures.find_characters(page)[0]) == 20


def test_squares_of_lines_half_as_broad_as_the_pen_are_no_ink() -> None:
    page = cv2.erode(ink.digit_rows("3141592653", 1, 60, 0.6, 0), np.ones((5, 5)))
    squares = np.full_like(page, 255)
    for place in range(0, 1000, 45):
        cv2.line(squares, (0, place), (1000, place), ink.SQUARES, 4)
        cv2.line(squares, (place, 0), (place, 1000), ink.SQUARES, 4)
    assert len(pictures.find_characters(np.minimum(page, squares))[0]) == 10


def test_strokes_along_a_ruled_line_stay() -> None:
    letters = [[(x, 260), (x, 340), (x + 50, 340), (x + 50, 260)] for x in range(60, 500, 90)]  # U U U U U
    page = drawn(600, *letters, pen=5)
    plain, *_ = pictures.find_characters(page)
    line = cv2.line(np.full_like(page, 255), (0, 340), (600, 340), ink.SQUARES, 3)
    ruled, _, remark = pictures.find_characters(np.minimum(page, line))
    assert (len(ruled), remark) == (len(letters), "left out: ruled lines")
    assert (ruled.float() - plain.float()).abs().mean() < 5


@pytest.mark.parametrize("index", [20, 21])
def test_ruled_lines_that_end_with_a_sheet_are_no_part_of_a_character(index: int) -> None:
    image = kmnist.load(train=False).tensors[0][index, 0].numpy()
    photograph = ink.sheet_on_a_dark_table(image, np.random.RandomState(index))  # the sheet is 300 high of 490
    _, (box,), _ = pictures.find_characters(photograph)
    assert box[2:].max() < 210 / 490  # the character is 200 high


def test_a_strip_of_paper_on_a_dark_table_is_no_light_ink() -> None:
    strip = ink.digit_rows("3141592653", 1, 60, 0.5, 0)
    photograph = ink.turned(strip, 5, strip.shape[1] + 280, 140, ink.TABLE)
    assert len(pictures.find_characters(photograph)[0]) == 10


def test_three_parts_beside_each_other_are_one_character_of_a_page() -> None:
    whole = np.array([(0, 100), (0, 0), (100, 100), (100, 0)])
    parts = [np.array(line) for line in ([(20, 35), (5, 80)], [(50, 0), (50, 100)], [(80, 35), (95, 80)])]  # 小
    page = np.full((370, 850, 3), 255, np.uint8)
    for number in range(10):
        corner = np.array((50 + 160 * (number % 5), 50 + 160 * (number // 5)))
        for line in [whole] if number % 3 else parts:
            cv2.polylines(page, [line + corner], False, (0, 0, 0), 8)
    assert len(pictures.find_characters(page)[0]) == 10


def test_three_tall_strokes_are_three_characters_which_is_unsure() -> None:
    page = drawn(400, [(120, 60), (100, 340)], [(200, 80), (200, 320)], [(280, 60), (280, 340)])
    characters, _, remark = pictures.find_characters(page)
    assert len(characters) == 3
    assert remark == "unsure: which parts belong together"


def test_two_broad_parts_that_nearly_touch_are_no_single_character() -> None:
    page = drawn(400, [(60, 140), (180, 140), (60, 260), (180, 260)], [(215, 140), (330, 140), (215, 260), (330, 260)])
    assert len(pictures.find_characters(page)[0]) == 2


@pytest.mark.parametrize("digits", ["12", "47", "80"])
def test_two_digits_alone_are_two(digits: str) -> None:
    assert len(pictures.find_characters(ink.digit_rows(digits, 1, 60, 0.2, 0))[0]) == 2


def test_digits_in_form_boxes_are_counted() -> None:
    page = ink.digit_rows("20719", 1, 60, 0.6, 0)
    step = (page.shape[1] - 120) // 5 - 4
    for left in range(42, 42 + 5 * step, step):
        cv2.rectangle(page, (left, 40), (left + step, 140), (0, 0, 0), 2)
    assert len(pictures.find_characters(page)[0]) == 5


@pytest.mark.parametrize("end", [(180, 90), (85, 190)], ids=["beside", "below"])
def test_it_is_said_where_characters_touch(end: tuple[int, int]) -> None:
    page = ink.digit_rows("3141592653", 2, 60, 0.4, 0)
    assert pictures.find_characters(page)[2] == ""
    cv2.line(page, (85, 90), end, (0, 0, 0), 4)
    assert "touch" in pictures.find_characters(page)[2]


@pytest.mark.smoke
def test_a_highlight_over_1_does_not_make_a_float_picture_black(tmp_path: Path) -> None:
    shares = PAGE.astype(np.float32) / 255
    shares[0, 0] = 1.02
    Image.fromarray(shares).save(tmp_path / "highlight.tiff")
    loaded = pictures.load_picture(tmp_path / "highlight.tiff")[..., 0].astype(int)
    assert np.abs(loaded - PAGE).max() <= 1


@pytest.mark.parametrize("scale", [1 / 255, 1, 257])
def test_32_bit_pictures_are_read_by_their_range(tmp_path: Path, scale: float) -> None:
    expected = seen(tmp_path / "grey.png", PAGE).astype(int)
    for kind in (np.float32, np.int32)[: 2 if scale >= 1 else 1]:
        Image.fromarray((PAGE.astype(float) * scale).astype(kind)).save(tmp_path / "deep.tif")
        assert np.abs(first(pictures.load_picture(tmp_path / "deep.tif")) - expected).mean() < 3


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (drawn(400, [(30, 200), (370, 200)], pen=4), "only ruled lines; leave more paper"),
        (np.random.RandomState(0).normal(200, 10, (600, 800, 1)).repeat(3, 2).astype(np.uint8), "too many specks"),
    ],
)
def test_a_picture_without_a_character_is_refused(page: np.ndarray, message: str) -> None:
    with pytest.raises(CommandError, match=message):
        pictures.find_characters(page)


def test_a_page_of_specks_takes_little_memory() -> None:
    page = np.full((800, 800, 3), 255, np.uint8)
    for number in range(3000):
        cv2.circle(page, (10 + number % 55 * 14, 10 + number // 55 * 14), 3, (0, 0, 0), -1)
    tracemalloc.start()
    with pytest.raises(CommandError, match="specks"):
        pictures.find_characters(page)
    assert tracemalloc.get_traced_memory()[1] < 2e8
    tracemalloc.stop()
