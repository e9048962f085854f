"""People's own pictures of characters, each brought to what the network was trained on.

A KMNIST image shows one character, light on dark, centred, its longer side as long as the frame's: within a pixel in
97% of the 60,000 training images. The ink is broad: its mean brightness is over a tenth of white in 94%.
"""

import io
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageOps, ImageStat
from pillow_heif import register_heif_opener
from scipy.ndimage import find_objects

from modules.command_line import CommandError
from modules.handwriting.binarize import LEAST_SIZE, extract_ink, scaled
from modules.handwriting.segment import label_characters

SIZE = 28  # pixels
OVERSAMPLING = 4  # strokes are thickened at four times the size, then reduced with smooth edges
LEAST_INK = 0.10  # mean brightness; 94% of KMNIST's training images have more
FAINTEST_INK = 24  # grey levels of 256 that ink must differ from the paper
FAINT = 0.4  # of the mean area of a character; more that is fainter is reported
TOUCHING = 2  # of a page's median width or height: two characters, or more
FORMATS = ["BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP", "AVIF", "HEIF"]  # no other is read
register_heif_opener()
Image.MAX_IMAGE_PIXELS = 2**27  # Pillow refuses twice as many, more than cameras take
warnings.filterwarnings("ignore", module="PIL")  # of broken files, which are reported here


def load_picture(path: str | Path) -> np.ndarray:
    """A picture of any usual format, H x W x 3, uint8, blue, green, red, turned the way that its camera was held.

    What is transparent becomes white, or black if the rest is light. Raises CommandError, whose message continues
    the file's name, as all messages of this module do.
    """
    path = Path(path)
    try:
        if path.stat().st_size > 2**28 or not path.is_file():
            raise ValueError  # a pipe, or a film
        # from memory: opened by its name, a TIFF that is to be turned comes out garbled
        picture: Image.Image = Image.open(io.BytesIO(path.read_bytes()), formats=FORMATS)
        picture.getexif()
        picture.info.pop("exif", None)  # or all tags would be written anew, which fails on odd ones
        picture = ImageOps.exif_transpose(picture)
        if picture.mode[0] in "IF":  # 16 or 32 bits, of which the lightest becomes white; or shares of white
            deep = np.nan_to_num(np.asarray(picture, np.float32), posinf=0).clip(0)
            white = 1 if deep.max() < 2 else max(deep.max(), 255)
            picture = Image.fromarray((deep * (255 / white)).clip(0, 255).astype(np.uint8))
        if picture.has_transparency_data:
            picture = picture.convert("RGBA")
            light = ImageStat.Stat(picture.convert("L"), picture.getchannel("A")).mean[0] > 128
            picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black" if light else "white"), picture)
        return cv2.cvtColor(np.asarray(picture.convert("RGB")), cv2.COLOR_RGB2BGR)
    except Exception as error:  # of many kinds, as files are broken in many ways
        usual = "no usual picture, or broken, or too large: save it as PNG or JPEG"
        raise CommandError(f"cannot be read ({getattr(error, 'strerror', None) or usual})") from None


def find_characters(picture: np.ndarray) -> tuple[torch.Tensor, list[np.ndarray], str]:
    """Find the characters in a picture, H x W x 3, uint8, darker than the paper or lighter, in reading order.

    Returns them as N x 1 x 28 x 28, uint8, light on dark; of each the left, top, width and height as shares of the
    picture's longer side; and a remark on what was left out and on why they may be wrong, or "". Raises CommandError.
    """
    ink, ruled = extract_ink(picture)
    if ink.max() < FAINTEST_INK:
        lines = "only ruled lines; leave more paper around the character"
        raise CommandError(f"shows no character: {lines if ruled else 'no ink stands out from the paper'}")
    threshold, mask = cv2.threshold(ink, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    labels, left_out, unsure = label_characters(mask)
    if max(picture.shape) < LEAST_SIZE and picture.shape[1] <= 1.5 * picture.shape[0]:
        labels, unsure = (labels > 0).astype(int), False  # too small for several
    places = find_objects(labels)
    characters = np.stack([cut_out(ink[at], labels[at] == number) for number, at in enumerate(places, 1)])
    boxes = np.array([[x.start, y.start, x.stop - x.start, y.stop - y.start] for y, x in places]) / max(ink.shape)
    beside = cv2.dilate(mask, np.ones((15, 15), np.uint8)) == 0
    faint = np.count_nonzero(beside & (ink > max(FAINTEST_INK, threshold / 4)))
    remarks = {
        "left out: ruled lines": ruled,
        f"left out: marks ({left_out})": left_out,
        "left out: fainter ink": faint > FAINT * np.count_nonzero(mask) / len(boxes),
        "unsure: which parts belong together": unsure,
        "unsure: uneven sizes, as where characters touch": (boxes.max(0) > TOUCHING * np.median(boxes, 0))[2:].any(),
    }
    return torch.from_numpy(characters)[:, None], [*boxes], "; ".join(text for text, holds in remarks.items() if holds)


def cut_out(ink: np.ndarray, own: np.ndarray) -> np.ndarray:
    """A character as the network gets it, 28 x 28, uint8, centred: ink, H x W, where its own mask is true, or near."""
    light = np.clip(ink / np.quantile(ink[own], 0.75), 0, 1)  # the darkest quarter becomes white
    size, square = SIZE * OVERSAMPLING, np.ones((3, 3), np.uint8)
    light = scaled(light * cv2.dilate(own.astype(np.uint8), square), size).clip(0, 1)  # cubic resizing overshoots
    light /= light.max()  # shrinking makes fine lines faint
    canvas = np.pad(light, [((size - side) // 2, (size - side + 1) // 2) for side in light.shape])
    while canvas.mean() < LEAST_INK:  # a pen draws finer lines than KMNIST's brushes: they would vanish
        canvas = cv2.dilate(canvas, square)
    return (cv2.resize(canvas, (SIZE, SIZE), interpolation=cv2.INTER_AREA) * 255).round().astype(np.uint8)
