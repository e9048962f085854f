"""Measure the training against the tutorial's plain loop, side by side in one run.

    python tests/benchmark.py                            # the stand-in, 1 epoch, 3 repeats
    python tests/benchmark.py --data data --epochs 10 --repeats 2

Each variant trains in a process of its own, the variants in turn, so that a machine whose speed drifts treats all
alike; ratios are medians of pairs. pytest does not collect this file.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch  # imported late, as its import is part of what is measured

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
VARIANTS = {
    "plain loop": None,
    "train.py": [],
    "train.py --amp": ["--amp"],
    "train.py --amp --augment": ["--amp", "--augment"],
}
# multiplications and additions, two operations each: an image trained passes forward, and twice backward
# but for the first layer, whose input needs no gradient
FORWARD = 2 * (24 * 24 * 20 * 25 + 8 * 8 * 50 * 500 + 800 * 500 + 500 * 10)
TRAINED = 3 * FORWARD - 2 * 24 * 24 * 20 * 25


Labelled = tuple["torch.Tensor", "torch.Tensor"]


def plain_loop(training: Labelled, test: Labelled, epochs: int, device: str) -> list[float]:
    """Loop, report, plot and model as tutorials write them; returns the seconds of each epoch, with its validation."""
    import matplotlib.pyplot as plt
    import torch
    from sklearn.metrics import classification_report
    from torch import nn
    from torch.utils.data import DataLoader, Dataset, random_split
    from torchvision.transforms import ToTensor
    from torchvision.transforms.functional import to_pil_image

    class Pictures(Dataset):
        """One image at a time, through PIL and ToTensor, as torchvision's KMNIST gives them."""

        def __init__(self, images: "torch.Tensor", labels: "torch.Tensor") -> None:
            self.images, self.labels = images, labels

        def __len__(self) -> int:
            return len(self.labels)

        def __getitem__(self, index: int) -> tuple["torch.Tensor", int]:
            return ToTensor()(to_pil_image(self.images[index, 0].numpy())), int(self.labels[index])

    class PlainLeNet(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(
                *[nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2, 2)],
                *[nn.Conv2d(20, 50, 5), nn.ReLU(), nn.MaxPool2d(2, 2)],
                *[nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, 10), nn.LogSoftmax(dim=1)],
            )

    pictures, count = Pictures(*training), round(0.75 * len(training[1]))
    parts = random_split(pictures, [count, len(pictures) - count], generator=torch.Generator().manual_seed(42))
    train_loader = DataLoader(parts[0], shuffle=True, batch_size=64)
    validation_loader = DataLoader(parts[1], batch_size=64)
    model = PlainLeNet().to(device)
    optimizer, loss_function = torch.optim.Adam(model.parameters(), lr=1e-3), nn.NLLLoss()
    seconds, curve = [], []
    for _ in range(epochs):
        start = time.perf_counter()
        total_loss, correct = 0, 0
        model.train()
        for x, y in train_loader:
            x, y = x.to(device), y.to(device)
            prediction = model(x)
            loss = loss_function(prediction, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss
            correct += (prediction.argmax(1) == y).type(torch.float).sum().item()
        with torch.no_grad():
            model.eval()
            for x, y in validation_loader:
                x, y = x.to(device), y.to(device)
                prediction = model(x)
                total_loss += loss_function(prediction, y)
                correct += (prediction.argmax(1) == y).type(torch.float).sum().item()
        curve.append(float(total_loss.detach()) / len(train_loader))
        seconds.append(time.perf_counter() - start)

    with torch.no_grad():
        answers = [model(x.to(device)).argmax(1).cpu() for x, _ in DataLoader(Pictures(*test), batch_size=64)]
    classification_report(test[1].numpy(), torch.cat(answers).numpy(), zero_division=0)
    with tempfile.TemporaryDirectory() as folder:
        plt.plot(curve)
        plt.savefig(f"{folder}/plot.png")
        torch.save(model.state_dict(), f"{folder}/model.pth")
    return seconds


def measure(variant: str, epochs: int, data: Path | None, device: str) -> None:
    """Train one variant in this process and print what it took as JSON."""
    begin = time.perf_counter()
    import torch

    import train  # with all that the tutorial imports too

    root = data or Path()
    name, (images, labels), (test_images, test_labels) = train.load_data("kmnist" if data else "rendered", root)
    counts = {"images": len(labels), "trained": round(0.75 * len(labels))}
    if VARIANTS[variant] is None:
        seconds = plain_loop((images, labels), (test_images, test_labels), epochs, device)
    else:
        seconds, epoch_start = [], [0.0]
        original_train, original_evaluate = train.train_epoch, train.evaluate

        def timed_train(*arguments: object) -> tuple[float, float]:
            epoch_start[0] = time.perf_counter()
            return original_train(*arguments)

        def timed_evaluate(*arguments: object) -> tuple:
            result = original_evaluate(*arguments)
            if len(seconds) < epochs:
                seconds.append(time.perf_counter() - epoch_start[0])
            return result

        train.train_epoch, train.evaluate = timed_train, timed_evaluate
        loaded = [(name, (images, labels), (test_images, test_labels))]
        del images, labels  # train.py frees them once it has split them
        train.load_data = lambda *_: loaded.pop()
        with tempfile.TemporaryDirectory() as folder:
            flags = ["-m", f"{folder}/m.pth", "-p", f"{folder}/p.png", "--epochs", str(epochs), "--device", device]
            train.main(flags + VARIANTS[variant])
    whole = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "linux" else 2**30)
    print(json.dumps({"seconds": seconds, "whole": whole, "peak": peak, "torch": torch.__version__, **counts}))


def matrix_rate(device: str) -> float:
    """The machine's float32 matrix multiplication rate, in operations per second: the best of several."""
    import torch

    a = torch.randn(2048, 2048, device=device)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure training speed against the tutorial's plain loop.")
    parser.add_argument("--data", type=Path, help="folder of KMNIST/raw (default: the rendered stand-in)")
    parser.add_argument("--epochs", type=int, default=1, help="of each run (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each variant (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="(default: %(default)s)")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.variant:
        measure(args.variant, args.epochs, args.data, args.device)
        return

    runs: dict[str, list[dict]] = {variant: [] for variant in VARIANTS}
    for repeat in range(args.repeats):
        for variant in VARIANTS:
            print(f"\r{repeat + 1}/{args.repeats} {variant:30}", end="", file=sys.stderr)
            command = [sys.executable, __file__, "--variant", variant, "--epochs", str(args.epochs)]
            command += ["--device", args.device] + (["--data", str(args.data)] if args.data else [])
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs[variant].append(json.loads(done.stdout.splitlines()[-1]))
    print(file=sys.stderr)

    import torch

    rate = matrix_rate(args.device)
    first = runs["plain loop"][0]
    work = first["trained"] * TRAINED + (first["images"] - first["trained"]) * FORWARD
    processor = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
    if args.device != "cpu":
        processor = torch.cuda.get_device_name(args.device)
    print(f"{'KMNIST' if args.data else 'rendered'}, {args.epochs} epochs, {args.repeats} repeats; {processor},")
    print(f"{torch.get_num_threads()} threads, float32 matrix rate {rate / 1e9:.0f} GFLOP/s; torch {first['torch']}\n")
    print("| variant | s/epoch (median, min-max) | speed-up | images/s | share of matrix rate | process s | peak GB |")
    print("|---|---|---|---|---|---|---|")
    for variant, results in runs.items():
        epochs = [statistics.mean(result["seconds"]) for result in results]
        pairs = [
            statistics.mean(plain["seconds"]) / mean for plain, mean in zip(runs["plain loop"], epochs, strict=True)
        ]
        median = statistics.median(epochs)
        whole = statistics.median(result["whole"] for result in results)
        peak = max(result["peak"] for result in results)
        spread = f"{median:.2f} ({min(epochs):.2f}-{max(epochs):.2f})"
        print(
            f"| {variant} | {spread} | {statistics.median(pairs):.2f} | {first['trained'] / median:.0f} "
            f"| {work / median / rate:.0%} | {whole:.1f} | {peak:.2f} |"
        )


if __name__ == "__main__":
    main()
