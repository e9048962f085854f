"""The flags of both scripts; all that can be refused is refused here, before any work is done."""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import torch

from modules.files import check_writable


def training_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read and check the flags; everything that can be refused is refused here, before any work is done."""
    parser = argparse.ArgumentParser(
        description="Train LeNet to read handwritten Hiragana and save the model and a plot of its training.",
        epilog="example: python train.py --model output/model.pth --plot output/plot.png --epochs 3",
        allow_abbrev=False,
    )
    files = parser.add_argument_group("files")
    files.add_argument("-m", "--model", metavar="PATH", type=Path, required=True, help="where the trained model goes")
    files.add_argument(
        "-p", "--plot", metavar="PATH", type=Path, required=True, help="where the plot goes (.png .svg ...)"
    )

    data = parser.add_argument_group("data")
    data.add_argument(
        "--dataset",
        choices=["auto", "kmnist", "rendered"],
        default="auto",
        help="kmnist, rendered (a built-in stand-in), or auto: kmnist if it can be had, else rendered with a warning"
        " (default: %(default)s)",
    )
    data.add_argument(
        "--data",
        metavar="DIR",
        type=folder,
        default="data",
        help="folder that holds, or receives, KMNIST/raw (default: %(default)s)",
    )
    data.add_argument(
        "--train-split",
        metavar="F",
        type=number(float, 0.001, 0.999),
        default=0.75,
        help="share of the training set that is trained on, the rest validates (default: %(default)s)",
    )
    data.add_argument("--augment", action="store_true", help="warp each training image at random, anew in each epoch")

    training = parser.add_argument_group("training")
    training.add_argument(
        "--epochs",
        metavar="N",
        type=number(int, 1, 10_000),
        default=10,
        help="passes over the training images (default: %(default)s)",
    )
    training.add_argument(
        "--batch-size",
        metavar="N",
        type=number(int, 1, 60_000),
        default=64,
        help="images in one step (default: %(default)s)",
    )
    training.add_argument(
        "--lr",
        metavar="LR",
        type=number(float, 1e-8, 1e8),
        default=1e-3,
        help="Adam's learning rate; the peak of the cycle with --one-cycle (default: %(default)s)",
    )
    training.add_argument(
        "--one-cycle", action="store_true", help="raise the learning rate to its peak, then lower it to almost 0"
    )
    training.add_argument(
        "--label-smoothing",
        metavar="E",
        type=number(float, 0, 0.99),
        default=0.0,
        help="share of each label that is spread over all classes (default: %(default)s)",
    )
    training.add_argument(
        "--weight-decay",
        metavar="W",
        type=number(float, 0, 10),
        default=0.0,
        help="share of each weight, times the learning rate, that a step takes away (default: %(default)s)",
    )

    run = parser.add_argument_group("run")
    run.add_argument("--amp", action="store_true", help="compute in bfloat16 where it is safe: faster, same accuracy")
    add_device(run)
    run.add_argument(
        "--seed",
        metavar="N",
        type=number(int, 0, 2**32 - 1),
        default=42,
        help="random numbers for weights, shuffling and warps (default: %(default)s)",
    )

    args = parser.parse_args(argv)
    from modules.plot import plot_endings  # matplotlib takes a second to import, and predict.py draws without it

    endings = plot_endings()
    if args.plot.suffix.lower() not in endings:
        parser.error(f"argument -p/--plot: {str(args.plot)!r} must end in one of {' '.join(endings)}")
    if same_file(args.model, args.plot):
        parser.error(f"arguments -m/--model and -p/--plot name the same file, {args.model}")
    require_writable(parser, "-m/--model", args.model)
    require_writable(parser, "-p/--plot", args.plot)
    return args


def prediction_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read and check the flags of predict.py."""
    parser = argparse.ArgumentParser(
        description="Show what a trained LeNet reads: in test images, in its own mistakes, or in your pictures.",
        epilog="example: python predict.py --model output/model.pth --image drawing.png",
        allow_abbrev=False,
    )
    files = parser.add_argument_group("files")
    files.add_argument("-m", "--model", metavar="PATH", type=Path, required=True, help="a file that train.py wrote")
    files.add_argument(
        "--output", metavar="FILE", type=Path, help="draw one sheet into this file (.png .jpg ...) and open no windows"
    )

    what = parser.add_argument_group("what to read").add_mutually_exclusive_group()
    what.add_argument("--image", metavar="FILE", type=Path, nargs="+", help="these pictures, not the test images")
    what.add_argument("--mistakes", action="store_true", help="the test images it gets wrong, most confident first")

    samples = parser.add_argument_group("test images")
    samples.add_argument(
        "--samples", metavar="N", type=number(int, 1, 60_000), default=10, help="how many (default: %(default)s)"
    )
    samples.add_argument(
        "--seed", metavar="N", type=number(int, 0, 2**32 - 1), default=42, help="which ones (default: %(default)s)"
    )
    samples.add_argument(
        "--dataset", choices=["kmnist", "rendered"], help="whose (default: those the model was trained on)"
    )
    samples.add_argument(
        "--data", metavar="DIR", type=folder, default="data", help="folder of KMNIST/raw (default: %(default)s)"
    )

    add_device(parser.add_argument_group("run"))

    args = parser.parse_args(argv)
    if args.output:
        import cv2  # which train.py draws without

        if not args.output.suffix or not cv2.haveImageWriter(f"x{args.output.suffix}"):
            parser.error(
                f"argument --output: {str(args.output)!r} must end in .png, .jpg or another of OpenCV's formats"
            )
        if any(same_file(args.output, path) for path in [args.model, *(args.image or [])]):
            parser.error(f"argument --output: {args.output} is read by this run and would be overwritten")
        require_writable(parser, "--output", args.output)
    return args


def add_device(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--device",
        metavar="D",
        type=device,
        default=default_device(),
        help="any torch device (default: cuda if available, else cpu; here: %(default)s)",
    )


def number(kind: type, low: float, high: float) -> Callable[[str], float]:
    """An argparse type: an int or a float from `low` to `high`, both included."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"{text!r:.40} is not {what}") from None
        if not low <= value <= high:  # nan compares false with everything and ends here too
            raise argparse.ArgumentTypeError(f"{text!r:.40} is not from {low} to {high}")
        return value

    return parse


def folder(text: str) -> Path:
    """An argparse type: a folder, or a path at which one can come to be."""
    if not text or (Path(text).exists() and not Path(text).is_dir()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return Path(text)


def device(text: str) -> torch.device:
    """An argparse type: a torch device that works on this machine."""
    try:
        chosen = torch.device(text)
        torch.ones(1, device=chosen).item()
    except Exception as error:  # each backend has its own way to say that it is not there
        reason = str(error).split("\n")[0].split(". ")[0]
        raise argparse.ArgumentTypeError(
            f"{text!r} cannot be used on this machine ({reason}); 'cpu' always can"
        ) from None
    return chosen


def default_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def require_writable(parser: argparse.ArgumentParser, flag: str, path: Path) -> None:
    """End the program with exit code 2 if a file cannot be written."""
    try:
        check_writable(path)
    except (OSError, ValueError) as error:
        parser.error(f"argument {flag}: cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}")


def same_file(one: Path, other: Path) -> bool:
    return os.path.realpath(one) == os.path.realpath(other) or (
        os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)
    )
