"""A look inside the network: what its two convolutions make of one image, and its answer."""

import cv2
import numpy as np
import torch

from modules.batches import pixels
from modules.draw import BLACK, GREY, bars, enlarge, write
from modules.lenet import LeNet

WIDTH, HEIGHT = 1376, 628  # pixels
TOP, BOTTOM = 80, 520  # pixels: the pictures are between them, titles above, explanations below
MARK = (255, 190, 0)  # blue: one pixel of one map, and what it was computed from

IMAGE_WORDS = ["5 x 5 pixels times the weights", "of a filter, added up, make one", "pixel of its map (blue)."]
CONV1_WORDS = [
    "Each filter (left) slides over the image; its map (right) is",
    "bright where the ink looks like it: edges, ends, strokes in",
    "one direction. White wants ink, black wants none.",
]
CONV2_WORDS = ["The same again, on all maps", "at once, at half their size:", "bright at larger parts."]
ANSWER_WORDS = ["All maps together vote for", "each class (fc1 and fc2)."]


@torch.inference_mode()
def draw_layers(model: LeNet, image: np.ndarray, names: list[str]) -> np.ndarray:
    """Draw an image, the filters and maps of conv1, the maps of conv2 and the answer, from left to right.

    The image is 28 x 28, uint8, the drawing HEIGHT x WIDTH x 3. conv1's brightest pixel is marked, with its causes.
    """
    batch = pixels(torch.from_numpy(image)[None, None].to(model.conv1.weight.device))
    first = model.relu1(model.conv1(batch))  # 1 x 20 x 24 x 24
    second = model.relu2(model.conv2(model.maxpool1(first)))  # 1 x 50 x 8 x 8
    answer = model(batch).exp()
    first, second, answer = (values[0].cpu().numpy() for values in (first, second, answer))
    first, second = first[:20].clip(0), second[:50].clip(0)  # what there is room for, should you change the network
    weights = model.conv1.weight[:20, 0].cpu().numpy()
    shades = weights / np.abs(weights).max((1, 2), keepdims=True).clip(1e-9)  # -1 to 1: black wants no ink, white does
    filters = (127.5 + 127.5 * shades).round().astype(np.uint8)
    brightest = np.unravel_index(first.argmax(), first.shape)

    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    draw_image(canvas[:, 20:270], image, filters, brightest)
    explain(canvas[:, 318:834], "conv1", "20 filters, 5 x 5, and their 20 maps, 24 x 24", CONV1_WORDS)
    for index, responses in enumerate(colour_maps(first, 3)):
        top, left = TOP + index // 4 * 91, 320 + index % 4 * 132
        canvas[top + 16 : top + 56, left : left + 40] = enlarge(filters[index], 40)
        canvas[top : top + 72, left + 46 : left + 118] = responses
        if index == brightest[0]:
            frame(canvas, left, top + 16, 40, 40)
            frame(canvas, left + 46 + 3 * brightest[2], top + 3 * brightest[1], 3, 3)
    explain(canvas[:, 890:1120], "conv2", "50 maps, 8 x 8", CONV2_WORDS)
    for index, responses in enumerate(colour_maps(second, 5)):
        top, left = TOP + index // 5 * 44, 890 + index % 5 * 46
        canvas[top : top + 40, left : left + 40] = responses
    explain(canvas[:, 1170:], "the answer", f"{len(names)} classes", ANSWER_WORDS)
    canvas[TOP:BOTTOM, 1170:1370] = bars(answer, names, 200, BOTTOM - TOP)
    for left in (272, 842, 1124):
        cv2.arrowedLine(canvas, (left, TOP + 216), (left + 36, TOP + 216), GREY, 3, cv2.LINE_AA, tipLength=0.4)
    return canvas


def draw_image(column: np.ndarray, image: np.ndarray, filters: np.ndarray, mark: tuple[int, int, int]) -> None:
    """The image, and below it how the marked pixel comes about: pixels x weights = brightness."""
    explain(column, "the image", "28 x 28 pixels", IMAGE_WORDS)
    column[TOP : TOP + 224, :224] = enlarge(image, 224)
    index, row, left = mark
    frame(column, 8 * left, TOP + 8 * row, 40, 40)
    write(column, "one step of conv1:", (0, 382), 18, GREY)
    for place, part in ((2, image[row : row + 5, left : left + 5]), (102, filters[index])):
        column[402:477, place : place + 75] = enlarge(part, 75)
        frame(column, place, 402, 75, 75)
    write(column, "x", (83, 446), 24, BLACK)
    write(column, "=", (186, 446), 24, BLACK)
    column[432:447, 210:225] = colour_maps(np.ones((1, 1, 1)), 15)[0]
    frame(column, 210, 432, 15, 15)


def explain(column: np.ndarray, name: str, size: str, words: list[str]) -> None:
    """Write a layer's name and size above its pictures and what it does below them."""
    write(column, name, (0, 34), 28, BLACK)
    write(column, size, (0, 64), 18, GREY)
    for line, text in enumerate(words):
        write(column, text, (0, BOTTOM + 36 + 26 * line), 18, BLACK)


def frame(canvas: np.ndarray, left: int, top: int, width: int, height: int) -> None:
    cv2.rectangle(canvas, (left - 2, top - 2), (left + width + 1, top + height + 1), MARK, 2)


def colour_maps(maps: np.ndarray, scale: int) -> list[np.ndarray]:
    """The maps of a layer, N x H x W, in colour, enlarged: black for 0, light yellow for the strongest response."""
    levels = (255 * np.sqrt(maps / max(maps.max(), 1e-9))).round().astype(np.uint8)  # the root: weak ones show too
    return [cv2.applyColorMap(enlarge(level, scale * len(level)), cv2.COLORMAP_INFERNO) for level in levels]
