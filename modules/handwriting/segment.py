"""Which parts of the ink are one character: those that stand over each other, and neighbours in a regular row of cells."""

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np

from modules.handwriting.binarize import weighted_median

# a unit is the longer side of a picture's parts: their median, each weighted by its square
TOGETHER = 1.2  # units; parts that are together no larger may be one character
CLOSE = 0.6  # units; with a wider gap they are not
SMALL = 0.35  # units; smaller groups are dots and marks, no characters of their own
FAR = 0.5  # units; a mark with a wider gap around it belongs to no character
NEARER = 0.4  # of the narrowest gap between characters; parts that are nearer are one
STEADIER = 0.15  # of the mean step from part to part; in cells the steps from character to character vary so much less
FEW = 4  # gaps; fewer tell nothing
HEIGHT = 1.4  # units; parts over each other that are together no higher are one: =, i, き
ASIDE = 1.4  # units; marks beside one character that are further apart are no parts of it: punch holes
FINE = 0.4  # of the pen's breadth; small parts by a finer pen are print
SPECK = 0.3  # of the pen's breadth, squared: less ink is no dot
FLAT = 0.1  # of its length; a part that is flatter and longer than two units is a line or an edge
FRAME = 0.25  # of its box; a part that goes around three others and fills less is a frame
BARE = 1.2  # of the diagonal of its box; a longer line is no bare stroke


def label_characters(mask: np.ndarray, pen: float) -> tuple[np.ndarray, int, bool]:
    """Number the characters in a mask, H x W, 0 or 255, from 1 on in reading order.

    Also returns how many marks were left out, and whether it is unsure which parts belong together.
    """
    parts, boxes, areas, left_out = find_parts(mask, pen)
    sides = boxes[:, 2:] - boxes[:, :2]
    unit = weighted_median(sides.max(1), sides.max(1) ** 2)
    groups = np.arange(len(boxes))
    unsure = False
    bare = areas < BARE * pen * np.hypot(*sides.T)
    near = near_marks(boxes, unit)
    if is_alone(boxes[near], bare[near], unit):
        groups[near] = 0
        groups = np.unique(groups, return_inverse=True)[1]
    else:
        groups = joined(boxes, groups, lambda ends: over_each_other(ends, unit))
        groups = with_dots(boxes, groups, unit)
        ends = outermost(boxes, groups)
        large = np.flatnonzero((ends[:, 2:] - ends[:, :2]).max(1) >= SMALL * unit)
        if len(large) == 2 and PAIR:
            size = (ends[large, 2:] - ends[large, :2]).max()
            middles = (ends[large, :2] + ends[large, 2:]) / 2
            bare = (np.bincount(groups, areas) < BARE * pen * np.hypot(*(ends[:, 2:] - ends[:, :2]).T))[large].all()
            if np.abs(middles[0] - middles[1]).max() <= (2 if bare else PAIRMAX) * size:
                groups[groups == large[1]] = large[0]
                groups = np.unique(groups, return_inverse=True)[1]
        cells = joined(boxes, groups, lambda ends: beside_each_other(ends, unit))
        groups, unsure = compare(boxes, groups, cells, unit)
    ends = outermost(boxes, groups)
    small = (ends[:, 2:] - ends[:, :2]).max(1) < SMALL * unit
    order = [index for row in find_rows(ends, unit) for index in row if not small[index]]
    numbers = np.zeros(len(ends), int)
    numbers[order] = np.arange(1, len(order) + 1)
    return np.append(0, numbers[groups])[parts], left_out + len(ends) - len(order), unsure


DEBUG = []
PAIRMAX = 0.65
import os
PAIR = int(os.environ.get('PAIR', 1))


def compare(boxes, groups, cells, unit):
    before, after = outermost(boxes, groups), outermost(boxes, cells)
    if len(before) == len(after):
        return groups, False
    outer = [after[right, 0] - after[left, 2] for row in find_rows(after, unit) for left, right in pairwise(row)]
    inner = np.array([widest_gap(before[np.unique(groups[cells == cell])]) for cell in range(len(after))])
    limit = NEARER * np.quantile(outer, 0.1) if outer else np.inf
    few = len(outer) < FEW
    v0, v1 = variation(before, unit), variation(after, unit)
    DEBUG.append((v0, v1, inner.max() / unit, min(outer, default=np.inf) / unit, len(before), len(after)))
    if v0 - v1 >= STEADIER and (not outer or inner.max() <= np.quantile(outer, 0.1)):
        return cells, False
    if few:
        return groups, True
    accept = inner <= max(limit, 0)
    new = np.unique(np.where(accept[cells], cells, len(boxes) + groups), return_inverse=True)[1]
    return new, True


def widest_gap(ends):
    ends = ends[ends[:, 0].argsort()]
    return max((ends[1:, 0] - np.maximum.accumulate(ends[:, 2])[:-1]).max(), 0) if len(ends) > 1 else 0


def variation(ends, unit):
    middles = (ends[:, 0] + ends[:, 2]) / 2
    steps = np.concatenate([np.diff(middles[row]) for row in find_rows(ends, unit)])
    return steps.std() / steps.mean() if len(steps) else 0


def is_alone(boxes, bare, unit):
    """Whether all parts are one character: no wider than high, or two or three bare strokes."""
    width, height = boxes[:, 2:].max(0) - boxes[:, :2].min(0)
    largest = (boxes[:, 2:] - boxes[:, :2]).max()
    if max(width, height) > 2 * largest:
        return False
    return width <= TOGETHER * height or (len(boxes) <= 3 and bare.all())


def joined(boxes: np.ndarray, groups: np.ndarray, distances: Callable) -> np.ndarray:
    """Join any two groups that are nearest to each other, until none have a finite distance."""
    while True:
        apart = distances(outermost(boxes, groups))
        np.fill_diagonal(apart, np.inf)
        nearest, numbers = apart.argmin(1), np.arange(len(apart))
        mutual = (nearest[nearest] == numbers) & np.isfinite(apart.min(1))
        if not mutual.any():
            return groups
        merged = np.where(mutual, np.minimum(numbers, nearest), numbers)
        groups = np.unique(merged, return_inverse=True)[1][groups]


def near_marks(boxes, unit):
    """Which parts are large, or marks near a large one."""
    gaps, _ = gaps_and_unions(boxes)
    small = (boxes[:, 2:] - boxes[:, :2]).max(1) < SMALL * unit
    near = np.where(small, np.maximum(gaps, 0).max(2)[:, ~small].min(1) <= FAR * unit, True)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    if np.ptp(middles[small & near], axis=0).max(initial=0) > ASIDE * unit if (small & near).any() else False:
        near &= ~small
    return near


def with_dots(boxes, groups, unit):
    ends = outermost(boxes, groups)
    gaps, _ = gaps_and_unions(ends)
    small = (ends[:, 2:] - ends[:, :2]).max(1) < SMALL * unit
    apart = np.where(small[:, None] & ~small, np.maximum(gaps, 0).max(2), np.inf)
    near = apart.min(1) <= FAR * unit
    return np.unique(np.where(near, apart.argmin(1), np.arange(len(ends))), return_inverse=True)[1][groups]


def outermost(boxes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    ends = np.empty((groups.max() + 1, 4))
    ends[:, :2], ends[:, 2:] = np.inf, -np.inf
    np.minimum.at(ends[:, :2], groups, boxes[:, :2])
    np.maximum.at(ends[:, 2:], groups, boxes[:, 2:])
    return ends


def gaps_and_unions(ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each two boxes, N x 4, the gap between them and their length together, N x N x 2: along x and y."""
    low, high = ends[:, :2], ends[:, 2:]
    gaps = np.maximum(low[:, None], low) - np.minimum(high[:, None], high)
    unions = np.maximum(high[:, None], high) - np.minimum(low[:, None], low)
    return gaps, unions


def over_each_other(ends: np.ndarray, unit: float) -> np.ndarray:
    gaps, unions = gaps_and_unions(ends)
    widths = ends[:, 2] - ends[:, 0]
    over = -gaps[..., 0] >= np.minimum(widths[:, None], widths) / 2
    return np.where(over & (unions.max(2) <= HEIGHT * unit), gaps[..., 1], np.inf)


def beside_each_other(ends: np.ndarray, unit: float) -> np.ndarray:
    gaps, unions = gaps_and_unions(ends)
    near = (gaps[..., 1] < 0) & (gaps[..., 0] <= CLOSE * unit) & (unions.max(2) <= TOGETHER * unit)
    return np.where(near, gaps[..., 0], np.inf)


def find_parts(mask: np.ndarray, pen: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Number the parts of a mask, H x W, 0 or 255, from 1 on; their boxes; their areas; how many are left out."""
    bridged = cv2.dilate(mask, np.ones([max(1, round(pen / 2))] * 2, np.uint8))  # a stroke may have gaps
    _, parts = cv2.connectedComponents(bridged)
    parts[mask == 0] = 0
    y, x = np.nonzero(parts)
    number = parts[y, x]
    areas = np.bincount(number)
    boxes = np.tile([10**6, 10**6, 0, 0], (len(areas), 1))
    np.minimum.at(boxes, (number, 0), x)
    np.minimum.at(boxes, (number, 1), y)
    np.maximum.at(boxes, (number, 2), x + 1)
    np.maximum.at(boxes, (number, 3), y + 1)
    sides = boxes[:, 2:] - boxes[:, :2]
    keep = areas >= SPECK * pen**2
    keep[0] = False
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    breadths = 4 * np.bincount(number, depths[y, x], len(areas)) / np.maximum(areas, 1) - 2
    longest = sides[1:].max()
    fine = (breadths < FINE * pen) & (sides.min(1) < SMALL * longest)
    if np.count_nonzero(keep & ~fine) <= 5:
        keep &= ~fine
    frame = np.zeros(len(areas), bool)
    for index in np.flatnonzero(keep & (areas < FRAME * sides.prod(1))):
        inside = keep & (middles > boxes[index, :2]).all(1) & (middles < boxes[index, 2:]).all(1)
        inside[index] = False
        frame[index] = inside.sum() >= 3
    flat = sides.min(1) <= FLAT * sides.max(1)
    border = (boxes[:, :2] <= 1).any(1) | (boxes[:, 2:] >= np.array(mask.shape[::-1]) - 1).any(1)
    others = keep & ~frame & ~flat
    if others.any():
        unit = weighted_median(sides[others].max(1), sides[others].max(1) ** 2)
        frame |= flat & (border | (sides.max(1) > 2 * unit))
    left_out = np.count_nonzero(~keep | frame) - 1
    keep &= ~frame
    if not keep.any():
        keep = areas == areas[1:].max()
    numbers = np.where(keep, np.cumsum(keep), 0)
    return numbers[parts], boxes[keep], areas[keep], left_out


def find_rows(ends: np.ndarray, unit: float) -> list[list[int]]:
    """The order of boxes, N x 4, in pixels: rows from the top, which may slope, each from left to right."""
    middles = (ends[:, :2] + ends[:, 2:]) / 2
    rows: list[list[int]] = []
    for index in middles[:, 0].argsort().tolist():
        near = [row for row in rows if abs(middles[row[-1], 1] - middles[index, 1]) < 0.55 * unit]
        if near:
            near[0].append(index)
        else:
            rows.append([index])
    return sorted(rows, key=lambda row: middles[row, 1].mean())
