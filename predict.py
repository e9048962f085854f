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
SURE = 0.95  # below it an answer is called unsure: 1 to 8% of single characters, about 60% of what cannot be read
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
        if is_same(args.output, [args.model, *args.image]):
            parser.error(f"argument --output: {args.output} is read by this run and would be overwritten")
        check_writable(args.output, args.folder)
    return args


def is_same(path: Path, others: list[Path]) -> bool:
    """Whether a file is one of others, perhaps under another name."""
    return path.exists() and any(other.exists() and path.samefile(other) for other in others)


def default_output(model: Path) -> Path | None:
    """Where the sheet goes if there is no screen: beside the model, or None if it cannot be written there."""
    output = model.with_name(f"{model.stem}-predictions.png")
    try:
        check_writable(output)
    except CommandError as error:
        complain(f"{error}: the answers are printed, and no sheet is drawn", "warning")
        return None
    return output


@torch.inference_mode()
def predict(model: LeNet, images: torch.Tensor, temperature: float) -> torch.Tensor:
    """The probability of each class for uint8 images, N x 1 x 28 x 28: N x classes, on the CPU."""
    device = model.fc2.weight.device
    log_probs = torch.cat([model(pixels(batch.to(device))) for batch in images.split(EVALUATION_BATCH)])
    return probabilities(log_probs, temperature).cpu()


def predict_one(model: LeNet, image: np.ndarray, temperature: float) -> np.ndarray:
    """The probability of each class for one image, 28 x 28, uint8."""
    return predict(model, torch.from_numpy(image)[None, None], temperature)[0].numpy()


def choose_samples(count: int, size: int, seed: int) -> np.ndarray:
    """Indices of `count` different test images out of `size`; the first ten for seed 42 are the tutorial's."""
    generator = np.random.RandomState(seed)
    draws = [*generator.randint(0, size, size=size), *generator.permutation(size)]
    return np.array(list(dict.fromkeys(draws))[:count])


def knows_kana(saved: dict) -> bool:
    """Whether a model was trained on KMNIST."""
    return saved["dataset"] == "KMNIST" and saved["classes"] == kmnist.CLASSES


def load_data(args: argparse.Namespace, saved: dict) -> tuple[kmnist.Labelled, kmnist.Labelled]:
    """The training and the test images of --folder, or of KMNIST, with the numbers that the model gives to classes."""
    if args.folder:
        print(f"[INFO] loading the pictures in {args.folder}...")
        classes, *parts = folders.load(args.folder)
        if odd := set(classes) ^ set(saved["classes"]):
            raise CommandError(f"{args.folder} and {args.model} have different classes: {min(odd)} is in one alone")
        numbers = torch.tensor([saved["classes"].index(name) for name in classes])
        return tuple((images, numbers[labels]) for images, labels in parts)
    if not knows_kana(saved):
        text = f"{args.model} was trained on pictures in the folder {saved['dataset']}"
        raise CommandError(f"{text}: name the folder with --folder, or single pictures with --image")
    print("[INFO] loading the KMNIST test dataset...")
    return kmnist.load("train"), kmnist.load("t10k")


def classify_test_set(
    args: argparse.Namespace, model: LeNet, saved: dict, names: list[str]
) -> tuple[list[np.ndarray], int, str]:
    """Print what is read in samples of the test set; returns cards of the first, the number of all, and a heading."""
    (examples, example_labels), (images, labels) = load_data(args, saved)
    if args.mistakes:
        answers = predict(model, images, saved["temperature"])
        confidence, guesses = answers.max(1)
        wrong = (guesses != labels).nonzero().flatten()
        samples = wrong[confidence[wrong].argsort(descending=True, stable=True)][: args.samples]
        answers = answers[samples]
        what = "; the surest mistakes first:" if len(wrong) else ""
        print(f"[INFO] {len(wrong)} of the {len(labels)} test images are read wrong{what}")
        summary = f"the surest of {len(wrong)} mistakes in {len(labels)}"
    else:
        samples = choose_samples(args.samples, len(labels), args.seed)
        answers = predict(model, images[samples], saved["temperature"])
        summary = f"{(answers.argmax(1) == labels[samples]).sum()} of {len(samples)} are right"

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
            pictures += [cards.strip(examples[example_labels == number][:3, 0].numpy()) for number in (guess, truth)]
            note += f"; beside it others of {classes[guess]} and {classes[truth]}"
        drawn.append(cards.card(pictures, f"{names[guess]} {confidence:.1%}", colour, note))
    if not args.mistakes:
        print(f"[INFO] {summary}")
    return drawn, len(samples), f"{saved['dataset']}: {summary}"


def find_images(args: argparse.Namespace) -> list[tuple[Path, str]]:
    """The pictures of --image, each with its path below the folder given. An earlier run's sheet is left out."""
    found = []
    for path in args.image:
        for file in folders.find_pictures(path):
            if file == path:
                found.append((file, file.name))
            elif not (args.output and is_same(args.output, [file])):
                found.append((file, str(file.relative_to(path))))
    return found


def classify_pictures(
    pictures: list[tuple[Path, str]], args: argparse.Namespace, model: LeNet, saved: dict, names: list[str]
) -> tuple[list[np.ndarray], int]:
    """Print what is read in people's own pictures; returns cards of the first, and the number of all that were read."""
    drawn, count, faults, classes = [], 0, [], saved["classes"]
    for path, name in pictures:
        try:
            picture = load_picture(path)
            page = find_characters(picture)
        except PictureError as error:
            faults.append(f"{path} {error}")
            continue
        count += 1
        answers = predict(model, torch.from_numpy(np.stack(page.characters))[:, None], saved["temperature"]).numpy()
        for number, chances in enumerate(answers, start=1):
            best, *others = (-chances).argsort(kind="stable")[:3]
            then = "then " + ", ".join(f"{classes[index]} ({chances[index]:.1%})" for index in others)
            unsure = "" if chances[best] > SURE else "; unsure: is it one character alone, and of these classes?"
            place = f"{name}, {number}" if len(answers) > 1 else name
            print(f"[INFO] {place}: predicted label: {classes[best]} ({chances[best]:.1%}), {then}{unsure}")
        remarks = [page.unsure] * bool(page.unsure) + [f"{page.left_out} marks left out"] * bool(page.left_out)
        if remarks:
            print(f"[INFO] {name}: {'; '.join(remarks)}")
        if count > MOST_CARDS:
            continue
        if len(answers) > 1:
            drawn.append(cards.page(picture, page.boxes, answers, names, SURE, "; ".join([name, *remarks])))
        else:
            seen = page.characters[0]
            pair = [cards.fit(picture), cards.enlarge(seen)]
            shown = [draw_layers(model, seen, chances, names)] if args.layers else pair
            title = f"{names[best]} {chances[best]:.1%}, {then}"
            drawn.append(cards.card(shown, title, cards.BLACK, "; ".join([name, *remarks])))
    complain_about(faults)
    return drawn, count


def main() -> None:
    args = parse_args()
    model, saved = checkpoint.load(args.model)
    if args.layers:
        require_layers(model)
    screen = not args.output and windows.has_screen()
    if args.draw and not screen:
        raise CommandError("--draw opens a window, and there is no screen for it", code=1)
    if not args.output and not screen:
        args.output = default_output(args.model)
    pictures = find_images(args)
    print(f"[INFO] loading the LeNet model, trained on {saved['dataset']}...")
    model.to(args.device, memory_format=torch.channels_last)
    names = saved["classes"]
    if knows_kana(saved):
        names = [f"{kana} {name}" for kana, name in zip(kmnist.KANA, names, strict=True)]

    if args.draw:
        canvas.run(lambda image: predict_one(model, image, saved["temperature"]), names, args.model.parent, args.folder)
        return
    if args.image:
        drawn, count = classify_pictures(pictures, args, model, saved, names)
        heading = "as given, and as the network saw it"
    else:
        drawn, count, heading = classify_test_set(args, model, saved, names)
    if drawn and args.output:
        sheet = cards.sheet(drawn, f"{args.model.name}, {heading}")
        write_whole(args.output, cards.encode(sheet, args.output.suffix))
        what = "predictions" if count == len(drawn) else f"the first {len(drawn)} of {count} predictions"
        print(f"[INFO] {what} drawn on {args.output}")
    elif args.output:
        print(f"[INFO] nothing to draw: {args.output} is not written")
    elif drawn and screen:
        windows.show(drawn)
    if args.image and count < len(pictures):
        sys.exit(2)  # some pictures could not be read, as was said


if __name__ == "__main__":
    sys.exit(command_line.run(main))
