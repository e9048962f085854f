"""Kuzushiji-MNIST out of the project's own `data/`. Every file is verified before it is used; none is written.

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
# names and md5s as in torchvision.datasets.KMNIST
CLASSES = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]
KANA = "おきすつなはまやれを"  # the same ten
MD5 = {
    "train-images-idx3-ubyte.gz": "bdb82020997e1d708af4cf47b453dcf7",
    "train-labels-idx1-ubyte.gz": "e144d726b3acfaa3e44228e80efcd344",
    "t10k-images-idx3-ubyte.gz": "5c965bf0a639b31b8f53240b1b52f4d7",
    "t10k-labels-idx1-ubyte.gz": "7320c461ea6c1c855c0b718fb2a4b134",
}
Labelled = tuple[torch.Tensor, torch.Tensor]  # images, N x 1 x 28 x 28, uint8, light on dark; labels, N, int64


def load(part: str) -> Labelled:
    """The images and labels of a part: "train" (60,000) or "t10k" (10,000). Raises CommandError."""
    # skip the headers of 16 and 8 bytes
    images = np.frombuffer(verified_content(f"{part}-images-idx3-ubyte.gz"), np.uint8, offset=16)
    labels = np.frombuffer(verified_content(f"{part}-labels-idx1-ubyte.gz"), np.uint8, offset=8)
    return torch.tensor(images).view(-1, 1, 28, 28), torch.tensor(labels, dtype=torch.int64)


def verified_content(name: str) -> bytes:
    """The unpacked bytes of one of the four files. Raises CommandError, which says how to get a bad file back."""
    path, cure = RAW / name, "get it back with 'git checkout -- data', or as data/README.md says"
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read ({error.strerror}): {cure}", code=1) from None
    if hashlib.md5(packed, usedforsecurity=False).hexdigest() != MD5[name]:
        raise CommandError(f"{path} is damaged ({len(packed)} bytes, wrong checksum): {cure}", code=1)
    return gzip.decompress(packed)


def load_all() -> tuple[str, list[str], Labelled, Labelled]:
    """The name of the data set, its classes, its training images and its test images, each with their labels."""
    return "KMNIST", CLASSES, load("train"), load("t10k")
