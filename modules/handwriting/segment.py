"""Which parts of the ink are one character: those over each other, dots, and those beside each other in cells.

A unit is the median of the longer sides of a picture's large parts. Boxes are N x 2 x 2: left, top; right, bottom.
"""

import cv2
import numpy as np
from scipy.ndimage import find_objects
from scipy.sparse.csgraph import connected_components

from modules.command_line import CommandError

MOST_PARTS = 600  # any two are compared; 200 characters usually have fewer
FINE = 0.4  # of the pen's breadth; finer parts are print, boxes and the like
SPECK = 0.3  # of the pen's breadth, squared; less ink is no dot
FRAME = 0.25  # of its box; a part that goes around three others and fills less is a frame
LARGE = 0.3  # of the largest box; smaller parts say nothing of the unit
FLAT, LONG = 0.1, 2  # of its length, and units; parts that are flatter and longer are lines
HEIGHT = 1.3  # units; parts over each other that are together no higher are one: =, i, き
SMALL = 0.32  # units; smaller parts are dots and marks, no characters of their own
FAR = 0.5  # units; a mark with a wider gap around it belongs to no character
SCATTERED = 1.5  # units; marks beside one character that reach further are no parts of it: punch holes
WIDTH = 1.25  # units, or heights of all ink; groups beside each other that are together no wider may be one: い, は
TALL = 0.6  # of the height of all ink; three groups that are higher are several characters: 8/3
ALIKE = 0.8  # of the higher; two groups alone are of like height if the lower is higher than that
NEAR, WIDEST = 0.2, 1.6  # of the longer, and heights; two of like height are one if no further apart and no wider ...
UNLIKE = 0.6  # ... and two of unlike height, of whatever width, if no further apart than this: り
STEADIER = 0.1  # of the mean step from group to group; in cells the steps vary so much less
NEARER = 0.3  # of the narrowest gap between cells; groups nearer than that are one
FEW = 8  # gaps between cells; fewer tell nothing, unless there are none


def label_characters(mask: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """Number the characters in a mask, H x W, 0 or 255, from 1 on in reading order.

    Also returns how many marks were left out, and if it is unsure which parts belong together. Raises CommandError.
    """
    parts, boxes, left_out = find_parts(mask)
    groups = join_parts(boxes)
    members = [boxes[groups == group] for group in range(groups.max() + 1)]
    ends = np.array([[own[:, 0].min(0), own[:, 1].max(0)] for own in members])  # the box around each group
    large = np.flatnonzero(np.ptp(ends, axis=1).max(1) >= SMALL)
    rows = find_rows(ends[large].mean(1))
    large, row = large[np.concatenate(rows)], np.repeat(np.arange(len(rows)), list(map(len, rows)))
    numbers = np.zeros(len(ends), int)
    numbers[large], unsure = number_groups(ends[large], row)
    return np.append(0, numbers[groups])[parts], left_out + len(ends) - len(large), unsure


def find_parts(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """The connected components of a mask that may be strokes: H x W, numbered from 1 on; the box of each in units; and
    how many others there are: frames, lines and fine print, but not specks. Raises CommandError."""
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    pen = 4 * depths[mask > 0].mean() - 2  # see pen_breadth in binarize.py
    bridged = cv2.dilate(mask, np.ones([2 * round(pen / 8) + 1] * 2, np.uint8))  # strokes may have gaps
    parts = np.where(mask, cv2.connectedComponents(bridged)[1], 0)
    boxes = np.array([[(x.start, y.start), (x.stop, y.stop)] for y, x in find_objects(parts)])
    sides, areas = np.ptp(boxes, axis=1), np.bincount(parts[mask > 0])[1:]
    inked = areas >= min(SPECK * pen**2, areas.max())
    breadths = 4 * np.bincount(parts.ravel(), depths.ravel())[1:] / areas - 2
    strokes = inked & (breadths >= FINE * pen)
    if strokes.sum() > MOST_PARTS:
        raise CommandError("has too many specks, or too much text for one picture")
    middles, lengths, sizes = boxes.mean(1), sides.max(1), sides.prod(1)
    for index in np.flatnonzero(strokes & (areas < FRAME * sizes)):
        inside = strokes & (np.abs(middles - middles[index]) < sides[index] / 2).all(1)
        strokes[index] = np.count_nonzero(inside) <= 3  # itself among them
    unit = np.median(lengths[strokes & (sizes >= LARGE * sizes[strokes].max())])
    strokes &= (lengths <= LONG * unit) | (sides.min(1) > FLAT * lengths)
    return np.append(0, strokes.cumsum() * strokes)[parts], boxes[strokes] / unit, int(inked.sum() - strokes.sum())


def join_parts(boxes: np.ndarray) -> np.ndarray:
    """The group of each part, N numbers: parts over each other are one, and a dot joins the part nearest to it."""
    starts, stops, sides = boxes[:, 0], boxes[:, 1], np.ptp(boxes, axis=1)
    gaps = np.maximum(starts[:, None], starts) - np.minimum(stops[:, None], stops)  # N x N x 2, negative: overlap
    lengths = (np.maximum(stops[:, None], stops) - np.minimum(starts[:, None], starts)).max(2)  # of both together
    half = np.minimum(sides[:, None], sides)[..., 0] / 2  # of the narrower one's width
    joined = (gaps[..., 0] <= -half) & (lengths <= HEIGHT)
    small = sides.max(1) < SMALL
    apart = np.where(small, np.inf, gaps.max(2))
    if np.count_nonzero(~small) > 2 or lengths[small][:, small].max(initial=0) <= SCATTERED:
        dots = np.flatnonzero(small & ~joined[:, ~small].any(1) & (apart.min(1) <= FAR))
        joined[dots, apart[dots].argmin(1)] = True
    return connected_components(joined)[1]


def number_groups(ends: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, bool]:
    """The number of the character, from 1 on, that each group in reading order belongs to; and if it is unsure.

    Of two ways to read a page, as groups or joined to cells, the more regular one: in a row of digits the gaps are
    alike, whether narrow or wide; in cells the steps are.
    """
    (width, height), sides = np.ptp(ends, axis=(0, 1)), np.ptp(ends, axis=1)
    longest, heights = sides.max(), sides[:, 1]
    gap = (ends[:, 0].max(0) - ends[:, 1].min(0)).max()
    alike = heights.min() > ALIKE * heights.max()
    near = gap <= NEAR * longest and width <= WIDEST * height if alike else gap <= UNLIKE * longest
    compact = width <= WIDTH * height and height <= 2 * longest
    if compact and np.count_nonzero(heights > TALL * height) > 2:
        return np.arange(1, len(ends) + 1), True  # several in the space of one: 111, or 川
    if compact or (near and len(ends) == 2):
        return np.ones(len(ends), int), bool(width > WIDTH * height)
    left, right = ends[:, 0, 0], ends[:, 1, 0]
    gaps = np.where(np.diff(row) == 0, left[1:] - right[:-1], np.inf)
    joined = np.zeros(len(gaps), bool)
    first = last = np.ones(len(ends), bool)  # of each cell
    for _ in range(2):  # groups, then pairs of them: ふ may have four
        outer = gaps[~joined]
        before, after = np.append(np.inf, outer[:-1]), np.append(outer[1:], np.inf)
        joined[~joined] = (outer <= before) & (outer < after) & (right[last][1:] - left[first][:-1] <= WIDTH)
        first, last = np.append(True, ~joined), np.append(~joined, True)
    outer = gaps[~joined & np.isfinite(gaps)]
    narrowest = outer.min(initial=np.inf)
    steadier = variation(left + right, row) - variation(left[first] + right[last], row[first]) >= STEADIER
    joined &= steadier | ((gaps <= NEARER * narrowest) & (len(outer) >= FEW or not outer.size))
    unsure = not steadier and (joined.any() or narrowest <= 0)
    return np.append(1, 1 + np.cumsum(~joined)), bool(unsure)


def variation(positions: np.ndarray, row: np.ndarray) -> float:
    """The standard deviation of the steps along rows, as a share of their mean, by the position and row of each."""
    steps = np.diff(positions)[np.diff(row) == 0]
    return float(steps.std() / steps.mean()) if steps.any() else 0


def find_rows(middles: np.ndarray) -> list[list[int]]:
    """The numbers of points, N x 2, in rows from the top, which may slope, each from left to right."""
    rows: list[list[int]] = []
    for index in middles[:, 0].argsort().tolist():
        row = next((row for row in rows if abs(middles[row[-1], 1] - middles[index, 1]) < 1 / 2), [])
        if not row:
            rows.append(row)
        row.append(index)
    return sorted(rows, key=lambda row: middles[row, 1].mean())
