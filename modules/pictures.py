"""People's own pictures of a character, brought to what the network was trained on.

A KMNIST image shows one character, light on dark, centred, and enlarged until its longer side fills the frame: of the
60,000 training images 75% have ink along at least 27 of the 28 pixels, and the middle of the ink is within half a pixel
of the middle of the frame in 90% (ink: above 64 of 255). The ink is broad: over a tenth of the frame in 95%.
"""

from pathlib import Path

import cv2
import numpy as np

SIZE = 28  # pixels
LARGEST_FILE = 256 * 2**20  # bytes
OVERSAMPLING = 4  # strokes are thickened at four times the size, then reduced with smooth edges
WORKING_SIZE = 800  # pixels; larger pictures are reduced first, which takes the noise of a photograph away too
LEAST_SIZE = 64  # pixels; smaller pictures are enlarged first: in them, strokes are as broad as what is between them
PAPER_SIZE = 128  # pixels; shadows are smooth
LEAST_INK = 0.10  # mean brightness of the darkest 5% of KMNIST's training images
FAINTEST_INK = 24  # grey levels of 256 that ink must differ from the paper
SMALLEST_STROKE = 0.03  # of the largest stroke's area; anything smaller is dust


# a broken file is this project's to report, in one line
SILENT = 0
(cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel)(SILENT)


class PictureError(Exception):
    """A file that is no readable picture, or a picture without a character; the text goes on from the file's name."""


def read_picture(path: Path) -> np.ndarray:
    """Read a picture in any format that OpenCV knows: 8 or 16 bits, grey, colour or with alpha.

    Returns:
        H x W x 3, uint8, blue, green, red; what is transparent is white, or black where the ink is light.

    Raises:
        PictureError: the file is missing, unreadable or no picture.
    """
    try:
        if path.exists() and not (path.is_file() and path.stat().st_size <= LARGEST_FILE):
            raise PictureError(f"is no picture file of at most {LARGEST_FILE >> 20} MiB")
        content = np.frombuffer(path.read_bytes(), np.uint8)  # cv2.imread fails on non-ASCII paths on some systems
    except OSError as error:
        raise PictureError(f"cannot be read ({error.strerror})") from None
    try:
        picture = cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
        if picture is not None and (picture.ndim == 2 or picture.shape[2] != 4):
            # unlike IMREAD_UNCHANGED, this turns a photograph the way that its camera was held
            picture = cv2.imdecode(content, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:
        picture = None
    if picture is None or picture.dtype not in (np.uint8, np.uint16):  # others, floats, know no white
        raise PictureError("is no picture of 8 or 16 bits that OpenCV can read: save it as PNG or JPEG")

    if picture.dtype == np.uint16:  # or 10 or 12 bits of 16; stretched, the noise of a blank page would be ink
        picture = (picture >> max(0, int(picture.max()).bit_length() - 8)).astype(np.uint8)
    return over_paper(picture) if picture.shape[2] == 4 else picture


def over_paper(picture: np.ndarray) -> np.ndarray:
    """Lay a picture with alpha, H x W x 4, on white paper, or on black where its opaque pixels are light."""
    colour, opacity = picture[..., :3].astype(np.float32), picture[..., 3:].astype(np.float32) / 255
    brightness = (colour * opacity).sum() / max(3 * opacity.sum(), 1)
    paper = 255 if brightness < 128 else 0
    return (colour * opacity + paper * (1 - opacity)).round().astype(np.uint8)


def to_network_input(picture: np.ndarray) -> np.ndarray:
    """Find the character in a picture and frame it as KMNIST frames its characters.

    Args:
        picture: H x W x 3, uint8; dark ink on light paper or light ink on a dark ground.

    Returns:
        28 x 28, uint8, light on dark.

    Raises:
        PictureError: there is no ink in the picture.
    """
    ink = extract_ink(picture)
    threshold, mask = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if ink.max() < FAINTEST_INK:
        raise PictureError("shows no character: it is all one shade")
    mask = without_dust(mask)
    x, y, width, height = cv2.boundingRect(mask)

    # from half the threshold (paper, shadows) to the full colour of most ink
    full = np.percentile(ink[mask > 0], 75)
    ink = np.clip((ink - threshold / 2) / (full - threshold / 2), 0, 1).astype(np.float32)
    ink *= cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0
    return frame(ink[y : y + height, x : x + width])


def extract_ink(picture: np.ndarray) -> np.ndarray:
    """How much each pixel differs from the paper around it, H x W, uint8, whichever of the two is the darker."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    longest = max(grey.shape)
    factor = np.clip(longest, LEAST_SIZE, WORKING_SIZE) / longest
    if factor != 1:
        size = [max(1, round(side * factor)) for side in grey.shape[::-1]]
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)

    edge = max(1, min(grey.shape) // SIZE)  # a broad character can cover most of a picture, but not of its edge
    paper = np.median(np.concatenate([part.ravel() for part in edges(grey, edge)]))
    darkest, lightest = np.percentile(grey, [0.5, 99.5])
    if paper - darkest < lightest - paper:
        grey = 255 - grey
    return cv2.subtract(paper_alone(grey), grey)


def paper_alone(grey: np.ndarray) -> np.ndarray:
    """The paper of a picture, H x W, with its shadows and without the dark ink on it."""
    reduced = cv2.resize(grey, [min(side, PAPER_SIZE) for side in grey.shape[::-1]], interpolation=cv2.INTER_AREA)
    side = max(3, max(reduced.shape) // 3) | 1  # wider than any stroke
    padded = cv2.copyMakeBorder(reduced, side, side, side, side, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    smooth = cv2.blur(closed, (side, side))[side:-side, side:-side]
    return cv2.resize(smooth, grey.shape[::-1], interpolation=cv2.INTER_LINEAR)


def edges(grey: np.ndarray, width: int) -> list[np.ndarray]:
    """The four strips along the edges of a picture."""
    return [grey[:width], grey[-width:], grey[:, :width], grey[:, -width:]]


def without_dust(mask: np.ndarray) -> np.ndarray:
    """Keep the strokes of a mask, H x W, 0 or 255, and drop the specks around them."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask)
    areas = statistics[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the background
    return np.where((areas >= SMALLEST_STROKE * areas.max())[labels], 255, 0).astype(np.uint8)


def frame(ink: np.ndarray) -> np.ndarray:
    """Enlarge or reduce a character, cropped to its ink, H x W in [0, 1], to fill 28 x 28 pixels, uint8, centred."""
    size = SIZE * OVERSAMPLING
    factor = size / max(ink.shape)
    width, height = (max(1, round(side * factor)) for side in ink.shape[::-1])
    ink = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((size, size), np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = ink
    while canvas.mean() < LEAST_INK:  # a pen draws finer lines than KMNIST's brushes: they would vanish
        canvas = cv2.dilate(canvas, np.ones((3, 3), np.uint8))
    reduced = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return (reduced.clip(0, 1) * 255).round().astype(np.uint8)
