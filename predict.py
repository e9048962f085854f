"""Show what a trained LeNet reads: test images, its own mistakes, your pictures, what you write.

    python predict.py --model output/model.pth
    python predict.py --model output/model.pth --mistakes --output output/mistakes.png
    python predict.py --model output/model.pth --image drawing.png photo.jpg
    python predict.py --model output/model.pth --draw

With a screen each sample opens in a window: any key goes on to the next, q or Esc ends. Without one, up to 100 samples
go onto one sheet in the model's folder. --layers shows what happens inside the network.
"""

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from modules import checkpoint, command_line, kmnist
from modules.command_line import CommandError, add_number, parse_path
from modules.display import annotations, screen
from modules.display.canvas import Canvas
from modules.handwriting import folders
from modules.handwriting.pictures import find_characters, load_picture
from modules.kmnist import ImageDataset
from modules.lenet import LeNet

SAMPLES = 10  # test images
SURE = 0.95  # below it an answer is called unsure: 1 to 7% of validation images, over half of unknown characters
MOST_SHOWN = 100  # samples: as many as a person looks at
NEAREST = 3  # training images beside a mistake
BATCH = 250  # images at once
ENDINGS = [".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"]  # of sheets
Show = Callable[[np.ndarray], bool]  # shows a sample; False if the person wants no more


def parse_args() -> Namespace:
    """Read the flags. Invalid ones are rejected before any work."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-m", "--model", metavar="PATH", type=parse_path, required=True, help="a file that train.py wrote")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--image", metavar="FILE", type=parse_path, nargs="+", default=[], help="pictures, or folders")
    modes.add_argument("--mistakes", action="store_true", help="test images it gets wrong, the surest first")
    modes.add_argument("--draw", action="store_true", help="write in a window; it is read while you write")
    add("--layers", action="store_true", help="show the inside of the network for each image, but not for pages")
    add("--output", metavar="FILE", type=parse_path, help="draw up to 100 samples on one sheet, open no windows")
    add_number(parser, "--samples", 1, 60_000, SAMPLES, "how many test images at most")
    add_number(parser, "--seed", 0, 2**32 - 1, 42, "random seed that chooses the test images")
    add("--folder", metavar="DIR", type=parse_path, help="your own characters, in sub-folders; --draw saves there")
    add("--device", metavar="D", type=command_line.parse_device, help="any torch device (default: cuda, else cpu)")
    args = parser.parse_args()

    if args.draw and (args.layers or args.output):
        parser.error("--draw is not allowed with --layers or --output")
    if args.image and args.folder:
        parser.error("--image is not allowed with --folder")
    return args


@torch.inference_mode()
def predict(model: LeNet, images: torch.Tensor, temperature: float) -> torch.Tensor:
    """The probability of each class, N x classes, for images, N x 1 x 28 x 28, uint8."""
    device = next(model.parameters()).device
    log_probs = torch.cat([model(batch.to(device) / 255) for batch in images.split(BATCH)])
    return (log_probs / temperature).softmax(1).cpu()


def load_images(folder: Path | None, classes: list[str]) -> tuple[str, ImageDataset, ImageDataset]:
    """A data set's name, its training and its test images, labelled as the model's `classes` are."""
    if folder:
        dataset, names, train, test = folders.load(folder)
    else:
        dataset, names, train, test = "KMNIST", kmnist.CLASSES, kmnist.load(train=True), kmnist.load(train=False)
    unknown = [name for name in names if name not in classes]
    if unknown:
        raise CommandError(f"the model does not know {', '.join(unknown)}: give the right --folder, or train again")
    order = torch.tensor([classes.index(name) for name in names])  # the model may have them in another order
    train, test = (ImageDataset(images, order[labels]) for images, labels in (train.tensors, test.tensors))
    return dataset, train, test


def choose_samples(
    probabilities: torch.Tensor, labels: torch.Tensor, mistakes: bool, count: int, seed: int
) -> list[int]:
    """The numbers of the test images to show: random ones, or the mistakes, the surest first."""
    if mistakes:
        confidences, guesses = probabilities.max(1)
        order = confidences.argsort(descending=True, stable=True)
        return order[(guesses != labels)[order]][:count].tolist()
    if count >= len(labels):
        return [*range(len(labels))]
    # up to ten in the tutorial's way, which with seed 42 gives its ten images; one may come twice
    return np.random.RandomState(seed).choice(len(labels), count, replace=count <= SAMPLES).tolist()


def find_nearest(image: torch.Tensor, examples: ImageDataset, label: int) -> np.ndarray:
    """Below each other, the training images of a class that differ least from an image, 1 x 28 x 28, uint8."""
    images, labels = examples.tensors
    images = images[labels == label]
    if not len(images):  # a class that --folder does not have
        return np.zeros((28, 28), np.uint8)
    distances = (images.float() - image).flatten(1).norm(dim=1)
    nearest = images[distances.argsort()[:NEAREST], 0].numpy()
    with_lines = np.pad(nearest, ((0, 0), (0, 1), (0, 0)), constant_values=255)  # a white one below each
    return with_lines.reshape(-1, 28)


def show_test_images(
    model: LeNet,
    classes: list[str],
    test: ImageDataset,
    examples: ImageDataset | None,
    probabilities: torch.Tensor,
    samples: list[int],
    layers: bool,
    show: Show,
) -> int:
    """Print what is read in test images, and show each; mistakes beside the nearest training `examples`.

    Returns how many the person wanted to see.
    """
    images, labels = test.tensors
    names = kmnist.display_names(classes)
    for number, index in enumerate(samples):
        image, chances, truth = images[index], probabilities[index].numpy(), int(labels[index])
        guess = int(chances.argmax())
        answer = f"{classes[guess]} ({chances[guess]:.1%})"
        print(f"[INFO] ground truth label: {classes[truth]}, predicted label: {answer}")
        if number >= MOST_SHOWN:
            continue
        note = "" if truth == guess else f"true: {names[truth]}"
        pictures = [annotations.enlarge(image[0].numpy())]
        if layers:
            pictures = [draw_layers(model, image, chances, names)]
        elif examples:
            for label in (guess, truth):
                nearest = find_nearest(image, examples, label)
                pictures.append(annotations.enlarge(nearest, annotations.PICTURE // NEAREST))
            note += f"; beside it the nearest training images: left {classes[guess]}, right {classes[truth]}"
        colour = annotations.GREEN if truth == guess else annotations.RED
        if not show(annotations.annotate(pictures, f"{names[guess]} {chances[guess]:.1%}", colour, note)):
            return number + 1
    return len(samples)


def show_pictures(model: LeNet, metadata: checkpoint.Metadata, files: list[Path], layers: bool, show: Show) -> int:
    """Print what is read in people's own pictures, and show it. Returns an exit code: 2 if one cannot be read."""
    names = kmnist.display_names(metadata["classes"])
    faults = []
    shown = 0
    for path in files:
        try:
            picture = load_picture(path)
            characters, boxes, remark = find_characters(picture)
        except CommandError as error:
            faults.append(f"{path} {error}; it is left out")
            continue
        probabilities = predict(model, characters, metadata["temperature"]).numpy()
        for number, chances in enumerate(probabilities, start=1):
            place = f"{path}, {number}" if len(characters) > 1 else path
            print(f"[INFO] {place}: predicted label: {describe_answer(chances, metadata['classes'])}")
        if remark:
            print(f"[INFO] {path}: {remark}")
        shown += 1
        if shown > MOST_SHOWN:
            continue
        note = "; ".join(filter(None, [str(path), remark]))
        chances = probabilities[0]
        colour = annotations.GREEN if chances.max() > SURE else annotations.RED
        label = f"{names[chances.argmax()]} {chances.max():.1%}"
        if len(characters) > 1:
            sample = annotations.annotate_page(picture, boxes, probabilities, names, SURE, note)
        elif layers:
            sample = annotations.annotate([draw_layers(model, characters[0], chances, names)], label, colour, note)
        else:
            pair = [annotations.scaled(picture, annotations.PICTURE), annotations.enlarge(characters[0, 0].numpy())]
            sample = annotations.annotate(pair, label, colour, note)
        if not show(sample):
            break
    command_line.complain(*faults)
    return 2 if faults else 0


def draw_layers(model: LeNet, image: torch.Tensor, probabilities: np.ndarray, names: list[str]) -> np.ndarray:
    """The inside of the network for one image; see modules/display/feature_maps.py."""
    from modules.display.feature_maps import draw_feature_maps  # matplotlib takes half a second, and only here

    return draw_feature_maps(model, image, probabilities, names)


def describe_answer(probabilities: np.ndarray, classes: list[str]) -> str:
    """The likeliest class with its probability, the next two, and whether the answer is unsure."""
    answers = [f"{classes[index]} ({probabilities[index]:.1%})" for index in annotations.likeliest(probabilities)[:3]]
    text = f"{answers[0]}, then {', '.join(answers[1:])}"
    if probabilities.max() > SURE:
        return text
    return f"{text}; unsure: is it a single character that the model knows?"


def find_output(output: Path | None, model: Path, draw: bool, pictures: list[Path], folder: Path | None) -> Path | None:
    """Where a sheet goes, or None if a window can be opened; says why none can. Raises CommandError."""
    obstacle = "" if output else screen.find_obstacle()
    if obstacle and draw:
        raise CommandError(f"--draw opens a window, which is not possible: {obstacle}", code=1)
    if obstacle:
        output = model.parent / f"{model.stem}-predictions.png"
        print(f"[INFO] no window: {obstacle}. Up to {MOST_SHOWN} samples go onto one sheet, {output}")
    if output:
        try:
            command_line.check_writable(output, ENDINGS)
        except CommandError as error:
            raise CommandError(f"{error}; name another file with --output") from None
        folders.check_outside(output, folder)
        if os.path.realpath(output) in map(os.path.realpath, pictures):
            raise CommandError(f"{output} is one of the pictures to read: name another file with --output")
    return output


def main() -> int:
    args = parse_args()
    pictures = [file for path in args.image for file in folders.find_pictures(path)]
    output = find_output(args.output, args.model, args.draw, pictures, args.folder)
    if args.draw and args.folder:
        command_line.check_writable(args.folder / "drawing.png", ENDINGS)
    model, metadata = checkpoint.load(args.model)
    print(f"[INFO] loading the LeNet model, trained on {metadata['dataset']}...")
    model.to(args.device or command_line.default_device()).to(memory_format=torch.channels_last)
    classes, temperature = metadata["classes"], metadata["temperature"]
    if args.draw:
        Canvas(partial(predict, model, temperature=temperature), classes, SURE, args.model.parent, args.folder).run()
        return 0

    sheet: list[np.ndarray] = []

    def show(sample: np.ndarray) -> bool:
        if not output:
            return screen.show(sample)
        sheet.append(sample)
        return True

    code = 0
    if args.image:
        heading = "your pictures (green: sure, red: unsure)"
        code = show_pictures(model, metadata, pictures, args.layers, show)
    else:
        print(f"[INFO] loading {args.folder or 'the KMNIST test dataset'}...")
        name, train, test = load_images(args.folder, classes)
        examples = train if args.mistakes and not args.layers else None
        images, labels = test.tensors
        probabilities = predict(model, images, temperature)
        right = probabilities.argmax(1) == labels
        samples = choose_samples(probabilities, labels, args.mistakes, args.samples, args.seed)
        seen = show_test_images(model, classes, test, examples, probabilities, samples, args.layers, show)
        if args.mistakes:
            summary = f"read wrong: {int((~right).sum())} of all {len(test)} test images"
        else:
            summary = f"read right: {int(right[samples[:seen]].sum())} of {seen} test images"
        print(f"[INFO] {summary}")
        heading = f"{name}: {summary}"
    if sheet and output:
        command_line.write_whole(output, annotations.encode(annotations.draw_sheet(sheet, heading), output.suffix))
        print(f"[INFO] predictions drawn on {output} ({len(sheet)})")
    elif output:
        print(f"[INFO] nothing to draw: {output} is not written")
    return code


if __name__ == "__main__":
    sys.exit(command_line.run(main))
