"""Ink from paper: which pixels of a picture are strokes, whatever its light, colours, edges and ruled lines."""

import cv2
import numpy as np

WORKING_AREA = 800 * 800  # pixels; larger pictures are reduced first, which takes the noise of a photograph away too
LONGEST = 2000  # pixels; a long narrow picture is reduced to them
LEAST_SIZE = 64  # pixels; smaller pictures are enlarged first: their strokes are as broad as the gaps between them
SURROUNDINGS = 1 / 8  # of the longer side; ink differs from the mean of so much around it, paper hardly does
COARSEST = 1 / 3  # of the longer side; no stroke is broader, but in small pictures
STROKES = 4  # pen breadths; paper lies no further from a stroke's middle than this
THIN = 1 / 50  # of the shorter side; most lines from edge to edge are thinner, and all are thinner than twice as much
BROAD = 1.25  # pen breadths; lines from edge to edge are no broader
LEVEL = np.pi / 2 - 0.1, np.pi / 2 + 0.1  # radians; the angles of ruled lines' normals, which may slope a little
LONG = 0.6  # of the picture's side; ruled lines are longer
FAINTEST_LINE = 12  # grey levels of 256 that ruled lines differ from the paper
DARKER = 1.4  # times a line's usual darkness; where it is darker than that, a stroke lies along it
MARGIN = 0.07  # of the picture's side; lines from edge to edge come this close to both


def extract_ink(picture: np.ndarray) -> tuple[np.ndarray, bool]:
    """How dark the ink is at each pixel, uint8, or how light, for chalk; and if ruled lines were removed."""
    longest = max(picture.shape)
    small = longest < LEAST_SIZE
    by_area = round(longest * (WORKING_AREA / picture[..., 0].size) ** 0.5)
    picture = scaled(picture, LEAST_SIZE if small else min(longest, by_area, LONGEST))
    channel = channel_of_ink(picture)
    if small:
        return black_hat(channel, 2 * COARSEST * LEAST_SIZE), False
    coarse = black_hat(channel, COARSEST * max(channel.shape))
    thin = THIN * min(coarse.shape)
    ink = remove_rules(coarse, thin, MARGIN)
    ink = remove_rules(ink, min(2 * thin, BROAD * pen_breadth(ink)), MARGIN)  # broader ones
    ink = remove_rules(ink, pen_breadth(ink) - 3)  # others, if finer than the pen
    breadth = min(COARSEST * max(channel.shape), STROKES * pen_breadth(ink))
    return cv2.min(ink, black_hat(channel, breadth)), bool((ink != coarse).any())


def scaled(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture enlarged or reduced until its longer side has so many pixels."""
    factor = longest / max(picture.shape[:2])
    size = [max(1, round(side * factor)) for side in picture.shape[1::-1]]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)


def channel_of_ink(picture: np.ndarray) -> np.ndarray:
    """The channel of CIE L*a*b*, or its negative, in which few pixels are far darker than around: by the third moment.

    The edges of a sheet or a shadow are as dark on one side as light on the other; thin ink has one dark side only.
    """
    lab = cv2.cvtColor(picture, cv2.COLOR_BGR2LAB)
    side = round(max(LEAST_SIZE / 2, SURROUNDINGS * max(lab.shape)))
    difference = cv2.blur(lab, (side, side)).astype(np.float32) - lab
    moments = np.array(cv2.mean(cv2.pow(difference, 3))[:3])
    return np.dstack([lab, 255 - lab])[..., np.append(moments, -moments).argmax()]  # light ink becomes dark


def black_hat(channel: np.ndarray, breadth: float) -> np.ndarray:
    """How much darker each pixel is than the paper: the black-hat, with a square that is broader than any stroke."""
    side = round(max(3, breadth)) | 1
    wider = np.pad(channel, side, mode="edge")  # a dark desk goes on beyond the picture's edges
    return cv2.morphologyEx(wider, cv2.MORPH_BLACKHAT, np.ones((side, side), np.uint8))[side:-side, side:-side]


def pen_breadth(ink: np.ndarray) -> float:
    """The breadth of strokes in pixels, about: four times the mean of the distance transform, over Otsu's threshold."""
    mask = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1]
    return 4 * cv2.mean(cv2.distanceTransform(mask, cv2.DIST_L2, 3), mask)[0] - 2  # distances are 1/2 too long


def remove_rules(ink: np.ndarray, breadth: float, margin: float = 1) -> np.ndarray:
    """Remove long straight lines that are thinner than a breadth in pixels from ink, but no strokes on them.

    With a margin, a share of the picture, only those that come so near to both edges.
    """
    side = max(1, int(breadth - 1)) | 1
    for _ in ("level", "upright"):
        thin = cv2.morphologyEx(ink, cv2.MORPH_TOPHAT, np.ones((side, 1), np.uint8))
        width, edge, rules = ink.shape[1], round(margin * ink.shape[1]) + 1, np.zeros_like(ink)
        dark = cv2.dilate(cv2.inRange(thin, FAINTEST_LINE, 255), np.ones((3, 1), np.uint8))  # lines may bend a little
        lines = cv2.HoughLines(dark, 1, np.pi / 720, round(LONG * width), min_theta=LEVEL[0], max_theta=LEVEL[1])
        for distance, angle in np.reshape([] if lines is None else lines, (-1, 2)):
            left, right = (round(float((distance - x * np.cos(angle)) / np.sin(angle))) for x in (0, width))
            line = cv2.min(thin, cv2.line(np.zeros_like(ink), (0, left), (width, right), 255, side))
            if min(line[:, :edge].max(), line[:, -edge:].max()) >= FAINTEST_LINE:
                rules = cv2.max(rules, line * (line < DARKER * np.quantile(line.max(0), LONG)))  # the rest is ink
        ink = cv2.transpose(cv2.subtract(ink, rules))
    return ink
