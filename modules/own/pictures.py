"""People's own pictures of a character, brought to what the network was trained on.

A KMNIST image shows one character, light on dark, centred, and enlarged until its longer side fills the frame: of the
60,000 training images 97% have ink that spans at least 27 of the 28 pixels, and its middle is within half a pixel of
the middle of the frame in 97% (ink: above 64 of 255). The ink is broad: over a tenth of the frame in 98%.
"""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from modules.own.paper import WORKING_SIZE, extract_ink, levels

SIZE = 28  # pixels
LARGEST_FILE = 256 * 2**20  # bytes
OVERSAMPLING = 4  # strokes are thickened at four times the size, then reduced with smooth edges
LEAST_INK = 0.10  # mean brightness; 94% of KMNIST's training images have more
FAINTEST_INK = 24  # grey levels of 256 that ink must differ from the paper
SMALLEST_STROKE = 0.03  # of the largest stroke's area; anything smaller is dust
# two characters, see require_one; in lengths of the longer part, from training images, pairs of them and rendered fonts
APART, PART_EDGE, WHOLE_EDGE = 1.1, 2.5, 8.0

Image.init()
FORMATS = ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"]  # EPS would start Ghostscript
FORMATS = [name for name in FORMATS if name in Image.ID]  # an older Pillow has no AVIF
Image.MAX_IMAGE_PIXELS = 2**27  # Pillow refuses twice as many, more than cameras take
warnings.filterwarnings("ignore", module="PIL")  # of broken files, which are reported here


class PictureError(Exception):
    """A file that is no readable picture, or a picture without a character; the text goes on from the file's name."""


def load_picture(path: Path) -> np.ndarray:
    """Read a picture of any usual format, of 8 or 16 bits, turned the way that its camera was held, or PictureError.

    Returns H x W x 3, uint8, blue, green, red; what is transparent is white, or black where the ink is light.
    """
    try:
        if path.stat().st_size > LARGEST_FILE or not path.is_file():
            raise ValueError
        content = io.BytesIO(path.read_bytes())  # opened by its name, a TIFF that is to be turned comes out garbled
        picture = Image.open(content, formats=FORMATS)
        picture.draft(None, (WORKING_SIZE, WORKING_SIZE))  # a larger JPEG is reduced while it is decoded
        picture.getexif()
        picture.info.pop("exif", None)  # or all tags would be written anew, which fails on odd ones
        ImageOps.exif_transpose(picture, in_place=True)
        return to_colours(picture)
    except Exception as error:  # of many kinds, as files are broken in many ways
        reason = getattr(error, "strerror", None) or "no usual picture, or broken or too large: save it as PNG or JPEG"
        raise PictureError(f"cannot be read ({reason})") from None


def to_colours(picture: Image.Image) -> np.ndarray:
    """The pixels of a picture of any mode but floats, laid on white paper, or on black where opaque ones are light."""
    if picture.mode == "F":
        raise ValueError
    if picture.mode.startswith("I"):  # 16 bits, or 10, 12 or 14; stretching would make ink of a blank page's noise
        deep = np.asarray(picture).clip(0)
        picture = Image.fromarray((deep >> max(0, int(deep.max()).bit_length() - 8)).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        small = np.asarray(picture.resize((64, 64)), np.float32)
        light = small[..., :3].mean(2).ravel() @ small[..., 3].ravel() > 128 * small[..., 3].sum()
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black" if light else "white"), picture)
    return cv2.cvtColor(np.asarray(picture.convert("RGB")), cv2.COLOR_RGB2BGR)


def to_network_input(picture: np.ndarray) -> np.ndarray:
    """Find the character in a picture, H x W x 3, uint8, and frame it as KMNIST frames its characters.

    The ink may be darker than its paper or lighter; the answer is 28 x 28, uint8, light on dark. Raises PictureError
    where there is no ink, or more than one character.
    """
    ink = extract_ink(picture)
    threshold, mask = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if ink.max() < FAINTEST_INK:
        raise PictureError("shows no character: it is all one shade")
    mask = strokes_alone(mask)
    require_one(mask)
    x, y, width, height = cv2.boundingRect(mask)

    # from half the threshold (paper, shadows) to the full colour of most ink
    full = levels(ink, [0.75], mask)[0]
    ink = np.clip((ink - threshold / 2) / (full - threshold / 2), 0, 1).astype(np.float32)
    ink *= cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0
    return frame(ink[y : y + height, x : x + width])


def strokes_alone(mask: np.ndarray) -> np.ndarray:
    """Keep the strokes of a mask, H x W, 0 or 255, and drop the specks, print and punch holes around them."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask)
    lefts, tops, widths, heights, areas = statistics.T
    areas[0] = 0  # the background
    strokes = areas >= SMALLEST_STROKE * areas.max()
    lengths = np.maximum(widths, heights)
    longest = lengths[strokes].max()
    large = strokes & (lengths > longest / 3)
    across = (lefts > (lefts + widths)[large].max()) | (lefts + widths < lefts[large].min())
    along = (tops > (tops + heights)[large].max()) | (tops + heights < tops[large].min())
    small = strokes & (across | along)
    # a character has two dots at most beside its strokes, close together; what else is there is print or punch holes
    if small.sum() > 2 or (small.any() and max(np.ptp(lefts[small]), np.ptp(tops[small])) > 0.7 * longest):
        strokes &= ~small
    return np.where(strokes[labels], 255, 0).astype(np.uint8)


def require_one(mask: np.ndarray) -> None:
    """Raise PictureError where the strokes in a mask are those of two characters, side by side or stacked."""
    # there are gaps within characters too, but few so wide or so far in, with so much edge of ink on both sides
    for axis in (0, 1):
        inked = mask.any(axis=axis).nonzero()[0]
        gaps = np.diff(inked) - 1
        for index in gaps.nonzero()[0]:
            cut = [inked[index] + 1]
            boxes = [cv2.boundingRect(part)[2:] for part in np.split(mask, cut, 1 - axis)]
            longest, narrower = np.max(boxes), min(box[axis] for box in boxes)
            if narrower + 2 * gaps[index] > APART * longest:
                smooth = cv2.medianBlur(mask, 5)  # rough ink has long edges too
                edge = smooth - cv2.erode(smooth, np.ones((3, 3), np.uint8), borderValue=0)
                edges = [np.count_nonzero(part) for part in np.split(edge, cut, 1 - axis)]
                if min(edges) > PART_EDGE * longest and sum(edges) > WHOLE_EDGE * longest:
                    raise PictureError("shows more than one character: cut one out")


def frame(ink: np.ndarray) -> np.ndarray:
    """Enlarge or reduce a character, cropped to its ink, H x W in [0, 1], to fill 28 x 28 pixels, uint8, centred."""
    size = SIZE * OVERSAMPLING
    factor = size / max(ink.shape)
    width, height = (max(1, round(side * factor)) for side in ink.shape[::-1])
    ink = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
    canvas = np.zeros((size, size), np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[top : top + height, left : left + width] = ink / ink.max()  # reduced, fine lines are faint
    while canvas.mean() < LEAST_INK:  # a pen draws finer lines than KMNIST's brushes: they would vanish
        canvas = cv2.dilate(canvas, np.ones((3, 3), np.uint8))
    reduced = cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return (reduced.clip(0, 1) * 255).round().astype(np.uint8)
