"""KMNIST's files, pixels, split and warp, the network, its temperature, what training on it reaches, the benchmark."""

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest import MonkeyPatch
from torch.nn import functional
from torch.utils.data import DataLoader, random_split
from torchvision import datasets
from torchvision.transforms import ToTensor

import train
from docs import benchmark
from modules import augment, kmnist, temperature
from modules.augment import warp
from modules.lenet import LeNet
from tests.conftest import Run, quick, read


def test_one_epoch_on_a_quarter_of_the_images_teaches_most_and_draws_its_plot(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch
) -> None:
    quarter = kmnist.ImageDataset(*[tensor[:15_000] for tensor in kmnist.load(train=True).tensors])
    parts = {True: quarter, False: kmnist.load(train=False)}
    monkeypatch.setattr(kmnist, "load", lambda train: parts[train])
    done = run("train.py", "-m", tmp_path / "m.pth", "-p", tmp_path / "p.png", "--epochs", 1)
    assert (done.code, done.err) == (0, "")
    assert float(re.search(r"Val accuracy: (.*)", done.out)[1]) > 0.85  # on all images over 0.95
    assert (tmp_path / "p.png").stat().st_size > 20_000


def test_the_pretrained_network_reads_9840_of_the_10000_test_images() -> None:
    images, labels = kmnist.load(train=False).tensors
    right = (read(images) == labels).sum().item()
    assert right == pytest.approx(9840, abs=2)  # other processors round otherwise


MD5 = {
    "train-images-idx3-ubyte": "92be26ec9822e900ac425d0a0aa84ced",
    "train-labels-idx1-ubyte": "949e75301f8813e0dc5800dcc320fc52",
    "t10k-images-idx3-ubyte": "bf305b8cd328700fbc17f5acbc2856d2",
    "t10k-labels-idx1-ubyte": "9f55f451c0988b028eccdf7d5cc265ab",
}
RAW = kmnist.ROOT / "KMNIST" / "raw"


@pytest.mark.smoke
def test_the_files_are_the_official_ones_and_batches_are_those_of_torchvision() -> None:
    assert {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in RAW.iterdir()} == MD5
    assert datasets.KMNIST.classes == kmnist.CLASSES
    official = datasets.KMNIST(kmnist.ROOT, train=False, transform=ToTensor())
    loaders = [
        DataLoader(official, batch_size=64),
        DataLoader(kmnist.load(train=False), 64, collate_fn=kmnist.scale_pixels),
    ]
    expected, batch = (next(iter(loader)) for loader in loaders)
    assert torch.equal(expected[0], batch[0])
    assert torch.equal(expected[1], batch[1])


@pytest.mark.parametrize("name", MD5)
@pytest.mark.parametrize("spoil", [lambda path: os.truncate(path, 2000), Path.unlink])
def test_bad_data_is_one_line(tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, name: str, spoil: Callable) -> None:
    raw = tmp_path / "KMNIST" / "raw"
    raw.mkdir(parents=True)
    for path in RAW.iterdir():
        (raw / path.name).symlink_to(path)
    (raw / name).unlink()
    (raw / name).write_bytes((RAW / name).read_bytes()[:5000])
    spoil(raw / name)
    monkeypatch.setattr(kmnist, "ROOT", tmp_path)
    done = run("train.py", *quick(tmp_path / "out"))
    line = f"train.py: error: {tmp_path} is incomplete or damaged: data/README.md tells how to get it back\n"
    assert (done.code, done.err) == (1, line)
    assert not (tmp_path / "out").exists()


def test_every_split_uses_every_image_once_and_0_75_is_the_tutorials() -> None:
    def split(count: int, share: float) -> list[list[int]]:
        dataset = kmnist.ImageDataset(torch.zeros(count, 1), torch.arange(count))
        return [list(part.indices) for part in train.split(dataset, share, own=False)]

    reference = random_split(range(60_000), [45_000, 15_000], generator=torch.Generator().manual_seed(42))
    assert split(60_000, 0.75) == [list(part.indices) for part in reference]
    for percent in range(1, 100):
        parts = split(100, percent / 100)
        assert len(parts[0]) == percent
        assert sorted(parts[0] + parts[1]) == list(range(100))


@pytest.mark.smoke
def test_the_network_is_the_tutorials_to_the_bit_under_its_names() -> None:
    model, images = LeNet(numChannels=1, classes=10), torch.rand(64, 1, 28, 28)
    layers = ("conv1", "conv2", "fc1", "fc2")
    assert [*model.state_dict()] == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    assert sum(weights.numel() for weights in model.parameters()) == 431_080
    x = functional.max_pool2d(functional.relu(model.conv1(images)), 2)
    x = functional.max_pool2d(functional.relu(model.conv2(x)), 2)
    x = functional.relu(model.fc1(x.flatten(1)))
    assert torch.equal(model(images), functional.log_softmax(model.fc2(x), 1))
    assert LeNet(numChannels=3, classes=49)(torch.rand(2, 3, 28, 28)).shape == (2, 49)


@pytest.mark.smoke
def test_hooks_on_a_convolution_see_what_it_computed_and_its_gradient() -> None:
    model, seen = LeNet(1, 10), []
    model.conv1.register_forward_hook(lambda layer, inputs, output: seen.append(output))
    model.conv1.register_full_backward_hook(lambda layer, inputs, gradients: seen.append(gradients[0]))
    model(torch.rand(2, 1, 28, 28, requires_grad=True)).sum().backward()
    assert seen[0].min() < 0  # not what ReLU left of it
    assert seen[1].shape == (2, 20, 24, 24)


@pytest.mark.parametrize("true", [0.5, 1.0, 2.5])
def test_the_temperature_that_scores_were_spoilt_with_is_found(true: float) -> None:
    torch.manual_seed(0)
    honest = torch.randn(10_000, 10).mul(2).log_softmax(1)
    labels = torch.multinomial(honest.exp(), 1)[:, 0]
    spoilt = (honest * true).log_softmax(1)
    found, loss = temperature.choose_temperature(spoilt, labels)
    assert found == pytest.approx(true, rel=0.06)
    assert loss == pytest.approx(functional.nll_loss(honest, labels).item(), rel=0.01)
    assert temperature.choose_temperature(spoilt[:100], labels[:100])[0] == 1  # too few to tell


SPOTS = torch.zeros(400, 1, 28, 28)
SPOTS[:, :, 13:15, 21:23] = 1  # eight pixels to the right of their middle


@pytest.mark.smoke
def test_each_image_is_warped_in_its_own_way_and_anew() -> None:
    warped = torch.cat([warp(SPOTS), warp(SPOTS)])
    assert len({image.numpy().tobytes() for image in warped}) == 800
    assert 0 <= warped.min() < warped.max() <= 1 + 1e-6


WARPS = [({"SHIFT": 3}, (5, 11), (-3, 3)), ({"ROTATION": 10}, (7.9, 8), (-1.4, 1.4))]
WARPS += [({"SCALE": 0.1}, (7.3, 8.9), (0, 0)), ({"DISPLACEMENT": 3}, (5.7, 10.3), (-2.2, 2.7))]


@pytest.mark.parametrize(("change", "right", "down"), WARPS)
def test_a_warp_is_of_its_size_either_way(monkeypatch: MonkeyPatch, change: dict, right: tuple, down: tuple) -> None:
    torch.manual_seed(0)
    for name in ("SHIFT", "ROTATION", "SCALE", "DISPLACEMENT"):
        monkeypatch.setattr(augment, name, change.get(name, 0))
    spots = warp(SPOTS)[:, 0]
    for axis, ends in ((1, right), (2, down)):
        places = spots.sum(axis) @ (torch.arange(28) - 13.5) / spots.sum((1, 2))
        assert (places.min(), places.max()) == pytest.approx(ends, abs=0.15)


def first_400(*args: object, **more: object) -> datasets.KMNIST:
    data = datasets.KMNIST(*args, **more)
    data.data, data.targets = data.data[:400], data.targets[:400]
    return data


def test_the_plain_loop_trains_and_a_command_is_measured(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr(benchmark, "KMNIST", first_400)
    model, script = tmp_path / "m.pth", tmp_path / "script.py"
    benchmark.plain_loop(1, "cpu", model, tmp_path / "p.png")
    assert model.stat().st_size > 10_000
    script.write_text("print('[INFO] total time taken to train the model: 1.25s', flush=True)")
    assert benchmark.measure([str(script)])[0] == 1.25
    runs, plain = np.array([(4, 5), (6, 6)]), np.array([(8, 15), (12, 18)])
    assert "| 2.50 (2.00-3.00) | 2.00 | 3.00 | 5.5 |" in benchmark.row("new", runs, plain, epochs=2)
