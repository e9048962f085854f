"""The plot of a training run: loss on the left, accuracy on the right."""

import io
import os

# draws into files: works without a screen; matplotlib's import fails if a notebook left a backend here that is not
# installed, so this comes before it
os.environ["MPLBACKEND"] = "Agg"
import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator, PercentFormatter


def plot_endings() -> list[str]:
    """The file endings that a plot can have, each with its dot."""
    figure = plt.figure()
    known = figure.canvas.get_supported_filetypes()
    plt.close(figure)
    return sorted(f".{name}" for name in known if name != "pgf")  # pgf needs a TeX installation


def draw_plot(history: dict[str, list[float]], dataset: str, augmented: bool, ending: str) -> bytes:
    """Draw losses and accuracies over the epochs.

    Args:
        history: train_loss, val_loss, train_acc and val_acc, one number for each epoch.
        dataset: name of the data set, for the title.
        augmented: whether the training images were warped, which makes them harder than the validation images.
        ending: one of `plot_endings`.

    Returns:
        The content of the picture file.
    """
    epochs = range(1, len(history["train_loss"]) + 1)
    with plt.style.context("ggplot"):
        figure, panels = plt.subplots(1, 2, figsize=(11, 4.8), layout="constrained")
        figure.suptitle(f"Training Loss and Accuracy on Dataset: {dataset}")
        for panel, quantity, title in zip(panels, ("loss", "acc"), ("Loss", "Accuracy"), strict=True):
            for part, colour in (("train", "C0"), ("val", "C1")):
                curve = history[f"{part}_{quantity}"]
                panel.plot(epochs, curve, marker="o", markersize=4, color=colour, label=f"{part}_{quantity}")
            panel.set_title(title, fontsize="medium")
            panel.set_xlabel("Epoch #")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            panel.legend(title="train: on warped images" if augmented else None)
        panels[1].yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
        picture = io.BytesIO()
        figure.savefig(picture, format=ending[1:].lower(), dpi=120)
        plt.close(figure)
    return picture.getvalue()
