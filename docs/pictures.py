"""Draw the README's pictures of the data (docs/classes.png) and of a page of characters (docs/page.jpg).

python docs/pictures.py
"""

import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))
from modules import kmnist
from modules.display import annotations
from tests import ink

DOCS = Path(__file__).parent
EXAMPLES, SIZE, GAP = 8, 84, 8  # images in a row; pixels


def draw_classes() -> np.ndarray:
    """Ten rows: today's kana, its name, and the first training images of the class."""
    images, labels = kmnist.load("train")
    canvas = np.full((10 * (SIZE + GAP) + GAP, 150 + EXAMPLES * (SIZE + GAP), 3), 255, np.uint8)
    for number, name in enumerate(kmnist.NAMES):
        top = GAP + number * (SIZE + GAP)
        annotations.write(canvas, name.replace(" ", "  "), (16, top + 54), 36, annotations.BLACK)
        for place, image in enumerate(images[labels == number][:EXAMPLES, 0].numpy()):
            left = 150 + place * (SIZE + GAP)
            canvas[top : top + SIZE, left : left + SIZE] = annotations.enlarge(image, SIZE // 28)
    return canvas


def main() -> None:
    (DOCS / "classes.png").write_bytes(annotations.encode(draw_classes(), ".png"))
    images, _ = kmnist.load("t10k")
    page = ink.page(images[:24, 0].numpy(), 4, 6)
    (DOCS / "page.jpg").write_bytes(annotations.encode(cv2.resize(page, None, fx=0.8, fy=0.8), ".jpg"))


if __name__ == "__main__":
    main()
