"""The plot of a training run: loss and accuracy over the epochs, and what was taken for what in the test."""

import io
import re

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter

# numpy before 2.4 measures floats when it is first asked about them, and complains if denormals are off by then
np.finfo(np.float32), np.finfo(np.float64)
LONGEST_LABEL = 15  # characters of a class name
MOST_COUNTS = 15  # classes up to which a number fits into each field of the confusion matrix
Curves = dict[str, list[float]]  # train_loss, val_loss, train_acc and val_acc, a number for each epoch


def draw_plot(
    history: Curves, confusion: np.ndarray | None, classes: list[str], dataset: str, augmented: bool, ending: str
) -> bytes:
    """A picture file (its ending ".png", ".svg" ...) with a run's curves and, if it came to the test, its confusions.

    `augmented` training images are warped, and harder than those of the validation. `confusion` tells how many images
    of class i (row) were read as class j (column).
    """
    rooms = [["loss", "acc"]] if confusion is None else [[name] * 2 + ["confusion"] * 3 for name in ("loss", "acc")]
    # names may have a $ in them; and a personal matplotlibrc, with TeX say, changes no plot
    with style.context(["ggplot", {"text.parse_math": False, "legend.framealpha": 1}], after_reset=True):
        figure = Figure((12, 7), layout="constrained")  # not pyplot's: no window, whatever the screen
        panels = figure.subplot_mosaic(rooms)
        names = [f"Training Loss and Accuracy on Dataset: {dataset}"]
        texts = [figure.suptitle(drawable(names[0]))]
        for quantity, title in (("loss", "Loss"), ("acc", "Accuracy")):
            draw_curves(panels[quantity], history, quantity, title, augmented)
        if confusion is not None:
            classes = [name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 3]}..." for name in classes]
            texts += draw_confusion(panels["confusion"], confusion, [*map(drawable, classes)])
            names += 2 * classes
        draw_names(figure, texts, names)
        picture = io.BytesIO()
        figure.savefig(picture, format=ending[1:].lower(), dpi=120)
    return picture.getvalue()


def draw_curves(panel: Axes, history: Curves, quantity: str, title: str, augmented: bool) -> None:
    epochs = range(1, len(history["train_loss"]) + 1)
    for part, colour in (("train", "C0"), ("val", "C1")):
        curve = history[f"{part}_{quantity}"]
        panel.plot(epochs, curve, marker="o", markersize=4, color=colour, label=f"{part}_{quantity}")
    panel.set_title(title, fontsize="medium")
    panel.set_xlabel("Epoch #")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if quantity == "acc":
        panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=1))
    panel.legend(title="train: on warped images" if augmented else None)


def draw_confusion(panel: Axes, confusion: np.ndarray, classes: list[str]) -> list[Text]:
    """Draw the confusion matrix; returns the texts of its class names."""
    from sklearn.metrics import ConfusionMatrixDisplay

    many = len(classes) > MOST_COUNTS
    # the colours are for the mistakes: a hundred times larger, the right answers would leave them white
    display = ConfusionMatrixDisplay(confusion * (1 - np.eye(len(classes), dtype=int)), display_labels=classes)
    display.plot(include_values=not many, cmap="Reds", ax=panel, colorbar=False, text_kw={"fontsize": "small"})
    for field, text in np.ndenumerate(display.text_) if not many else ():
        text.set(text=confusion[field] or "", in_layout=False)  # inside its panel; asking each takes time
    panel.set_title("Test images", fontsize="medium")
    panel.set(xlabel="read as", ylabel="is")
    panel.tick_params(labelsize="x-small" if many else "medium")
    panel.tick_params("x", labelrotation=90 if many or max(map(len, classes)) > 5 else 0)
    panel.grid(False)
    return panel.get_xticklabels() + panel.get_yticklabels()


def drawable(name: str) -> str:
    """A name with a W, as broad, for each character beyond Latin, Greek and Cyrillic, which matplotlib's font has."""
    return re.sub("[^\0-\u02af\u0386-\u04ff\u2010-\u2027]", "W", name)


def draw_names(figure: Figure, texts: list[Text], names: list[str]) -> None:
    """Lay pictures of those names that are not drawable, made by OpenCV, over the texts in their places."""
    foreign = [pair for pair in zip(texts, names, strict=True) if pair[1] != drawable(pair[1])]
    if not foreign:
        return
    from modules.draw import BLACK, text_width, write  # OpenCV, which nothing else here needs

    figure.draw_without_rendering()  # finds the places
    for text, name in foreign:
        picture = np.full((24, text_width(name, 24) + 8, 3), 255, np.uint8)
        write(picture, name, (0, 19), 24, BLACK)
        box = text.get_window_extent().transformed(figure.transFigure.inverted())
        text.set_alpha(0)
        place = figure.add_axes(box.bounds, anchor="NE")
        place.axis("off")
        place.imshow(np.rot90(picture[:, :-7]) if text.get_rotation() else picture[:, :-7])  # without its margin
