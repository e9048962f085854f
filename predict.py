"""Show what a trained LeNet reads: test images, its own mistakes, your pictures, what you write.

    python predict.py --model output/model.pth
    python predict.py --model output/model.pth --mistakes --output output/mistakes.png
    python predict.py --model output/model.pth --image drawing.png photo.jpg
    python predict.py --model output/model.pth --draw

With a screen each sample opens in a window: any key goes on, q or Esc ends. Without one, all samples go onto one sheet
beside the model. --layers shows what happens inside the network. A model of the tutorial's run gets about 95 of 100
test images right.
"""

from modules.console import complain, fail, printable, program

import argparse
import sys

import cv2
import numpy as np
import torch

from modules import canvas, checkpoint, draw, kmnist, windows
from modules.arguments import prediction_arguments
from modules.batches import EVALUATION_BATCH, pixels
from modules.files import write_whole
from modules.layers import draw_layers
from modules.lenet import LeNet
from modules.pictures import PictureError, read_picture, to_network_input

MOST_CARDS = 100  # on one sheet: as many as a person looks at
SMALL = [cv2.IMWRITE_PNG_COMPRESSION, 9]  # a third of the usual size


@torch.inference_mode()
def predict(model: LeNet, images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The probability of each class for uint8 images, N x 1 x 28 x 28: N x classes, on the CPU."""
    batches = images.split(EVALUATION_BATCH)
    return torch.cat([model(pixels(batch.to(device))).exp().cpu() for batch in batches])


def choose_samples(count: int, size: int, seed: int) -> np.ndarray:
    """Indices of `count` different test images out of `size`; the first ten for seed 42 are the tutorial's."""
    numbers = np.random.RandomState(seed)
    draws = [*numbers.randint(0, size, size=size), *numbers.permutation(size)]
    return np.array(list(dict.fromkeys(draws))[:count])


def choose_mistakes(count: int, probabilities: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Indices of the `count` wrong predictions that the network was surest of, surest first."""
    confidence, predicted = probabilities.max(1)
    wrong = (predicted != labels).nonzero().flatten()
    return wrong[confidence[wrong].argsort(descending=True, stable=True)][:count].numpy()


def shown_names(saved: dict) -> list[str]:
    """The class names of a model as cards show them: for one that was trained on KMNIST, each behind its character."""
    trained_on_kmnist = saved["dataset"] == "KMNIST" and saved["classes"] == kmnist.CLASSES
    return draw.captions(saved["classes"], kmnist.KANA if trained_on_kmnist else "")


def load_test_set(args: argparse.Namespace, saved: dict) -> kmnist.Labelled:
    """The test images of --folder, or of KMNIST, with the numbers that the model gives to their classes."""
    if args.folder:
        from modules import folders

        print(f"[INFO] loading the pictures in {printable(args.folder)}...")
        classes, _, (images, labels) = folders.load(args.folder)
        if odd := set(classes) ^ set(saved["classes"]):
            fail(f"{args.folder} and {args.model} must have the same classes, and {min(odd)} is in one of them only", 2)
        return images, torch.tensor([saved["classes"].index(name) for name in classes])[labels]
    if saved["dataset"] != "KMNIST" or saved["classes"] != kmnist.CLASSES:
        where = f"the pictures that {args.model} was tested with are in the folder {saved['dataset']}"
        fail(f"{where}: name it with --folder, or other pictures with --image", 2)
    print("[INFO] loading the KMNIST test dataset...")
    return kmnist.read("t10k")


def read_test_set(args: argparse.Namespace, model: LeNet, saved: dict) -> tuple[list[np.ndarray], str, int]:
    """Classify samples of the test set and print each; returns their cards, a heading and 0, as none can fail."""
    images, labels = load_test_set(args, saved)
    classes, names = saved["classes"], shown_names(saved)

    if args.mistakes:
        everything = predict(model, images, args.device)
        samples = choose_mistakes(args.samples, everything, labels)
        answers = everything[samples]
        wrong = int((everything.argmax(1) != labels).sum())
        print(f"[INFO] {wrong} of the {len(labels)} test images are read wrong; the surest mistakes first:")
        if not wrong:
            return [], "", 0
    else:
        samples = choose_samples(args.samples, len(labels), args.seed)
        answers = predict(model, images[samples], args.device)

    cards, right = [], 0
    for index, probabilities in zip(samples, answers, strict=True):
        confidence, answer = probabilities.max(0)
        truth, guess = classes[labels[index]], classes[answer]
        print(f"[INFO] ground truth label: {truth}, predicted label: {guess} ({confidence:.1%})")
        right += truth == guess
        if len(cards) < MOST_CARDS:
            title, note = f"{names[answer]} {confidence:.1%}", f"true: {names[labels[index]]}"
            colours = (draw.GREEN, "") if truth == guess else (draw.RED, note)
            image = images[index, 0].numpy()
            picture = draw_layers(model, image, names) if args.layers else draw.enlarge(image)
            cards.append(draw.card([picture], title, *colours))
    heading = f"{printable(args.model.name)}, {saved['dataset']}"
    if args.mistakes:
        return cards, f"{heading}: the surest of {wrong} mistakes in {len(labels)}", 0
    print(f"[INFO] {right} of {len(samples)} are right")
    return cards, f"{heading}: {right} of {len(samples)} right", 0


def read_pictures(args: argparse.Namespace, model: LeNet, saved: dict) -> tuple[list[np.ndarray], str, int]:
    """Classify people's own pictures and print each; returns their cards, a heading and the number of failures."""
    cards, failures, classes, names = [], 0, saved["classes"], shown_names(saved)
    for path in args.image:
        try:
            picture = read_picture(path)
            seen = to_network_input(picture)
        except PictureError as error:
            complain(f"{path} {error}")
            failures += 1
            continue
        probabilities = predict(model, torch.from_numpy(seen)[None, None], args.device)[0]
        (value, best), *others = zip(*probabilities.topk(min(3, len(classes))), strict=True)
        then = "then " + ", ".join(f"{classes[index]} ({share:.1%})" for share, index in others)
        print(f"[INFO] {printable(path.name)}: predicted label: {classes[best]} ({value:.1%}), {then}")
        if len(cards) < MOST_CARDS:
            title, note = f"{names[best]} {value:.1%}, {then}", printable(path.name)
            shown = [draw_layers(model, seen, names)] if args.layers else [draw.fit(picture), draw.enlarge(seen)]
            cards.append(draw.card(shown, title, draw.BLACK, note))
    return cards, f"{printable(args.model.name)}: as given, and as the network saw it", failures


def read_writing(args: argparse.Namespace, model: LeNet, saved: dict) -> None:
    """Open a window to write in, and read what is written there until it is closed."""

    def classify(image: np.ndarray) -> np.ndarray:
        return predict(model, torch.from_numpy(image)[None, None], args.device)[0].numpy()

    canvas.run(classify, shown_names(saved), args.model.parent)


def main(argv: list[str] | None = None) -> None:
    args = prediction_arguments(argv)
    model, saved = checkpoint.load(args.model)
    print(f"[INFO] loading the LeNet model, trained on {saved['dataset']}...")
    model.to(args.device, memory_format=torch.channels_last)
    if args.draw:
        read_writing(args, model, saved)
        return

    cards, heading, failures = (read_pictures if args.image else read_test_set)(args, model, saved)
    if len(cards) == MOST_CARDS and len(args.image or range(args.samples)) > MOST_CARDS:
        print(f"[INFO] the first {MOST_CARDS} are drawn")
    if cards and args.output:
        write_whole(args.output, cv2.imencode(args.output.suffix, draw.sheet(cards, heading), SMALL)[1].tobytes())
        print(f"[INFO] predictions drawn on {printable(args.output)}")
    elif cards:
        windows.show(cards, "LeNet")
    sys.exit(2 if failures else 0)


if __name__ == "__main__":
    with program():
        main()
