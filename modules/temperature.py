"""Probabilities that mean what they say: of the answers given with 90%, nine in ten should be right.

A network is too sure after usual training, and not sure enough after training with label smoothing. Dividing the
scores by one number, the temperature, before softmax mends both and changes no answer. Guo, Pleiss, Sun and Weinberger,
"On Calibration of Modern Neural Networks" (2017), https://arxiv.org/abs/1706.04599.
"""

import torch
from torch.nn import functional

LEAST_IMAGES = 500  # with fewer, the temperature of a few odd images could be worse than none


def choose_temperature(log_probs: torch.Tensor, labels: torch.Tensor) -> float:
    """The temperature from 0.1 to 10 with the lowest loss on validation images, N x classes and N.

    Log-probabilities serve as scores: the two differ by one number for each image, which softmax ignores. With fewer
    than LEAST_IMAGES images the temperature is 1, which changes nothing.
    """
    if len(labels) < LEAST_IMAGES:
        return 1.0
    temperatures = torch.logspace(-1, 1, 201).tolist()  # 2% from one to the next
    return min(temperatures, key=lambda temperature: calibrated_loss(log_probs, labels, temperature))


def calibrated_loss(log_probs: torch.Tensor, labels: torch.Tensor, temperature: float) -> float:
    """The mean of -log(probability of the right class) at a temperature."""
    return functional.cross_entropy(log_probs / temperature, labels).item()
