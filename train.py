"""Train LeNet to read handwritten Hiragana (Kuzushiji-MNIST), and save the model and a plot of its training.

    python train.py --model output/model.pth --plot output/plot.png

docs/lesson.md explains every step, and shows how to get from 95 to 98.4% test accuracy.
"""

import copy
import math
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim import Adam, Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.utils.data import DataLoader, Subset, random_split
from tqdm import tqdm

from modules import checkpoint, command_line, kmnist, plot
from modules.augment import warp_batch
from modules.command_line import CommandError, add_number, parse_path
from modules.handwriting import folders
from modules.kmnist import ImageDataset, scale_pixels
from modules.lenet import LeNet
from modules.temperature import choose_temperature

INIT_LR = 1e-3  # Adam's learning rate: one step moves a weight by about this much at most
BATCH_SIZE = 64  # images in one step
EPOCHS = 10  # passes over the training images
TRAIN_SPLIT = 0.75  # share of the images to train on; the rest validate
SPLIT_SEED = 42  # not --seed, so that all runs validate on the same images and can be compared
EVALUATION_BATCH = 250  # images; larger than in training, as nothing is kept for backward()


def parse_args() -> Namespace:
    """Read the flags. Invalid ones are rejected before any work."""
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("-m", "--model", metavar="PATH", type=parse_path, required=True, help="where the trained model goes (.pth)")
    add("-p", "--plot", metavar="PATH", type=parse_path, required=True, help="where the plot goes (.png, .svg)")
    add("--folder", metavar="DIR", type=parse_path, help="your own characters: a sub-folder of pictures for each class")
    add("--start-from", metavar="MODEL", type=parse_path, help="begin with the weights of a network saved before")
    add_number(parser, "--train-split", 0.001, 0.999, TRAIN_SPLIT, "share to train on; the rest validates")
    add("--augment", action="store_true", help="warp each training image at random, differently in each epoch")
    add_number(parser, "--epochs", 1, 10_000, EPOCHS, "passes over the training images")
    add_number(parser, "--batch-size", 1, 60_000, BATCH_SIZE, "images in one step")
    add_number(parser, "--lr", 1e-8, 1e8, INIT_LR, "Adam's learning rate, with --one-cycle the highest")
    add("--one-cycle", action="store_true", help="let the learning rate rise to --lr, then fall to almost 0")
    add_number(parser, "--label-smoothing", 0, 0.99, 0.0, "share of each label spread over all classes")
    add_number(parser, "--weight-decay", 0, 10, 0.0, "each step shrinks each weight by this times the learning rate")
    add("--device", metavar="D", type=command_line.parse_device, help="any torch device (default: cuda, else cpu)")
    add_number(parser, "--seed", 0, 2**32 - 1, 42, "random seed for weights, shuffling and warps")
    args = parser.parse_args()

    command_line.check_writable(args.model, checkpoint.ENDINGS)
    command_line.check_writable(args.plot, plot.ENDINGS)
    for path in (args.model, args.plot):
        folders.check_outside(path, args.folder)
    return args


def split(dataset: ImageDataset, train_split: float, own: bool) -> list[Subset]:
    """The images to train on and those to validate with. A folder of your own is divided class by class."""
    if own:
        images, labels = dataset.tensors
        return [Subset(dataset, part) for part in folders.divide(images, labels, 1 - train_split)]
    count = round(len(dataset) * train_split)
    return random_split(dataset, [count, len(dataset) - count], torch.Generator().manual_seed(SPLIT_SEED))


def train_epoch(
    model: LeNet, loader: DataLoader, optimizer: Optimizer, scheduler: LRScheduler | None, label_smoothing: float
) -> tuple[float, float]:
    """Train on every image once. Returns the mean loss and the accuracy, both measured while it learns."""
    loss_function = nn.NLLLoss()
    device = next(model.parameters()).device
    # sums on the device: an .item() in each step would wait until a GPU has finished that step
    total_loss, correct, count = torch.zeros((), device=device), torch.zeros((), device=device), 0
    model.train()
    for images, labels in tqdm(loader, leave=False, disable=None, file=sys.stdout, unit="batch"):
        log_probs = model(images)
        loss = loss_function(log_probs, labels)
        total_loss += loss.detach() * len(labels)  # detached, or the sum would keep every step's graph
        if label_smoothing:
            loss = (1 - label_smoothing) * loss - label_smoothing * log_probs.mean()

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()

        correct += (log_probs.argmax(1) == labels).sum()
        count += len(labels)
    return total_loss.item() / count, correct.item() / count


@torch.inference_mode()
def evaluate(model: LeNet, loader: DataLoader) -> tuple[float, float, torch.Tensor, torch.Tensor]:
    """Without training: the mean loss, the accuracy, and all log-probabilities, N x classes, and labels, N."""
    model.eval()
    batches = [(model(images), labels) for images, labels in loader]
    log_probs = torch.cat([outputs for outputs, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    accuracy = (log_probs.argmax(1) == labels).float().mean().item()
    return nn.NLLLoss()(log_probs, labels).item(), accuracy, log_probs, labels


def train(
    model: LeNet,
    train_loader: DataLoader,
    val_loader: DataLoader,
    optimizer: Optimizer,
    scheduler: LRScheduler | None,
    epochs: int,
    label_smoothing: float,
    path: Path,
    metadata: checkpoint.Metadata,
) -> tuple[checkpoint.History, int]:
    """Train, and save the model after each epoch at `path`. Returns the curves and an exit code.

    Ctrl-C (code 130) or a loss that is not finite (code 1) ends the training early. The model then has the weights of
    the last whole epoch. If there is none, the error is raised.
    """
    history: checkpoint.History = {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": [], "lr": []}
    kept: tuple[int, dict[str, torch.Tensor]] = (0, {})  # the last whole epoch and its weights
    code = 0
    start = time.perf_counter()
    for epoch in range(1, epochs + 1):
        try:
            lr = optimizer.param_groups[0]["lr"]  # as the epoch begins
            train_loss, train_acc = train_epoch(model, train_loader, optimizer, scheduler, label_smoothing)
            val_loss, val_acc, *_ = evaluate(model, val_loader)
            if not math.isfinite(train_loss + val_loss):
                error = CommandError(f"the loss of epoch {epoch} is not finite: try a lower --lr", code=1)
                if epoch == 1:
                    raise error
                code = command_line.report_error(error)
                break
            history["train_loss"].append(train_loss)
            history["train_acc"].append(train_acc)
            history["val_loss"].append(val_loss)
            history["val_acc"].append(val_acc)
            history["lr"].append(lr)
            kept = epoch, copy.deepcopy(model.state_dict())
            checkpoint.save(path, model, {**metadata, "history": history})

            print(f"[INFO] EPOCH: {epoch}/{epochs}")
            print(f"Train loss: {train_loss:.6f}, Train accuracy: {train_acc:.4f}")
            print(f"Val loss: {val_loss:.6f}, Val accuracy: {val_acc:.4f}\n")
        except KeyboardInterrupt as interrupt:
            if kept[0] == 0:
                raise
            code = command_line.report_error(interrupt)
            break
    print(f"[INFO] total time taken to train the model: {time.perf_counter() - start:.2f}s")
    if code:
        epoch, weights = kept
        print(f"[INFO] ended early: keeping the weights of epoch {epoch}")
        model.load_state_dict(weights)
        history = {name: values[:epoch] for name, values in history.items()}
    return history, code


def report(labels: torch.Tensor, predicted: torch.Tensor, classes: list[str]) -> np.ndarray:
    """Print how well each class is recognised, and the commonest mistakes; returns the confusion matrix."""
    from sklearn.metrics import classification_report, confusion_matrix  # takes a second, and only here

    numbers = range(len(classes))
    truth, guess = labels.cpu().numpy(), predicted.cpu().numpy()
    print(classification_report(truth, guess, labels=numbers, target_names=classes, digits=4, zero_division=0))
    confusion = confusion_matrix(truth, guess, labels=numbers)
    mistakes = [(count, row, column) for (row, column), count in np.ndenumerate(confusion) if count and row != column]
    for count, row, column in sorted(mistakes, reverse=True)[:5]:
        print(f"[INFO] {classes[row]} read as {classes[column]}: {count} of {confusion[row].sum()}")
    if len(set(guess)) == 1 and len(guess) >= 10 * len(classes):  # with fewer images it may be chance
        print(f"[INFO] every test image is read as {classes[guess[0]]}: try another --lr, or more --epochs")
    return confusion


def main() -> int:
    args = parse_args()
    device = args.device or command_line.default_device()
    # Adam's averages can become tiny (denormal) numbers, which slow a CPU down: treat them as 0
    torch.set_flush_denormal(True)
    trained = checkpoint.load(args.start_from) if args.start_from else None
    if args.model.exists():
        print(f"[INFO] {args.model} will be replaced: it holds {checkpoint.describe_file(args.model)}")

    print(f"[INFO] loading {args.folder or 'the KMNIST dataset'}...")
    if args.folder:
        name, classes, train_data, test_data = folders.load(args.folder)
    else:
        name, classes = "KMNIST", kmnist.CLASSES
        train_data, test_data = kmnist.load(train=True), kmnist.load(train=False)
    print("[INFO] generating the train/validation split...")
    train_set, val_set = split(train_data.to(device), args.train_split, bool(args.folder))
    torch.manual_seed(args.seed)
    prepare = warp_batch if args.augment else scale_pixels
    train_loader = DataLoader(train_set, batch_size=args.batch_size, shuffle=True, collate_fn=prepare)
    val_loader = DataLoader(val_set, batch_size=EVALUATION_BATCH, collate_fn=scale_pixels)
    test_loader = DataLoader(test_data.to(device), batch_size=EVALUATION_BATCH, collate_fn=scale_pixels)

    print("[INFO] initializing the LeNet model...")
    model = LeNet(numChannels=1, classes=len(classes)).to(device).to(memory_format=torch.channels_last)
    checkpoint.fingerprint(model)  # raises if the network gives two answers to one image
    settings = {flag: value for flag, value in vars(args).items() if isinstance(value, (int, float))}
    metadata: checkpoint.Metadata = {"dataset": name, "classes": classes, "settings": settings}
    if trained:
        metadata["started_from"] = checkpoint.describe_training(trained[1])
        known = checkpoint.transfer(*trained, model, classes)
        print(f"[INFO] starting from a model of {metadata['started_from']}: it knows {known} of {len(classes)} classes")
    # decoupled weight decay is AdamW's; fused updates all weights in one call
    decay = args.weight_decay
    optimizer = Adam(model.parameters(), args.lr, weight_decay=decay, decoupled_weight_decay=True, fused=True)
    scheduler = OneCycleLR(optimizer, args.lr, args.epochs * len(train_loader)) if args.one_cycle else None

    print("[INFO] training the network...")
    history, code = train(
        model, train_loader, val_loader, optimizer, scheduler, args.epochs, args.label_smoothing, args.model, metadata
    )
    val_loss, _, log_probs, labels = evaluate(model, val_loader)
    temperature, calibrated = choose_temperature(log_probs, labels)
    print(f"[INFO] temperature {temperature:.2f}: validation loss {val_loss:.4f} becomes {calibrated:.4f}")

    print("[INFO] evaluating network...")
    _, test_accuracy, log_probs, labels = evaluate(model, test_loader)
    confusion = report(labels, log_probs.argmax(1), classes)
    results: checkpoint.Metadata = {"history": history, "temperature": temperature, "test_accuracy": test_accuracy}
    checkpoint.save(args.model, model, {**metadata, **results})
    command_line.write_whole(args.plot, plot.draw_plot(history, confusion, classes, name, args.plot.suffix))
    print(f"[INFO] model saved to {args.model}, plot saved to {args.plot}")
    return code


if __name__ == "__main__":
    sys.exit(command_line.run(main))
