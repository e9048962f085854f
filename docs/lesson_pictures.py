"""Draw the pictures of docs/lesson.md that no script of the project draws.

    python -m docs.lesson_pictures

Run it in the project's folder. It writes docs/rates.png, one-weight.png, filters.png, warps.png and shuffled.png.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.figure import Figure

from modules import checkpoint, kmnist
from modules.augment import warp
from modules.lenet import LeNet

DOCS = Path(__file__).parent
RATES = {"too small": 0.01, "good": 0.3, "too large": 1.05}
STEPS = 6  # of gradient descent in each panel
DEAD = [8, 12, 14]  # filters of pretrained.pth, as the lesson finds them
CHARACTERS, SCALE = 8, 3  # images in a row; times as large


def descend(w: float, rate: float, steps: int) -> list[float]:
    """The weights that gradient descent visits on the loss (w - 3) squared, whose gradient is 2 (w - 3)."""
    path = [w]
    for _ in range(steps):
        w -= rate * 2 * (w - 3)
        path.append(w)
    return path


def draw_rates() -> Figure:
    """Gradient descent on one curve with three learning rates."""
    figure = Figure((8, 3.1), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    curve = np.linspace(-2.2, 8.2, 200)
    for panel, (name, rate) in zip(panels, RATES.items(), strict=True):
        path = np.array(descend(0.0, rate, STEPS))
        panel.plot(curve, (curve - 3) ** 2, color="0.6")
        panel.plot(path, (path - 3) ** 2, "o-", color="C3", markersize=5)
        panel.plot(path[0], (path[0] - 3) ** 2, "o", color="black", markersize=7)
        panel.set(title=f"rate {rate}: {name}", xlabel="weight w", ylim=(-1, 27))
        panel.annotate("start", (path[0], (path[0] - 3) ** 2), (-30, -14), textcoords="offset points")
    panels[0].set_ylabel("loss")
    return figure


def draw_one_weight() -> Figure:
    """The loss of the untrained network on one batch, while one bias of its last layer changes and nothing else."""
    images, labels = (part[:64] for part in kmnist.load(train=True).tensors)
    torch.manual_seed(42)
    model, loss_function = LeNet(numChannels=1, classes=10), torch.nn.NLLLoss()
    weight = model.fc2.bias
    weight.data[0] = start = 2.0  # far enough from the lowest place for a slope that can be seen
    loss = loss_function(model(images / 255), labels)
    loss.backward()
    slope, here = weight.grad[0].item(), loss.item()
    values, losses = np.linspace(-6, 6, 121), []
    for value in values:
        weight.data[0] = value
        with torch.no_grad():
            losses.append(loss_function(model(images / 255), labels).item())
    figure = Figure((8, 3.3), layout="constrained")
    panel = figure.subplots()
    panel.plot(values, losses, color="0.5", label="loss of the batch")
    near = np.array([start - 1.5, start + 1.5])
    panel.plot(
        near, here + slope * (near - start), "--", color="C3", label=f"the slope there, the gradient: {slope:+.2f}"
    )
    panel.plot(start, here, "o", color="black", markersize=7, label=f"the weight: {start:.0f}, the loss: {here:.2f}")
    panel.set(xlabel="first bias of fc2; all other weights stay as they are", ylabel="loss")
    panel.legend(loc="upper left")
    return figure


def draw_filters() -> Figure:
    """The filters of conv1 at their random start, and those of the pretrained network, which began with the same."""
    torch.manual_seed(42)
    rows = {"at the random start": LeNet(numChannels=1, classes=10)}
    rows["pretrained.pth"], _ = checkpoint.load(DOCS.parent / "output" / "pretrained.pth")
    figure = Figure((8, 1.9), layout="constrained")
    parts = figure.subfigures(2, 1)
    for part, (name, model) in zip(parts, rows.items(), strict=True):
        part.suptitle(name, fontsize=10, x=0.01, ha="left")
        for number, panel in enumerate(part.subplots(1, 20), start=1):
            weights = model.conv1.weight[number - 1, 0].detach().numpy()
            panel.imshow(weights, "gray", vmin=-0.5, vmax=0.5)
            panel.set(xticks=[], yticks=[])
            dead = number in DEAD
            panel.set_xlabel(number, fontsize=9, color="C3" if dead else "black")
            panel.spines[:].set(color="C3" if dead else "black", linewidth=2 if dead else 0.5)
    return figure


def draw_rows(*rows: torch.Tensor) -> np.ndarray:
    """Rows of images, each N x 1 x 28 x 28, with pixels from 0 to 1, light on dark as the network gets them."""
    lines = [np.hstack([*np.pad(row[:, 0].numpy(), ((0, 0), (0, 1), (0, 1)), constant_values=1)]) for row in rows]
    canvas = np.vstack(lines).repeat(SCALE, axis=0).repeat(SCALE, axis=1)
    return (canvas * 255).round().astype(np.uint8)


def main() -> None:
    for name, draw in (("rates", draw_rates), ("one-weight", draw_one_weight), ("filters", draw_filters)):
        draw().savefig(DOCS / f"{name}.png", dpi=100)
    images, labels = kmnist.load(train=True).tensors
    characters = torch.stack([images[labels == number][0] for number in range(CHARACTERS)]) / 255
    torch.manual_seed(42)
    warped = draw_rows(*[warp(characters) if row else characters for row in range(4)])
    order = np.random.RandomState(0).permutation(28 * 28)  # as in the lesson's experiment
    shuffled = draw_rows(characters, characters.flatten(1)[:, order].view(-1, 1, 28, 28))
    for name, picture in (("warps", warped), ("shuffled", shuffled)):
        (DOCS / f"{name}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())


if __name__ == "__main__":
    main()
