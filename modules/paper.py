"""The paper of a picture: where the sheet ends, how light it is everywhere, the rules printed on it, the ink on it."""

from collections.abc import Iterator
from itertools import chain

import cv2
import numpy as np

WORKING_SIZE = 800  # pixels; larger pictures are reduced first, which takes the noise of a photograph away too
LEAST_SIZE = 64  # pixels; smaller pictures are enlarged first: in them, strokes are as broad as what is between them
SHEET_SIZE = 200  # pixels; enough to see where a sheet ends, too few to see the noise and grain of what it lies on
SMOOTH = 0.12  # of a picture's contrast; from one of these pixels to the next a shadow changes less, an edge more
LEAST_SHEET = 0.1  # of the picture
RIM = 0.8  # of a sheet's rim is blank; around a broad stroke, the other thing of one shade, ink is in a corner or two
RECTANGLE = 0.85  # of the smallest rectangle around it: what a sheet or a box fills, and no loop of a character
ALIKE = 0.25  # of a picture's contrast; what differs more from the paper lies beside it
PAPER_SIZE = 128  # pixels; shadows are smooth
THIN = 1 / 60  # of a sheet's side: rules are thinner
STEEPEST = 0.1  # radians that rules may slope
LONG = 0.75  # of a sheet's side: rules are longer


def extract_ink(picture: np.ndarray) -> np.ndarray:
    """How much each pixel differs from the paper around it, H x W, uint8, whichever of the two is the darker."""
    longest = max(picture.shape[:2])
    picture = scaled(picture, np.clip(longest, LEAST_SIZE, WORKING_SIZE))
    if longest >= LEAST_SIZE:  # in a smaller one there is room for a character alone
        picture = lone_sheet(picture)

    channels = [cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)]
    if (picture[..., 0] != picture[..., 2]).any():
        channels += cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2LAB))[1:]
    grey, darker, lighter = max(((it, *contrasts(it)) for it in channels), key=lambda found: max(found[1:]))
    if darker < lighter:
        grey = 255 - grey
    return without_rules(cv2.subtract(blank_sheet(grey), grey))


def scaled(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture enlarged or reduced until its longer side has so many pixels."""
    factor = longest / max(picture.shape[:2])
    if factor == 1:
        return picture
    size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def contrasts(channel: np.ndarray) -> tuple[float, float]:
    """How much darker and how much lighter than the paper a channel, H x W, gets."""
    edge = max(1, min(channel.shape) // 28)  # a broad character can cover most of a picture, but not of its edge
    edges = [channel[:edge], channel[-edge:], channel[:, :edge], channel[:, -edge:]]
    paper = level(np.concatenate([strip.ravel() for strip in edges]), 0.5)
    return paper - level(channel, 0.005), level(channel, 0.995) - paper


def level(pixels: np.ndarray, share: float) -> float:
    """The brightness that so large a share of pixels does not exceed."""
    place = int(share * (pixels.size - 1))
    return float(np.partition(pixels, place, axis=None)[place])


def lone_sheet(picture: np.ndarray) -> np.ndarray:
    """The sheet of paper or the practice box in a picture, H x W x 3, cut out; what shows beside it becomes paper."""
    small = scaled(picture, min(SHEET_SIZE, max(picture.shape[:2])))
    inside = find_sheet(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY))
    if inside is None:
        return picture
    size = picture.shape[1::-1]
    outside = cv2.resize(inside, size, interpolation=cv2.INTER_LINEAR) < 255
    paper = cv2.resize(cv2.inpaint(small, 255 - inside, 3, cv2.INPAINT_TELEA), size, interpolation=cv2.INTER_LINEAR)
    x, y, width, height = cv2.boundingRect(np.where(outside, 0, 255).astype(np.uint8))
    alone = np.where(outside[..., None], paper, picture)[y : y + height, x : x + width]
    return lone_sheet(alone)  # it may have a practice box on it


def find_sheet(grey: np.ndarray) -> np.ndarray | None:
    """Which pixels of a grey picture, H x W, uint8, are a sheet's, 255 or 0; None where the sheet fills the picture.

    A sheet is the convex hull of pixels that lead to each other without a step in brightness. Its rim is blank. Either
    it lies within the picture and is a rectangle with something on it, or it goes on beyond the picture, and all that
    is beside it, a corner of the picture at least, has another shade.
    """
    contrast = int(grey.max()) - int(grey.min())
    wider = cv2.copyMakeBorder(grey, 5, 5, 5, 5, cv2.BORDER_REPLICATE)  # what goes on beyond the picture is no line
    closed = cv2.morphologyEx(wider, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))[5:-5, 5:-5]
    without_lines, smooth = (
        cv2.morphologyEx(levels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) < max(8, SMOOTH * contrast)
        for levels in (closed, grey)
    )
    for region, hull, inside in chain(regions(without_lines), regions(smooth)):
        x, y, width, height = cv2.boundingRect(hull)
        if 0 < x < grey.shape[1] - width and 0 < y < grey.shape[0] - height:
            rectangle = cv2.contourArea(hull) > RECTANGLE * np.prod(cv2.minAreaRect(hull)[1])
            if rectangle and smooth[inside > 0].mean() < 0.98:
                return inside
        elif (inside[[0, 0, -1, -1], [0, -1, 0, -1]] == 0).any():
            beside = grey[cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0]
            alike = np.abs(beside - np.median(grey[region > 0])) < ALIKE * contrast
            if alike.sum() <= 0.1 * alike.size:
                return inside
    return None


def regions(smooth: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """The large connected regions of a mask, H x W, that fill the rim of their hull: region, outline and area of it."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(smooth.astype(np.uint8), connectivity=4)
    boxes = statistics[:, cv2.CC_STAT_WIDTH] * statistics[:, cv2.CC_STAT_HEIGHT]
    for index in np.argsort(-statistics[:, cv2.CC_STAT_AREA]):
        if index == 0 or boxes[index] < LEAST_SHEET * smooth.size:
            continue
        region = (labels == index).astype(np.uint8)
        hull = cv2.convexHull(cv2.findNonZero(region))
        inside = cv2.fillConvexPoly(np.zeros_like(region), hull, 255)
        rim = (inside > 0) & (cv2.erode(inside, np.ones((5, 5), np.uint8)) == 0)
        if (inside > 0).mean() < LEAST_SHEET or not rim.any():
            continue
        if cv2.dilate(region, np.ones((3, 3), np.uint8))[rim].mean() >= RIM:
            yield region, hull, inside


def blank_sheet(grey: np.ndarray) -> np.ndarray:
    """The paper of a picture, H x W, uint8, with its shadows and without the dark ink on it."""
    reduced = cv2.resize(grey, [min(side, PAPER_SIZE) for side in grey.shape[::-1]], interpolation=cv2.INTER_AREA)
    side = max(3, max(reduced.shape) // 3) | 1  # wider than any stroke
    padded = cv2.copyMakeBorder(reduced, side, side, side, side, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    smooth = cv2.blur(closed, (side, side))[side:-side, side:-side]
    return cv2.resize(smooth, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)


def without_rules(ink: np.ndarray) -> np.ndarray:
    """Take straight thin lines out of ink, H x W, uint8, that run through most of a sheet, across or down.

    Where a stroke crosses a rule nothing is taken: the ink is not thin there. Rules that slope are made level first.
    """
    upright = np.ones((max(3, round(min(ink.shape) * THIN)) | 1, 1), np.uint8)
    ink = level_out(ink, cv2.subtract(ink, cv2.morphologyEx(ink, cv2.MORPH_OPEN, upright)))
    for _ in ("across", "down"):
        flat = np.ones((1, max(15, round(ink.shape[1] * LONG))), np.uint8)
        # made broader first, a rule may still slope a little
        rules = cv2.morphologyEx(cv2.dilate(ink, upright), cv2.MORPH_OPEN, flat)
        thin = cv2.subtract(ink, cv2.morphologyEx(ink, cv2.MORPH_OPEN, upright))
        ink = cv2.transpose(cv2.subtract(ink, cv2.min(rules, thin)))
    return ink


def level_out(ink: np.ndarray, thin: np.ndarray) -> np.ndarray:
    """Turn ink, H x W, so that the longest line in its thin parts is level, if it is nearly so."""
    height, width = ink.shape
    level_lines = {"min_theta": np.pi / 2 - STEEPEST, "max_theta": np.pi / 2 + STEEPEST}
    lines = cv2.HoughLines(cv2.inRange(thin, 15, 255), 1, np.pi / 720, round(LONG * width), **level_lines)
    if lines is None:
        return ink
    angle = np.degrees(lines[0].ravel()[1]) - 90
    return cv2.warpAffine(ink, cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1), (width, height))
