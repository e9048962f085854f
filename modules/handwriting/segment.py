"""Which parts of the ink are one character: those that stand over each other, or nearer together than to what is beside."""

import cv2
import numpy as np

# a unit is the longer side of a picture's parts: their median, each weighted by its square
HEIGHT = 1.2  # units; parts over each other that are together no higher are one: =, i, き
WIDTH = 1.1  # units; parts beside each other that are together no wider may be one: い, は
NEARER = 0.7  # of the gap to what is next
ALONE = 1.3  # of the largest part; a few parts that are together no larger are one, whatever lies between them: 心
FEW = 4  # parts
SMALL = 0.35  # units; smaller groups are no characters of their own
GAP = 0.5  # units; a small group with a wider gap around it belongs to no other group
SPECK = 0.3  # of the pen's breadth, squared: less ink is no dot
FRAME = 0.25  # of its box; what goes around three others and is emptier is a frame
FINE = 0.4  # of the pen's breadth; thinner ink is print
BARE = 1.2  # of the diagonal of its box; a longer line is no bare stroke


def label_characters(mask: np.ndarray, pen: float) -> tuple[np.ndarray, int]:
    """Number the characters in a mask, H x W, 0 or 255, from 1 on in reading order, and count the marks left out."""
    parts, boxes, areas, left_out = find_parts(mask, pen)
    groups = np.arange(len(boxes))
    sides = (boxes[:, 2:] - boxes[:, :2]).max(1)
    unit = weighted_median(sides, sides**2)
    width, height = boxes[:, 2:].max(0) - boxes[:, :2].min(0)
    whole = max(width, height)
    bare = areas < BARE * pen * np.hypot(*(boxes[:, 2:] - boxes[:, :2]).T)
    if len(boxes) <= FEW and ((width <= 1.2 * height and whole <= 2 * sides.max()) or (len(boxes) <= 3 and bare.all() and whole <= 2 * sides.max())):
        groups[:] = 0
    for near in (over_each_other, beside_each_other, dots):
        while True:
            ends = outermost(boxes, groups)
            distances = near(ends, unit)
            np.fill_diagonal(distances, np.inf)
            nearest = distances.argmin(1)
            count = np.arange(len(ends))
            joined = np.isfinite(distances.min(1))
            if near is not dots:
                joined &= nearest[nearest] == count
            if not joined.any():
                break
            merged = np.where(joined, np.minimum(count, nearest) if near is not dots else nearest, count)
            groups = np.unique(merged, return_inverse=True)[1][groups]
    ends = outermost(boxes, groups)
    small = (ends[:, 2:] - ends[:, :2]).max(1) < SMALL * unit
    order = [index for index in reading_order(ends, unit) if not small[index]]
    numbers = np.zeros(len(ends), int)
    numbers[order] = np.arange(1, len(order) + 1)
    return np.append(0, numbers[groups])[parts], left_out + len(ends) - len(order)


def outermost(boxes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    ends = np.empty((groups.max() + 1, 4))
    ends[:, :2], ends[:, 2:] = np.inf, -np.inf
    np.minimum.at(ends[:, :2], groups, boxes[:, :2])
    np.maximum.at(ends[:, 2:], groups, boxes[:, 2:])
    return ends


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = values.argsort()
    return values[order][np.searchsorted(weights[order].cumsum(), weights.sum() / 2)]


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
    heights = ends[:, 3] - ends[:, 1]
    middles = (ends[:, 0] + ends[:, 2]) / 2
    level = -gaps[..., 1] >= np.minimum(heights[:, None], heights) / 2
    np.fill_diagonal(level, False)
    row = np.where(level, gaps[..., 0], np.inf)
    right = np.where(middles[:, None] < middles, row, np.inf)
    left = np.where(middles[:, None] > middles, row, np.inf)
    next_right, next_left = right.min(1), left.min(1)
    outer = np.minimum(next_left[:, None], next_right)  # i is left, j is right
    near = (right <= NEARER * outer) & (unions.max(2) <= [WIDTH * unit])
    near &= right == next_right[:, None]
    distances = np.where(near, right, np.inf)
    return np.minimum(distances, distances.T)


def dots(ends: np.ndarray, unit: float) -> np.ndarray:
    gaps, _ = gaps_and_unions(ends)
    small = (ends[:, 2:] - ends[:, :2]).max(1) < SMALL * unit
    gaps = np.maximum(gaps.max(2), 0)
    return np.where(small[:, None] & ~small & (gaps <= GAP * unit), gaps, np.inf)


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
    size = np.array(mask.shape[::-1])
    flat = (sides.max(1) >= size[sides.argmax(1)] / 2) & (sides.min(1) <= 0.1 * sides.max(1))
    edge = flat & ((boxes[:, :2] <= 1).any(1) | (boxes[:, 2:] >= size - 1).any(1))
    keep = (areas >= SPECK * pen**2) & ~edge
    keep[0] = False
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    frame = np.zeros(len(areas), bool)
    for index in np.flatnonzero(keep & (areas < FRAME * sides.prod(1))):
        inside = keep & (middles > boxes[index, :2]).all(1) & (middles < boxes[index, 2:]).all(1)
        inside[index] = False
        frame[index] = inside.sum() >= 3
    left_out = np.count_nonzero(~keep | frame) - 1
    keep &= ~frame
    if not keep.any():
        keep = areas == areas[1:].max()
    numbers = np.where(keep, np.cumsum(keep), 0)
    return numbers[parts], boxes[keep], areas[keep], left_out


def reading_order(ends: np.ndarray, unit: float) -> list[int]:
    """The order of boxes, N x 4, in pixels: rows from the top, which may slope, each from left to right."""
    middles = (ends[:, :2] + ends[:, 2:]) / 2
    rows: list[list[int]] = []
    for index in middles[:, 0].argsort().tolist():
        near = [row for row in rows if abs(middles[row[-1], 1] - middles[index, 1]) < 0.55 * unit]
        if near:
            near[0].append(index)
        else:
            rows.append([index])
    return [index for row in sorted(rows, key=lambda row: middles[row, 1].mean()) for index in row]
