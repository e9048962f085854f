"""Kuzushiji-MNIST out of the project's own `data/`, where nothing is ever written.

The data: "KMNIST Dataset" (created by CODH), adapted from "Kuzushiji Dataset" (created by NIJL and others),
doi:10.20676/00000341, licence CC BY-SA 4.0; `data/README.md` tells more.
"""

import gzip
import hashlib
from pathlib import Path

import numpy as np
import torch

from modules.command_line import CommandError

RAW = Path(__file__).parent.parent / "data" / "KMNIST" / "raw"
CLASSES = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]  # as in torchvision.datasets.KMNIST
NAMES = ["お o", "き ki", "す su", "つ tsu", "な na", "は ha", "ま ma", "や ya", "れ re", "を wo"]  # with today's kana
MD5 = {  # of the images and of the labels, as in torchvision.datasets.KMNIST
    "train": ("bdb82020997e1d708af4cf47b453dcf7", "e144d726b3acfaa3e44228e80efcd344"),
    "t10k": ("5c965bf0a639b31b8f53240b1b52f4d7", "7320c461ea6c1c855c0b718fb2a4b134"),
}
Labelled = tuple[torch.Tensor, torch.Tensor]  # images, N x 1 x 28 x 28, uint8, light on dark; labels, N, int64


def load_all() -> tuple[str, list[str], Labelled, Labelled]:
    """The name of the data set, its classes, its training images and its test images, each with their labels."""
    return "KMNIST", CLASSES, load("train"), load("t10k")


def load(part: str) -> Labelled:
    """The images and labels of a part: "train" (60,000) or "t10k" (10,000). Raises CommandError."""
    images = unpack(f"{part}-images-idx3-ubyte.gz", MD5[part][0], header=16)
    labels = unpack(f"{part}-labels-idx1-ubyte.gz", MD5[part][1], header=8)
    return images.view(-1, 1, 28, 28), labels.long()


def unpack(name: str, md5: str, header: int) -> torch.Tensor:
    """The bytes of one of the four files after its header. Raises CommandError if it is not the official file."""
    path = RAW / name
    packed = path.read_bytes() if path.is_file() else b""
    if hashlib.md5(packed, usedforsecurity=False).hexdigest() != md5:
        raise CommandError(f"{path} is missing or damaged: see data/README.md", code=1)
    return torch.tensor(np.frombuffer(gzip.decompress(packed), np.uint8, offset=header))
