"""Show what a trained LeNet reads: in test images, in its own mistakes, or in your pictures.

    python predict.py --model output/model.pth
    python predict.py --model output/model.pth --mistakes --output output/mistakes.png
    python predict.py --model output/model.pth --image drawing.png photo.jpg

With a screen each sample opens in a window: any key goes on, q or Esc ends. Without one, all samples go onto one sheet
beside the model. A model of the tutorial's run gets about 95 of 100 test images right.
"""

import gc
import os
import signal

if __name__ == "__main__":
    gc.set_threshold(50_000)  # looking for garbage after every 700 new objects slows the imports down
    # importing torch takes seconds; Ctrl-C in the meantime ends the program without a traceback
    for interrupt in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interrupt, lambda *_: os._exit(130))

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
import torch

from modules import checkpoint, console, draw
from modules.arguments import prediction_arguments
from modules.batches import EVALUATION_BATCH, pixels
from modules.files import write_whole
from modules.kmnist import CLASSES, KANA
from modules.lenet import LeNet
from modules.pictures import PictureError, read_picture, to_network_input

MOST_CARDS = 100  # on one sheet: as many as a person looks at


def load_test_images(dataset: str, root: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The test images (N x 1 x 28 x 28, uint8) and labels (N, int64) of a data set."""
    if dataset == "rendered":
        from modules import rendered

        return rendered.load(train=False)
    from modules import kmnist

    try:
        return kmnist.load(root, train=False)
    except (kmnist.Missing, kmnist.Damaged) as error:
        console.fail(f"{error}. {kmnist.how_to_get(root)}", 1)


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


def with_kana(name: str) -> str:
    """A class name with its character in front, where it is one of KMNIST's."""
    return f"{KANA[CLASSES.index(name)]} {name}" if name in CLASSES else name


def read_test_set(args: argparse.Namespace, model: LeNet, saved: dict) -> tuple[list[np.ndarray], str]:
    """Classify samples of the test set and print each; returns their cards and a heading."""
    dataset = {"kmnist": "KMNIST"}.get(args.dataset, args.dataset) or saved["dataset"]
    print(f"[INFO] loading the {dataset} test dataset...")
    images, labels = load_test_images(dataset, args.data)
    classes = saved["classes"]
    if len(classes) < len(CLASSES):
        console.fail(f"{args.model} knows {len(classes)} classes, the {dataset} test images have {len(CLASSES)}", 2)

    if args.samples > len(labels):
        console.fail(f"--samples {args.samples} is more than the {len(labels)} test images", 2)
    if args.mistakes:
        everything = predict(model, images, args.device)
        samples = choose_mistakes(args.samples, everything, labels)
        answers = everything[samples]
        wrong = int((everything.argmax(1) != labels).sum())
        print(f"[INFO] {wrong} of the {len(labels)} test images are read wrong; the surest mistakes first:")
        if not wrong:
            return [], ""
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
            title, note = f"{with_kana(guess)} {confidence:.1%}", f"true: {with_kana(truth)}"
            colours = (draw.GREEN, "") if truth == guess else (draw.RED, note)
            cards.append(draw.card([draw.enlarge(images[index, 0].numpy())], title, *colours))
    if args.mistakes:
        return cards, f"{args.model.name}, {dataset}: the surest of {wrong} mistakes in {len(labels)}"
    print(f"[INFO] {right} of {len(samples)} are right")
    return cards, f"{args.model.name}, {dataset}: {right} of {len(samples)} right"


def read_pictures(args: argparse.Namespace, model: LeNet, saved: dict) -> tuple[list[np.ndarray], str]:
    """Classify people's own pictures and print each; returns their cards and a heading."""
    cards, classes = [], saved["classes"]
    for path in args.image:
        try:
            picture = read_picture(path)
            seen = to_network_input(picture)
        except PictureError as error:
            print(f"predict.py: error: {path} {error}", file=sys.stderr)
            continue
        probabilities = predict(model, torch.from_numpy(seen)[None, None], args.device)[0]
        best = [(f"{value:.1%}", classes[index]) for value, index in zip(*probabilities.topk(3), strict=True)]
        others = ", ".join(f"{name} ({value})" for value, name in best[1:])
        value, name = best[0]
        print(f"[INFO] {path.name}: predicted label: {name} ({value}), then {others}")
        if len(cards) < MOST_CARDS:
            title, note = f"{with_kana(name)} {value}, then {others}", path.name
            cards.append(draw.card([draw.fit(picture), draw.enlarge(seen)], title, draw.BLACK, note))
    return cards, f"{args.model.name}: as given, and as the network saw it"


def main(argv: list[str] | None = None) -> None:
    args = prediction_arguments(argv)
    try:
        model, saved = checkpoint.load(args.model)
    except checkpoint.CheckpointError as error:
        console.fail(error, 2)
    print(f"[INFO] loading the LeNet model, trained on {saved['dataset']}...")
    model.to(args.device)

    cards, heading = (read_pictures if args.image else read_test_set)(args, model, saved)
    if len(cards) == MOST_CARDS and len(args.image or range(args.samples)) > MOST_CARDS:
        print(f"[INFO] the first {MOST_CARDS} are drawn")
    if cards and not args.output and draw.has_screen():
        draw.show(cards, "LeNet")
    elif cards:
        target = args.output or args.model.with_name(f"{args.model.stem}-predictions.png")
        content = cv2.imencode(target.suffix, draw.sheet(cards, heading))[1].tobytes()
        write_whole(target, content)
        print(f"[INFO] predictions drawn on {target}")
    if args.image and len(cards) < min(len(args.image), MOST_CARDS):
        sys.exit(2)


if __name__ == "__main__":
    gc.freeze()  # what was imported stays: looking through it for garbage at exit would take most of a second
    with console.program():
        main()
