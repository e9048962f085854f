"""The flags of both scripts; all that can be refused is refused here, before any work is done."""

from modules.console import printable

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import torch

from modules.files import check_writable


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose refusals are safe to print."""

    def error(self, message: str) -> NoReturn:
        super().error(printable(message))


def training_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read and check the flags of train.py."""
    parser = Parser(
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
    add_folder(data)
    share = "share of the training set that is trained on, the rest validates"
    add_number(data, "--train-split", "F", float, 0.001, 0.999, 0.75, share)
    data.add_argument("--augment", action="store_true", help="warp each training image at random, anew in each epoch")

    training = parser.add_argument_group("training")
    add_number(training, "--epochs", "N", int, 1, 10_000, 10, "passes over the training images")
    add_number(training, "--batch-size", "N", int, 1, 60_000, 64, "images in one step")
    rate = "Adam's learning rate; the peak of the cycle with --one-cycle"
    add_number(training, "--lr", "LR", float, 1e-8, 1e8, 1e-3, rate)
    training.add_argument(
        "--one-cycle", action="store_true", help="raise the learning rate to its peak, then lower it to almost 0"
    )
    smoothing = "share of each label that is spread over all classes"
    add_number(training, "--label-smoothing", "E", float, 0, 0.99, 0.0, smoothing)
    decay = "share of each weight, times the learning rate, that a step takes away"
    add_number(training, "--weight-decay", "W", float, 0, 10, 0.0, decay)

    run = parser.add_argument_group("run")
    run.add_argument(
        "--amp", action="store_true", help="train in bfloat16: faster where the processor has it, same accuracy"
    )
    add_device(run)
    add_number(run, "--seed", "N", int, 0, 2**32 - 1, 42, "random numbers for weights, shuffling and warps")

    args = parser.parse_args(argv)
    from modules.plot import plot_endings  # matplotlib takes a second to import, and predict.py draws without it

    endings = plot_endings()
    if args.plot.suffix.lower() not in endings:
        parser.error(f"argument -p/--plot: {str(args.plot)!r} must end in one of {' '.join(endings)}")
    if same_file(args.model, args.plot):
        parser.error(f"arguments -m/--model and -p/--plot name the same file, {args.model}")
    require_writable(parser, "-m/--model", args.model)
    require_writable(parser, "-p/--plot", args.plot)
    if args.amp and args.device.type == "cpu" and not has_bfloat16():
        print("[INFO] this CPU emulates bfloat16: --amp works, but is slower than without", flush=True)
    return args


def prediction_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Read and check the flags of predict.py; `output` is None where windows open instead."""
    parser = Parser(
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
    what.add_argument(
        "--image", metavar="FILE", type=Path, nargs="+", help="these pictures, or folders of them, not the test images"
    )
    what.add_argument("--mistakes", action="store_true", help="the test images it gets wrong, most confident first")

    samples = parser.add_argument_group("test images")
    add_folder(samples)
    add_number(samples, "--samples", "N", int, 1, 60_000, 10, "how many, if there are so many")
    add_number(samples, "--seed", "N", int, 0, 2**32 - 1, 42, "which ones")

    add_device(parser.add_argument_group("run"))

    args = parser.parse_args(argv)
    from modules.draw import can_hold_a_sheet, has_screen  # OpenCV, which train.py does without
    from modules.folders import pictures_in

    args.image = [file for path in args.image or () for file in pictures_in(path)]

    if not args.output and args.model.is_file() and not has_screen():
        args.output = args.model.with_name(f"{args.model.stem}-predictions.png")
    if args.output:
        if not can_hold_a_sheet(args.output.suffix):
            parser.error(f"argument --output: {str(args.output)!r} must end in .png, .jpg or the like of OpenCV's")
        if any(same_file(args.output, path) for path in [args.model, *args.image]):
            parser.error(f"argument --output: {args.output} is read by this run and would be overwritten")
        require_writable(parser, "--output", args.output)
    return args


def add_number(
    group: argparse._ArgumentGroup,
    flag: str,
    metavar: str,
    kind: type,
    low: float,
    high: float,
    default: float,
    meaning: str,
) -> None:
    """Add a flag that takes a number from `low` to `high`, its default in its help."""
    text = f"{meaning} (default: %(default)s)"
    group.add_argument(flag, metavar=metavar, type=number(kind, low, high), default=default, help=text)


def add_folder(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--folder",
        metavar="DIR",
        type=Path,
        help="your own characters, not KMNIST: a folder with one sub-folder of pictures for each class",
    )


def add_device(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--device",
        metavar="D",
        type=device,
        default="cuda" if torch.cuda.is_available() else "cpu",
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


def has_bfloat16() -> bool:
    """Whether the CPU computes in bfloat16 itself."""
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))  # on x86 and on Arm


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
