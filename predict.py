"""Show what a trained LeNet reads: test images, its own mistakes, your pictures, what you write.

    python predict.py --model output/model.pth
    python predict.py --model output/model.pth --mistakes --output output/mistakes.png
    python predict.py --model output/model.pth --image drawing.png photo.jpg
    python predict.py --model output/model.pth --draw

With a screen each sample opens in a window: any key goes on, q or Esc ends. Without one, up to 100 go onto one sheet
beside the model. --layers shows what happens inside the network.
"""

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from functools import partial
from pathlib import Path

import numpy as np
import torch

from modules import checkpoint, kmnist
from modules.batches import EVALUATION_BATCH, pixels
from modules.command_line import DEVICE, CommandError, add_number, check_writable, complain, device, run, write_whole
from modules.lenet import LeNet
from modules.handwriting import folders
from modules.handwriting.pictures import find_characters, load_picture
from modules.display import annotations, canvas, screen
from modules.display.feature_maps import draw_layers

SAMPLES = 10  # test images
SURE = 0.95  # below it an answer is called unsure: 1 to 7% of validation images, over half of unknown characters
MOST_CARDS = 100  # on one sheet: as many as a person looks at
ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"]  # of sheets


def parse_args() -> Namespace:
    """Read the flags. Invalid ones are rejected before any work."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-m", "--model", metavar="PATH", type=Path, required=True, help="a file that train.py wrote")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--image", metavar="FILE", type=Path, nargs="+", default=[], help="your pictures, or folders")
    modes.add_argument("--mistakes", action="store_true", help="the test images it gets wrong, the surest first")
    modes.add_argument("--draw", action="store_true", help="write in a window, which is read after every stroke")
    add("--layers", action="store_true", help="show the inside of the network for each image, but not for pages")
    add("--output", metavar="FILE", type=Path, help="draw up to 100 on one sheet (.png, .jpg ...), open no windows")
    add_number(parser, "--samples", 1, 60_000, SAMPLES, "how many test images at most")
    add_number(parser, "--seed", 0, 2**32 - 1, 42, "random seed that chooses the test images")
    add("--folder", metavar="DIR", type=Path, help="your own characters: a sub-folder of pictures for each class")
    add("--device", metavar="D", type=device, default=DEVICE, help="any torch device (default here: %(default)s)")
    args = parser.parse_args()

    if (args.draw and (args.layers or args.output)) or (args.image and args.folder):
        parser.error("--draw is not allowed with --layers or --output, and --image not with --folder")
    args.image = [file for path in args.image for file in folders.find_pictures(path)]
    if args.draw and args.folder:
        check_writable(args.folder / "drawing.png", ENDINGS)
    if not args.output and not screen.has_screen():
        if args.draw:
            raise CommandError("--draw opens a window, and there is no screen for it", code=1)
        args.output = args.model.parent / f"{args.model.stem}-predictions.png"
    if args.output:
        check_writable(args.output, ENDINGS)
        if os.path.realpath(args.output) in map(os.path.realpath, args.image):
            raise CommandError(f"{args.output} is one of the pictures to read: name another file with --output")
    return args


@torch.inference_mode()
def predict(model: LeNet, images: np.ndarray, temperature: float) -> np.ndarray:
    """The probability of each class, N x classes, for images, N x 28 x 28, uint8."""
    batches = torch.from_numpy(images)[:, None].to(next(model.parameters()).device).split(EVALUATION_BATCH)
    log_probs = torch.cat([model(pixels(batch)) for batch in batches])
    return (log_probs / temperature).softmax(1).cpu().numpy()


def classify_test_set(args: Namespace, model: LeNet, saved: dict) -> tuple[list[np.ndarray], str]:
    """Print what is read in samples of the test set; returns cards for up to 100, and a heading."""
    print(f"[INFO] loading {args.folder or 'the KMNIST test dataset'}...")
    dataset, classes, *parts = folders.load(args.folder) if args.folder else kmnist.load_all()
    (examples, kinds), (images, labels) = [(images[:, 0].numpy(), labels.numpy()) for images, labels in parts]
    if classes != saved["classes"]:
        raise CommandError(f"{args.model} knows other classes than {dataset}: train again, or give the right --folder")

    answers = predict(model, images, saved["temperature"])
    guesses = answers.argmax(1)
    if args.mistakes:
        wrong = np.flatnonzero(guesses != labels)
        samples = wrong[np.argsort(-answers[wrong].max(1), kind="stable")][: args.samples]
        heading = f"{len(wrong)} of the {len(labels)} test images are read wrong"
    else:
        generator = np.random.RandomState(args.seed)  # with seed 42, the first ten are the tutorial's
        draws = [*generator.randint(0, len(labels), len(labels)), *generator.permutation(len(labels))]
        samples = list(dict.fromkeys(draws))[: args.samples]  # each image once
        heading = f"{(guesses == labels)[samples].sum()} of {len(samples)} test images are read right"
    drawn, names = [], saved["names"]
    for index in samples:
        image, chances, truth, guess = images[index], answers[index], labels[index], guesses[index]
        print(f"[INFO] ground truth label: {classes[truth]}, predicted label: {classes[guess]} ({chances[guess]:.1%})")
        if len(drawn) == MOST_CARDS:
            continue
        colour, note = (annotations.GREEN, "") if truth == guess else (annotations.RED, f"true: {names[truth]}")
        shown = [draw_layers(model, image, chances, names) if args.layers else annotations.enlarge(image)]
        if args.mistakes and not args.layers:
            # three training images of the class that was read, and three of the true one
            shown += [annotations.enlarge(annotations.tiled(examples[kinds == kind][:3], 1, 255), 4) for kind in (guess, truth)]
            note += f"; beside it: left {classes[guess]}, right {classes[truth]}"
        drawn.append(annotations.card(shown, f"{names[guess]} {chances[guess]:.1%}", colour, note))
    print(f"[INFO] {heading}")
    return drawn, f"{dataset}: {heading}"


def classify_pictures(args: Namespace, model: LeNet, saved: dict) -> tuple[list[np.ndarray], list[str]]:
    """Print what is read in people's own pictures; returns cards for up to 100, and the unreadable files."""
    drawn, faults, names = [], [], saved["names"]
    for path in args.image:
        try:
            picture = load_picture(path)
            found, boxes, remark = find_characters(picture)
            characters = found[:, 0].numpy()
        except CommandError as error:
            faults.append(f"{path} {error}; it is left out")
            continue
        answers = predict(model, characters, saved["temperature"])
        several = len(answers) > 1
        for number, chances in enumerate(answers, start=1):
            place = f"{path}, {number}" if several else path
            print(f"[INFO] {place}: predicted label: {describe(chances, saved['classes'])}")
        if remark:
            print(f"[INFO] {path}: {remark}")
        if len(drawn) == MOST_CARDS:
            continue
        note = "; ".join(filter(None, [str(path), remark]))
        if several:
            drawn.append(annotations.page(picture, boxes, answers, names, SURE, note))
            continue
        image, chances = characters[0], answers[0]
        pair = [annotations.scaled(picture, annotations.PICTURE), annotations.enlarge(image)]
        shown = [draw_layers(model, image, chances, names)] if args.layers else pair
        colour = annotations.BLACK if chances.max() > SURE else annotations.RED
        drawn.append(annotations.card(shown, f"{names[chances.argmax()]} {chances.max():.1%}", colour, note))
    complain(*faults)
    return drawn, faults


def describe(chances: np.ndarray, classes: list[str]) -> str:
    """The likeliest class with its probability, the next two, and whether the answer is unsure."""
    best, *others = [f"{classes[index]} ({chances[index]:.1%})" for index in (-chances).argsort(kind="stable")[:3]]
    unsure = "" if chances.max() > SURE else "; unsure: is it one character alone, of a class that the model knows?"
    return f"{best}, then {', '.join(others)}{unsure}"


def main() -> None:
    args = parse_args()
    model, saved = checkpoint.load(args.model)
    print(f"[INFO] loading the LeNet model, trained on {saved['dataset']}...")
    model.to(args.device, memory_format=torch.channels_last)
    saved["names"] = kmnist.NAMES if saved["classes"] == kmnist.CLASSES else saved["classes"]

    faults = []
    if args.draw:
        classify = partial(predict, model, temperature=saved["temperature"])
        canvas.run(classify, saved["names"], SURE, args.model.parent, args.folder)
        return
    if args.image:
        drawn, faults = classify_pictures(args, model, saved)
        heading = "your pictures (red: unsure)"
    else:
        drawn, heading = classify_test_set(args, model, saved)
    if args.output and drawn:
        write_whole(args.output, annotations.encode(annotations.sheet(drawn, heading), args.output.suffix))
        what = "predictions" if len(drawn) < MOST_CARDS else f"the first {MOST_CARDS} predictions"
        print(f"[INFO] {what} drawn on {args.output}")
    elif drawn:
        screen.show(drawn)
    if faults:
        sys.exit(2)


if __name__ == "__main__":
    sys.exit(run(main))
