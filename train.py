"""Train LeNet to read handwritten Hiragana (Kuzushiji-MNIST) and save the model and a plot of its training.

    python train.py --model output/model.pth --plot output/plot.png

Ten epochs end at 94.0 to 95.6% test accuracy, and so do three with --one-cycle --lr 4e-3 --epochs 3; README.md tells
how to get beyond 98%.
"""

from modules.console import on_interrupts, printable, run

import argparse
import math
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import random_split
from tqdm import tqdm

from modules import checkpoint, kmnist
from modules.arguments import training_arguments
from modules.augment import warp
from modules.batches import EVALUATION_BATCH, Images, make_loader
from modules.files import write_whole
from modules.lenet import LeNet
from modules.plot import draw_plot

SPLIT_SEED = 42  # the tutorial's; --seed leaves the split alone, so that validation accuracies can be compared


def load_data(folder: Path | None) -> tuple[str, list[str], kmnist.Labelled, kmnist.Labelled]:
    """The name of the data set and of its classes, its training set and its test set."""
    if folder:
        from modules import folders  # imports OpenCV, which nothing else here needs

        print(f"[INFO] loading the pictures in {printable(folder)}...")
        return printable(folder.resolve().name), *folders.load(folder)
    print("[INFO] loading the KMNIST dataset...")
    return "KMNIST", kmnist.CLASSES, kmnist.read("train"), kmnist.read("t10k")


def split(labels: torch.Tensor, train_share: float, by_class: bool) -> Sequence[Sequence[int]]:
    """Indices of the images to train on and of those to validate with: the tutorial's for KMNIST and 0.75."""
    if by_class:
        from modules.folders import divide

        return divide(labels, 1 - train_share, SPLIT_SEED)
    # the tutorial rounds both parts down, which loses an image for 20 of the 99 whole percentages
    train_count = round(len(labels) * train_share)
    counts = [train_count, len(labels) - train_count]
    parts = random_split(range(len(labels)), counts, generator=torch.Generator().manual_seed(SPLIT_SEED))
    return [part.indices for part in parts]


def train_epoch(
    model: LeNet, train_set: Images, optimizer: AdamW, scheduler: OneCycleLR | None, args: argparse.Namespace
) -> tuple[float, float]:
    """Show the network every training image once; returns the mean loss and the accuracy of the answers it gave."""
    # LeNet ends in log-softmax, and log-softmax of log-softmax changes nothing but rounding: CrossEntropyLoss, which
    # applies its own and which alone knows label smoothing, is right here. Without smoothing it is NLLLoss
    loss_function = nn.CrossEntropyLoss(label_smoothing=args.label_smoothing) if args.label_smoothing else nn.NLLLoss()
    # sums stay on the device: an .item() in the loop would wait for it in every step
    total_loss, correct = torch.zeros(2, device=args.device)

    model.train()
    loader = make_loader(train_set, args.batch_size, shuffle=True)
    for images, labels in tqdm(loader, leave=False, disable=None, file=sys.stdout, unit="batch"):
        if args.augment:
            images = warp(images)
        with torch.autocast(args.device.type, torch.bfloat16, enabled=args.amp):
            log_probs = model(images)
        loss = loss_function(log_probs, labels)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()

        # detached, or the sum would keep every step's graph alive; without smoothing, to compare with validation
        log_probs = log_probs.detach()
        total_loss += nn.functional.nll_loss(log_probs, labels, reduction="sum")
        correct += (log_probs.argmax(1) == labels).sum()
    return total_loss.item() / len(train_set), correct.item() / len(train_set)


@torch.inference_mode()
def evaluate(model: LeNet, dataset: Images) -> tuple[float, float, torch.Tensor]:
    """Mean loss, accuracy and predicted classes (N, int64, on the CPU) of images that are not learned from."""
    model.eval()
    # one tensor for all answers: many small ones, scattered over the heap, cost 70 MB more
    log_probs = torch.empty(len(dataset), model.fc2.out_features, device=dataset.labels.device)
    batches = make_loader(dataset, EVALUATION_BATCH)
    for part, (images, _) in zip(log_probs.split(EVALUATION_BATCH), batches, strict=True):
        part[:] = model(images)
    loss = nn.functional.nll_loss(log_probs, dataset.labels)
    predicted = log_probs.argmax(1)
    return loss.item(), (predicted == dataset.labels).float().mean().item(), predicted.cpu()


def train(model: LeNet, train_set: Images, validation_set: Images, args: argparse.Namespace, kept: dict) -> None:
    """All epochs; `kept` has the weights and the curves of the complete ones at any moment."""
    # Adam, its weight decay decoupled; fused: one kernel for all weights, which not every backend has
    fused = args.device.type in ("cpu", "cuda")
    optimizer = AdamW(model.parameters(), args.lr, weight_decay=args.weight_decay, fused=fused)
    steps = args.epochs * math.ceil(len(train_set) / args.batch_size)
    scheduler = OneCycleLR(optimizer, args.lr, total_steps=steps) if args.one_cycle else None
    curves: dict[str, list[float]] = {}
    start = time.perf_counter()
    for epoch in range(1, args.epochs + 1):
        train_loss, train_acc = train_epoch(model, train_set, optimizer, scheduler, args)
        val_loss, val_acc, _ = evaluate(model, validation_set)
        if not math.isfinite(train_loss + val_loss):
            raise FloatingPointError(f"no finite loss in epoch {epoch}: try a lower --lr than {args.lr:g}")

        row = {"train_loss": train_loss, "train_acc": train_acc, "val_loss": val_loss, "val_acc": val_acc}
        curves = {name: [*curves.get(name, []), value] for name, value in row.items()}
        # one call: Ctrl-C finds the weights and the curves of the same epochs
        kept.update(state_dict={name: tensor.clone() for name, tensor in model.state_dict().items()}, history=curves)
        print(f"[INFO] EPOCH: {epoch}/{args.epochs}")
        print(f"Train loss: {train_loss:.6f}, Train accuracy: {train_acc:.4f}")
        print(f"Val loss: {val_loss:.6f}, Val accuracy: {val_acc:.4f}\n")
    print(f"[INFO] total time taken to train the model: {time.perf_counter() - start:.2f}s")


def report(model: LeNet, test_set: Images, classes: list[str]) -> tuple[float, np.ndarray]:
    """Print how well each class of the test set is read; returns the accuracy and the confusion matrix."""
    from sklearn.metrics import classification_report, confusion_matrix  # a second to import, for the end alone

    _, accuracy, predicted = evaluate(model, test_set)
    answers = {"y_true": test_set.labels.cpu().numpy(), "y_pred": predicted.numpy(), "labels": range(len(classes))}
    print(classification_report(**answers, target_names=classes, digits=4, zero_division=0))
    confusion = confusion_matrix(**answers)
    mistakes = confusion - np.diag(np.diag(confusion))
    for field in mistakes.ravel().argsort(kind="stable")[::-1][:5]:  # the commonest
        truth, guess = divmod(field, len(classes))
        if count := mistakes[truth, guess]:
            print(f"[INFO] {classes[truth]} read as {classes[guess]}: {count} of {confusion[truth].sum()}")
    return accuracy, confusion


def save(args: argparse.Namespace, dataset: str, classes: list[str], kept: dict) -> None:
    """Write the model file and the plot."""
    history, accuracy, confusion = (kept.get(name) for name in ("history", "test_accuracy", "confusion"))
    about = {"classes": classes, "dataset": dataset, "history": history, "test_accuracy": accuracy}
    settings = {flag: str(value) for flag, value in vars(args).items()}
    checkpoint.save(args.model, kept["state_dict"], settings=settings, **about)
    write_whole(args.plot, draw_plot(history, confusion, classes, dataset, args.augment, args.plot.suffix))
    if accuracy is None:
        print(f"[INFO] ended early: keeping the {len(history['val_acc'])} complete epochs")
    print(f"[INFO] model saved to {printable(args.model)}, plot saved to {printable(args.plot)}")


def main(argv: list[str] | None = None) -> None:
    args = training_arguments(argv, __doc__)
    # Adam's averages of gradients that stay zero decay into denormal numbers, with which a CPU computes many times more
    # slowly; taken as zero they give the same weights, to the bit
    torch.set_flush_denormal(True)

    dataset, classes, (images, labels), test_set = load_data(args.folder)
    print("[INFO] generating the train/validation split...")
    parts = split(labels, args.train_split, by_class=bool(args.folder))
    train_set, validation_set = (Images(images[part], labels[part], args.device) for part in parts)
    del images, labels  # the two sets have their own copies

    print("[INFO] initializing the LeNet model...")
    torch.manual_seed(args.seed)
    model = LeNet(numChannels=1, classes=len(classes)).to(args.device, memory_format=torch.channels_last)

    print("[INFO] training the network...")
    kept: dict = {}  # what is to be saved
    try:
        train(model, train_set, validation_set, args, kept)
        del train_set  # it makes room for what the report imports
        print("[INFO] evaluating network...")
        kept["test_accuracy"], kept["confusion"] = report(model, Images(*test_set, args.device), classes)
    finally:  # after Ctrl-C, a hopeless loss or whatever else too: the complete epochs are kept
        on_interrupts(signal.SIG_IGN)
        if kept:
            save(args, dataset, classes, kept)
    accuracy, count = kept["history"]["val_acc"][-1], len(validation_set)
    guessing = validation_set.labels.bincount().max().item() / count  # always the commonest class
    if accuracy < guessing + math.sqrt(guessing * (1 - guessing) / count):  # with one standard error
        print(f"[INFO] it learned nothing: validation accuracy {accuracy:.4f} is no better than guessing.", end=" ")
        print(f"Try a lower --lr than {args.lr:g}, or more --epochs")


if __name__ == "__main__":
    run(main)
