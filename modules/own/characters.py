"""Which parts of the ink are one character: those whose middles are nearer than a character is large.

The unit of all lengths is the median longer side of a picture's larger groups of parts, those of at least half the
largest. It grows while parts are joined.
"""

import cv2
import numpy as np

MIDDLES = 1.15  # units, across or along; groups whose middles are nearer are joined
STROKES = 2.0  # units; two or three bare strokes alone are joined up to this: い, ハ
BARE = 2.9  # the outline of a bare stroke is at most this many times as long as the stroke
SMALL = 0.35  # units; smaller groups are no characters of their own
GAP = 0.5  # units; a small group with a wider gap around it belongs to no other group
SPREAD = 1.4  # units; small groups beside one character that are further apart are no parts of it: punch holes
FINE = 0.4  # of the pen's breadth; thinner ink is print ...
MANY = 6  # ... but where there are more parts, it may be characters by another pen
DUST = 0.25  # of the square of the pen's breadth; what has less area is dust


def label_characters(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the characters in a mask, H x W, 0 or 255, from 1 on in reading order; and count the marks of none."""
    parts, left_out = find_parts(mask)
    y, x = np.nonzero(parts)
    corners = np.full((parts.max(), 4), max(parts.shape))  # of each part: left, top, -right, -bottom
    np.minimum.at(corners, parts[y, x] - 1, np.stack([x, y, -x - 1, -y - 1], axis=1))
    groups = np.arange(len(corners))  # the group of each part
    while True:  # join any two groups that are nearest to each other, until no two are near enough
        count = groups.max() + 1
        ends = np.array([corners[groups == group].min(0) for group in range(count)])
        sides, middles = -ends[:, 2:] - ends[:, :2], (ends[:, :2] - ends[:, 2:]) / 2
        sizes = sides.max(1)
        ranked = np.sort(sizes)
        ranked = ranked[ranked >= ranked[-1 - count // 8] / 2]  # of many, the largest may be several that touch
        unit = ranked[len(ranked) // 2]
        small = sizes < SMALL * unit
        steps = np.abs(middles[:, None] - middles) / unit
        lengths, gaps = steps.max(2), (steps - (sides[:, None] + sides) / 2 / unit).max(2)
        apart = lengths / MIDDLES
        if count <= 3:
            shapes = [np.isin(parts, 1 + np.flatnonzero(groups == group)).astype(np.uint8) for group in range(count)]
            if are_strokes(shapes, sizes):
                apart = lengths / STROKES
            if small.sum() == count - 1:
                far = small & (lengths[:, small].max(1, initial=0) > SPREAD)
                apart[far] = apart[:, far] = np.inf
        apart[(gaps > GAP) & (small | small[:, None])] = np.inf
        np.fill_diagonal(apart, np.inf)
        nearest = apart.argmin(1)
        joined = (nearest[nearest] == np.arange(count)) & (apart.min(1) <= 1)
        if not joined.any():
            break
        merged = np.where(joined, np.minimum(np.arange(count), nearest), np.arange(count))
        groups = np.unique(merged, return_inverse=True)[1][groups]
    order = [index for index in reading_order(middles, unit) if not small[index]]
    numbers = np.zeros(count, int)
    numbers[order] = np.arange(1, len(order) + 1)
    return np.append(0, numbers[groups])[parts], left_out + count - len(order)


def find_parts(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the parts of a mask, H x W, 0 or 255, from 1 on, but those too fine for the pen; count these, but dust."""
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    pen = 4 * depths[mask > 0].mean() - 2  # pixels; a stroke's mean depth is a quarter of its breadth
    bridged = cv2.dilate(mask, np.ones([max(1, round(pen / 2))] * 2, np.uint8))  # a stroke may have gaps
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(bridged)
    parts[mask == 0] = 0
    areas = np.bincount(parts.ravel())
    breadths = 4 * np.bincount(parts.ravel(), depths.ravel()) / areas - 2
    sides = statistics[:, 2:4]
    fine = (breadths < FINE * pen) & (sides.min(1) < SMALL * sides[1:].max())
    dust = areas < DUST * pen**2
    if np.count_nonzero(~fine) > MANY:
        fine &= dust
    fine[0] = dust[0] = True  # the paper
    return np.where(fine, 0, np.cumsum(~fine))[parts], int(np.count_nonzero(fine & ~dust))


def are_strokes(shapes: list[np.ndarray], sizes: np.ndarray) -> bool:
    """Whether masks, H x W, are bare strokes, or all but one that is much larger than the others."""
    bare = []
    for index in sizes.argsort():
        outlines, _ = cv2.findContours(shapes[index], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        longer = max(cv2.minAreaRect(np.concatenate(outlines))[1])
        bare.append(sum(cv2.arcLength(outline, True) for outline in outlines) <= BARE * longer)
    return all(bare[:-1]) and (bare[-1] or 1.4 * np.sort(sizes)[-2:][0] < sizes.max())


def reading_order(middles: np.ndarray, unit: float) -> list[int]:
    """The order of points, N x 2, x and y in pixels: rows from the top, which may slope, each from left to right."""
    rows: list[list[int]] = []
    for index in middles[:, 0].argsort().tolist():
        levels = [abs(middles[row[-1], 1] - middles[index, 1]) for row in rows]  # to the last one in each row so far
        if rows and min(levels) < MIDDLES / 2 * unit:
            rows[int(np.argmin(levels))].append(index)
        else:
            rows.append([index])
    return [index for row in sorted(rows, key=lambda row: middles[row, 1].mean()) for index in row]
