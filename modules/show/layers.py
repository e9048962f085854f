"""A look inside the network: what its two convolutions make of one image, and its answer."""

import cv2
import numpy as np
import torch

from modules.batches import pixels
from modules.command_line import CommandError
from modules.lenet import LeNet
from modules.show.cards import BLACK, GREY, bars, enlarge, write

WIDTH, HEIGHT = 1200, 900  # pixels
LEFT, CONV1_TOP, CONV2_TOP, ANSWER_TOP = 20, 296, 480, 660  # pixels: where rows begin, each with two lines of text
MOST_FILTERS, MOST_MAPS = 20, 50  # the most that fit
LARGE, SMALL, GAP = 54, 42, 4  # pixels: the sides of conv1's filters and maps and of conv2's maps, and between them
MARK = (255, 190, 0)  # blue: one pixel of one map, and what it was computed from


def require_layers(model: LeNet) -> None:
    """Raise CommandError unless the network has the layers that are drawn."""
    missing = {"conv1", "relu1", "maxpool1", "conv2", "relu2", "fc1"} - {name for name, _ in model.named_children()}
    if missing:
        raise CommandError(f"--layers needs {min(missing)}, and modules/lenet.py has none now", code=1)


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
    weights = model.conv1.weight[:MOST_FILTERS, 0].cpu().numpy()
    shades = weights / np.abs(weights).max((1, 2), keepdims=True).clip(1e-9)  # -1 to 1
    filters = (127.5 + 127.5 * shades).round().astype(np.uint8)
    maps = colour_maps(first[:MOST_FILTERS], LARGE)

    # the brightest pixel, and the part of the image that it was computed from
    index, row, column = np.unravel_index(first[:MOST_FILTERS].argmax(), first[:MOST_FILTERS].shape)
    size, step = weights.shape[1], model.conv1.stride[0]
    padding = ((first.shape[1] - 1) * step + size - len(image)) // 2
    top, left = row * step - padding, column * step - padding
    patch = np.pad(image, 28)[28 + top : 28 + top + size, 28 + left : 28 + left + size]
    total, value = sums[index, row, column], first[index, row, column]
    bias = 0 if model.conv1.bias is None else model.conv1.bias[index].item()
    scale = LARGE / first.shape[1]
    outline(maps[index], round(column * scale), round(row * scale), 3, 3)

    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    write(canvas, "the image, 28 x 28", (LEFT, 26), 22, BLACK)
    canvas[40:264, LEFT : LEFT + 224] = enlarge(image, 224)
    outline(canvas, LEFT + 8 * left, 40 + 8 * top, 8 * size, 8 * size)
    lines = [
        f"= {total - bias:.2f}   the sum of {patch.size} products",
        f"   {bias:+.2f}   the filter's bias",
        f"= {total:.2f}   what conv1 computes",
        f"= {value:.2f}   after relu1: the blue pixel",
    ]
    draw_step(canvas[:, 300:], patch, filters[index], lines)

    shape, count = " x ".join(map(str, first.shape[1:])), first_of(len(maps), len(first))
    title = f"conv1: {count} filters of {size} x {size}, and below each its map, {shape}"
    words = "White weights want ink, black ones paper. A map is bright where the image fits, black where it does not."
    explain(canvas, CONV1_TOP, title, words)
    paste(canvas, [enlarge(picture, LARGE) for picture in filters] + maps, CONV1_TOP + 56, len(maps))
    outline(canvas, LEFT + index * (LARGE + GAP), CONV1_TOP + 56, LARGE, LARGE)

    maps = colour_maps(second[:MOST_MAPS], SMALL)
    shape, count = " x ".join(map(str, second.shape[1:])), first_of(len(maps), len(second))
    words = "The same again, on all the maps at once: each filter looks for a larger part of a character."
    explain(canvas, CONV2_TOP, f"pooling halves each map; conv2: {count} maps, {shape}", words)
    paste(canvas, maps, CONV2_TOP + 56, MOST_MAPS // 2)

    numbers = f"pooling again, then {model.fc1.in_features} numbers; fc1: {model.fc1.out_features}; fc2: {len(names)}"
    explain(canvas, ANSWER_TOP, f"{numbers} scores; temperature and softmax make them probabilities", "")
    canvas[ANSWER_TOP + 36 :, LEFT:720] = bars(probabilities, names, 720 - LEFT, HEIGHT - ANSWER_TOP - 36)
    return canvas


def first_of(count: int, total: int) -> str:
    return str(total) if count == total else f"the first {count} of {total}"


def draw_step(canvas: np.ndarray, patch: np.ndarray, weights: np.ndarray, lines: list[str]) -> None:
    """How the marked pixel comes about: the image's pixels times the filter's weights, and these lines."""
    write(canvas, "one step of conv1: how the blue pixel below is computed", (0, 26), 22, BLACK)
    for left, picture in ((2, patch), (170, weights)):
        canvas[64:194, left : left + 130] = enlarge(picture, 130)
        outline(canvas, left, 64, 130, 130)
    write(canvas, "x", (143, 138), 26, BLACK)
    for line, text in enumerate(lines):
        write(canvas, text, (325, 88 + 34 * line), 24, BLACK)
    write(canvas, "pixels: 0 (black) to 1          weights: black is negative, white positive", (0, 224), 20, GREY)
    write(canvas, "Every pixel of every map is computed like this one.", (0, 256), 20, GREY)


def explain(canvas: np.ndarray, top: int, title: str, words: str) -> None:
    """Write a layer's name and sizes, and what it does, above its pictures."""
    write(canvas, title, (LEFT, top + 20), 22, BLACK)
    write(canvas, words, (LEFT, top + 46), 20, GREY)


def paste(canvas: np.ndarray, pictures: list[np.ndarray], top: int, columns: int) -> None:
    """Put square pictures onto a canvas in rows of so many columns."""
    for number, picture in enumerate(pictures):
        size = len(picture)
        x, y = LEFT + number % columns * (size + GAP), top + number // columns * (size + GAP)
        canvas[y : y + size, x : x + size] = picture


def outline(canvas: np.ndarray, left: int, top: int, width: int, height: int) -> None:
    cv2.rectangle(canvas, (left - 2, top - 2), (left + width + 1, top + height + 1), MARK, 2)


def colour_maps(maps: np.ndarray, size: int) -> list[np.ndarray]:
    """The maps of a layer, N x H x W, each size x size x 3: black for the lowest value, yellow for the highest."""
    lowest, highest = min(0, maps.min()), maps.max()
    levels = 255 * np.sqrt((maps - lowest) / max(highest - lowest, 1e-9))  # the root: weak ones show too
    return [cv2.applyColorMap(enlarge(level, size), cv2.COLORMAP_INFERNO) for level in levels.round().astype(np.uint8)]
