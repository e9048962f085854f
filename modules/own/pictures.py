"""People's own pictures of characters, each brought to what the network was trained on.

A KMNIST image shows one character, light on dark, centred, its longer side as long as the frame's: within a pixel in
97% of the 60,000 training images (ink: above 64 of 255). The ink is broad: over a tenth of the frame in 98%.
"""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageOps, ImageStat

from modules.own.characters import label_characters
from modules.own.paper import extract_ink

SIZE = 28  # pixels
LARGEST_FILE = 256 * 2**20  # bytes
OVERSAMPLING = 4  # strokes are thickened at four times the size, then reduced with smooth edges
LEAST_INK = 0.10  # mean brightness; 94% of KMNIST's training images have more
FAINTEST_INK = 24  # grey levels of 256 that ink must differ from the paper
FAINT = 0.4  # of the area of the ink; more that is fainter is worth a remark
MOST_CHARACTERS = 200  # on a page; more would be too small
MOST_PARTS = 3000  # of ink; 200 characters have up to 1,600
TOUCHING = 1.8  # of a page's median size: two characters, or more

# those that Pillow reads without help from other programs; AVIF needs a recent Pillow
FORMATS = ["BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", "AVIF"]
Image.MAX_IMAGE_PIXELS = 2**27  # Pillow refuses twice as many, more than cameras take
warnings.filterwarnings("ignore", module="PIL")  # of broken files, which are reported here


class PictureError(Exception):
    """An unreadable picture, or one without a character. The message continues the file's name."""


class Page(NamedTuple):
    """What a picture shows, in reading order."""

    characters: list[np.ndarray]  # 28 x 28, uint8, light on dark
    boxes: list[list[int]]  # left, top, width and height in pixels of the picture as given
    left_out: int  # marks that are too small for a character and near none, or too thin for the pen
    remarks: str  # what was left out, and why the characters may be wrong; or ""


def load_picture(path: Path) -> np.ndarray:
    """Read a picture of any usual format, of 8 or 16 bits, turned the way that its camera was held, or PictureError.

    Returns H x W x 3, uint8, blue, green, red; what is transparent is white, or black where the ink is light.
    """
    try:
        if path.stat().st_size > LARGEST_FILE or not path.is_file():
            raise ValueError
        # from memory: opened by its name, a TIFF that is to be turned comes out garbled
        picture = Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS)
        picture.getexif()
        picture.info.pop("exif", None)  # or all tags would be written anew, which fails on odd ones
        picture = ImageOps.exif_transpose(picture)
        if picture.mode.startswith("I"):  # 16 bits
            deep = np.asarray(picture)
            picture = Image.fromarray((deep * (255 / max(deep.max(), 255))).astype(np.uint8))
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            light = ImageStat.Stat(picture.convert("L"), picture.getchannel("A")).mean[0] > 128
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black" if light else "white"), picture)
        return cv2.cvtColor(np.asarray(picture.convert("RGB")), cv2.COLOR_RGB2BGR)
    except Exception as error:  # of many kinds, as files are broken in many ways
        usual = "no usual picture, or broken or too large: save it as PNG or JPEG"
        raise PictureError(f"cannot be read ({getattr(error, 'strerror', None) or usual})") from None


def find_characters(picture: np.ndarray) -> Page:
    """Find the characters in a picture, H x W x 3, uint8, darker than the paper or lighter. Raises PictureError."""
    ink, ruled = extract_ink(picture)
    threshold, mask = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    if ink.max() < FAINTEST_INK:
        raise PictureError("shows no character: it is all one shade")
    if cv2.connectedComponents(mask)[0] > MOST_PARTS:
        raise PictureError("shows no character: it is full of specks")
    labels, left_out = label_characters(mask)
    scale = max(picture.shape[:2]) / max(ink.shape)
    characters, boxes, sizes = [], [], []
    for number in range(1, labels.max() + 1):
        own = (labels == number).astype(np.uint8)
        x, y, width, height = cv2.boundingRect(own)
        shades, own = (whole[y : y + height, x : x + width] for whole in (ink, own))
        full = np.quantile(shades[own > 0], 0.75)  # the colour of most ink becomes white, half the threshold black
        light = np.clip((shades - threshold / 2) / (full - threshold / 2), 0, 1).astype(np.float32)
        characters.append(frame(light * cv2.dilate(own, np.ones((3, 3), np.uint8))))
        boxes.append([round(scale * length) for length in (x, y, width, height)])
        sizes.append(max(width, height))
    beside = ink[cv2.dilate(mask, np.ones((15, 15), np.uint8)) == 0]
    faint = np.count_nonzero(beside > max(FAINTEST_INK, threshold / 4))
    remarks = {
        f"marks left out: {left_out}": left_out > 0,
        "ruled lines left out": ruled,
        "fainter ink left out": faint > FAINT * np.count_nonzero(mask),
        f"unsure: more than {MOST_CHARACTERS} characters": len(boxes) > MOST_CHARACTERS,
        "unsure: uneven sizes, as where characters touch": max(sizes) > TOUCHING * np.median(sizes),
    }
    return Page(characters, boxes, left_out, "; ".join(remark for remark, holds in remarks.items() if holds))


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
