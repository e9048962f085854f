"""A Dataset that hands a DataLoader whole batches, and a division of images by their content."""

import hashlib

import torch
from torch.utils.data import TensorDataset

EVALUATION_BATCH = 250  # images; larger than in training, as no gradients are kept


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 images to float32 in [0, 1], as torchvision's ToTensor does, to the bit."""
    return images.float().div(255)


class Images(TensorDataset):
    """Images, N x C x H x W, and their labels, N, which a DataLoader fetches a whole batch at a time."""

    def __getitems__(self, indices: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The (image, label) pairs of a batch: a DataLoader calls this where it is there (pytorch issue 106704)."""
        return list(zip(*self[indices], strict=True))


def divide(images: torch.Tensor, labels: torch.Tensor, share: float) -> tuple[list[int], list[int]]:
    """Split each class in two; the second part gets `share` of its different images, at least one and never all.

    A hash of its pixels gives each image of a class its place, and the second part is the beginning of that order. So
    an image that is added or removed moves at most its neighbours at the border, and equal images are never parted.
    """
    first, second = [], []
    hashes = [hashlib.sha256(image.tobytes()).digest() for image in images.numpy()]
    for number in labels.unique():
        members = (labels == number).nonzero().flatten().tolist()
        different = sorted({hashes[index] for index in members})
        chosen = set(different[: min(max(1, round(share * len(different))), len(different) - 1)])
        for index in members:
            (second if hashes[index] in chosen else first).append(index)
    return first, second
