"""Train LeNet to read handwritten Hiragana (Kuzushiji-MNIST) and save the model and a plot of its training.

    python train.py --model output/model.pth --plot output/plot.png

Ten epochs end at about 99.6% training, 98.1% validation and 94.7% test accuracy. With the same network, three epochs of

    python train.py --model output/model.pth --plot output/plot.png --one-cycle --lr 4e-3 --epochs 3

reach 95.4% test accuracy; README.md tells how to get beyond 98%.
"""

import gc
import os
import signal

if __name__ == "__main__":
    gc.set_threshold(50_000)  # looking for garbage after every 700 new objects slows the imports down
    # importing torch takes seconds; Ctrl-C in the meantime ends the program without a traceback
    for interrupt in (signal.SIGINT, signal.SIGTERM):
        signal.signal(interrupt, lambda *_: os._exit(130))

import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR
from torch.utils.data import DataLoader, random_split
from tqdm import tqdm

from modules import checkpoint, console, kmnist
from modules.arguments import training_arguments
from modules.augment import warp
from modules.batches import EVALUATION_BATCH, Images, make_loader
from modules.files import write_whole
from modules.lenet import LeNet
from modules.plot import draw_plot

SPLIT_SEED = 42  # the tutorial's; --seed leaves the split alone, so that validation accuracies can be compared
STAND_IN_WARNING = """
*** WARNING: KMNIST IS NOT AVAILABLE. TRAINING ON THE RENDERED STAND-IN INSTEAD. ***
Why: {reason}.
{advice}
Results on the stand-in say nothing about KMNIST.
"""
HOPELESS_LOSS = 1000.0  # a blind guess among ten classes costs ln 10 = 2.3
CURVES = ("train_loss", "train_acc", "val_loss", "val_acc")


def load_data(
    dataset: str, root: Path
) -> tuple[str, tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """The name of the data set, its training images and labels, its test images and labels."""
    if dataset != "rendered":
        print("[INFO] loading the KMNIST dataset...")
        try:
            return "KMNIST", kmnist.load(root, train=True), kmnist.load(root, train=False)
        except kmnist.Damaged as error:
            console.fail(error, 1)
        except kmnist.Missing as error:
            if dataset == "kmnist":
                console.fail(f"{error}. {kmnist.how_to_get(root)}", 1)
            print(STAND_IN_WARNING.format(reason=error, advice=kmnist.how_to_get(root)), file=sys.stderr)
    from modules import rendered  # needs OpenCV, which nothing else here does

    print("[INFO] loading the rendered dataset...")
    return "rendered", rendered.load(train=True), rendered.load(train=False)


def split(
    images: torch.Tensor, labels: torch.Tensor, train_share: float, device: torch.device
) -> tuple[Images, Images]:
    """Divide the training set into images to train on and images to validate with: the tutorial's for 0.75."""
    # the tutorial rounds both parts down, which loses an image for 20 of the 99 whole percentages
    train_count = round(len(labels) * train_share)
    parts = random_split(
        range(len(labels)),
        [train_count, len(labels) - train_count],
        generator=torch.Generator().manual_seed(SPLIT_SEED),
    )
    return tuple(Images(images[part.indices], labels[part.indices], device) for part in parts)


def train_epoch(
    model: LeNet,
    loader: DataLoader,
    loss_function: nn.Module,
    optimizer: Adam,
    scheduler: LRScheduler | None,
    augment: bool,
    amp: bool,
) -> tuple[float, float]:
    """Show the network every training image once; returns the mean loss and the accuracy of the answers it gave."""
    device = loader.dataset.labels.device
    # sums stay on the device: an .item() in the loop would wait for it in every step
    total_loss, correct = torch.zeros(2, device=device)

    model.train()
    for images, labels in tqdm(loader, leave=False, disable=None, file=sys.stdout, unit="batch"):
        if augment:
            images = warp(images)
        with torch.autocast(device.type, torch.bfloat16, enabled=amp):
            log_probs = model(images)
        loss = loss_function(log_probs.float(), labels)

        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if scheduler:
            scheduler.step()

        # detached, or the sum would keep every step's graph alive; times the count, since the last batch is smaller
        total_loss += loss.detach() * len(labels)
        correct += (log_probs.argmax(1) == labels).sum()
    count = len(loader.dataset)
    return total_loss.item() / count, correct.item() / count


@torch.inference_mode()
def evaluate(model: LeNet, dataset: Images, amp: bool) -> tuple[float, float, torch.Tensor]:
    """Mean loss, accuracy and predicted classes (N, int64, on the CPU) of images that are not learned from."""
    device = dataset.labels.device
    model.eval()
    # one tensor for all answers: a list of small ones would lie scattered over the heap, and large blocks that were
    # freed between them could not be used again
    log_probs = torch.empty(len(dataset), len(kmnist.CLASSES), device=device)
    batches = make_loader(dataset, EVALUATION_BATCH)
    with torch.autocast(device.type, torch.bfloat16, enabled=amp):
        for part, (images, _) in zip(log_probs.split(EVALUATION_BATCH), batches, strict=True):
            part[:] = model(images)
    loss = nn.functional.nll_loss(log_probs, dataset.labels)
    predicted = log_probs.argmax(1)
    return loss.item(), (predicted == dataset.labels).float().mean().item(), predicted.cpu()


def report(model: LeNet, test_set: Images, amp: bool) -> float:
    """Print precision and recall for each class of the test set; returns the accuracy."""
    from sklearn.metrics import classification_report  # takes a second to import, and only the end needs it

    _, accuracy, predicted = evaluate(model, test_set, amp)
    print(
        classification_report(
            test_set.labels.cpu().numpy(),
            predicted.numpy(),
            labels=range(len(kmnist.CLASSES)),
            target_names=kmnist.CLASSES,
            digits=4,
            zero_division=0,
        )
    )
    return accuracy


def main(argv: list[str] | None = None) -> None:
    args = training_arguments(argv)
    # Adam's averages of gradients that stay zero decay into denormal numbers, with which a CPU computes many times more
    # slowly; taken as zero they give the same weights, to the bit
    torch.set_flush_denormal(True)
    if args.amp:
        console.warn_if_emulated(args.device)

    dataset, (images, labels), test_set = load_data(args.dataset, args.data)
    print("[INFO] generating the train/validation split...")
    train_set, validation_set = split(images, labels, args.train_split, args.device)
    del images, labels  # the two sets have their own copies
    loader = make_loader(train_set, args.batch_size, shuffle=True)

    print("[INFO] initializing the LeNet model...")
    torch.manual_seed(args.seed)
    model = LeNet(numChannels=1, classes=len(kmnist.CLASSES)).to(args.device, memory_format=torch.channels_last)
    optimizer = Adam(
        model.parameters(),
        args.lr,
        weight_decay=args.weight_decay,
        decoupled_weight_decay=True,  # AdamW's way: the decay does not pass through Adam's scaling
        fused=args.device.type in ("cpu", "cuda"),  # one kernel for all weights; not every backend has it
    )
    scheduler = OneCycleLR(optimizer, args.lr, total_steps=args.epochs * len(loader)) if args.one_cycle else None
    # LeNet ends in log-softmax, and log-softmax of log-softmax changes nothing: CrossEntropyLoss, which applies its own
    # and which alone knows label smoothing, is exact here. Without smoothing it is NLLLoss
    loss_function = nn.CrossEntropyLoss(label_smoothing=args.label_smoothing) if args.label_smoothing else nn.NLLLoss()

    history: dict[str, list[float]] = {name: [] for name in CURVES}
    weights, test_accuracy = None, None
    print("[INFO] training the network...")
    start = time.perf_counter()
    try:
        for epoch in range(1, args.epochs + 1):
            train_loss, train_acc = train_epoch(
                model, loader, loss_function, optimizer, scheduler, args.augment, args.amp
            )
            val_loss, val_acc, _ = evaluate(model, validation_set, args.amp)
            if not train_loss + val_loss < HOPELESS_LOSS:  # a loss that is not a number ends here too
                loss = train_loss + val_loss
                console.fail(f"the loss is {loss:.3g} after epoch {epoch}: try a lower --lr than {args.lr:g}", 1)

            row = (train_loss, train_acc, val_loss, val_acc)
            # one assignment: Ctrl-C finds the weights and the curves of the same epochs
            weights, history = (
                {name: tensor.clone() for name, tensor in model.state_dict().items()},
                {name: [*history[name], value] for name, value in zip(CURVES, row, strict=True)},
            )
            print(f"[INFO] EPOCH: {epoch}/{args.epochs}")
            print(f"Train loss: {train_loss:.6f}, Train accuracy: {train_acc:.4f}")
            print(f"Val loss: {val_loss:.6f}, Val accuracy: {val_acc:.4f}\n")
        print(f"[INFO] total time taken to train the model: {time.perf_counter() - start:.2f}s")

        print("[INFO] evaluating network...")
        del train_set, validation_set, loader  # they make room for what the report imports
        test_accuracy = report(model, Images(*test_set, args.device), args.amp)
    except KeyboardInterrupt:
        if weights is None:
            raise
        print(f"[INFO] interrupted: keeping the {len(history['val_acc'])} complete epochs")
    finally:
        console.ignore_interrupts()  # what was learned is saved now, whatever comes

    settings = {
        name: str(value) if isinstance(value, Path | torch.device) else value for name, value in vars(args).items()
    }
    checkpoint.save(args.model, weights, kmnist.CLASSES, dataset, history, settings, test_accuracy)
    write_whole(args.plot, draw_plot(history, dataset, args.augment, args.plot.suffix))
    print(f"[INFO] model saved to {args.model}, plot saved to {args.plot}")
    if test_accuracy is None:
        sys.exit(130)


if __name__ == "__main__":
    gc.freeze()  # what was imported stays: looking through it for garbage at exit would take most of a second
    with console.program():
        main()
