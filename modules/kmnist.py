"""Kuzushiji-MNIST out of the project's own `data/`, where nothing is ever written.

The data: "KMNIST Dataset" (created by CODH), adapted from "Kuzushiji Dataset" (created by NIJL and others),
doi:10.20676/00000341, licence CC BY-SA 4.0; `data/README.md` tells more.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch

from modules.command_line import CommandError

RAW = Path(__file__).parent.parent / "data" / "KMNIST" / "raw"
CLASSES = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]  # as in torchvision.datasets.KMNIST
NAMES = ["お o", "き ki", "す su", "つ tsu", "な na", "は ha", "ま ma", "や ya", "れ re", "を wo"]  # with today's kana
Labelled = tuple[torch.Tensor, torch.Tensor]  # images, N x 1 x 28 x 28, uint8, light on dark; labels, N, int64


def load_all() -> tuple[str, list[str], Labelled, Labelled]:
    """The name of the data set, its classes, its training images and its test images, each with their labels."""
    return "KMNIST", CLASSES, load("train"), load("t10k")


def load(part: str) -> Labelled:
    """The images and labels of a part: "train" (60,000) or "t10k" (10,000). Raises CommandError."""
    images, labels = unpack(f"{part}-images-idx3-ubyte.gz", 16), unpack(f"{part}-labels-idx1-ubyte.gz", 8)
    return images.view(-1, 1, 28, 28), labels.long()


def unpack(name: str, header: int) -> torch.Tensor:
    """The numbers in one of the four files, after its header; gzip verifies its checksum. Raises CommandError."""
    try:
        content = gzip.decompress((RAW / name).read_bytes())
        return torch.tensor(np.frombuffer(content, np.uint8, offset=header))
    except (OSError, EOFError, ValueError, zlib.error):
        raise CommandError(f"{RAW / name} is missing or damaged: see data/README.md", code=1) from None
