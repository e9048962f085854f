"""A look inside the network: the maps of each of its convolutions for one image, recorded by forward hooks."""

from functools import partial
from typing import NamedTuple

import cv2
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import nn

from modules.command_line import CommandError
from modules.display.annotations import draw_bars
from modules.lenet import LeNet

WIDTH, TITLE, TOP = 9.0, 0.35, 3.1  # inches of 100 pixels: the picture's width, a title's and the upper part's height
MOST_FILTERS, MOST_MAPS = 20, 51  # that are drawn
BLUE = "dodgerblue"


class Step(NamedTuple):
    """What one layer did with one image."""

    name: str
    layer: nn.Module
    inputs: torch.Tensor
    outputs: torch.Tensor


@torch.inference_mode()
def record_steps(model: LeNet, image: torch.Tensor) -> list[Step]:
    """Pass an image, 1 x 28 x 28, uint8, through the network. Returns what each layer did, in their order."""
    steps: list[Step] = []
    hooks = []
    for name, layer in model.named_modules():
        if name:  # the network itself has none
            hooks.append(layer.register_forward_hook(partial(record, steps, name)))
    model(image[None].to(next(model.parameters()).device) / 255)
    for hook in hooks:
        hook.remove()
    return steps


def record(steps: list[Step], name: str, layer: nn.Module, inputs: tuple, outputs: torch.Tensor) -> None:
    """The hook: PyTorch calls it after each layer, with the layer's inputs and outputs."""
    steps.append(Step(name, layer, inputs[0].cpu(), outputs.cpu()))


def group_by_convolution(steps: list[Step]) -> list[list[Step]]:
    """Each convolution with the layers after it that keep the size of its maps, such as ReLU. Raises CommandError."""
    groups: list[list[Step]] = []
    for step in steps:
        if isinstance(step.layer, nn.Conv2d):
            groups.append([step])
        elif groups and step.outputs.shape == groups[-1][0].outputs.shape:
            groups[-1].append(step)
    if not groups:
        raise CommandError("--layers shows convolutions, and modules/lenet.py has no nn.Conv2d", code=1)
    return groups


def draw_feature_maps(model: LeNet, image: torch.Tensor, probabilities: np.ndarray, names: list[str]) -> np.ndarray:
    """Draw an image, 1 x 28 x 28, uint8, the maps of each convolution and the answer: H x W x 3, uint8.

    The brightest pixel of the first convolution is marked blue, and worked out in numbers.
    """
    groups = group_by_convolution(record_steps(model, image))
    tiles, titles = [], []
    for group in groups:
        maps = group[-1].outputs[0, :MOST_MAPS].clamp(min=0).sqrt().numpy()  # the root: faint ones show, too
        tiles.append(tile(maps, count_columns(maps)))
        layers = ", ".join(step.name for step in group)
        titles.append(f"{layers}: {len(maps)} of {group[-1].outputs.shape[1]} maps, {maps.shape[1]} x {maps.shape[2]}")
    titles[0] += ", bright where the image fits the filter"

    heights = [TITLE + WIDTH * len(picture) / picture.shape[1] for picture in tiles]
    figure = Figure((WIDTH, TOP + sum(heights)), dpi=100)
    top = TOP
    for picture, title, height in zip(tiles, titles, heights, strict=True):
        panel = add_picture(figure, picture, title, 0, top, WIDTH, "inferno", (0, None))
        top += height
        if picture is tiles[0]:
            draw_first_convolution(figure, panel, groups[0])

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    drawn = cv2.cvtColor(np.asarray(canvas.buffer_rgba()), cv2.COLOR_RGBA2BGR)
    return np.vstack([drawn, draw_bars(probabilities, names, drawn.shape[1], 240)])


def draw_first_convolution(figure: Figure, maps: Axes, steps: list[Step]) -> None:
    """Draw the filters, and how the brightest pixel of the maps is computed from the image."""
    convolution, *others = steps
    assert isinstance(convolution.layer, nn.Conv2d)
    outputs = steps[-1].outputs[0, :MOST_FILTERS].numpy()
    number, row, column = (int(index) for index in np.unravel_index(outputs.argmax(), outputs.shape))
    filters = convolution.layer.weight[:MOST_FILTERS, 0].detach().cpu().numpy()
    weights, size, stride = filters[number], filters.shape[1], convolution.layer.stride[0]
    # what the convolution puts around the image before it starts
    missing = (outputs.shape[1] - 1) * stride + size - convolution.inputs.shape[2]
    image = np.pad(convolution.inputs[0, 0].numpy(), max(0, missing) // 2)
    patch = image[row * stride :, column * stride :][:size, :size]
    products, total = float((patch * weights).sum()), float(convolution.outputs[0, number, row, column])
    lines = [
        f"  {products:.2f}  sum of the products",
        f"{round(total - products, 2) + 0:+.2f}  the filter's bias",  # + 0: no -0.00
        f"= {total:.2f}  after {convolution.name}",
        *[f"= {float(step.outputs[0, number, row, column]):.2f}  after {step.name}" for step in others],
        "\nmarked in the maps below",
    ]

    largest = float(np.abs(filters).max())
    panel = add_picture(figure, image, "the image", 0, 0, 2.0, "gray", (0, 1))
    mark(panel, column * stride, row * stride, size)
    panel = add_picture(figure, patch, "its framed part", 2.2, 0, 2.0, "gray", (0, 1))
    write_numbers(panel, patch, 0.5)
    panel = add_picture(
        figure, weights, f"filter {number + 1} of {convolution.name}", 4.4, 0, 2.0, "gray", (-largest, largest)
    )
    write_numbers(panel, weights, 0)
    figure.text(6.6 / WIDTH, panel.get_position().y1, "\n".join(lines), va="top", fontsize=10, linespacing=1.6)
    title = f"all filters of {convolution.name}: white weights want ink, black ones want paper"
    panel = add_picture(figure, tile(filters, MOST_FILTERS), title, 0, 2.4, WIDTH, "gray", (-largest, largest))
    mark(panel, number * (size + 1), 0, size)
    side, columns = outputs.shape[1] + 1, count_columns(outputs)
    mark(maps, number % columns * side + column - 1, number // columns * side + row - 1, 3)


def count_columns(maps: np.ndarray) -> int:
    """How many maps, N x H x W, stand in a row: fewer of large ones."""
    return 10 if maps.shape[1] > 12 else 17


def tile(images: np.ndarray, columns: int) -> np.ndarray:
    """Images, N x H x W, in rows, with a gap (nan) below and right of each."""
    padded = np.pad(images, ((0, -len(images) % columns), (0, 1), (0, 1)), constant_values=np.nan)
    return np.vstack([np.hstack([*padded[start : start + columns]]) for start in range(0, len(padded), columns)])


def add_picture(
    figure: Figure,
    picture: np.ndarray,
    title: str,
    left: float,
    top: float,
    width: float,
    colours: str,
    limits: tuple,
) -> Axes:
    """Add a picture below its title, at a place and of a width in inches, its values coloured between two limits."""
    height = figure.get_figheight()
    size = width * len(picture) / picture.shape[1]
    panel = figure.add_axes((left / WIDTH, 1 - (top + TITLE + size) / height, width / WIDTH, size / height))
    panel.imshow(picture, colours, vmin=limits[0], vmax=limits[1])
    panel.set_title(title, loc="left", fontsize=10)
    panel.axis("off")
    return panel


def mark(panel: Axes, left: int, top: int, size: int) -> None:
    """Frame a square of pixels in blue."""
    panel.add_patch(Rectangle((left - 0.5, top - 0.5), size, size, fill=False, color=BLUE, linewidth=2.5))


def write_numbers(panel: Axes, values: np.ndarray, dark: float) -> None:
    """Write each value into its pixel: white on values up to `dark`, black on others."""
    for (row, column), value in np.ndenumerate(values):
        colour = "white" if value <= dark else "black"
        panel.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
