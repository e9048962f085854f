"""Measure the training against the tutorial's plain loop, side by side in one run.

    python -m docs.benchmark --epochs 10 --repeats 2

Run it in the project's folder. Each run is a command of its own, the variants in turn, so that a machine whose speed
drifts treats all alike; ratios are medians of pairs.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.metrics import classification_report
from torch import nn
from torch.utils.data import DataLoader, random_split
from torchvision.datasets import KMNIST
from torchvision.transforms import ToTensor

from modules import command_line, kmnist
from modules.lenet import LeNet

ROOT = Path(__file__).parent.parent
COMMANDS = {
    "the tutorial's loop": ["-m", "docs.benchmark", "--plain"],
    "`train.py`": ["train.py"],
    "`train.py --augment`": ["train.py", "--augment"],
}


def plain_loop(epochs: int, device: str, model_path: Path, plot_path: Path) -> None:
    """Data, loop, report, plot and model as tutorials write them."""
    training, test = (KMNIST(kmnist.ROOT, train=train, transform=ToTensor()) for train in (True, False))
    count = round(0.75 * len(training))
    parts = random_split(training, [count, len(training) - count], generator=torch.Generator().manual_seed(42))
    train_loader = DataLoader(parts[0], shuffle=True, batch_size=64)
    validation_loader = DataLoader(parts[1], batch_size=64)
    model = LeNet(numChannels=1, classes=len(training.classes)).to(device)
    optimizer, loss_function = torch.optim.Adam(model.parameters(), lr=1e-3), nn.NLLLoss()
    curve = []
    start = time.perf_counter()
    for _ in range(epochs):
        model.train()
        total_train_loss, total_validation_loss, train_correct, validation_correct = 0, 0, 0, 0
        for x, y in train_loader:
            x, y = x.to(device), y.to(device)
            prediction = model(x)
            loss = loss_function(prediction, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_train_loss += loss
            train_correct += (prediction.argmax(1) == y).type(torch.float).sum().item()
        with torch.no_grad():
            model.eval()
            for x, y in validation_loader:
                x, y = x.to(device), y.to(device)
                prediction = model(x)
                total_validation_loss += loss_function(prediction, y)
                validation_correct += (prediction.argmax(1) == y).type(torch.float).sum().item()
        curve.append((total_train_loss / len(train_loader)).cpu().detach().numpy())
    print(f"[INFO] total time taken to train the model: {time.perf_counter() - start:.2f}s")

    with torch.no_grad():
        predictions = []
        for x, _ in DataLoader(test, batch_size=64):
            predictions.extend(model(x.to(device)).argmax(axis=1).cpu().numpy())
    print(classification_report(test.targets.numpy(), predictions, target_names=test.classes, zero_division=0))
    plt.plot(curve)
    plt.savefig(plot_path)
    torch.save(model, model_path)
    print("[INFO] model and plot saved", flush=True)


def measure(command: list[str]) -> tuple[float, float]:
    """Run one variant: seconds of training, and of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *command, "--model", f"{folder}/model.pth", "--plot", f"{folder}/plot.png"]
        start = time.perf_counter()
        output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
        return float(re.search(r"train the model: ([\d.]+)s", output)[1]), time.perf_counter() - start


def row(variant: str, runs: np.ndarray, plain: np.ndarray, epochs: int) -> str:
    """A row of the table: the seconds, repeats x 2, of a variant and those of the plain loop, which took turns."""
    seconds, ratios = runs[:, 0] / epochs, np.median(plain / runs, axis=0)
    text = f"{np.median(seconds):.2f} ({seconds.min():.2f}-{seconds.max():.2f})"
    return f"| {variant} | {text} | {ratios[0]:.2f} | {ratios[1]:.2f} | {np.median(runs[:, 1]):.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command_line.add_number(parser, "--epochs", 1, 1000, 1, "of each run")
    command_line.add_number(parser, "--repeats", 1, 1000, 3, "runs of each variant")
    parser.add_argument("--device", type=command_line.parse_device, default=command_line.default_device())
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)  # a single run of the tutorial's loop
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--plot", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain:
        plain_loop(args.epochs, args.device, args.model, args.plot)
        return

    flags = ["--epochs", str(args.epochs), "--device", str(args.device)]
    runs = {variant: np.zeros((args.repeats, 2)) for variant in COMMANDS}
    for repeat in range(args.repeats):
        for variant, command in COMMANDS.items():
            print(f"\r{repeat + 1}/{args.repeats} {variant:30}", end="", file=sys.stderr, flush=True)
            runs[variant][repeat] = measure([*command, *flags])

    print(f"\n{args.epochs} epochs, {args.repeats} repeats; {args.device}, {torch.get_num_threads()} threads; ", end="")
    print(f"torch {torch.__version__}\n\n| variant | s/epoch (min-max) | speed-up | of the whole command | seconds |")
    print("|---|---|---|---|---|")
    for variant, results in runs.items():
        print(row(variant, results, runs["the tutorial's loop"], args.epochs))


if __name__ == "__main__":
    main()
