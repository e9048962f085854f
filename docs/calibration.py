"""Count how often a model's probabilities hold on KMNIST's 10,000 test images, before and after its temperature.

    python -m docs.calibration output/model.pth output/pretrained.pth

Run it in the project's folder.
"""

import argparse
import itertools
import sys

from torch.nn import functional

from modules import checkpoint, command_line
from predict import load_images, predict

BINS = 15  # of equal width, as in Guo et al. (2017)
RANGES = [0.0, 0.5, 0.7, 0.85, 0.95, 0.99, 1.0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="a file that train.py wrote")
    for path in parser.parse_args().models:
        model, metadata = checkpoint.load(path)
        images, labels = load_images(None, metadata["classes"])[2].tensors
        for temperature in (1.0, metadata["temperature"]):
            probabilities = predict(model, images, temperature)
            confidence, guesses = probabilities.max(1)
            right = (guesses == labels).float()
            loss = functional.nll_loss(probabilities.clamp(min=1e-30).log(), labels)
            bins = (confidence * BINS).ceil()
            error = 0.0
            for number in bins.unique():
                error += (confidence - right)[bins == number].sum().abs().item()
            print(f"\n{path}, temperature {temperature:.2f}: {right.mean():.2%} right,", end=" ")
            print(f"calibration error {error / len(labels):.4f}, mean -log p {loss:.4f}\n")
            print("| it said | images | mean of what it said | it was right |\n|---|---|---|---|")
            for low, high in itertools.pairwise(RANGES):
                inside = (confidence > low) & (confidence <= high)
                if inside.any():
                    said, was = confidence[inside].mean(), right[inside].mean()
                    print(f"| {low:.0%} to {high:.0%} | {inside.sum()} | {said:.1%} | {was:.1%} |")
    return 0


if __name__ == "__main__":
    sys.exit(command_line.run(main))
