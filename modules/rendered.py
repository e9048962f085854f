"""The stand-in for KMNIST: the same ten characters, drawn with OpenCV's own font and warped at random.

It needs no network and no file, looks like printed Hiragana rather than like old handwriting, and is easier than
KMNIST: good for trying the scripts and for tests, worthless for comparing results.
"""

import cv2
import numpy as np
import torch
from torch.nn import functional

from modules.augment import warp
from modules.kmnist import KANA

TRAIN_IMAGES, TEST_IMAGES = 12_000, 2_000
SIZE = 28  # pixels
OVERSAMPLING = 2  # characters are drawn and warped at twice the size: smooth edges after the reduction


def load(train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the training images or the test images; equal to the bit on every call.

    Returns:
        Images, N x 1 x 28 x 28, uint8, white ink on black, and labels, N, int64, each class equally often.
    """
    count = TRAIN_IMAGES if train else TEST_IMAGES
    with torch.random.fork_rng(devices=[]):  # the run's own random numbers stay what --seed made them
        torch.manual_seed(0 if train else 1)
        labels = torch.randperm(count) % len(KANA)
        glyphs = draw_glyphs()
        images = glyphs[labels, torch.randint(glyphs.shape[1], (count,))]
        images = torch.cat([distort(part) for part in images.split(1000)])
    return images, labels


def draw_glyphs() -> torch.Tensor:
    """Each character in four stroke widths: 10 x 4 x 1 x 56 x 56, float32 in [0, 1]."""
    size = SIZE * OVERSAMPLING
    font = cv2.FontFace("uni")
    glyphs = np.zeros((len(KANA), 4, 1, size, size), np.float32)
    for index, character in enumerate(KANA):
        canvas = np.zeros((2 * size, 2 * size), np.uint8)
        cv2.putText(canvas, character, (size // 2, size * 3 // 2), 255, font, size * 5 // 6)
        x, y, width, height = cv2.boundingRect(canvas)
        left, top = x - (size - width) // 2, y - (size - height) // 2
        thin = canvas[top : top + size, left : left + size]
        for step in range(4):
            glyphs[index, step, 0] = cv2.dilate(thin, np.ones((1 + step, 1 + step), np.uint8)) / 255.0
    return torch.from_numpy(glyphs)


def distort(images: torch.Tensor) -> torch.Tensor:
    """Warp, reduce, blur and fade images, each in its own way: N x 1 x 56 x 56 in [0, 1] to N x 1 x 28 x 28, uint8."""
    images = warp(images, shift=6.0, rotation=15.0, scale=0.2, displacement=5.0)
    images = functional.avg_pool2d(images, OVERSAMPLING)
    blurred = functional.avg_pool2d(images, 3, stride=1, padding=1)
    share, contrast = torch.rand(2, len(images), 1, 1, 1)
    images = torch.lerp(images, blurred, share) * (0.6 + 0.4 * contrast)
    return images.mul(255).round().to(torch.uint8)
