"""Ink from paper: which pixels of a picture are strokes, whatever its light, colours, edges and ruled lines."""

import cv2
import numpy as np

WORKING_AREA = 800 * 800  # pixels; larger pictures are reduced first, which takes the noise of a photograph away too
LONGEST = 2000  # pixels; a long narrow picture is reduced to them
LEAST_SIZE = 64  # pixels; smaller pictures are enlarged first: their strokes are as broad as the gaps between them
SURROUNDINGS = 1 / 16  # of the longer side; ink differs from the mean of so much around it, paper hardly does
COARSEST = 1 / 3  # of the longer side; no stroke is broader
STROKES = 4  # pen breadths; paper lies no further from a stroke's middle than this
REDUCED, PAPER_SIZE = 400, 128  # pixels; enough to see strokes, and to see a sheet without its grain
THIN = 1 / 60  # of a sheet's side: ruled lines are thinner
STEEPEST = 0.1  # radians that ruled lines may slope
LONG = 0.6  # of a sheet's side: ruled lines are longer
FAINTEST_LINE = 15  # grey levels of 256 that ruled lines differ from the paper
MARGIN = 0.07  # of a sheet's side: ruled lines come this close to both edges


def extract_ink(picture: np.ndarray) -> tuple[np.ndarray, bool]:
    """How dark the ink is at each pixel, uint8, or how light, for chalk; and if ruled lines were removed."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    small = longest < LEAST_SIZE  # too small for more than one character
    by_area = round(longest * (WORKING_AREA / height / width) ** 0.5)
    picture = scaled(picture, LEAST_SIZE if small else min(longest, by_area, LONGEST))
    channel = channel_of_ink(picture)
    if small:
        return black_hat(channel, 2 * COARSEST * LEAST_SIZE), False
    coarse = black_hat(channel, COARSEST * max(channel.shape), desk=True)
    without_rules = remove_rules(coarse)
    sheet = find_sheet(channel)
    without_rules[sheet] = remove_rules(without_rules[sheet])
    breadth = min(COARSEST * max(channel.shape), STROKES * pen_breadth(otsu(without_rules)))
    ink = cv2.min(without_rules, black_hat(channel, breadth, desk=True))
    return ink, bool((without_rules != coarse).any())


def scaled(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture enlarged or reduced until its longer side has so many pixels."""
    factor = longest / max(picture.shape[:2])
    size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def channel_of_ink(picture: np.ndarray) -> np.ndarray:
    """The channel of CIE L*a*b*, or its negative, in which few pixels are far darker than their surroundings.

    The edges of a sheet or a shadow are as dark on one side as light on the other; thin ink has one dark side only.
    """
    lab = cv2.cvtColor(picture, cv2.COLOR_BGR2LAB)
    reduced = scaled(lab, min(REDUCED, max(lab.shape))).astype(np.float32)
    sigma = SURROUNDINGS * max(reduced.shape) * (2 if max(lab.shape) <= LEAST_SIZE else 1)
    difference = cv2.GaussianBlur(reduced, (0, 0), sigma) - reduced
    skewness = (difference * difference * difference).mean((0, 1))
    index = int(np.abs(skewness).argmax())
    return lab[..., index] if skewness[index] > 0 else 255 - lab[..., index]  # light ink becomes dark


def black_hat(channel: np.ndarray, breadth: float, desk: bool = False) -> np.ndarray:
    """How much darker each pixel is than the paper: the closing by a square that is broader than any stroke.

    With `desk`, the picture goes on beyond its edges. In small pictures it does not, as strokes touch the edges.
    """
    side = round(max(3, breadth)) | 1
    margin, (height, width) = side if desk else 0, channel.shape
    wider = cv2.copyMakeBorder(channel, margin, margin, margin, margin, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(wider, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    return cv2.subtract(closed[margin : margin + height, margin : margin + width], channel)


def find_sheet(channel: np.ndarray) -> tuple[slice, slice]:
    """Where the light part of a picture is, without its ink: a sheet on a table, or all of a sheet."""
    reduced = scaled(channel, PAPER_SIZE)
    light = otsu(cv2.morphologyEx(reduced, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8)))
    left, top, width, height = (round(side * max(channel.shape) / PAPER_SIZE) for side in cv2.boundingRect(light))
    return np.s_[top : top + height, left : left + width]


def otsu(ink: np.ndarray) -> np.ndarray:
    return cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]


def pen_breadth(mask: np.ndarray) -> float:
    """The breadth of strokes in pixels: four times the mean distance of ink to the paper, from the pixels' middles."""
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    return 4 * float(depths[mask > 0].mean()) - 2 if mask.any() else 1.0


def remove_rules(ink: np.ndarray) -> np.ndarray:
    """Remove thin straight lines that run from edge to edge from ink, H x W, uint8.

    Shorter lines are strokes by a fine pen. Where a stroke crosses a line nothing is removed: ink is not thin there.
    """
    breadth = max(3, round(min(ink.shape) * THIN)) | 1
    for _ in ("level", "upright"):
        thin = cv2.subtract(ink, cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((breadth, 1), np.uint8)))
        width, rules = ink.shape[1], np.zeros_like(ink)
        edge = round(MARGIN * width) + 1
        steep = np.pi / 2 - STEEPEST, np.pi / 2 + STEEPEST
        dark = cv2.inRange(thin, FAINTEST_LINE, 255)
        lines = cv2.HoughLines(dark, 1, np.pi / 720, round(LONG * width), min_theta=steep[0], max_theta=steep[1])
        for distance, angle in np.reshape([] if lines is None else lines, (-1, 2)):
            left, right = (round(float((distance - x * np.cos(angle)) / np.sin(angle))) for x in (0, width))
            line = cv2.min(thin, cv2.line(np.zeros_like(ink), (0, left), (width, right), 255, breadth))
            if min(line[:, :edge].max(), line[:, -edge:].max()) >= FAINTEST_LINE:
                rules = cv2.max(rules, line)
        ink = cv2.transpose(cv2.subtract(ink, rules))
    return ink
