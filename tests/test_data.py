"""KMNIST's files, pixels, the split and the warp."""

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
from modules import augment, kmnist
from modules.augment import warp
from modules.batches import pixels
from tests.conftest import ROOT


@pytest.mark.smoke
def test_the_files_are_those_of_torchvision_and_give_its_tensors(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (ROOT / "data").rglob("*")}
    assert list(kmnist.MD5.items()) == datasets.KMNIST.resources
    assert datasets.KMNIST.classes == kmnist.CLASSES
    (images, labels), (test_images, test_labels) = kmnist.read("train"), kmnist.read("t10k")
    assert images.shape == (60_000, 1, 28, 28)
    assert labels.bincount().tolist() == [6000] * 10
    for kind in ("images-idx3", "labels-idx1"):
        unpacked = gzip.decompress((kmnist.RAW / f"t10k-{kind}-ubyte.gz").read_bytes())
        (tmp_path / kind).write_bytes(unpacked)
    assert torch.equal(test_images[:, 0], read_image_file(str(tmp_path / "images-idx3")))
    assert torch.equal(test_labels, read_label_file(str(tmp_path / "labels-idx1")))
    assert {path: path.stat().st_mtime_ns for path in (ROOT / "data").rglob("*")} == before


@pytest.mark.smoke
def test_pixels_are_those_of_totensor_to_the_bit() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert torch.equal(pixels(torch.from_numpy(levels)), ToTensor()(levels)[0])


def test_every_split_uses_every_image_once_and_0_75_is_the_tutorials() -> None:
    parts = train.split(torch.zeros(60_000), 0.75, by_class=False)
    reference = random_split(range(60_000), [45_000, 15_000], generator=torch.Generator().manual_seed(42))
    assert [list(part) for part in parts] == [list(part.indices) for part in reference]
    for percent in range(1, 100):
        parts = train.split(torch.zeros(100), percent / 100, by_class=False)
        assert len(parts[0]) == percent
        assert sorted([*parts[0], *parts[1]]) == list(range(100))


def test_a_split_by_class_has_its_share_of_each_class() -> None:
    labels = torch.tensor([0] * 100 + [1] * 3 + [2] * 11)[torch.randperm(114)]
    _, rest = train.split(labels, 0.8, by_class=True)
    assert labels[rest].bincount().tolist() == [20, 1, 2]
    few, many = train.split(labels, 0.001, by_class=True)
    assert labels[few].bincount().tolist() == [1, 1, 1]
    assert len(many) == 111


def blobs(count: int) -> torch.Tensor:
    """Images of a spot, eight pixels to the right of their middle."""
    images = torch.zeros(count, 1, 28, 28)
    images[:, :, 13:15, 21:23] = 1
    return images


def only(monkeypatch: MonkeyPatch, **change: float) -> None:
    for name in ("SHIFT", "ROTATION", "SCALE", "DISPLACEMENT"):
        monkeypatch.setattr(augment, name, change.get(name, 0))


@pytest.mark.smoke
def test_each_image_is_warped_in_its_own_way_and_anew(monkeypatch: MonkeyPatch) -> None:
    first, second = warp(blobs(50)), warp(blobs(50))
    assert first.shape == (50, 1, 28, 28)
    assert len({image.numpy().tobytes() for image in torch.cat([first, second])}) == 100
    assert first.min() >= 0
    assert first.max() <= 1 + 1e-6
    only(monkeypatch)
    torch.testing.assert_close(warp(blobs(4)), blobs(4), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("change", "right", "down"),
    [({"SHIFT": 3}, (5, 11), (-3, 3)), ({"ROTATION": 10}, (7.9, 8), (-1.4, 1.4)), ({"SCALE": 0.1}, (7.3, 8.9), (0, 0))],
)
def test_a_warp_is_of_its_size_either_way(monkeypatch: MonkeyPatch, change: dict, right: tuple, down: tuple) -> None:
    torch.manual_seed(0)
    only(monkeypatch, **change)
    spots = warp(blobs(400))[:, 0]
    for axis, ends in ((1, right), (2, down)):
        places = spots.sum(axis) @ (torch.arange(28) - 13.5) / spots.sum((1, 2))
        assert (places.min(), places.max()) == pytest.approx(ends, abs=0.15)
