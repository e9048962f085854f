"""The paper of a picture: where the sheet ends, how light it is everywhere, the lines printed on it, the ink on it."""

import cv2
import numpy as np

WORKING_SIZE = 800  # pixels; larger pictures are reduced first, which takes the noise of a photograph away too
LEAST_SIZE = 64  # pixels; smaller pictures are enlarged first: their strokes are as broad as the gaps between them
SMOOTH = 0.12  # of a picture's contrast; between neighbouring pixels a shadow changes less than this, an edge more
LEAST_SHEET = 0.15  # of the picture
ALIKE = 0.25  # of a picture's contrast; what differs more from the paper lies beside it
PAPER_SIZE = 128  # pixels; enough to see a sheet and its shadows, too few to see noise and grain
THIN = 1 / 60  # of a sheet's side: ruled lines are thinner
STEEPEST = 0.1  # radians that ruled lines may slope
LONG = 0.6  # of a sheet's side: ruled lines are longer
FAINTEST_LINE = 15  # grey levels of 256 that ruled lines differ from the paper
MARGIN = 0.07  # of a sheet's side: ruled lines come this close to both edges


def extract_ink(picture: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """How dark the ink is at each pixel, uint8, or how light, for chalk; and what was removed around it, in words."""
    small = max(picture.shape[:2]) < LEAST_SIZE  # too small for more than one character
    picture = scaled(picture, np.clip(max(picture.shape[:2]), LEAST_SIZE, WORKING_SIZE))
    whole = np.zeros(picture.shape[:2], np.uint8)
    picture, there, cut = (picture, np.s_[:], False) if small else cut_out_sheet(picture)
    channels = cv2.split(cv2.cvtColor(picture, cv2.COLOR_BGR2LAB))  # lightness and two for the colour
    channels += tuple(255 - channel for channel in channels)  # light ink becomes dark
    channel = max(channels, key=lambda channel: np.median(channel) - np.quantile(channel, 0.005))
    ink = cv2.subtract(blank_sheet(channel), channel)
    whole[there] = ink if small else without_rules(ink)
    removed = ["ruled lines"] if (whole[there] != ink).any() else []
    return whole, [*removed, "what lies beside the sheet"] if cut else removed


def scaled(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture enlarged or reduced until its longer side has so many pixels."""
    factor = longest / max(picture.shape[:2])
    size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def cut_out_sheet(picture: np.ndarray) -> tuple[np.ndarray, tuple[slice, slice], bool]:
    """The sheet of paper in a picture, H x W x 3, where it was, and if anything was beside it; that becomes paper.

    A sheet is the convex hull of pixels that lead to each other without a step in brightness. What is beside it has
    another shade. Where no such edge is seen, all is paper.
    """
    reduced = scaled(picture, min(PAPER_SIZE, max(picture.shape[:2])))
    grey = cv2.cvtColor(reduced, cv2.COLOR_BGR2GRAY)
    contrast = int(grey.max()) - int(grey.min())
    wider = cv2.copyMakeBorder(grey, 5, 5, 5, 5, cv2.BORDER_REPLICATE)  # what goes on beyond the picture is no line
    without_lines = cv2.morphologyEx(wider, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))[5:-5, 5:-5]
    steps = cv2.morphologyEx(without_lines, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    smooth = (steps < max(8, SMOOTH * contrast)).astype(np.uint8)
    labels = cv2.connectedComponents(smooth, connectivity=4)[1]
    areas = np.bincount(labels[smooth > 0])
    sheet = np.full_like(grey, 255)
    for index in np.argsort(-areas)[: np.count_nonzero(areas > LEAST_SHEET * grey.size)]:
        region = labels == index
        hull = cv2.convexHull(cv2.findNonZero(region.astype(np.uint8)))
        inside = cv2.fillConvexPoly(np.zeros_like(grey), hull, 255)
        beside = grey[cv2.dilate(inside, np.ones((5, 5), np.uint8)) == 0]
        alike = np.abs(beside - np.median(grey[region])) < ALIKE * contrast
        # a sheet that fills the picture, and a table around one, reach its edges: nothing is beside them
        if beside.size and alike.mean() <= 0.1:
            sheet = inside
            break
    paper = np.median(reduced[sheet > 0], axis=0).astype(np.uint8)
    sheet = cv2.inRange(cv2.resize(sheet, picture.shape[1::-1]), 255, 255)
    x, y, width, height = cv2.boundingRect(sheet)
    there = np.s_[y : y + height, x : x + width]
    return np.where(sheet[..., None], picture, paper)[there], there, not sheet.all()


def blank_sheet(grey: np.ndarray) -> np.ndarray:
    """The paper of a picture, H x W, uint8, with its shadows and without the dark ink on it."""
    reduced = cv2.resize(grey, [min(side, PAPER_SIZE) for side in grey.shape[::-1]], interpolation=cv2.INTER_AREA)
    side = max(3, max(reduced.shape) // 3) | 1  # wider than any stroke
    closed = cv2.morphologyEx(reduced, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    return cv2.resize(cv2.blur(closed, (side, side)), grey.shape[::-1])


def without_rules(ink: np.ndarray) -> np.ndarray:
    """Remove thin straight lines that run from edge to edge from ink, H x W, uint8.

    Shorter lines are strokes by a fine pen. Where a stroke crosses a line nothing is removed: ink is not thin there.
    """
    breadth = max(3, round(min(ink.shape) * THIN)) | 1
    for _ in ("level", "upright"):
        thin = cv2.subtract(ink, cv2.morphologyEx(ink, cv2.MORPH_OPEN, np.ones((breadth, 1), np.uint8)))
        width, rules = ink.shape[1], np.zeros_like(ink)
        edge = round(MARGIN * width) + 1
        level = {"min_theta": np.pi / 2 - STEEPEST, "max_theta": np.pi / 2 + STEEPEST}
        lines = cv2.HoughLines(cv2.inRange(thin, FAINTEST_LINE, 255), 1, np.pi / 720, round(LONG * width), **level)
        for distance, angle in np.reshape([] if lines is None else lines, (-1, 2)):
            left, right = (round(float((distance - x * np.cos(angle)) / np.sin(angle))) for x in (0, width))
            line = cv2.min(thin, cv2.line(np.zeros_like(ink), (0, left), (width, right), 255, breadth))
            if min(line[:, :edge].max(), line[:, -edge:].max()) >= FAINTEST_LINE:
                rules = cv2.max(rules, line)
        ink = cv2.transpose(cv2.subtract(ink, rules))
    return ink
