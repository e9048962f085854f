"""Which parts of the ink are one character: those over each other, dots, and those beside each other in cells."""

from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np

from modules.command_line import CommandError
from modules.handwriting.binarize import pen_breadth

# a unit is the longer side of a picture's parts: their median, each weighted by its square
MOST_PARTS = 600  # any two are compared; 200 characters have fewer
FINE = 0.4  # of the pen's breadth; finer parts are print, boxes and the like
SPECK = 0.3  # of the pen's breadth, squared; less ink is no dot
FLAT, LONG = 0.1, 2  # of its length, and units; parts that are flatter and longer are lines
FRAME = 0.25  # of its box; a part that goes around three others and fills less is a frame
HEIGHT = 1.4  # units; parts over each other that are together no higher are one: =, i, き
SMALL = 0.35  # units; smaller parts are dots and marks, no characters of their own
FAR = 0.5  # units; a mark with a wider gap around it belongs to no character
SCATTERED = 1.4  # units; marks beside one character that are further apart are no parts of it: punch holes
WIDTH = 1.25  # units, or heights of a picture; parts beside each other that are together no wider may be one: い, は
TALL = 0.6  # of the height of a picture; three parts that are higher are several characters: 8/3
ALIKE = 0.8  # of the higher; two groups alone are of like height if the lower is higher than that
NEAR, WIDEST = 0.2, 1.6  # of the longer, and heights; two of like height are one if no further apart and no wider ...
UNLIKE = 0.6  # ... and two of unlike height, of whatever width, if no further apart than this
STROKES = 1.4  # of the longer; two bare strokes alone are one if no further apart: ハ
BARE = 1.2  # of the diagonal of its box; a longer line is no bare stroke
STEADIER = 0.1  # of the mean step from part to part; in cells the steps vary so much less from character to character
NEARER = 0.3  # of the gaps between cells; parts that are so much nearer are one
FEW = 4  # gaps; fewer tell nothing
Rule = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # which boxes may be one, by gaps and lengths


def label_characters(mask: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """Number the characters in a mask, H x W, 0 or 255, from 1 on in reading order.

    Also returns how many marks were left out, and if it is unsure which parts belong together. Raises CommandError.
    """
    parts, boxes, lines, left_out = find_parts(mask)
    groups = join(join(np.arange(len(boxes)), boxes, over_each_other), boxes, dot_and_character)
    ends = outermost(groups, boxes)
    large = sides(ends).max(1) >= SMALL
    bare = np.bincount(groups, lines) < BARE * np.hypot(*sides(ends).T)
    cells, unsure = find_cells(ends[large], boxes, bool(bare[large].all()))
    order = np.array([index for row in rows(outermost(cells, ends[large])) for index in row])
    numbers = np.zeros(len(ends), int)
    numbers[large] = 1 + order.argsort()[cells]
    return np.append(0, numbers[groups])[parts], left_out + int(np.count_nonzero(~large)), unsure


def find_parts(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """The connected components of a mask that may be strokes: H x W, numbered from 1 on; the left, top, right and
    bottom of each in units; how long its line is, in units; and how many others there are: frames, lines and fine
    print, but not specks. Raises CommandError."""
    pen = pen_breadth(mask)
    reach = round(pen / 8)  # a stroke may have gaps twice as wide
    bridged = cv2.dilate(mask, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(bridged)
    parts[mask == 0] = 0
    areas = np.bincount(parts.ravel())
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    breadths = 4 * np.bincount(parts.ravel(), depths.ravel()) / areas - 2  # of strokes; see pen_breadth
    strokes = (areas >= SPECK * pen**2) & (breadths >= FINE * pen)
    strokes[0] = False  # the paper
    if strokes.sum() > MOST_PARTS:
        raise CommandError("is full of specks, or of more text than one picture may show")
    boxes = np.hstack([statistics[:, :2], statistics[:, :2] + statistics[:, 2:4]]).astype(np.float32)
    boxes += reach * np.array([1, 1, -1, -1])
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    for index in np.flatnonzero(strokes & (areas < FRAME * sides(boxes).prod(1))):
        inside = strokes & (middles > boxes[index, :2]).all(1) & (middles < boxes[index, 2:]).all(1)
        strokes[index] = np.count_nonzero(inside) <= 3  # itself among them
    lengths = sides(boxes).max(1)
    flat = sides(boxes).min(1) <= FLAT * lengths
    if (strokes & ~flat).any():
        strokes &= ~flat | (lengths <= LONG * typical_length(boxes[strokes & ~flat]))
    others = np.count_nonzero(~strokes[1:] & (areas[1:] >= SPECK * pen**2))
    unit = typical_length(boxes[strokes])
    numbers = np.where(strokes, np.cumsum(strokes), 0)
    return numbers[parts], boxes[strokes] / unit, areas[strokes] / pen / unit, int(others)


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


def join(groups: np.ndarray, boxes: np.ndarray, may_be_one: Rule) -> np.ndarray:
    """Join groups of boxes, N x 4, those first that are the nearest, until no two may be one. Returns N numbers."""
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
        groups = np.unique(np.where(mutual, np.minimum(numbers, nearest), numbers)[groups], return_inverse=True)[1]


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


def find_cells(ends: np.ndarray, boxes: np.ndarray, bare: bool) -> tuple[np.ndarray, bool]:
    """Which groups are one character, N numbers, by the boxes of groups and of parts; and if it is unsure.

    Of two ways to read a page, as groups or joined to cells, the more regular one: in a row of digits the gaps are
    alike, whether narrow or wide; in cells the steps are.
    """
    width, height = np.ptp(ends[:, ::2]), np.ptp(ends[:, 1::2])
    tall = np.count_nonzero(sides(boxes)[:, 1] > TALL * height)
    if tall > 2 and max(width / WIDTH, height / 2) <= sides(ends).max():
        return np.arange(len(ends)), True  # several in the space of one: 111, or 川
    if is_one(ends, bare):
        return np.zeros(len(ends), int), bool(width > WIDTH * height)
    cells = join(np.arange(len(ends)), ends, beside_each_other)
    together = outermost(cells, ends)
    inner = sides(together)[:, 0] - np.bincount(cells, sides(ends)[:, 0])  # the gaps in each cell
    outer = [together[right, 0] - together[left, 2] for row in rows(together) for left, right in pairwise(row)]
    narrowest = np.quantile(outer, 0.1) if outer else np.inf
    steadier = variation(ends) - variation(together) >= STEADIER
    if steadier and inner.max() <= narrowest:
        return cells, False
    near = (inner <= NEARER * narrowest) & (len(outer) >= FEW or not outer)
    joined = near & (np.bincount(cells) > 1)
    touching = narrowest <= 0
    cells = np.where(near[cells], cells, len(ends) + np.arange(len(ends)))
    return np.unique(cells, return_inverse=True)[1], bool(steadier or joined.any() or touching)


def is_one(ends: np.ndarray, bare: bool) -> bool:
    """Whether all groups are one character: hardly wider than high, and no column of several; or two that are near."""
    width, height = np.ptp(ends[:, ::2]), np.ptp(ends[:, 1::2])
    longest, heights = sides(ends).max(), sides(ends)[:, 1]
    gap = (ends[:, :2].max(0) - ends[:, 2:].min(0)).max()
    alike = heights.min() > ALIKE * heights.max()
    near = gap <= NEAR * longest and width <= WIDEST * height if alike else gap <= UNLIKE * longest
    near |= bare and gap <= STROKES * longest
    return bool((width <= WIDTH * height and height <= 2 * longest) or (len(ends) == 2 and near))


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
