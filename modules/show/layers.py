"""A look inside the network: what its two convolutions make of one image, and its answer."""

import cv2
import numpy as np
import torch

from modules.batches import pixels
from modules.command_line import CommandError
from modules.lenet import LeNet
from modules.show.cards import BLACK, GREY, bars, enlarge, write

WIDTH, HEIGHT = 1200, 900  # pixels
CONV1_TOP, CONV2_TOP, ANSWER_TOP = 296, 480, 660  # pixels: where the rows begin, each with two lines of text
MOST_FILTERS, MOST_MAPS = 20, 50  # there is room for
FILTER, MAP1, MAP2 = 40, 54, 42  # pixels: the sides of what is drawn
MARK = (255, 190, 0)  # blue: one pixel of one map, and what it was computed from


def require_layers(model: LeNet) -> None:
    """Raise CommandError unless the network has the layers that are drawn."""
    missing = {"conv1", "relu1", "maxpool1", "conv2", "relu2", "fc1"} - {name for name, _ in model.named_children()}
    if missing:
        raise CommandError(
            f"--layers draws conv1, conv2 and fc1, and modules/lenet.py has no {min(missing)} now", code=1
        )


@torch.inference_mode()
def draw_layers(model: LeNet, image: np.ndarray, probabilities: np.ndarray, names: list[str]) -> np.ndarray:
    """Draw an image, the filters and maps of conv1, the maps of conv2 and the answer: HEIGHT x WIDTH x 3, uint8.

    The image is 28 x 28, uint8. The brightest pixel of conv1's maps is marked, and shown as it was computed.
    """
    batch = pixels(torch.from_numpy(image)[None, None].to(model.conv1.weight.device))
    sums = model.conv1(batch)  # 1 x 20 x 24 x 24
    first = model.relu1(sums.clone())
    second = model.relu2(model.conv2(model.maxpool1(first)))  # 1 x 50 x 8 x 8
    sums, first, second = (values[0].cpu().numpy() for values in (sums, first, second))
    weights = model.conv1.weight[:, 0].cpu().numpy()
    bias = np.zeros(len(weights)) if model.conv1.bias is None else model.conv1.bias.cpu().numpy()
    shades = weights / np.abs(weights).max((1, 2), keepdims=True).clip(1e-9)  # -1 to 1
    filters = (127.5 + 127.5 * shades).round().astype(np.uint8)
    count = min(len(first), MOST_FILTERS)
    index, row, column = np.unravel_index(first[:count].argmax(), first[:count].shape)

    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    size, step = weights.shape[1], model.conv1.stride[0]
    padding = ((first.shape[1] - 1) * step + size - len(image)) // 2
    top, left = row * step - padding, column * step - padding
    canvas[40:264, 20:244] = enlarge(image, 224)
    outline(canvas, 20 + 8 * left, 40 + 8 * top, 8 * size, 8 * size)
    write(canvas, "the image, 28 x 28", (20, 26), 22, BLACK)
    padded = np.pad(image, 28)
    patch = padded[28 + top : 28 + top + size, 28 + left : 28 + left + size]
    draw_step(canvas[:, 300:], patch, filters[index], sums[index, row, column], bias[index], first[index, row, column])

    shape = " x ".join(map(str, first.shape[1:]))
    title = f"conv1: {first_of(count, len(first))} filters of {size} x {size}, and below each its map, {shape}"
    words = "A filter slides over the image. White weights want ink, black ones want paper. Maps: black is lowest."
    explain(canvas, CONV1_TOP, title, words)
    for place, (picture, responses) in enumerate(zip(filters[:count], colour_maps(first[:count], MAP1), strict=True)):
        x, y = 20 + place * 58, CONV1_TOP + 56
        canvas[y : y + FILTER, x + 7 : x + 7 + FILTER] = enlarge(picture, FILTER)
        canvas[y + FILTER + 6 : y + FILTER + 6 + MAP1, x : x + MAP1] = responses
        if place == index:
            outline(canvas, x + 7, y, FILTER, FILTER)
            scale = MAP1 / first.shape[1]
            outline(canvas, round(x + column * scale), round(y + FILTER + 6 + row * scale), 3, 3)

    count, shape = min(len(second), MOST_MAPS), " x ".join(map(str, second.shape[1:]))
    title = f"pooling halves each map; conv2: {first_of(count, len(second))} maps, {shape}"
    explain(
        canvas,
        CONV2_TOP,
        title,
        "The same again, on all the maps at once: each filter looks for a larger part of a character.",
    )
    for place, responses in enumerate(colour_maps(second[:count], MAP2)):
        x, y = 20 + place % 25 * 46, CONV2_TOP + 56 + place // 25 * 46
        canvas[y : y + MAP2, x : x + MAP2] = responses

    numbers = f"pooling again, then {model.fc1.in_features} numbers; fc1: {model.fc1.out_features}; fc2: {len(names)}"
    explain(canvas, ANSWER_TOP, f"{numbers} scores; softmax makes them probabilities", "")
    canvas[ANSWER_TOP + 36 : HEIGHT, 20:720] = bars(probabilities, names, 700, HEIGHT - ANSWER_TOP - 36)
    return canvas


def first_of(count: int, total: int) -> str:
    return str(total) if count == total else f"the first {count} of {total}"


def draw_step(
    canvas: np.ndarray, patch: np.ndarray, weights: np.ndarray, total: float, bias: float, value: float
) -> None:
    """How the marked pixel comes about: the image's pixels times the filter's weights, added up, plus the bias."""
    write(canvas, "one step of conv1: how the blue pixel below is computed", (0, 26), 22, BLACK)
    for left, picture in ((0, patch), (170, weights)):
        canvas[64:194, left : left + 130] = enlarge(picture, 130)
        outline(canvas, left, 64, 130, 130)
    write(canvas, "x", (143, 138), 26, BLACK)
    lines = [
        f"= {total - bias:.2f}   the sum of {patch.size} products",
        f"   {bias:+.2f}   the filter's bias",
        f"= {total:.2f}   what conv1 computes",
        f"= {value:.2f}   after relu1: the blue pixel",
    ]
    for line, text in enumerate(lines):
        write(canvas, text, (325, 88 + 34 * line), 24, BLACK)
    write(canvas, "pixels: 0 (black) to 1          weights: black is negative, white positive", (0, 224), 20, GREY)
    write(canvas, "Every pixel of every map is computed like this one.", (0, 256), 20, GREY)


def explain(canvas: np.ndarray, top: int, title: str, words: str) -> None:
    """Write a layer's name and sizes, and what it does, above its pictures."""
    write(canvas, title, (20, top + 20), 22, BLACK)
    write(canvas, words, (20, top + 46), 20, GREY)


def outline(canvas: np.ndarray, left: int, top: int, width: int, height: int) -> None:
    cv2.rectangle(canvas, (left - 2, top - 2), (left + width + 1, top + height + 1), MARK, 2)


def colour_maps(maps: np.ndarray, size: int) -> list[np.ndarray]:
    """The maps of a layer, N x H x W, each size x size x 3: black for the lowest value, yellow for the highest."""
    lowest, highest = min(0, maps.min()), maps.max()
    levels = 255 * np.sqrt((maps - lowest) / max(highest - lowest, 1e-9))  # the root: weak ones show too
    coloured = []
    for level in levels.round().astype(np.uint8):
        picture = cv2.applyColorMap(enlarge(level, size), cv2.COLORMAP_INFERNO)
        if not level.any():  # this filter found nothing
            write(picture, "all 0", (2, size // 2 + 5), 14, (170, 170, 170))
        coloured.append(picture)
    return coloured
