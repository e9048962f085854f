"""Which parts of the ink are one character: those whose middles are closer together than a character is large."""

import cv2
import numpy as np

# a unit is the median longer side of a picture's larger groups of parts; it grows while parts are joined
MIDDLES = 1.15  # units, across or along; groups whose middles are nearer are joined
STROKES = 2.0  # units; two or three bare strokes alone are joined up to this: い, ハ
BARE = 1.2  # of the diagonal of its box; a longer line is no bare stroke
SMALL = 0.35  # units; smaller groups are no characters of their own
GAP = 0.5  # units; a small group with a wider gap around it belongs to no other group
SPREAD = 1.4  # units; small groups beside one character that are further apart are no parts of it: punch holes
FINE = 0.4  # of the pen's breadth; thinner ink is print ...
MANY = 5  # ... but where there are more parts, it may be characters by another pen


def label_characters(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Number the characters in a mask, H x W, 0 or 255, from 1 on in reading order, and count the marks left out."""
    parts, pen, left_out = find_parts(mask)
    y, x = np.nonzero(parts)
    areas = np.bincount(parts[y, x])[1:]
    corners = np.full((len(areas), 4), max(parts.shape))  # left, top, -right, -bottom: the least is outermost
    np.minimum.at(corners, parts[y, x] - 1, np.stack([x, y, -x - 1, -y - 1], axis=1))
    groups = np.arange(len(areas))  # the group of each part
    while True:  # join any two groups that are nearest to each other, until no two are near enough
        count = groups.max() + 1
        ends = np.array([corners[groups == group].min(0) for group in range(count)])
        sides, middles = -ends[:, 2:] - ends[:, :2], (ends[:, :2] - ends[:, 2:]) / 2
        sizes = sides.max(1)
        unit = np.quantile(sizes[sizes >= sizes.max() / 2], 0.5, method="higher")
        small = sizes < SMALL * unit
        steps = np.abs(middles[:, None] - middles) / unit
        lengths, gaps = steps.max(2), (steps - (sides[:, None] + sides) / 2 / unit).max(2)
        bare = np.bincount(groups, areas) < BARE * pen * np.hypot(*sides.T)
        much_larger = sizes > 1.4 * np.sort(sizes)[-2:][0]  # than all others
        apart = lengths / (STROKES if count <= 3 and (bare | much_larger).all() else MIDDLES)
        far = small & (lengths[:, small].max(1, initial=0) > SPREAD) & (count <= 3)
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


def find_parts(mask: np.ndarray) -> tuple[np.ndarray, float, int]:
    """Number the parts of a mask, H x W, 0 or 255, from 1 on; the pen's breadth; and how many are too fine for it."""
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    pen = 4 * depths[mask > 0].mean() - 2  # pixels; a stroke's mean depth is a quarter of its breadth
    bridged = cv2.dilate(mask, np.ones([max(1, round(pen / 2))] * 2, np.uint8))  # a stroke may have gaps
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(bridged)
    parts[mask == 0] = 0
    breadths = 4 * np.bincount(parts.ravel(), depths.ravel()) / np.bincount(parts.ravel()) - 2
    fine = (breadths < FINE * pen) & (statistics[:, 2:4].min(1) < SMALL * statistics[1:, 2:4].max())
    fine &= np.count_nonzero(~fine[1:]) <= MANY
    fine[0] = True  # the paper
    return np.where(fine, 0, np.cumsum(~fine))[parts], pen, np.count_nonzero(fine) - 1


def reading_order(middles: np.ndarray, unit: float) -> list[int]:
    """The order of points, N x 2, x and y in pixels: rows from the top, which may slope, each from left to right."""
    rows: list[list[int]] = []
    for index in middles[:, 0].argsort().tolist():
        near = [row for row in rows if abs(middles[row[-1], 1] - middles[index, 1]) < MIDDLES / 2 * unit]
        if near:
            near[0].append(index)
        else:
            rows.append([index])
    return [index for row in sorted(rows, key=lambda row: middles[row, 1].mean()) for index in row]
