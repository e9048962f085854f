"""A look inside the network: what its two convolutions make of one image, and its answer."""

import cv2
import numpy as np
import torch

from modules.batches import pixels
from modules.lenet import LeNet
from modules.display.annotations import bars, tiled

FILTERS, MAPS = 20, 50  # of conv1 and of conv2: the most that are drawn


@torch.inference_mode()
def draw_layers(model: LeNet, image: np.ndarray, probabilities: np.ndarray, names: list[str]) -> np.ndarray:
    """Draw an image, the filters and maps of conv1, the maps of conv2 and the answer: H x W x 3, uint8.

    The image is 28 x 28, uint8. The brightest pixel of conv1's maps is marked, and shown as it was computed.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes half a second, and only here
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    sums = model.conv1(pixels(torch.from_numpy(image)[None, None].to(model.conv1.weight.device)))  # 1 x 20 x 24 x 24
    first = model.relu1(sums.clone())
    second = model.relu2(model.conv2(model.maxpool1(first)))  # 1 x 50 x 8 x 8
    parts = model.conv1.weight[:FILTERS, 0], sums[0], first[0, :FILTERS], second[0, :MAPS]
    weights, sums, first, second = (part.cpu().numpy() for part in parts)

    # the brightest pixel, and the part of the image that it was computed from
    number, row, column = np.unravel_index(first.argmax(), first.shape)
    side, width, total = weights.shape[1], first.shape[2], sums[number, row, column]
    image = np.pad(image, max(0, width + side - 1 - len(image)) // 2)  # as conv1 does
    patch = image[row : row + side, column : column + side]
    products = (weights[number] * patch / 255).sum()
    lines = [
        f"  {products:.2f}   is the sum of the {patch.size} products",
        f"{round(float(total - products), 2) + 0:+.2f}   is the filter's bias",
        f"= {total:.2f}   is what conv1 computes",
        f"= {first[number, row, column]:.2f}   is left by relu1: the pixel marked blue below",
    ]

    figure = Figure((12, 7.5), dpi=100, layout="constrained")
    rows = [["image", "patch", "weights", "lines"], *([name] * 4 for name in ("filters", "conv1", "conv2"))]
    panels = figure.subplot_mosaic(rows, height_ratios=[4, 1, 1, 2], width_ratios=[1, 0.6, 0.6, 1.6])
    for panel in panels.values():
        panel.axis("off")

    def draw(name: str, picture: np.ndarray, title: str, colours: str, low: float, high: float | None) -> None:
        panels[name].imshow(picture, colours, vmin=low, vmax=high)
        panels[name].set_title(title, loc="left", fontsize=13)

    def mark(name: str, left: int, top: int, size: int) -> None:
        frame = Rectangle((left - 0.5, top - 0.5), size, size, fill=False, color="dodgerblue", linewidth=3)
        panels[name].add_patch(frame)

    largest = np.abs(weights).max()
    draw("image", image, f"the image, {len(image)} x {len(image)}", "gray", 0, 255)
    draw("patch", patch, "the framed part,", "gray", 0, 255)
    draw("weights", weights[number], "times this filter", "gray", -largest, largest)
    panels["lines"].text(0, 0.5, "\n\n".join(lines), va="center", fontsize=14)
    title = f"conv1: filters 1 to {len(weights)} of {len(sums)}. White weights want ink, black ones paper."
    draw("filters", tiled(weights, FILTERS, np.nan), title, "gray", -largest, largest)
    title = f"conv1, relu1: below each filter its map, {width} x {width}, bright where the image fits the filter."
    draw("conv1", tiled(first.clip(0) ** 0.5, FILTERS, np.nan), title, "inferno", 0, None)  # the root: faint ones show
    title = f"maxpool1, conv2, relu2: maps of {len(second[0])} x {len(second[0])}, each from all maps of conv1."
    draw("conv2", tiled(second.clip(0) ** 0.5, MAPS // 2, np.nan), title, "inferno", 0, None)
    mark("image", column, row, side)
    mark("patch", 0, 0, side)
    mark("filters", number * (side + 1), 0, side)
    mark("conv1", number * (width + 1) + column - 1, row - 1, 3)
    title = "maxpool2, fc1, relu3, fc2: the scores. Temperature and softmax make them probabilities:"
    figure.supxlabel(title, x=0, ha="left", fontsize=13)

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    return np.vstack([drawn, bars(probabilities, names, drawn.shape[1], 240)])
