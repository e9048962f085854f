"""Train LeNet to read handwritten Hiragana (Kuzushiji-MNIST), and save the model and a plot of its training.

    python train.py --model output/model.pth --plot output/plot.png

README.md explains every step, and shows how to get from 95 to 98.4% test accuracy.
"""

import math
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader, Subset, random_split
from tqdm import tqdm

from modules import checkpoint, kmnist, plot
from modules.augment import warp
from modules.batches import EVALUATION_BATCH, Images, divide, pixels
from modules.command_line import DEVICE, CommandError, add_number, check_writable, device, run, write_whole
from modules.lenet import LeNet
from modules.handwriting import folders

INIT_LR = 1e-3  # Adam's learning rate: roughly how far one step moves each weight
BATCH_SIZE = 64  # images in one step
EPOCHS = 10  # passes over the training images
TRAIN_SPLIT = 0.75  # share of the images to train on; the rest validate
SPLIT_SEED = 42  # not --seed, so that all runs validate on the same images and can be compared
LEAST_FOR_TEMPERATURE = 500  # validation images; with fewer, a few odd ones would decide it


def parse_args() -> Namespace:
    """Read the flags. Invalid ones are rejected before any work."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-m", "--model", metavar="PATH", type=Path, required=True, help="where the trained model goes (.pth)")
    add("-p", "--plot", metavar="PATH", type=Path, required=True, help="where the plot goes (.png, .svg)")
    add("--folder", metavar="DIR", type=Path, help="your own characters: a sub-folder of pictures for each class")
    add_number(parser, "--train-split", 0.001, 0.999, TRAIN_SPLIT, "share to train on; the rest validates")
    add("--augment", action="store_true", help="warp each training image at random, differently in each epoch")
    add_number(parser, "--epochs", 1, 10_000, EPOCHS, "passes over the training images")
    add_number(parser, "--batch-size", 1, 60_000, BATCH_SIZE, "images in one step")
    add_number(parser, "--lr", 1e-8, 1e8, INIT_LR, "Adam's learning rate, with --one-cycle the highest")
    add("--one-cycle", action="store_true", help="let the learning rate rise to --lr, then fall to almost 0")
    add_number(parser, "--label-smoothing", 0, 0.99, 0.0, "share of each label spread over all classes")
    add_number(parser, "--weight-decay", 0, 10, 0.0, "each step shrinks each weight by this times the learning rate")
    add("--amp", action="store_true", help="compute in bfloat16, which only some processors do faster")
    add("--device", metavar="D", type=device, default=DEVICE, help="any torch device (default here: %(default)s)")
    add_number(parser, "--seed", 0, 2**32 - 1, 42, "random seed for weights, shuffling and warps")
    args = parser.parse_args()

    check_writable(args.model, checkpoint.ENDINGS)
    check_writable(args.plot, plot.ENDINGS)
    return args


def split(images: torch.Tensor, labels: torch.Tensor, args: Namespace) -> list[Subset]:
    """The images to train on and those to validate with."""
    everything = Images(pixels(images.to(args.device)), labels.to(args.device))
    if args.folder:
        return [Subset(everything, part) for part in divide(images, labels, 1 - args.train_split)]
    count = round(len(everything) * args.train_split)
    return random_split(everything, [count, len(everything) - count], torch.Generator().manual_seed(SPLIT_SEED))


def train_epoch(
    model: LeNet, loader: DataLoader, optimizer: AdamW, scheduler: OneCycleLR | None, args: Namespace
) -> tuple[float, float]:
    """Train on every image once; returns the mean loss and the accuracy, both measured while it learns."""
    loss_function = nn.NLLLoss()
    total_loss = correct = 0  # become tensors on the device: an .item() in the loop would make each step wait for it
    model.train()
    for images, labels in tqdm(loader, leave=False, disable=None, file=sys.stdout, unit="batch"):
        if args.augment:
            images = warp(images)
        with torch.autocast(args.device.type, torch.bfloat16, enabled=args.amp):
            log_probs = model(images)
        nll = loss_function(log_probs, labels)
        loss = (1 - args.label_smoothing) * nll - args.label_smoothing * log_probs.mean()

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()

        total_loss += nll.detach() * len(labels)  # detached, or the sum would keep every step's graph
        correct += (log_probs.argmax(1) == labels).sum()
    return total_loss.item() / len(loader.dataset), correct.item() / len(loader.dataset)


@torch.inference_mode()
def evaluate(model: LeNet, loader: DataLoader) -> tuple[float, float, torch.Tensor, torch.Tensor]:
    """Without training: the mean loss, the accuracy, and all log-probabilities, N x classes, and labels, N."""
    model.eval()
    batches = [(model(images), labels) for images, labels in loader]
    log_probs, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    accuracy = (log_probs.argmax(1) == labels).float().mean().item()
    return nn.NLLLoss()(log_probs, labels).item(), accuracy, log_probs, labels


def train(model: LeNet, train_loader: DataLoader, val_loader: DataLoader, args: Namespace, about: dict) -> None:
    """Train; after each epoch, add its curves to `about` and save both. Raises CommandError if a loss is not finite."""
    # AdamW is Adam with its own weight decay; fused updates all weights in one call
    optimizer = AdamW(model.parameters(), args.lr, weight_decay=args.weight_decay, fused=True)
    scheduler = OneCycleLR(optimizer, args.lr, args.epochs * len(train_loader)) if args.one_cycle else None
    history = {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": [], "lr": []}
    start = time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        train_loss, train_acc = train_epoch(model, train_loader, optimizer, scheduler, args)
        val_loss, val_acc, *_ = evaluate(model, val_loader)
        if not math.isfinite(train_loss + val_loss):
            raise CommandError(f"the loss of epoch {epoch} is not finite: try a lower --lr than {args.lr:g}", code=1)
        values = train_loss, train_acc, val_loss, val_acc, optimizer.param_groups[0]["lr"]
        history = {name: [*history[name], value] for name, value in zip(history, values, strict=True)}
        checkpoint.save(args.model, model, **{**about, "history": history})
        about["history"] = history  # only now: Ctrl-C may come before the save

        print(f"[INFO] EPOCH: {epoch}/{args.epochs}")
        print(f"Train loss: {train_loss:.6f}, Train accuracy: {train_acc:.4f}")
        print(f"Val loss: {val_loss:.6f}, Val accuracy: {val_acc:.4f}\n")
    print(f"[INFO] total time taken to train the model: {time.perf_counter() - start:.2f}s")


def choose_temperature(log_probs: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature from 0.1 to 10 with the lowest loss on validation images: `log_probs`, N x classes, `labels`, N.

    A network is too sure after usual training, and not sure enough after label smoothing. Dividing its scores by the
    temperature before softmax mends both and changes no answer. Guo, Pleiss, Sun and Weinberger, "On Calibration of
    Modern Neural Networks" (2017), https://arxiv.org/abs/1706.04599. Log-probabilities serve as scores.
    """
    if len(labels) < LEAST_FOR_TEMPERATURE:
        return 1.0  # changes nothing
    temperatures = torch.logspace(-1, 1, 201).tolist()  # 2% from one to the next
    return min(temperatures, key=lambda temperature: cross_entropy(log_probs / temperature, labels).item())


def report(labels: torch.Tensor, predicted: torch.Tensor, classes: list[str]) -> np.ndarray:
    """Print how well each class is recognised, and the commonest mistakes; returns the confusion matrix."""
    from sklearn.metrics import classification_report, confusion_matrix  # takes a second, and only here

    answers = {"y_true": labels.cpu().numpy(), "y_pred": predicted.cpu().numpy(), "labels": range(len(classes))}
    print(classification_report(**answers, target_names=classes, digits=4, zero_division=0))
    confusion = confusion_matrix(**answers)
    mistakes = [(n, truth, guess) for (truth, guess), n in np.ndenumerate(confusion) if n and truth != guess]
    for count, truth, guess in sorted(mistakes, reverse=True)[:5]:
        print(f"[INFO] {classes[truth]} read as {classes[guess]}: {count} of {confusion[truth].sum()}")
    return confusion


def main() -> None:
    args = parse_args()
    # Adam's averages can become tiny (denormal) numbers, which slow a CPU down: treat them as 0
    torch.set_flush_denormal(True)

    print(f"[INFO] loading {args.folder or 'the KMNIST dataset'}...")
    dataset, classes, training, test = folders.load(args.folder) if args.folder else kmnist.load_all()
    print("[INFO] generating the train/validation split...")
    train_set, val_set = split(*training, args)
    torch.manual_seed(args.seed)
    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True)
    val_loader = DataLoader(val_set, batch_size=EVALUATION_BATCH)
    test_set = Images(pixels(test[0].to(args.device)), test[1].to(args.device))
    test_loader = DataLoader(test_set, batch_size=EVALUATION_BATCH)

    print("[INFO] initializing the LeNet model...")
    model = LeNet(numChannels=1, classes=len(classes)).to(args.device, memory_format=torch.channels_last)
    settings = {flag: str(value) for flag, value in vars(args).items() if not isinstance(value, Path)}
    about = {"classes": classes, "dataset": dataset, "settings": settings}

    print("[INFO] training the network...")
    reason = None
    try:
        train(model, train_loader, val_loader, args, about)
    except (CommandError, KeyboardInterrupt) as error:
        if "history" not in about:
            raise
        print(f"[INFO] ended early: keeping the weights of epoch {len(about['history']['lr'])}")
        model.load_state_dict(checkpoint.load(args.model)[0].state_dict())
        reason = error
    val_loss, _, log_probs, labels = evaluate(model, val_loader)
    temperature = about["temperature"] = choose_temperature(log_probs, labels)
    calibrated = cross_entropy(log_probs / temperature, labels).item()
    print(f"[INFO] temperature {temperature:.2f}: validation loss {val_loss:.4f} becomes {calibrated:.4f}")

    print("[INFO] evaluating network...")
    _, about["test_accuracy"], log_probs, _ = evaluate(model, test_loader)
    confusion = report(test[1], log_probs.argmax(1), classes)
    checkpoint.save(args.model, model, **about)
    write_whole(args.plot, plot.draw_plot(about["history"], confusion, classes, dataset, args.plot.suffix))
    print(f"[INFO] model saved to {args.model}, plot saved to {args.plot}")

    guessing = (training[1].bincount().max() / len(training[1])).item()  # always the commonest class
    margin = 2 * math.sqrt(guessing * (1 - guessing) / len(train_set))  # two standard errors
    if about["history"]["train_acc"][-1] < guessing + margin:
        print(f"[INFO] the network learned nothing: it guesses. Try another --lr than {args.lr:g}, or more --epochs")
    if reason:
        raise reason


if __name__ == "__main__":
    sys.exit(run(main))
