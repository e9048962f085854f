"""The plot of a training run: loss and accuracy over the epochs, and what was taken for what in the test."""

import io

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator, PercentFormatter

# numpy before 2.4 measures floats when it is first asked about them, and complains if denormals are off by then
np.finfo(np.float32), np.finfo(np.float64)
LONGEST_LABEL = 15  # characters of a class name
MOST_COUNTS = 15  # classes up to which a number fits into each field of the confusion matrix


def draw_plot(
    history: dict[str, list[float]],
    dataset: str,
    augmented: bool,
    ending: str,
    confusion: np.ndarray | None = None,
    classes: list[str] | None = None,
) -> bytes:
    """Draw losses and accuracies over the epochs, and the confusion matrix of the test if there is one.

    Args:
        history: train_loss, val_loss, train_acc and val_acc, one number for each epoch.
        augmented: whether the training images were warped, which makes them harder than the validation images.
        ending: ".png", ".svg" ..., of the picture file whose content is returned.
        confusion: how many images of class i (row) were read as class j (column), classes x classes.
    """
    rooms, size, widths = [["loss", "confusion"], ["acc", "confusion"]], (12, 7), [1, 1.5]
    if confusion is None:
        rooms, size, widths = [["loss", "acc"]], (11, 4.8), [1, 1]
    # names may have a $ in them; and a personal matplotlibrc, with TeX say, changes no plot
    with style.context(["ggplot", {"text.parse_math": False, "legend.framealpha": 1}], after_reset=True):
        figure = Figure(size, layout="constrained")  # not pyplot's: no window, whatever the screen
        panels = figure.subplot_mosaic(rooms, width_ratios=widths)
        title = f"Training Loss and Accuracy on Dataset: {dataset}"
        names = {figure.suptitle(drawable(title)): title}
        for quantity, title in (("loss", "Loss"), ("acc", "Accuracy")):
            draw_curves(panels[quantity], history, quantity, title, augmented)
        if confusion is not None:
            classes = [name if len(name) <= LONGEST_LABEL else f"{name[: LONGEST_LABEL - 1]}…" for name in classes]
            draw_confusion(panels["confusion"], confusion, [*map(drawable, classes)])
            for labels in (panels["confusion"].get_xticklabels(), panels["confusion"].get_yticklabels()):
                names |= dict(zip(labels, classes, strict=True))
        draw_names(figure, names)
        picture = io.BytesIO()
        figure.savefig(picture, format=ending[1:].lower(), dpi=120)
    return picture.getvalue()


def draw_curves(panel: Axes, history: dict[str, list[float]], quantity: str, title: str, augmented: bool) -> None:
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


def draw_confusion(panel: Axes, confusion: np.ndarray, classes: list[str]) -> None:
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


def drawable(name: str) -> str:
    """A name with a W, which is as broad, in place of each character that matplotlib's own font lacks."""
    known = get_font(findfont("DejaVu Sans")).get_charmap()
    return "".join(character if ord(character) in known else "W" for character in name)


def draw_names(figure: Figure, names: dict[Text, str]) -> None:
    """Lay pictures of those names that are not drawable, made by OpenCV, over their places."""
    names = {text: name for text, name in names.items() if text.get_text() != name}
    if not names:
        return
    from modules.draw import BLACK, text_width, write  # OpenCV, which nothing else here needs

    figure.canvas.draw()  # finds the places
    for text, name in names.items():
        picture = np.full((54, text_width(name, 40) + 8, 3), 255, np.uint8)
        write(picture, name, (0, 40), 40, BLACK)
        box = text.get_window_extent().transformed(figure.transFigure.inverted())
        text.set_alpha(0)
        place = figure.add_axes(box.bounds)
        place.axis("off")
        place.imshow(np.rot90(picture) if text.get_rotation() else picture)
