"""The plot of a training run: loss and accuracy over the epochs, and which test images were taken for what."""

import io
import warnings
from contextlib import suppress

import numpy as np
from matplotlib import font_manager, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from modules.checkpoint import History

ENDINGS = [".eps", ".jpeg", ".jpg", ".pdf", ".png", ".ps", ".svg", ".svgz", ".tif", ".tiff", ".webp"]
# the first has no kana or kanji; Linux, macOS or Windows may have one of the others
FONTS = ["DejaVu Sans", "Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic", "MS Gothic", "IPAGothic", "IPAexGothic"]
LONGEST = 24  # characters of a name
MOST_COUNTS = 15  # classes up to which a number fits into each cell of the confusion matrix


def draw_plot(history: History, confusion: np.ndarray, classes: list[str], dataset: str, ending: str) -> bytes:
    """The bytes of a picture file (its ending ".png", ".svg" ...) with the curves and the confusions of a run.

    `confusion` tells how many test images of class i (row) were read as class j (column).
    """
    if not (dataset + "".join(classes)).isascii():
        find_new_fonts()
    fonts = [name for name in FONTS if name in font_manager.get_font_names()]
    # parse_math: class names may contain a $. after_reset: a personal matplotlibrc changes no plot
    settings = {"text.parse_math": False, "legend.framealpha": 1, "font.family": fonts, "axes.titlesize": "medium"}
    with style.context(["ggplot", settings], after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # where no font has a character, a box is drawn
        figure = Figure((12, 7), layout="constrained")  # not pyplot's: it opens no window
        panels = figure.subplot_mosaic("LLCCC;AACCC")
        figure.suptitle(f"Training Loss and Accuracy on Dataset: {dataset[:LONGEST]}")
        draw_curves(panels["L"], history, "loss")
        draw_curves(panels["A"], history, "acc")
        draw_confusion(panels["C"], confusion, [name[:LONGEST] for name in classes])
        picture = io.BytesIO()
        figure.savefig(picture, format=ending[1:].lower(), dpi=120)
    return picture.getvalue()


def find_new_fonts() -> None:
    """Make fonts known that were installed after matplotlib wrote its list of fonts (matplotlib issue 14269)."""
    known = {font.fname for font in font_manager.fontManager.ttflist}
    for path in {*font_manager.findSystemFonts()} - known:
        with suppress(Exception):  # not every file of a font folder is a font that can be read
            font_manager.fontManager.addfont(path)


def draw_curves(panel: Axes, history: History, quantity: str) -> None:
    """Draw the training and the validation curve of a quantity, "loss" or "acc"; with the loss the learning rate."""
    epochs = np.arange(len(history["train_loss"])) + 1
    for part, line in (("train", "C0o-"), ("val", "C1o-")):
        panel.plot(epochs, history[f"{part}_{quantity}"], line, markersize=4, label=f"{part}_{quantity}")
    panel.set(title={"loss": "Loss", "acc": "Accuracy"}[quantity], xlabel="Epoch #")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if quantity == "acc":
        panel.yaxis.set_major_formatter(PercentFormatter(1))  # with as many digits as the range needs
    else:
        loss, epoch = min(zip(history["val_loss"], epochs, strict=True))
        panel.plot(epoch, loss, "C1o", markersize=10, fillstyle="none", label=f"lowest val_loss: epoch {epoch}")
        if len(set(history["lr"])) > 1:
            rate = panel.twinx()
            rate.plot(epochs, history["lr"], "--", color="0.4", linewidth=0.8)
            rate.set_ylabel("learning rate (dashed)", color="0.4")
            rate.grid(False)
            panel.set(zorder=1, facecolor="none")  # the legend stays on top
    panel.legend()


def draw_confusion(panel: Axes, confusion: np.ndarray, classes: list[str]) -> None:
    """Draw the confusion matrix: mistakes in red, the more the darker, and right answers tinted green."""
    mistakes = confusion.copy()
    np.fill_diagonal(mistakes, 0)
    panel.imshow(mistakes, cmap="Reds", vmin=0, vmax=max(1, mistakes.max()))
    right = np.ma.masked_equal(np.eye(len(classes)), 0)
    panel.imshow(right, cmap="Greens", vmin=0, vmax=4)
    many = len(classes) > MOST_COUNTS
    for (truth, guess), count in np.ndenumerate(confusion):
        if count and not many:
            colour = "white" if mistakes[truth, guess] > mistakes.max() / 2 else "0.2"
            panel.text(guess, truth, count, ha="center", va="center", color=colour, fontsize="small")
    panel.set(title="Test images", xlabel="read as (green: right, red: mistakes)", ylabel="true")
    size, turn = ("x-small" if many else "medium"), (90 if many or max(map(len, classes)) > 5 else 0)
    panel.set_xticks(range(len(classes)), classes, fontsize=size, rotation=turn)
    panel.set_yticks(range(len(classes)), classes, fontsize=size)
    panel.grid(False)
