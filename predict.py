"""Show what a trained LeNet reads: test images, its own mistakes, your pictures, what you write.

    python predict.py --model output/model.pth
    python predict.py --model output/model.pth --mistakes --output output/mistakes.png
    python predict.py --model output/model.pth --image drawing.png photo.jpg
    python predict.py --model output/model.pth --draw

With a screen each sample opens in a window: any key goes on, q or Esc ends. Without one, up to 100 go onto one sheet
beside the model. --layers shows what happens inside the network.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

from modules import checkpoint, command_line, kmnist
from modules.batches import EVALUATION_BATCH, pixels
from modules.command_line import CommandError, add_number, complain, complain_about
from modules.files import check_writable, write_whole
from modules.lenet import LeNet
from modules.own import folders
from modules.own.pictures import PictureError, find_characters, load_picture
from modules.show import canvas, cards, windows
from modules.show.layers import draw_layers, require_layers
from modules.temperature import probabilities

SAMPLES = 10  # test images
SURE = 0.95  # below it an answer is called unsure: 1 to 8% of clean characters, about 60% of what cannot be read
MOST_CARDS = 100  # on one sheet: as many as a person looks at
ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"]  # of sheets


def parse_args() -> argparse.Namespace:
    """Read the flags. Invalid ones are rejected before any work."""
    parser = command_line.parser(__doc__)
    add = parser.add_argument
    path = command_line.path
    add("-m", "--model", metavar="PATH", type=path, required=True, help="a file that train.py wrote")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--image", metavar="FILE", type=path, nargs="+", default=[], help="your pictures, or folders")
    modes.add_argument("--mistakes", action="store_true", help="the test images it gets wrong, the surest first")
    modes.add_argument("--draw", action="store_true", help="a window to write in, which is read after every stroke")
    add("--layers", action="store_true", help="show the inside of the network for each image")
    add("--output", metavar="FILE", type=path, help="draw a sheet of up to 100 (.png .jpg ...), open no windows")
    add_number(parser, "--samples", int, 1, 60_000, SAMPLES, "how many test images at most")
    add_number(parser, "--seed", int, 0, command_line.LARGEST_SEED, 42, "random seed that chooses the test images")
    add("--folder", metavar="DIR", type=path, help=command_line.FOLDER_HELP)
    command_line.add_device(parser)
    args = parser.parse_args()

    if args.draw and (args.layers or args.output):
        parser.error("argument --draw: not allowed with --layers or --output")
    if args.folder and args.image:
        parser.error("argument --folder: not allowed with --image")
    if args.output and args.output.suffix.lower() not in ENDINGS:
        parser.error(f"argument --output: {str(args.output)!r} must end in one of {' '.join(ENDINGS)}")
    if args.output:
        check_writable(args.output, args.folder)
        read = [args.model, *(file for path in args.image for file in folders.find_pictures(path))]
        if args.output.exists() and any(path.exists() and path.samefile(args.output) for path in read):
            parser.error(f"argument --output: {args.output} is read by this run and would be overwritten")
    return args


@torch.inference_mode()
def predict(model: LeNet, images: torch.Tensor, temperature: float) -> torch.Tensor:
    """The probability of each class for uint8 images, N x 1 x 28 x 28: N x classes, on the CPU."""
    device = next(model.parameters()).device
    log_probs = torch.cat([model(pixels(batch.to(device))) for batch in images.split(EVALUATION_BATCH)])
    return probabilities(log_probs, temperature).cpu()


def choose_samples(count: int, size: int, seed: int) -> np.ndarray:
    """Indices of `count` different test images out of `size`; the first ten for seed 42 are the tutorial's."""
    generator = np.random.RandomState(seed)
    draws = [*generator.randint(0, size, size=size), *generator.permutation(size)]
    return np.array(list(dict.fromkeys(draws))[:count])


def load_data(args: argparse.Namespace, saved: dict) -> tuple[kmnist.Labelled | None, kmnist.Labelled]:
    """The training images (for --mistakes) and the test images, with the numbers that the model gives to classes."""
    if args.folder:
        print(f"[INFO] loading the pictures in {args.folder}...")
        classes, *parts = folders.load(args.folder)
        if odd := set(classes) ^ set(saved["classes"]):
            raise CommandError(f"{args.folder} and {args.model} have different classes: only one has {min(odd)}")
        numbers = torch.tensor([saved["classes"].index(name) for name in classes])
        return tuple((images, numbers[labels]) for images, labels in parts)
    if saved["classes"] != kmnist.CLASSES:
        text = f"{args.model} was trained on pictures in the folder {saved['dataset']}"
        raise CommandError(f"{text}: name the folder with --folder, or single pictures with --image")
    print("[INFO] loading the KMNIST test dataset...")
    return kmnist.load("train") if args.mistakes else None, kmnist.load("t10k")


def classify_test_set(
    args: argparse.Namespace, model: LeNet, saved: dict, names: list[str]
) -> tuple[list[np.ndarray], str]:
    """Print what is read in samples of the test set; returns a card for each of the first, and a heading."""
    examples, (images, labels) = load_data(args, saved)
    if args.mistakes:
        answers = predict(model, images, saved["temperature"])
        confidence, guesses = answers.max(1)
        wrong = (guesses != labels).nonzero().flatten()
        samples = wrong[confidence[wrong].argsort(descending=True, stable=True)][: args.samples]
        answers = answers[samples]
        heading = f"{len(wrong)} of the {len(labels)} test images are read wrong"
        print(f"[INFO] {heading}" + "; the surest mistakes first:" * bool(len(wrong)))
    else:
        samples = choose_samples(args.samples, len(labels), args.seed)
        answers = predict(model, images[samples], saved["temperature"])

    drawn, classes = [], saved["classes"]
    for image, truth, chances in zip(images[samples, 0].numpy(), labels[samples], answers, strict=True):
        confidence, guess = chances.max(0)
        print(f"[INFO] ground truth label: {classes[truth]}, predicted label: {classes[guess]} ({confidence:.1%})")
        if len(drawn) == MOST_CARDS:
            continue
        pictures = [draw_layers(model, image, chances.numpy(), names) if args.layers else cards.enlarge(image)]
        colour, note = (cards.GREEN, "") if truth == guess else (cards.RED, f"true: {names[truth]}")
        if args.mistakes and not args.layers:
            # three training images of the class that was read, and three of the true one
            pictures += [cards.strip(examples[0][examples[1] == number][:3, 0].numpy()) for number in (guess, truth)]
            note += f"; beside it: left {classes[guess]}, right {classes[truth]}"
        title = "" if args.layers else f"{names[guess]} {confidence:.1%}"  # the layers show the answer
        drawn.append(cards.card(pictures, title, colour, note))
    if not args.mistakes:
        right = (answers.argmax(1) == labels[samples]).sum()
        heading = f"{right} of {len(samples)} test images are read right"
        print(f"[INFO] {heading}")
    return drawn, f"{saved['dataset']}: {heading}"


def classify_pictures(
    paths: list[Path], args: argparse.Namespace, model: LeNet, saved: dict, names: list[str]
) -> tuple[list[np.ndarray], list[str]]:
    """Print what is read in people's own pictures; returns a card for each of the first, and the faults of others."""
    drawn, faults = [], []
    for path in paths:
        try:
            picture = load_picture(path)
            page = find_characters(picture)
        except PictureError as error:
            faults.append(f"{path} {error}")
            continue
        answers = predict(model, torch.from_numpy(np.stack(page.characters))[:, None], saved["temperature"]).numpy()
        lines = [describe(chances, saved["classes"]) for chances in answers]
        for number, line in enumerate(lines, start=1):
            print(f"[INFO] {path}{f', {number}' * (len(lines) > 1)}: predicted label: {line}")
        if page.remarks:
            print(f"[INFO] {path}: {page.remarks}")
        if len(drawn) == MOST_CARDS:
            continue
        note = "; ".join([str(path), page.remarks] if page.remarks else [str(path)])
        if len(lines) > 1:
            drawn.append(cards.page(picture, page.boxes, answers, names, SURE, note))
        else:
            pair = [cards.fit(picture), cards.enlarge(page.characters[0])]
            shown = [draw_layers(model, page.characters[0], answers[0], names)] if args.layers else pair
            best = answers[0].argmax()
            title = "" if args.layers else f"{names[best]} {answers[0, best]:.1%}"
            drawn.append(cards.card(shown, title, cards.BLACK if answers[0, best] > SURE else cards.RED, note))
    complain_about(faults)
    return drawn, faults


def describe(chances: np.ndarray, classes: list[str]) -> str:
    """The likeliest class with its probability, the next two, and whether the answer is unsure."""
    best, *others = [f"{classes[index]} ({chances[index]:.1%})" for index in (-chances).argsort(kind="stable")[:3]]
    unsure = "" if chances.max() > SURE else "; unsure: is it one character alone, of a class that the model knows?"
    return f"{best}, then {', '.join(others)}{unsure}"


def main() -> None:
    args = parse_args()
    model, saved = checkpoint.load(args.model)
    if args.layers:
        require_layers(model)
    screen = not args.output and windows.has_screen()
    if args.draw and not screen:
        raise CommandError("--draw opens a window, and there is no screen for it", code=1)
    if not args.output and not screen:
        args.output = args.model.with_name(f"{args.model.stem}-predictions.png")
        try:
            check_writable(args.output)
        except CommandError as error:
            complain(f"{error}: the answers are printed, and no sheet is drawn", "warning")
            args.output = None
    paths = [file for path in args.image for file in folders.find_pictures(path)]
    paths = [path for path in paths if path != args.output]  # an earlier run's sheet
    print(f"[INFO] loading the LeNet model, trained on {saved['dataset']}...")
    model.to(args.device, memory_format=torch.channels_last)
    names = saved["classes"]
    if names == kmnist.CLASSES:
        names = [f"{kana} {name}" for kana, name in zip(kmnist.KANA, names, strict=True)]

    if args.draw:

        def classify(image: np.ndarray) -> np.ndarray:
            return predict(model, torch.from_numpy(image)[None, None], saved["temperature"])[0].numpy()

        canvas.run(classify, names, SURE, args.model.parent, args.folder)
        return
    faults = []
    if args.image:
        drawn, faults = classify_pictures(paths, args, model, saved, names)
        heading = "your pictures (red: unsure)"
    else:
        drawn, heading = classify_test_set(args, model, saved, names)
    if drawn and args.output:
        write_whole(args.output, cards.encode(cards.sheet(drawn, heading), args.output.suffix))
        what = "predictions" if len(drawn) < MOST_CARDS else f"the first {MOST_CARDS} predictions"
        print(f"[INFO] {what} drawn on {args.output}")
    elif args.output:
        print(f"[INFO] nothing to draw: {args.output} is not written")
    elif drawn and screen:
        windows.show(drawn)
    if faults:
        sys.exit(2)


if __name__ == "__main__":
    sys.exit(command_line.run(main))
