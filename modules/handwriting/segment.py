"""Which parts of the ink are one character: those over each other, and those beside each other in cells."""

from itertools import pairwise

import cv2
import numpy as np

from modules.command_line import CommandError
from modules.handwriting.binarize import pen_breadth, weighted_median

# a unit is the longer side of a picture's parts: their median, each weighted by its square
MOST_PARTS = 1500  # any two are compared; 200 characters have fewer
HEIGHT = 1.4  # units; parts over each other that are together no higher are one: =, i, き
WIDTH = 1.2  # units; parts beside each other that are together no wider may be one: い, は
CLOSE = 0.6  # units; with a wider gap they are two
SMALL = 0.35  # units; smaller groups are dots and marks, no characters of their own
FAR = 0.5  # units; a mark with a wider gap around it belongs to no character
ASIDE = 1.4  # units; marks beside one character that are further apart are no parts of it: punch holes
PAIR, STROKES = 1.1, 2.0  # units from middle to middle; nearer groups, or bare strokes, are one if there are just two
BARE = 1.2  # of the diagonal of its box; a longer line is no bare stroke
STEADIER = 0.15  # of the mean step from part to part; in cells the steps vary so much less from character to character
NEARER = 0.4  # of the gaps between characters; parts that are so much nearer are one
FEW = 4  # gaps; fewer tell nothing
SPECK = 0.3  # of the pen's breadth, squared; less ink is no dot
FLAT = 0.1  # of its length; flatter parts are lines, if longer than two units, far from all rows or at the edge
FRAME = 0.25  # of its box; a part that goes around three others and fills less is a frame
FINE = 0.4  # of the pen's breadth; small parts by a finer pen are print ...
MANY = 5  # ... but where there are more parts, they may be characters


def label_characters(mask: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """Number the characters in a mask, H x W, 0 or 255, from 1 on in reading order.

    Also returns how many marks were left out, and if it is unsure which parts belong together. Raises CommandError.
    """
    pen = pen_breadth(mask)
    parts, boxes, areas, left_out = find_parts(mask, pen)
    if len(boxes) > MOST_PARTS:
        raise CommandError("shows no character: it is full of specks")
    lengths = (boxes[:, 2:] - boxes[:, :2]).max(1)
    unit = weighted_median(lengths, lengths**2)
    groups = joined(np.arange(len(boxes)), boxes, unit, over=True)
    groups = with_dots(groups, boxes, unit)
    ends = outermost(groups, boxes)
    large = np.flatnonzero((ends[:, 2:] - ends[:, :2]).max(1) >= SMALL * unit)
    bare = np.bincount(groups, areas) < BARE * pen * np.hypot(*(ends[:, 2:] - ends[:, :2]).T)
    unsure = False
    if is_one(ends[large], bool(bare[large].all())):
        groups[np.isin(groups, large)] = large[0]
        unsure = len(large) > 1 and np.ptp(ends[large][:, [0, 2]]) > WIDTH * np.ptp(ends[large][:, [1, 3]])
    else:
        cells = joined(groups, boxes, unit, over=False)
        groups, unsure = more_regular(groups, cells, boxes, unit)
    groups = np.unique(groups, return_inverse=True)[1]
    ends = outermost(groups, boxes)
    order = [
        index for row in rows(ends, unit) for index in row if (ends[index, 2:] - ends[index, :2]).max() >= SMALL * unit
    ]
    numbers = np.zeros(len(ends), int)
    numbers[order] = np.arange(1, len(order) + 1)
    return np.append(0, numbers[groups])[parts], left_out + len(ends) - len(order), unsure


def find_parts(mask: np.ndarray, pen: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The connected components of a mask that may be strokes: H x W, numbered from 1 on; the left, top, right and
    bottom of each, and its area; how many others there are: specks, print, frames, lines and edges."""
    reach = max(1, round(pen / 2))
    bridged = cv2.dilate(mask, np.ones((reach, reach), np.uint8))  # a stroke may have gaps
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(bridged)
    parts[mask == 0] = 0
    areas = np.bincount(parts.ravel())
    sides = statistics[:, 2:4] - reach + 1
    starts = statistics[:, :2] + (reach - 1) // 2
    boxes = np.hstack([starts, starts + sides]).astype(np.float32)
    touching = (boxes[:, :2] <= 1).any(1) | (boxes[:, 2:] >= np.array(mask.shape[::-1]) - 1).any(1)
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    breadths = 4 * np.bincount(parts.ravel(), depths.ravel()) / areas - 2

    specks = areas < SPECK * pen**2
    specks[0] = True  # the paper
    kept = ~specks
    fine = (breadths < FINE * pen) & (sides.min(1) < SMALL * sides[1:].max())
    if np.count_nonzero(kept & ~fine) <= MANY:
        kept &= ~fine
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    for index in np.flatnonzero(kept & (areas < FRAME * sides.prod(1))):
        inside = kept & (middles > boxes[index, :2]).all(1) & (middles < boxes[index, 2:]).all(1)
        kept[index] = np.count_nonzero(inside) <= 3  # itself among them
    flat = sides.min(1) <= FLAT * sides.max(1)
    if (kept & ~flat).any():
        written = boxes[kept & ~flat]
        lengths = (written[:, 2:] - written[:, :2]).max(1)
        unit = weighted_median(lengths, lengths**2)
        above_or_below = np.maximum(boxes[:, None, 1] - written[:, 3], written[:, 1] - boxes[:, None, 3]).min(1)
        kept &= ~flat | ~touching & (sides.max(1) <= 2 * unit) & (above_or_below <= FAR * unit)
    if not kept.any():
        kept[1 + areas[1:].argmax()] = True
    return np.where(kept, np.cumsum(kept), 0)[parts], boxes[kept], areas[kept], int((~kept & ~specks).sum())


def outermost(groups: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The box around each group of boxes, N x 4: left, top, right, bottom."""
    ends = np.tile(np.array([np.inf, np.inf, -np.inf, -np.inf], np.float32), (groups.max() + 1, 1))
    np.minimum.at(ends[:, :2], groups, boxes[:, :2])
    np.maximum.at(ends[:, 2:], groups, boxes[:, 2:])
    return ends


def gaps_between(ends: np.ndarray) -> np.ndarray:
    """The gap between any two boxes along x and y, N x N x 2; it is negative where they overlap."""
    return np.maximum(ends[:, None, :2], ends[:, :2]) - np.minimum(ends[:, None, 2:], ends[:, 2:])


def joined(groups: np.ndarray, boxes: np.ndarray, unit: float, over: bool) -> np.ndarray:
    """Join groups that stand over or beside each other, the nearest to each other first, until none are left."""
    while True:
        ends = outermost(groups, boxes)
        gaps, sides = gaps_between(ends), ends[:, 2:] - ends[:, :2]
        lengths = (np.maximum(ends[:, None, 2:], ends[:, 2:]) - np.minimum(ends[:, None, :2], ends[:, :2])).max(2)
        if over:
            may_be_one = (gaps[..., 0] <= -np.minimum(sides[:, None, 0], sides[:, 0]) / 2) & (lengths <= HEIGHT * unit)
        else:
            may_be_one = (gaps[..., 1] < 0) & (gaps[..., 0] <= CLOSE * unit) & (lengths <= WIDTH * unit)
        apart = np.where(may_be_one, gaps.max(2), np.inf)
        np.fill_diagonal(apart, np.inf)
        nearest, numbers = apart.argmin(1), np.arange(len(ends))
        mutual = (nearest[nearest] == numbers) & np.isfinite(apart.min(1))
        if not mutual.any():
            return groups
        merged = np.where(mutual, np.minimum(numbers, nearest), numbers)
        groups = np.unique(merged, return_inverse=True)[1][groups]


def with_dots(groups: np.ndarray, boxes: np.ndarray, unit: float) -> np.ndarray:
    """Join small groups to the nearest large one, if it is near."""
    ends = outermost(groups, boxes)
    small = (ends[:, 2:] - ends[:, :2]).max(1) < SMALL * unit
    apart = np.where(small[:, None] & ~small, gaps_between(ends).max(2).clip(0), np.inf)
    near = apart.min(1) <= FAR * unit
    middles = (ends[:, :2] + ends[:, 2:]) / 2
    if np.count_nonzero(~small) <= 2 and small.any() and np.ptp(middles[small], axis=0).max() > ASIDE * unit:
        near[:] = False
    return np.unique(np.where(near, apart.argmin(1), np.arange(len(ends))), return_inverse=True)[1][groups]


def is_one(ends: np.ndarray, bare: bool) -> bool:
    """Whether all groups of a picture are one character: together no wider than high, or two that are near."""
    largest = (ends[:, 2:] - ends[:, :2]).max()
    width, height = ends[:, 2:].max(0) - ends[:, :2].min(0)
    middles = (ends[:, :2] + ends[:, 2:]) / 2
    pair = len(ends) == 2 and np.ptp(middles, axis=0).max() <= (STROKES if bare else PAIR) * largest
    return bool(pair or (width <= WIDTH * height and height <= 2 * largest))


def more_regular(groups: np.ndarray, cells: np.ndarray, boxes: np.ndarray, unit: float) -> tuple[np.ndarray, bool]:
    """Of two ways to read a page, as parts and joined to cells, the more regular one; and if it is unsure.

    In a row of digits the gaps are alike, whether narrow or wide; in cells the steps are.
    """
    apart, together = outermost(groups, boxes), outermost(cells, boxes)
    if len(apart) == len(together):
        return groups, False
    outer = [together[right, 0] - together[left, 2] for row in rows(together, unit) for left, right in pairwise(row)]
    inner = np.array([widest_gap(apart[np.unique(groups[cells == cell])]) for cell in range(len(together))])
    narrowest = np.quantile(outer, 0.1) if outer else np.inf
    steadier = variation(apart, unit) - variation(together, unit)
    if steadier >= STEADIER and inner.max() <= narrowest:
        return cells, False
    near = (inner <= NEARER * narrowest) & (len(outer) >= FEW or not outer)
    return np.where(near[cells], cells, len(boxes) + groups), steadier >= STEADIER / 2


def widest_gap(ends: np.ndarray) -> float:
    ends = ends[ends[:, 0].argsort()]
    return float((ends[1:, 0] - np.maximum.accumulate(ends[:, 2])[:-1]).max(initial=0))


def variation(ends: np.ndarray, unit: float) -> float:
    """The standard deviation of the steps from middle to middle along rows, as a share of their mean."""
    middles = (ends[:, 0] + ends[:, 2]) / 2
    steps = np.concatenate([np.diff(middles[row]) for row in rows(ends, unit)])
    return float(steps.std() / steps.mean()) if steps.any() else 0


def rows(ends: np.ndarray, unit: float) -> list[list[int]]:
    """The numbers of boxes, N x 4, in rows from the top, which may slope, each from left to right."""
    middles = (ends[:, :2] + ends[:, 2:]) / 2
    found: list[list[int]] = []
    for index in middles[:, 0].argsort().tolist():
        near = [row for row in found if abs(middles[row[-1], 1] - middles[index, 1]) < unit / 2]
        if near:
            near[0].append(index)
        else:
            found.append([index])
    return sorted(found, key=lambda row: middles[row, 1].mean())
