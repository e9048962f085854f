"""Show what a trained LeNet reads: test images, its own mistakes, your pictures, what you write.

    python predict.py --model output/model.pth
    python predict.py --model output/model.pth --mistakes --output output/mistakes.png
    python predict.py --model output/model.pth --image drawing.png photo.jpg
    python predict.py --model output/model.pth --draw

With a screen each sample opens in a window: any key goes on, q or Esc ends. Without one, up to 100 go onto one sheet
beside the model. --layers shows what happens inside the network.
"""

from modules.console import BadInput, complain, printable, run

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

SURE = 0.7  # two characters that pass for one are read less surely in 64% of pictures, single ones in 4 to 16%
MOST_CARDS = 100  # on one sheet: as many as a person looks at


@torch.inference_mode()
def predict(model: LeNet, images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The probability of each class for uint8 images, N x 1 x 28 x 28: N x classes, on the CPU."""
    batches = images.split(EVALUATION_BATCH)
    return torch.cat([model(pixels(batch.to(device))).exp().cpu() for batch in batches])


def predict_one(model: LeNet, image: np.ndarray, device: torch.device) -> np.ndarray:
    """The probability of each class for one image, 28 x 28, uint8."""
    return predict(model, torch.from_numpy(image)[None, None], device)[0].numpy()


def choose_samples(count: int, size: int, seed: int) -> np.ndarray:
    """Indices of `count` different test images out of `size`; the first ten for seed 42 are the tutorial's."""
    numbers = np.random.RandomState(seed)
    draws = [*numbers.randint(0, size, size=size), *numbers.permutation(size)]
    return np.array(list(dict.fromkeys(draws))[:count])


def knows_kana(saved: dict) -> bool:
    """Whether a model was trained on KMNIST: its test images fit, and its classes have a character each."""
    return saved["dataset"] == "KMNIST" and saved["classes"] == kmnist.CLASSES


def load_test_set(args: argparse.Namespace, saved: dict) -> kmnist.Labelled:
    """The test images of --folder, or of KMNIST, with the numbers that the model gives to their classes."""
    if args.folder:
        from modules import folders

        print(f"[INFO] loading the pictures in {printable(args.folder)}...")
        classes, _, (images, labels) = folders.load(args.folder)
        if odd := set(classes) ^ set(saved["classes"]):
            raise BadInput(f"{args.folder} and {args.model} must have the same classes, and {min(odd)} is in one alone")
        return images, torch.tensor([saved["classes"].index(name) for name in classes])[labels]
    if not knows_kana(saved):
        where = f"{args.model} was tested with pictures in the folder {saved['dataset']}"
        raise BadInput(f"{where}: name it with --folder, or other pictures with --image")
    print("[INFO] loading the KMNIST test dataset...")
    return kmnist.read("t10k")


def read_test_set(args: argparse.Namespace, model: LeNet, saved: dict, names: list[str]) -> tuple[list, str, int]:
    """Classify samples of the test set and print each; returns their cards, a heading and 0, as none can fail."""
    images, labels = load_test_set(args, saved)
    if args.mistakes:
        answers = predict(model, images, args.device)
        confidence, guesses = answers.max(1)
        wrong = (guesses != labels).nonzero().flatten()
        samples = wrong[confidence[wrong].argsort(descending=True, stable=True)][: args.samples]
        answers = answers[samples]
        print(f"[INFO] {len(wrong)} of the {len(labels)} test images are read wrong; the surest mistakes first:")
        summary = f"the surest of {len(wrong)} mistakes in {len(labels)}"
    else:
        samples = choose_samples(args.samples, len(labels), args.seed)
        answers = predict(model, images[samples], args.device)
        summary = f"{(answers.argmax(1) == labels[samples]).sum()} of {len(samples)} are right"

    cards, classes = [], saved["classes"]
    for image, truth, probabilities in zip(images[samples, 0].numpy(), labels[samples], answers, strict=True):
        confidence, guess = probabilities.max(0)
        print(f"[INFO] ground truth label: {classes[truth]}, predicted label: {classes[guess]} ({confidence:.1%})")
        if len(cards) < MOST_CARDS:
            colour, note = (draw.GREEN, "") if truth == guess else (draw.RED, f"true: {names[truth]}")
            picture = draw_layers(model, image, names) if args.layers else draw.enlarge(image)
            cards.append(draw.card([picture], f"{names[guess]} {confidence:.1%}", colour, note))
    if not args.mistakes:
        print(f"[INFO] {summary}")
    return cards, f"{saved['dataset']}: {summary}", 0


def read_pictures(args: argparse.Namespace, model: LeNet, saved: dict, names: list[str]) -> tuple[list, str, int]:
    """Classify people's own pictures and print each; returns their cards, a heading and the number of failures."""
    cards, failures, classes = [], 0, saved["classes"]
    for path in args.image:
        try:
            picture = read_picture(path)
            seen = to_network_input(picture)
        except PictureError as error:
            complain(f"{path} {error}")
            failures += 1
            continue
        probabilities = predict_one(model, seen, args.device)
        best, *others = (-probabilities).argsort(kind="stable")[:3]
        then = "then " + ", ".join(f"{classes[index]} ({probabilities[index]:.1%})" for index in others)
        answer = f"{probabilities[best]:.1%}"
        unsure = "" if probabilities[best] > SURE else "; unsure: is it one character alone, and of these classes?"
        print(f"[INFO] {printable(path.name)}: predicted label: {classes[best]} ({answer}), {then}{unsure}")
        if len(cards) < MOST_CARDS:
            shown = [draw_layers(model, seen, names)] if args.layers else [draw.fit(picture), draw.enlarge(seen)]
            cards.append(draw.card(shown, f"{names[best]} {answer}, {then}", draw.BLACK, printable(path.name)))
    return cards, "as given, and as the network saw it", failures


def main(argv: list[str] | None = None) -> None:
    args = prediction_arguments(argv, __doc__)
    model, saved = checkpoint.load(args.model)
    print(f"[INFO] loading the LeNet model, trained on {saved['dataset']}...")
    model.to(args.device, memory_format=torch.channels_last)
    names = draw.captions(saved["classes"], kmnist.KANA if knows_kana(saved) else "")
    if args.draw:
        canvas.run(lambda image: predict_one(model, image, args.device), names, args.model.parent)
        return

    cards, heading, failures = (read_pictures if args.image else read_test_set)(args, model, saved, names)
    if cards and args.output:
        sheet = draw.sheet(cards, f"{printable(args.model.name)}, {heading}")
        write_whole(args.output, cv2.imencode(args.output.suffix, sheet)[1].tobytes())
        print(f"[INFO] predictions drawn on {printable(args.output)}")
    elif cards:
        windows.show(cards)
    sys.exit(2 if failures else 0)


if __name__ == "__main__":
    run(main)
