"""Which parts of the ink belong to one character, and in which order the characters of a page are read.

People write characters side by side, so their middles are further apart than a character is large; the middles of a
character's parts are nearer. How large a character is, the picture itself says: the unit of all lengths here is the
median longer side of its larger groups of ink, those of at least half the largest, and it grows as groups are joined.
"""

import cv2
import numpy as np

MIDDLES = 1.1  # units across or along; groups with nearer middles are one character
GAP = 0.3  # units; so are groups with less paper between them, where the groups are few and the unit is a part's: 品
FEW = 6  # groups
DOT, DOT_GAP = 0.3, 1.5  # units, and sizes of its own: a small mark joins what is nearer; a punch hole is not
STROKES = 1.6  # units between the middles of up to three bare strokes where they are all there is: い, ハ, 三
SMALL = 0.35  # units; what is smaller in the end, and near nothing, is no character: punch holes, commas
SPECK, DUST = 0.3, 0.1  # of a square as broad as the pen, which leaves no smaller dots; dust is not worth a word


def label_characters(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Find the characters in a mask of ink, H x W, 0 or 255, and count the marks that belong to none.

    Returns H x W integers: 1 where the first character is, 2 where the second is, in reading order, else 0.
    """
    mask, left_out = without_specks(mask)
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    statistics[0, 2:4] = 0  # the paper, which is no neighbour of anything
    low, high = statistics[:, :2].astype(float), (statistics[:, :2] + statistics[:, 2:4]).astype(float)  # corners
    pairs, gaps = neighbours(mask, parts)
    groups = np.arange(len(low))  # of each part, the group that it is in, called as the first of its parts
    middles = MIDDLES
    while True:
        alone = np.unique(groups[1:])
        sizes = (high - low).max(1)
        unit = np.median(sizes[alone][sizes[alone] >= sizes[alone].max() / 2])
        centres = (low + high) / 2
        lengths = np.abs(centres[pairs[:, 0]] - centres[pairs[:, 1]]).max(1) / middles
        if len(alone) <= FEW:
            lengths = np.minimum(lengths, gaps / GAP)
        smaller = sizes[pairs].min(1)
        lengths = np.where((smaller < DOT * unit) & (gaps > DOT_GAP * smaller), np.inf, lengths)
        nearest = lengths.argmin() if len(pairs) else None
        if nearest is not None and lengths[nearest] <= unit:
            one, other = pairs[nearest]
            low[one], high[one] = np.minimum(low[one], low[other]), np.maximum(high[one], high[other])
            groups[groups == other] = one
            pairs = np.sort(np.where(pairs == other, one, pairs))
            apart = pairs[:, 0] != pairs[:, 1]
            pairs, gaps = pairs[apart], gaps[apart]
        elif middles < STROKES and len(alone) <= 3 and all(is_stroke(groups[parts] == group) for group in alone):
            middles = STROKES
        else:
            break
    characters = alone[sizes[alone] >= SMALL * unit]
    order = characters[reading_order(centres[characters], unit)]
    numbers = np.zeros(len(low), int)
    numbers[order] = np.arange(1, len(order) + 1)
    return numbers[groups][parts], left_out + len(alone) - len(order)


def without_specks(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Take out of a mask, H x W, 0 or 255, what is too small for its pen, as print and dust are; count all but dust."""
    depths = cv2.distanceTransform(mask, cv2.DIST_L2, 3)[mask > 0]
    breadth = 4 * (np.median(depths) - 0.5)  # pixels; in the middle of a stroke it is half as deep as broad
    _, parts, statistics, _ = cv2.connectedComponentsWithStats(mask)
    areas = statistics[:, cv2.CC_STAT_AREA] / breadth**2
    large = areas >= SPECK
    return np.where(large[parts], mask, 0), np.count_nonzero(~large & (areas >= DUST))


def neighbours(mask: np.ndarray, parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of parts, N x 2, with no other part between them, and the paper between each two, N, in pixels."""
    distances, nearest = cv2.distanceTransformWithLabels(255 - mask, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    names = np.zeros(nearest.max() + 1, int)  # OpenCV numbers the parts anew
    names[nearest[mask > 0]] = parts[mask > 0]
    nearest = names[nearest]  # of each pixel, the part that it is nearest to: where two of these meet, add up
    meetings = []
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        meet = nearest[one] != nearest[other]
        pair = np.sort(np.stack([nearest[one][meet], nearest[other][meet]], 1))
        meetings.append(np.column_stack([pair, (distances[one] + distances[other])[meet]]))
    meetings = np.concatenate(meetings)
    meetings = meetings[meetings[:, 2].argsort()]
    _, first = np.unique(meetings[:, 0] * len(names) + meetings[:, 1], return_index=True)
    return meetings[first, :2].astype(int), meetings[first, 2]


def is_stroke(group: np.ndarray) -> bool:
    """Whether a group of ink, H x W, is at most half as broad as long."""
    sides = cv2.minAreaRect(cv2.findNonZero(group.astype(np.uint8)))[1]
    return min(sides) <= max(sides) / 2


def reading_order(centres: np.ndarray, unit: float) -> list[int]:
    """The order of points, N x 2, x and y in pixels: rows from the top, which may slope, each from left to right."""
    rows: list[list[int]] = []
    for index in centres[:, 0].argsort():
        level = [abs(centres[row[-1], 1] - centres[index, 1]) for row in rows]  # to the last one in each row so far
        if rows and min(level) < MIDDLES / 2 * unit:
            rows[int(np.argmin(level))].append(int(index))
        else:
            rows.append([int(index)])
    return [index for row in sorted(rows, key=lambda row: centres[row, 1].mean()) for index in row]
