"""Which parts of the ink are one character: those over each other, dots, and those beside each other in cells."""

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np

from modules.command_line import CommandError
from modules.handwriting.binarize import pen_breadth

# a unit is the longer side of a picture's parts: their median, each weighted by its square
MOST_PARTS = 600  # any two are compared; 200 characters have fewer
HEIGHT = 1.4  # units; parts over each other that are together no higher are one: =, i, き
WIDTH = 1.25  # units, or heights of a picture; parts beside each other that are together no wider may be one: い, は
SMALL = 0.35  # units; smaller groups are dots and marks, no characters of their own
FAR = 0.5  # units; a mark with a wider gap around it belongs to no character
SCATTERED = 1.4  # units; marks beside one character that are further apart are no parts of it: punch holes
PAIR = 0.2  # of the longer; with a narrower gap two groups alone are one ...
UNLIKE = 0.6  # ... or with this, if they are unlike: a low stroke beside a body ...
STROKES = 1.4  # ... or with this, if both are bare strokes: ハ
ALIKE = 0.8  # of the higher; groups that are higher than that are alike
BARE = 1.2  # of the diagonal of its box; a longer line is no bare stroke
STEADIER = 0.1  # of the mean step from part to part; in cells the steps vary so much less from character to character
NEARER = 0.3  # of the gaps between cells; parts that are so much nearer are one
FEW = 4  # gaps; fewer tell nothing
FINE = 0.4  # of the pen's breadth; finer parts are print, boxes and the like
SPECK = 0.3  # of the pen's breadth, squared; less ink is no dot
FLAT, LONG = 0.1, 2  # of its length, and units; parts that are flatter and longer are lines
FRAME = 0.25  # of its box; a part that goes around three others and fills less is a frame
Rule = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # which groups may be one, by boxes, gaps and lengths


def label_characters(mask: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """Number the characters in a mask, H x W, 0 or 255, from 1 on in reading order.

    Also returns how many marks were left out, and if it is unsure which parts belong together. Raises CommandError.
    """
    pen = pen_breadth(mask)
    parts, boxes, areas, left_out = find_parts(mask, pen)
    if len(boxes) > MOST_PARTS:
        raise CommandError("is full of specks, or of more text than one picture may show")
    unit = typical_length(boxes)
    boxes = boxes / unit
    groups = join(boxes, over_each_other)
    groups = join(outermost(groups, boxes), dot_and_character)[groups]
    ends = outermost(groups, boxes)
    large = sides(ends).max(1) >= SMALL
    bare = np.bincount(groups, areas) < BARE * pen * np.hypot(*sides(ends).T) * unit
    if is_one(ends[large], bool(bare[large].all())):
        cells = np.where(large, large.argmax(), np.arange(len(ends)))
        width, height = np.ptp(ends[large][:, ::2]), np.ptp(ends[large][:, 1::2])
        tall = np.count_nonzero(sides(boxes)[:, 1] > height / 2)
        unsure = tall > 2 or (tall > 1 and width > WIDTH * height)  # 川 or 111; two digits or a broad character
    else:
        cells = join(ends, beside_each_other)
        cells, unsure = more_regular(ends, cells)
    groups = np.unique(cells, return_inverse=True)[1][groups]
    ends = outermost(groups, boxes)
    large = sides(ends).max(1) >= SMALL
    order = [index for row in rows(ends) for index in row if large[index]]
    numbers = np.zeros(len(ends), int)
    numbers[order] = np.arange(1, len(order) + 1)
    return np.append(0, numbers[groups])[parts], left_out + len(ends) - len(order), bool(unsure)


def find_parts(mask: np.ndarray, pen: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The connected components of a mask that may be strokes: H x W, numbered from 1 on; the left, top, right and
    bottom of each; its area; how many others there are: frames, lines and fine print, but not specks."""
    reach = round(pen / 8)  # a stroke may have gaps twice as wide
    bridged = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(bridged)
    parts[mask == 0] = 0
    areas = np.bincount(parts.ravel())
    starts, sizes = statistics[:, :2], statistics[:, 2:4]
    boxes = np.hstack([starts + reach, starts + sizes - reach]).astype(np.float32)
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    breadths = 4 * np.bincount(parts.ravel(), depths.ravel()) / areas - 2  # of strokes; see pen_breadth
    specks = areas < SPECK * pen**2
    specks[0] = True  # the paper
    kept = ~specks & (breadths >= FINE * pen)
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    for index in np.flatnonzero(kept & (areas < FRAME * sides(boxes).prod(1))):
        inside = kept & (middles > boxes[index, :2]).all(1) & (middles < boxes[index, 2:]).all(1)
        kept[index] = np.count_nonzero(inside) <= 3  # itself among them
    lengths = sides(boxes).max(1)
    flat = sides(boxes).min(1) <= FLAT * lengths
    if (kept & ~flat).any():
        kept &= ~flat | (lengths <= LONG * typical_length(boxes[kept & ~flat]))
    if not kept.any():
        kept[1 + areas[1:].argmax()] = True
    return np.where(kept, np.cumsum(kept), 0)[parts], boxes[kept], areas[kept], int((~kept & ~specks).sum())


def sides(ends: np.ndarray) -> np.ndarray:
    """The width and height of each box, N x 2."""
    return ends[:, 2:] - ends[:, :2]


def typical_length(boxes: np.ndarray) -> float:
    """The median of the longer sides of boxes, N x 4, each weighted by its square: specks count little."""
    lengths = np.sort(sides(boxes).max(1))
    weights = (lengths**2).cumsum()
    return float(lengths[np.searchsorted(weights, weights[-1] / 2)])


def outermost(groups: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The box around each group of boxes, N x 4: left, top, right, bottom."""
    ends = np.tile(np.array([np.inf, np.inf, -np.inf, -np.inf], np.float32), (groups.max() + 1, 1))
    np.minimum.at(ends[:, :2], groups, boxes[:, :2])
    np.maximum.at(ends[:, 2:], groups, boxes[:, 2:])
    return ends


def join(boxes: np.ndarray, may_be_one: Rule) -> np.ndarray:
    """Join boxes, N x 4, those first that are the nearest to each other, until no two may be one. Returns N numbers."""
    groups = np.arange(len(boxes))
    while True:
        ends = outermost(groups, boxes)
        starts, stops = ends[:, :2], ends[:, 2:]
        gaps = np.maximum(starts[:, None], starts) - np.minimum(stops[:, None], stops)  # N x N x 2, negative: overlap
        lengths = (np.maximum(stops[:, None], stops) - np.minimum(starts[:, None], starts)).max(2)
        apart = np.where(may_be_one(ends, gaps, lengths), gaps.max(2), np.inf)
        np.fill_diagonal(apart, np.inf)
        nearest, numbers = apart.argmin(1), np.arange(len(ends))
        mutual = (nearest[nearest] == numbers) & np.isfinite(apart.min(1))
        if not mutual.any():
            return groups
        merged = np.where(mutual, np.minimum(numbers, nearest), numbers)
        groups = np.unique(merged, return_inverse=True)[1][groups]


def over_each_other(ends: np.ndarray, gaps: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Half of the narrower one is over or under the other."""
    widths = sides(ends)[:, 0]
    return (gaps[..., 0] <= -np.minimum(widths[:, None], widths) / 2) & (lengths <= HEIGHT)


def dot_and_character(ends: np.ndarray, gaps: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """One is a dot, the other is not, and they are near."""
    small = sides(ends).max(1) < SMALL
    middles = (ends[small, :2] + ends[small, 2:]) / 2
    scattered = (~small).sum() <= 2 and small.any() and np.ptp(middles, axis=0).max() > SCATTERED
    return (small[:, None] != small) & (gaps.max(2) <= FAR) & ~scattered


def beside_each_other(ends: np.ndarray, gaps: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """They share some height, and are together no wider than a character."""
    return (gaps[..., 1] < 0) & (lengths <= WIDTH)


def is_one(ends: np.ndarray, bare: bool) -> bool:
    """Whether all groups are one character: hardly wider than high, and no column of several; or two that are near."""
    largest = sides(ends).max()
    width, height = ends[:, 2:].max(0) - ends[:, :2].min(0)
    gap = (ends[:, :2].max(0) - ends[:, 2:].min(0)).max()
    heights = sides(ends)[:, 1]
    limit = STROKES if bare else PAIR if heights.min() > ALIKE * heights.max() else UNLIKE
    pair = len(ends) == 2 and gap <= limit * largest
    return bool(pair or (width <= WIDTH * height and height <= 2 * largest))


def more_regular(ends: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, bool]:
    """Of two ways to read a page, as groups or joined to cells, the more regular one; and if it is unsure.

    In a row of digits the gaps are alike, whether narrow or wide; in cells the steps are.
    """
    together = outermost(cells, ends)
    inner = sides(together)[:, 0] - np.bincount(cells, sides(ends)[:, 0])  # the gaps in each cell
    outer = [together[right, 0] - together[left, 2] for row in rows(together) for left, right in pairwise(row)]
    narrowest = np.quantile(outer, 0.1) if outer else np.inf
    steadier = variation(ends) - variation(together) >= STEADIER
    if steadier and inner.max() <= narrowest:
        return cells, False
    near = (inner <= NEARER * narrowest) & (len(outer) >= FEW or not outer)
    joined = near & (np.bincount(cells) > 1)
    return np.where(near[cells], cells, len(ends) + np.arange(len(ends))), bool(steadier or joined.any())


def variation(ends: np.ndarray) -> float:
    """The standard deviation of the steps from middle to middle along rows, as a share of their mean."""
    middles = (ends[:, 0] + ends[:, 2]) / 2
    steps = np.concatenate([np.diff(middles[row]) for row in rows(ends)])
    return float(steps.std() / steps.mean()) if steps.any() else 0


def rows(ends: np.ndarray) -> list[list[int]]:
    """The numbers of boxes, N x 4, in rows from the top, which may slope, each from left to right."""
    middles = (ends[:, :2] + ends[:, 2:]) / 2
    found: list[list[int]] = []
    for index in middles[:, 0].argsort().tolist():
        near = [row for row in found if abs(middles[row[-1], 1] - middles[index, 1]) < 1 / 2]
        if near:
            near[0].append(index)
        else:
            found.append([index])
    return sorted(found, key=lambda row: middles[row, 1].mean())
