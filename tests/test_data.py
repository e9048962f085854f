"""Batches, the split, the warp and the stand-in; with the real files, that pixels are torchvision's to the bit."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import random_split
from torchvision.transforms import ToTensor

import train
from modules import kmnist, rendered
from modules.augment import warp
from modules.batches import Images, make_loader, pixels

CPU = torch.device("cpu")


def numbered(count: int) -> Images:
    """Images whose pixels and labels are their number."""
    labels = torch.arange(count)
    return Images((labels % 256).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 28, 28), labels, CPU)


def test_a_shuffled_loader_yields_each_image_once_and_each_epoch_in_another_order() -> None:
    loader = make_loader(numbered(130), 64, shuffle=True)
    first, second = (torch.cat([labels for _, labels in loader]) for _ in range(2))
    assert len(loader) == 3
    assert first.sort().values.tolist() == list(range(130))
    assert not torch.equal(first, second)


def test_a_plain_loader_keeps_the_order_and_pixels_with_their_labels() -> None:
    batches = list(make_loader(numbered(130), 64))
    assert [len(labels) for _, labels in batches] == [64, 64, 2]
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(130))
    for images, labels in batches:
        assert images.shape[1:] == (1, 28, 28)
        assert torch.equal(images[:, 0, 5, 5], labels.float() / 255)


def test_pixels_equal_to_tensor_for_every_grey_level() -> None:
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert torch.equal(pixels(torch.from_numpy(image)), ToTensor()(image)[0])


@pytest.mark.kmnist
def test_pixels_equal_torchvisions_on_the_real_files(kmnist_root: Path) -> None:
    images, labels = kmnist.load(kmnist_root, train=False)
    kmnist.load(kmnist_root, train=True)  # torchvision's own class wants all four files
    reference = kmnist.datasets.KMNIST(kmnist_root, train=False, transform=ToTensor())
    assert len(images) == len(reference) == 10_000
    ours = pixels(images)
    for index in range(0, 10_000, 7):
        image, label = reference[index]
        assert torch.equal(ours[index], image)
        assert labels[index] == label


@pytest.mark.kmnist
def test_the_real_files_load_within_a_second_once_unpacked(kmnist_root: Path) -> None:
    kmnist.load(kmnist_root, train=True)
    start = time.perf_counter()
    images, labels = kmnist.load(kmnist_root, train=True)
    assert time.perf_counter() - start < 3  # 0.1 s on an idle machine
    assert images.shape == (60_000, 1, 28, 28)
    assert labels.bincount().tolist() == [6000] * 10


def test_the_split_has_the_tutorials_indices() -> None:
    everything = numbered(60_000)
    train_set, validation_set = train.split(everything.images, everything.labels, 0.75, CPU)
    reference = random_split(range(60_000), [45_000, 15_000], generator=torch.Generator().manual_seed(42))
    assert train_set.labels.tolist() == list(reference[0].indices)
    assert validation_set.labels.tolist() == list(reference[1].indices)


@pytest.mark.parametrize("percent", range(1, 100))
def test_every_split_uses_every_image_once(percent: int) -> None:
    labels = torch.arange(1200)
    parts = train.split(torch.zeros(1200, 1, 1, 1, dtype=torch.uint8), labels, percent / 100, CPU)
    assert len(parts[0]) == 12 * percent
    assert sorted(parts[0].labels.tolist() + parts[1].labels.tolist()) == labels.tolist()


def blobs(count: int) -> torch.Tensor:
    images = torch.zeros(count, 1, 28, 28)
    images[:, :, 10:18, 12:16] = 1
    return images


def test_each_image_is_warped_in_its_own_way_and_anew() -> None:
    torch.manual_seed(0)
    first, second = warp(blobs(50)), warp(blobs(50))
    assert first.shape == (50, 1, 28, 28)
    assert len({image.numpy().tobytes() for image in torch.cat([first, second])}) == 100
    assert first.min() >= 0
    assert first.max() <= 1 + 1e-6


def test_warps_repeat_with_the_seed() -> None:
    torch.manual_seed(5)
    first = warp(blobs(8))
    torch.manual_seed(5)
    assert torch.equal(first, warp(blobs(8)))


def test_no_warp_at_all_returns_the_images() -> None:
    images = torch.rand(4, 1, 28, 28)
    still = warp(images, shift=0, rotation=0, scale=0, displacement=0)
    torch.testing.assert_close(still, images, atol=1e-4, rtol=0)


def centres(images: torch.Tensor) -> torch.Tensor:
    """Centres of mass, N x 2, in pixels: x, y."""
    positions = torch.arange(28.0)
    mass = images.sum((1, 2, 3))
    return torch.stack([(images.sum((1, 2)) @ positions) / mass, (images.sum((1, 3)) @ positions) / mass], dim=1)


@pytest.mark.parametrize("amount", [1.0, 3.0])
def test_the_shift_is_in_pixels_either_way(amount: float) -> None:
    torch.manual_seed(0)
    moved = centres(warp(blobs(400), shift=amount, rotation=0, scale=0, displacement=0)) - centres(blobs(1))
    assert moved.abs().max() <= amount + 1e-3
    assert moved.max() > 0.95 * amount
    assert moved.min() < -0.95 * amount


def test_the_scale_is_a_share_of_the_size() -> None:
    torch.manual_seed(0)
    areas = warp(blobs(400), shift=0, rotation=0, scale=0.1, displacement=0).sum((1, 2, 3)) / 32
    assert 1.15 < areas.max() < 1.3  # 1 / 0.9 ** 2 = 1.23
    assert 0.75 < areas.min() < 0.87  # 1 / 1.1 ** 2 = 0.83


def test_rotation_keeps_the_middle_in_place_and_turns_both_ways() -> None:
    torch.manual_seed(0)
    bar = torch.zeros(300, 1, 28, 28)
    bar[:, :, 13:15, 4:24] = 1
    turned = warp(bar, shift=0, rotation=10, scale=0, displacement=0)
    right_half = turned[..., 20:24].clone()
    heights = (right_half.sum((1, 3)) @ torch.arange(28.0)) / right_half.sum((1, 2, 3))
    reach = 8 * np.tan(np.radians(10))  # the half's middle is eight pixels from the image's
    assert heights.max() - 13.5 == pytest.approx(reach, abs=0.35)
    assert heights.min() - 13.5 == pytest.approx(-reach, abs=0.35)


def test_the_stand_in_looks_like_kmnist_to_the_code() -> None:
    images, labels = rendered.load(train=False)
    assert images.shape == (2000, 1, 28, 28)
    assert images.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert labels.bincount().tolist() == [200] * 10
    assert rendered.TRAIN_IMAGES == 12_000
    again, _ = rendered.load(train=False)
    assert torch.equal(images, again)
    assert len({image.numpy().tobytes() for image in images}) == 2000


def test_the_stand_in_leaves_the_runs_random_numbers_alone(small: None) -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    rendered.load(train=False)
    assert torch.equal(torch.rand(4), expected)


def test_every_character_of_the_stand_in_is_drawn_and_differs() -> None:
    glyphs = rendered.draw_glyphs()[:, 0, 0]
    assert glyphs.mean((1, 2)).min() > 0.03
    differences = (glyphs[:, None] - glyphs[None]).abs().mean((2, 3))
    assert differences[~torch.eye(10, dtype=torch.bool)].min() > 0.03  # ten times the same box would give 0
