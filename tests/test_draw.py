"""Cards, sheets, text in any script, and the inside of the network, as they are drawn."""

import numpy as np
import pytest
import torch

from modules import draw, layers
from modules.lenet import LeNet


@pytest.mark.smoke
def test_every_script_is_written_somehow_and_never_leaves_its_picture() -> None:
    for text in ("つ tsu 100.0%", "äß", "漢字", "ไทย", "हिन्दी", "Привет", "😀", "a rather long name " * 5, "き" * 40):
        canvas, marks = np.zeros((2, 60, 252, 3), np.uint8)
        draw.write(canvas, text, (14, 35), 30, (255, 255, 255))
        draw.write(marks, "?" * len(text), (14, 35), 30, (255, 255, 255))
        assert (canvas != marks).any()
        assert canvas[5:50, 14:-5].any()
        canvas[2:56, 10:-2] = 0  # OpenCV 4's pen is round
        assert not canvas.any()


@pytest.mark.parametrize(("count", "width"), [(1, 1), (5, 1), (17, 1), (100, 4)])
def test_a_sheet_has_room_for_all_cards_and_a_shape_that_screens_have(count: int, width: int) -> None:
    pictures = [np.full((336, 336 * width, 3), 10 + index, np.uint8) for index in range(count)]
    sheet = draw.sheet([draw.card([picture], "き ki 99.0%", draw.GREEN) for picture in pictures], "heading")
    shades = np.bincount(sheet[..., 0].ravel(), minlength=256)
    assert (shades[10 : 10 + count] > 100 * 100 * width).all()
    assert width > 1 or (sheet == draw.GREEN).all(2).sum() > 100 * count
    assert max(sheet.shape) <= 8100
    assert count < 10 or 0.9 < sheet.shape[1] / sheet.shape[0] < 2


@pytest.mark.smoke
@pytest.mark.parametrize("classes", [2, 49])
def test_layers_show_where_the_network_responds(classes: int) -> None:
    """With a filter that hands its middle pixel on, a map of conv1 is the image itself."""
    model, names = LeNet(1, classes).eval(), [f"class {index}" for index in range(classes)]
    with torch.no_grad():
        model.conv1.weight.zero_()
        model.conv1.bias.zero_()
        model.conv1.weight[19, 0, 2, 2] = 1
    image = np.zeros((28, 28), np.uint8)
    image[10:20, 12:15] = 255
    last = layers.draw_layers(model, image, names)[444:516, 762:834]
    bright = (last > 200).any(2)
    assert 0.9 < bright.sum() / (9 * (image > 0).sum()) < 1.5
    assert bright[24:54, 30:39].all()
    assert layers.draw_layers(model, np.zeros_like(image), names).shape == (layers.HEIGHT, layers.WIDTH, 3)
