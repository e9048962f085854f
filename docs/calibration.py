"""Count how often a model's probabilities hold on KMNIST's 10,000 test images, before and after its temperature.

python docs/calibration.py output/model.pth output/pretrained.pth
"""

import itertools
import sys
from pathlib import Path

import torch
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parent.parent))
from modules import checkpoint, kmnist
from predict import predict

BINS = 15  # of equal width, as in Guo et al. (2017)
RANGES = [0.0, 0.5, 0.7, 0.85, 0.95, 0.99, 1.0]


def main() -> None:
    images, labels = kmnist.load("t10k")
    for path in sys.argv[1:]:
        model, saved = checkpoint.load(Path(path))
        for temperature in (1.0, saved["temperature"]):
            probabilities = torch.from_numpy(predict(model, images[:, 0].numpy(), temperature))
            confidence, guesses = probabilities.max(1)
            right = (guesses == labels).float()
            loss = functional.nll_loss(probabilities.clamp(min=1e-30).log(), labels)
            bins = (confidence * BINS).ceil()
            error = sum(((confidence - right)[bins == number].sum().abs() for number in bins.unique()), torch.zeros(()))
            print(f"\n{path}, temperature {temperature:.2f}: {right.mean():.2%} right,", end=" ")
            print(f"calibration error {error / len(labels):.4f}, mean -log p {loss:.4f}\n")
            print("| it said | images | mean of what it said | it was right |\n|---|---|---|---|")
            for low, high in itertools.pairwise(RANGES):
                inside = (confidence > low) & (confidence <= high)
                if inside.any():
                    said, was = confidence[inside].mean(), right[inside].mean()
                    print(f"| {low:.0%} to {high:.0%} | {inside.sum()} | {said:.1%} | {was:.1%} |")


if __name__ == "__main__":
    main()
