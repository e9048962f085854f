"""What is drawn: text in any script, cards and sheets, the inside of the network, the plot of a run."""

import io
import re

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from pytest import MonkeyPatch
from torch import nn

import predict
from modules import plot
from modules.lenet import LeNet
from modules.show import cards, layers

STROKE = np.zeros((28, 28), np.uint8)
STROKE[10:20, 12:15] = 255


@pytest.mark.smoke
def test_every_script_is_written_somehow_and_never_leaves_its_picture() -> None:
    for text in ("つ tsu 100.0%", "äß", "漢字", "ไทย", "हिन्दी", "Привет", "😀", "a rather long name " * 5, "き" * 40):
        canvas = np.zeros((60, 252, 3), np.uint8)
        cards.write(canvas, text, (14, 35), 30, (255, 255, 255))
        assert canvas[5:50, 14:-5].any()
        canvas[2:56, 10:-2] = 0  # OpenCV 4's pen is round
        assert not canvas.any()


@pytest.mark.parametrize(("count", "width"), [(1, 1), (5, 1), (17, 1), (36, 4)])
def test_a_sheet_has_room_for_all_cards_and_a_shape_that_screens_have(count: int, width: int) -> None:
    pictures = [np.full((336, 336 * width, 3), 10 + index, np.uint8) for index in range(count)]
    sheet = cards.sheet([cards.card([picture], "き ki 99.0%", cards.GREEN) for picture in pictures], "heading")
    shades = np.bincount(sheet[..., 0].ravel(), minlength=256)
    assert (shades[10 : 10 + count] > 100 * 100 * width).all()
    assert count < 10 or 0.9 < sheet.shape[1] / sheet.shape[0] < 2
    for ending in predict.ENDINGS:
        blue = cards.encode(np.full((9, 9, 3), (255, 0, 0), np.uint8), ending.upper())
        assert np.abs(np.asarray(Image.open(io.BytesIO(blue)).convert("RGB"), int) - (0, 0, 255)).max() < 9


@pytest.fixture
def panels(monkeypatch: MonkeyPatch) -> tuple[list[np.ndarray], list[str]]:
    """The pictures and the texts of a Matplotlib figure."""
    pictures, texts, imshow, write = [], [], Axes.imshow, Text.set_text
    monkeypatch.setattr(Axes, "imshow", lambda *args, **more: pictures.append(args[1]) or imshow(*args, **more))
    monkeypatch.setattr(Text, "set_text", lambda self, text: texts.append(str(text)) or write(self, text))
    return pictures, texts


@pytest.mark.smoke
def test_layers_show_where_the_network_responds(panels: tuple) -> None:
    """With a filter that hands its middle pixel on, a map of conv1 is the image itself, two pixels cut off."""
    model, chances, names = LeNet(1, 2).eval(), np.full(2, 0.5), ["one", "two"]
    nn.init.zeros_(model.conv1.weight)
    nn.init.zeros_(model.conv1.bias)
    nn.init.ones_(model.conv1.weight[19, 0, 2, 2].detach())
    drawn = layers.draw_layers(model, STROKE, chances, names)
    assert np.array_equal(panels[0][4][:24, 19 * 25 :][:, :24], STROKE[2:-2, 2:-2] / 255)
    assert (drawn == (255, 144, 30)).all(2).sum() > 500  # the blue marks
    assert layers.draw_layers(model, np.zeros_like(STROKE), chances, names).shape == drawn.shape


def test_layers_of_another_network_and_the_step_that_is_computed(panels: tuple) -> None:
    model = LeNet(1, 49).eval()
    model.conv1, model.conv2, model.relu1 = nn.Conv2d(1, 40, 3, padding=2), nn.Conv2d(40, 60, 7), nn.Tanh()
    layers.draw_layers(model, STROKE, np.full(49, 0.02), ["name"] * 49)
    texts = "\n".join(panels[1])
    products, bias, total, value = (float(number) for number in re.findall(r"([-+]?\d\.\d\d)   is ", texts)[:4])
    assert products + bias == pytest.approx(total, abs=0.02)
    patch = torch.from_numpy(panels[0][1]) / 255
    assert (model.conv1.weight[:20, 0] * patch).sum((1, 2)).sub(products).abs().min() < 0.006
    image = torch.from_numpy(STROKE)[None, None] / 255
    assert model.relu1(model.conv1(image))[0, :20].max().item() == pytest.approx(value, abs=0.006)


@pytest.mark.smoke
@pytest.mark.filterwarnings("error")  # a character that no font has is one
@pytest.mark.parametrize(("count", "mistakes", "rate"), [(2, 1, 1e-3), (10, 0, 2e-3), (49, 40, 2e-3)])
def test_the_plot_can_be_read(monkeypatch: MonkeyPatch, count: int, mistakes: int, rate: float) -> None:
    figures, savefig = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda *args, **more: figures.append(args[0]) or savefig(*args, **more))
    classes = [f"{number} か $ \u037f and a long name" for number in range(count)]
    confusion = 100 * np.eye(count, dtype=int)
    confusion[0] += np.arange(count) * mistakes
    history = {"train_loss": [0.5, 0.3], "val_loss": [0.4, 0.6], "train_acc": [0.1, 0.2], "val_acc": [0.1, 0.2]}
    history["lr"] = [1e-3, rate]
    assert plot.draw_plot(history, confusion, classes, "か" * 99, ".PDF").startswith(b"%PDF")

    panels = {panel.get_title() or panel.get_ylabel(): panel for panel in figures[0].axes}
    assert ("learning rate (dashed)" in panels) == (rate > 1e-3)  # where it changes
    for title, name in (("Loss", "loss"), ("Accuracy", "acc")):
        curves = {line.get_label(): [*line.get_ydata()] for line in panels[title].lines}
        assert {f"train_{name}", f"val_{name}"} <= {*curves}
        assert curves[f"val_{name}"] == history[f"val_{name}"]
        assert all(tick == int(tick) for tick in panels[title].get_xticks())
    assert "lowest val_loss: epoch 1" in {line.get_label() for line in panels["Loss"].lines}
    assert len(figures[0].get_suptitle()) < 80

    matrix = panels["Test images"]
    assert len(matrix.texts) == (np.count_nonzero(confusion) if count <= plot.MOST_COUNTS else 0)
    assert all(len(label.get_text()) <= plot.LONGEST for label in matrix.get_xticklabels())
