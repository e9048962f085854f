"""The flags of both scripts; what the flags alone tell to be wrong is refused here, before any work is done."""

from modules.console import BadInput, printable

import argparse
import os
from pathlib import Path
from typing import NoReturn

import torch

from modules.files import check_writable

LARGEST_SEED = 2**32 - 1
PLOT_ENDINGS = [".eps", ".jpeg", ".jpg", ".pdf", ".png", ".ps", ".svg", ".svgz", ".tif", ".tiff", ".webp"]
SHEET_ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"]  # in colour, by every OpenCV
FOLDER = "your own characters, not KMNIST: a folder with one sub-folder of pictures for each class"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that shows a script's docstring as it is, and whose refusals are safe to print."""

    def __init__(self, description: str) -> None:
        form = argparse.RawDescriptionHelpFormatter
        super().__init__(description=description, formatter_class=form, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))

    def add_number(self, flag: str, kind: type, low: float, high: float, default: float, meaning: str) -> None:
        """Add a flag whose value is an int or a float from `low` to `high`, both included."""
        what = "a whole number" if kind is int else "a number"

        def parse(text: str) -> float:
            try:
                value = kind(text)
            except ValueError:
                raise argparse.ArgumentTypeError(f"{text!r:.40} is not {what}") from None
            if not low <= value <= high:  # nan compares false with everything and ends here too
                raise argparse.ArgumentTypeError(f"{text!r:.40} is not from {low} to {high}")
            return value

        meaning += " (default: %(default)s)"
        self.add_argument(flag, metavar="N" if kind is int else "F", type=parse, default=default, help=meaning)

    def add_device(self) -> None:
        def parse(text: str) -> torch.device:
            try:
                chosen = torch.device(text)
                torch.ones(1, device=chosen).item()
            except Exception as error:  # each backend has its own way to say that it is not there
                reason = str(error).split("\n")[0].split(". ")[0]
                raise argparse.ArgumentTypeError(f"{text!r} cannot be used here ({reason}); 'cpu' always can") from None
            return chosen

        meaning = "any torch device (default: cuda if available, else cpu; here: %(default)s)"
        default = "cuda" if torch.cuda.is_available() else "cpu"
        self.add_argument("--device", metavar="D", type=parse, default=default, help=meaning)

    def require_writable(self, flag: str, path: Path, folder: Path | None) -> None:
        for within in [folder, *folder.glob("*/")] if folder else []:
            if Path(os.path.realpath(within)) in Path(os.path.realpath(path)).parents:
                self.error(f"argument {flag}: {path} lies among the pictures in {folder}, which are read by this run")
        try:
            check_writable(path)
        except OSError as error:
            self.error(f"argument {flag}: cannot write {str(path)!r}: {error.strerror or error}")


def training_arguments(argv: list[str] | None, description: str) -> argparse.Namespace:
    """Read and check the flags of train.py."""
    parser = Parser(description)
    add, add_number = parser.add_argument, parser.add_number
    add("-m", "--model", metavar="PATH", type=Path, required=True, help="where the trained model goes")
    add("-p", "--plot", metavar="PATH", type=Path, required=True, help="where the plot goes (.png .svg ...)")
    add("--folder", metavar="DIR", type=Path, help=FOLDER)
    add_number("--train-split", float, 0.001, 0.999, 0.75, "share of the images to train on; the rest validate")
    add("--augment", action="store_true", help="warp each training image at random, anew in each epoch")
    add_number("--epochs", int, 1, 10_000, 10, "passes over the training images")
    add_number("--batch-size", int, 1, 60_000, 64, "images in one step")
    add_number("--lr", float, 1e-8, 1e8, 1e-3, "Adam's learning rate; its peak with --one-cycle")
    add("--one-cycle", action="store_true", help="let the learning rate rise to --lr, then fall to almost 0")
    add_number("--label-smoothing", float, 0, 0.99, 0.0, "share of each label that is spread over all classes")
    add_number("--weight-decay", float, 0, 10, 0.0, "share of each weight, times --lr, that a step takes away")
    add("--amp", action="store_true", help="bfloat16: as accurate, faster where a processor has it, else much slower")
    parser.add_device()
    add_number("--seed", int, 0, LARGEST_SEED, 42, "random numbers for weights, shuffling and warps")

    args = parser.parse_args(argv)
    if args.plot.suffix.lower() not in PLOT_ENDINGS:
        parser.error(f"argument -p/--plot: {str(args.plot)!r} must end in one of {' '.join(PLOT_ENDINGS)}")
    if same_file(args.model, args.plot):
        parser.error(f"arguments -m/--model and -p/--plot name the same file, {args.model}")
    parser.require_writable("-p/--plot", args.plot, args.folder)
    parser.require_writable("-m/--model", args.model, args.folder)  # second: it may be the plot's folder now
    return args


def prediction_arguments(argv: list[str] | None, description: str) -> argparse.Namespace:
    """Read and check the flags of predict.py; `output` is None where windows open instead."""
    parser = Parser(description)
    add, what = parser.add_argument, parser.add_mutually_exclusive_group().add_argument
    add("-m", "--model", metavar="PATH", type=Path, required=True, help="a file that train.py wrote")
    what("--image", metavar="FILE", type=Path, nargs="+", default=[], help="your pictures, or folders of them")
    what("--mistakes", action="store_true", help="the test images it gets wrong, most confident first")
    what("--draw", action="store_true", help="a window to write in, which is read after every stroke")
    add("--layers", action="store_true", help="show the inside of the network for each image")
    add("--output", metavar="FILE", type=Path, help="draw a sheet of up to 100 (.png .jpg ...), open no windows")
    parser.add_number("--samples", int, 1, 60_000, 10, "how many test images at most")
    parser.add_number("--seed", int, 0, LARGEST_SEED, 42, "which test images")
    add("--folder", metavar="DIR", type=Path, help=FOLDER)
    parser.add_device()

    args = parser.parse_args(argv)
    from modules.folders import pictures_in  # OpenCV, which train.py does without
    from modules.windows import has_screen

    args.image = [file for path in args.image for file in pictures_in(path)]
    if args.draw and (args.layers or args.output):
        parser.error("argument --draw: not allowed with --layers or --output")
    if args.folder and (args.draw or args.image):
        parser.error("argument --folder: not allowed with --draw or --image")
    if not args.output and os.path.isfile(args.model) and not has_screen():
        if args.draw:
            raise BadInput("--draw opens a window, and there is no screen for it")
        args.output = args.model.with_name(f"{args.model.stem}-predictions.png")
    if args.output:
        if args.output.suffix.lower() not in SHEET_ENDINGS:
            parser.error(f"argument --output: {str(args.output)!r} must end in one of {' '.join(SHEET_ENDINGS)}")
        if any(same_file(args.output, path) for path in [args.model, *args.image]):
            parser.error(f"argument --output: {args.output} is read by this run and would be overwritten")
        parser.require_writable("--output", args.output, args.folder)
    return args


def same_file(one: Path, other: Path) -> bool:
    there = os.path.exists(one) and os.path.exists(other)  # then under two names, perhaps
    return os.path.samefile(one, other) if there else os.path.realpath(one) == os.path.realpath(other)
