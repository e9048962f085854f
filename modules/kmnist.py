"""Kuzushiji-MNIST, read by torchvision out of the project's own `data/`, where nothing is ever written.

The data: "KMNIST Dataset" (created by CODH), adapted from "Kuzushiji Dataset" (created by NIJL and others),
doi:10.20676/00000341, licence CC BY-SA 4.0; `data/README.md` tells more.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import TensorDataset

from modules.command_line import CommandError

ROOT = Path(__file__).parent.parent / "data"
CLASSES = ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"]  # torchvision's KMNIST.classes
KANA = dict(zip(CLASSES, "おきすつなはまやれを", strict=True))


class ImageDataset(TensorDataset):
    """Images, N x 1 x 28 x 28, uint8, light on dark, and their labels, N, on any device."""

    def __getitems__(self, indices: list[int]) -> tuple[torch.Tensor, ...]:
        """A whole batch by one indexing operation. DataLoader calls this where it is there (pytorch issue 106704)."""
        return self[indices]

    def to(self, device: torch.device) -> "ImageDataset":
        return ImageDataset(*[tensor.to(device) for tensor in self.tensors])


def scale_pixels(batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Make numbers from 0 to 1 of pixels from 0 to 255, as torchvision's ToTensor does, to the bit."""
    images, labels = batch
    return images / 255, labels


def load(train: bool) -> ImageDataset:
    """The 60,000 training images or the 10,000 test images, with their labels. Raises CommandError."""
    from torchvision.datasets import KMNIST  # takes up to 3 seconds, which predict.py --image need not wait for

    try:
        dataset = KMNIST(ROOT, train=train)
    except Exception:  # torchvision fails in several ways where a file is cut or missing
        raise CommandError(
            f"{ROOT} is incomplete or damaged: data/README.md tells how to get it back", code=1
        ) from None
    return ImageDataset(dataset.data[:, None], dataset.targets)


def display_names(classes: list[str]) -> list[str]:
    """Names to show to people: with today's kana if each class is one of KMNIST's."""
    if not set(classes) <= set(CLASSES):
        return classes
    return [f"{KANA[name]} {name}" for name in classes]
