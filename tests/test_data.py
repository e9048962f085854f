"""KMNIST's files, batches, the split and the warp."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest import MonkeyPatch
from torch.utils.data import random_split
from torchvision import datasets
from torchvision.datasets.mnist import read_image_file, read_label_file
from torchvision.transforms import ToTensor

import train
from modules import kmnist
from modules.augment import warp
from modules.batches import Images, make_loader
from modules.folders import divide
from tests.conftest import Run


@pytest.mark.smoke
def test_the_files_are_those_of_torchvision_and_give_its_tensors(tmp_path: Path) -> None:
    assert list(kmnist.MD5.items()) == datasets.KMNIST.resources
    assert datasets.KMNIST.classes == kmnist.CLASSES
    assert dict(zip(kmnist.CLASSES, kmnist.KANA, strict=True)) == {
        "o": "お", "ki": "き", "su": "す", "tsu": "つ", "na": "な", "ha": "は", "ma": "ま", "ya": "や", "re": "れ",
        "wo": "を",
    }  # fmt: skip
    names, (images, labels), (test_images, test_labels) = kmnist.load()
    assert names == kmnist.CLASSES
    assert images.shape == (60_000, 1, 28, 28)
    assert labels.bincount().tolist() == [6000] * 10
    for kind in ("images-idx3", "labels-idx1"):
        unpacked = gzip.decompress((kmnist.RAW / f"t10k-{kind}-ubyte.gz").read_bytes())
        (tmp_path / kind).write_bytes(unpacked)
    assert torch.equal(test_images[:, 0], read_image_file(str(tmp_path / "images-idx3")))
    assert torch.equal(test_labels, read_label_file(str(tmp_path / "labels-idx1")))


def numbered(count: int) -> Images:
    """Images whose pixels and labels are their number."""
    labels = torch.arange(count)
    pictures = (labels % 256).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 28, 28)
    return Images(pictures, labels, torch.device("cpu"))


@pytest.mark.smoke
def test_a_shuffled_loader_yields_each_image_once_and_each_epoch_in_another_order() -> None:
    loader = make_loader(numbered(130), 64, shuffle=True)
    first, second = (torch.cat([labels for _, labels in loader]) for _ in range(2))
    assert len(loader) == 3
    assert first.sort().values.tolist() == list(range(130))
    assert not torch.equal(first, second)


def test_training_shuffles_and_judging_does_not(
    run: Run, small: None, tmp_path: Path, monkeypatch: MonkeyPatch
) -> None:
    shuffled = []

    def recorded(dataset: Images, size: int, shuffle: bool = False) -> object:
        shuffled.append((len(dataset), shuffle))
        return make_loader(dataset, size, shuffle)

    monkeypatch.setattr(train, "make_loader", recorded)
    flags = ["-m", tmp_path / "m.pth", "-p", tmp_path / "p.png", "--epochs", 1, "--train-split", 0.75]
    assert run("train.py", *flags).code == 0
    assert shuffled == [(600, True), (200, False), (400, False)]


def test_a_plain_loader_keeps_the_order_and_pixels_with_their_labels() -> None:
    batches = list(make_loader(numbered(300), 64))
    assert [len(labels) for _, labels in batches] == [64, 64, 64, 64, 44]
    assert torch.cat([labels for _, labels in batches]).tolist() == list(range(300))
    for images, labels in batches:
        assert torch.equal(
            images, torch.stack([ToTensor()(np.full((28, 28, 1), label % 256, np.uint8)) for label in labels])
        )


def test_the_split_has_the_tutorials_indices_whatever_the_seed() -> None:
    torch.manual_seed(5)
    parts = train.split(torch.zeros(60_000), 0.75, by_class=False)
    reference = random_split(range(60_000), [45_000, 15_000], generator=torch.Generator().manual_seed(42))
    assert [list(part) for part in parts] == [list(part.indices) for part in reference]


def test_every_split_uses_every_image_once() -> None:
    for percent in range(1, 100):
        parts = train.split(torch.zeros(1200), percent / 100, by_class=False)
        assert len(parts[0]) == 12 * percent
        assert sorted([*parts[0], *parts[1]]) == list(range(1200))


def test_a_split_by_class_has_its_share_of_each_class() -> None:
    labels = torch.tensor([0] * 100 + [1] * 3 + [2] * 11)[torch.randperm(114)]
    rest, test = divide(labels, 0.2, 0)
    assert sorted([*rest, *test]) == list(range(114))
    assert labels[test].bincount().tolist() == [20, 1, 2]
    assert [part.tolist() for part in divide(labels, 0.2, 0)] == [rest.tolist(), test.tolist()]
    few, many = train.split(labels, 0.001, by_class=True)
    assert labels[few].bincount().tolist() == [1, 1, 1]
    assert len(many) == 111


def blobs(count: int) -> torch.Tensor:
    images = torch.zeros(count, 1, 28, 28)
    images[:, :, 10:18, 12:16] = 1
    return images


@pytest.mark.smoke
def test_each_image_is_warped_in_its_own_way_and_anew_and_as_the_seed_says() -> None:
    torch.manual_seed(5)
    first, second = warp(blobs(50)), warp(blobs(50))
    assert first.shape == (50, 1, 28, 28)
    assert len({image.numpy().tobytes() for image in torch.cat([first, second])}) == 100
    assert first.min() >= 0
    assert first.max() <= 1 + 1e-6
    torch.manual_seed(5)
    assert torch.equal(first, warp(blobs(50)))
    still = warp(blobs(4), shift=0, rotation=0, scale=0, displacement=0)
    torch.testing.assert_close(still, blobs(4), atol=1e-4, rtol=0)


def test_the_shift_is_in_pixels_and_the_scale_a_share_either_way() -> None:
    torch.manual_seed(0)
    moved = warp(blobs(400), shift=3, rotation=0, scale=0, displacement=0)
    for along in (1, 2):
        centres = moved.sum((1, along + 1)) @ torch.arange(28.0) / 32
        middle = 13.5
        assert centres.max() - middle == pytest.approx(3, abs=0.1)
        assert centres.min() - middle == pytest.approx(-3, abs=0.1)
    areas = warp(blobs(400), shift=0, rotation=0, scale=0.1, displacement=0).sum((1, 2, 3)) / 32
    assert areas.max() == pytest.approx(1 / 0.9**2, abs=0.07)
    assert areas.min() == pytest.approx(1 / 1.1**2, abs=0.05)


def test_rotation_keeps_the_middle_in_place_and_turns_both_ways() -> None:
    torch.manual_seed(0)
    bar = torch.zeros(300, 1, 28, 28)
    bar[:, :, 13:15, 4:24] = 1
    right_half = warp(bar, shift=0, rotation=10, scale=0, displacement=0)[..., 20:24]
    heights = (right_half.sum((1, 3)) @ torch.arange(28.0)) / right_half.sum((1, 2, 3))
    reach = 8 * np.tan(np.radians(10))  # the half's middle is eight pixels from the image's
    assert heights.max() - 13.5 == pytest.approx(reach, abs=0.35)
    assert heights.min() - 13.5 == pytest.approx(-reach, abs=0.35)
