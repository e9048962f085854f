"""Measure the training against the tutorial's plain loop, side by side in one run.

    python tests/benchmark.py                            # 1 epoch, 3 repeats
    python tests/benchmark.py --epochs 10 --repeats 2

Each run is a command of its own, the variants in turn, so that a machine whose speed drifts treats all alike; ratios
are medians of pairs. pytest does not collect this file.
"""

import argparse
import contextlib
import math
import platform
import re
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
    "plain loop": [__file__, "--plain"],
    "train.py": [str(ROOT / "train.py")],
    "train.py --augment": [str(ROOT / "train.py"), "--augment"],
    "train.py --amp": [str(ROOT / "train.py"), "--amp"],
    "train.py --amp --augment": [str(ROOT / "train.py"), "--amp", "--augment"],
}
# multiplications and additions, two operations each: an image trained passes forward, and twice backward
# but for the first layer, whose input needs no gradient
FORWARD = 2 * (24 * 24 * 20 * 25 + 8 * 8 * 50 * 500 + 800 * 500 + 500 * 10)
TRAINED = 3 * FORWARD - 2 * 24 * 24 * 20 * 25


def plain_loop(epochs: int, device: "torch.device", model_path: Path, plot_path: Path) -> None:
    """Loop, report, plot and model as tutorials write them."""
    import matplotlib.pyplot as plt
    import torch
    from sklearn.metrics import classification_report
    from torch import nn
    from torch.utils.data import DataLoader, Dataset, random_split
    from torchvision.transforms import ToTensor
    from torchvision.transforms.functional import to_pil_image

    from modules import kmnist

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

    training, test = kmnist.read("train"), kmnist.read("t10k")
    pictures, count = Pictures(*training), round(0.75 * len(training[1]))
    parts = random_split(pictures, [count, len(pictures) - count], generator=torch.Generator().manual_seed(42))
    train_loader = DataLoader(parts[0], shuffle=True, batch_size=64)
    validation_loader = DataLoader(parts[1], batch_size=64)
    model = PlainLeNet().to(device)
    optimizer, loss_function = torch.optim.Adam(model.parameters(), lr=1e-3), nn.NLLLoss()
    curve = []
    start = time.perf_counter()
    for _ in range(epochs):
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
    print(f"[INFO] total time taken to train the model: {time.perf_counter() - start:.2f}s")

    with torch.no_grad():
        answers = [model(x.to(device)).argmax(1).cpu() for x, _ in DataLoader(Pictures(*test), batch_size=64)]
    print(classification_report(test[1].numpy(), torch.cat(answers).numpy(), zero_division=0))
    plt.plot(curve)
    plt.savefig(plot_path)
    torch.save(model.state_dict(), model_path)
    print("[INFO] model and plot saved", flush=True)


def measure(command: list[str]) -> dict[str, float]:
    """Run one variant: seconds of training, seconds and peak memory (GiB; Linux only) of the whole process."""
    output, peak = "", math.nan
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *command, "--model", f"{folder}/model.pth", "--plot", f"{folder}/plot.png"]
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            for line in process.stdout:
                output += line
                # up to the last line: at exit all variants map library files that are unloaded, 60 to 120 MB of them
                with contextlib.suppress(OSError, TypeError):
                    status = Path(f"/proc/{process.pid}/status").read_text()
                    peak = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 2**20
        whole = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"this failed: {' '.join(command)}")
    training = float(re.search(r"time taken to train the model: ([\d.]+)s", output)[1])
    return {"training": training, "whole": whole, "peak": peak}


def matrix_rate(device: "torch.device") -> float:
    """The machine's float32 matrix multiplication rate, in operations per second: the best of several."""
    import torch

    a = torch.randn(2048, 2048, device=device)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        (a @ a)[0, 0].item()
        best = min(best, time.perf_counter() - start)
    return 2 * 2048**3 / best


def speed_up(plain: list[dict[str, float]], results: list[dict[str, float]], what: str) -> float:
    """How many times as fast as the plain loop: the median over runs that followed each other."""
    return statistics.median(slow[what] / fast[what] for slow, fast in zip(plain, results, strict=True))


def main() -> None:
    import torch
    from modules.arguments import Parser

    parser = Parser(description="Measure training speed against the tutorial's plain loop.")
    parser.add_number("--epochs", int, 1, 1000, 1, "of each run")
    parser.add_number("--repeats", int, 1, 1000, 3, "runs of each variant")
    parser.add_device()
    for flag in ("--model", "--plot"):  # of a single plain run
        parser.add_argument(flag, help=argparse.SUPPRESS)
    parser.add_argument("--plain", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.plain:
        plain_loop(args.epochs, args.device, args.model, args.plot)
        return

    flags = ["--epochs", str(args.epochs), "--device", str(args.device)]
    features = getattr(torch.cpu, "get_capabilities", dict)()
    emulated = args.device.type == "cpu" and not any(
        features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")
    )  # --amp would take ten times as long, and say nothing
    variants = {name: command for name, command in VARIANTS.items() if not (emulated and "--amp" in command)}
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for repeat in range(args.repeats):
        for variant, command in variants.items():
            print(f"\r{repeat + 1}/{args.repeats} {variant:30}", end="", file=sys.stderr, flush=True)
            runs[variant].append(measure([*command, *flags]))
    print(file=sys.stderr)

    rate = matrix_rate(args.device)
    trained, validated = 45_000, 15_000
    work = trained * TRAINED + validated * FORWARD
    processor = features.get("cpu_name", platform.machine())
    if args.device.type != "cpu":
        processor = torch.cuda.get_device_name(args.device)
    print(f"{args.epochs} epochs, {args.repeats} repeats; {processor},")
    print(
        f"{torch.get_num_threads()} threads, float32 matrix rate {rate / 1e9:.0f} GFLOP/s; torch {torch.__version__}\n"
    )
    print("| variant | s/epoch (min-max) | speed-up | images/s | of matrix rate | process s | speed-up | peak GiB |")
    print("|---|---|---|---|---|---|---|---|")
    for variant, results in runs.items():
        epochs = [result["training"] / args.epochs for result in results]
        median = statistics.median(epochs)
        whole = statistics.median(result["whole"] for result in results)
        peak = statistics.median(result["peak"] for result in results)
        print(
            f"| {variant} | {median:.2f} ({min(epochs):.2f}-{max(epochs):.2f}) "
            f"| {speed_up(runs['plain loop'], results, 'training'):.2f} | {trained / median:.0f} "
            f"| {work / median / rate:.0%} | {whole:.1f} | {speed_up(runs['plain loop'], results, 'whole'):.2f} "
            f"| {peak:.2f} |"
        )


if __name__ == "__main__":
    main()
