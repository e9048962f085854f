"""One random warp for each image of a batch: shift, rotation, scale and a smooth local displacement.

Writers place, tilt, size and bend the same character differently. Simard, Steinkraus and Platt, "Best Practices for
Convolutional Neural Networks Applied to Visual Document Analysis" (2003), showed for handwritten digits that training
on such distortions is worth more than changes to the network. The sizes were chosen on KMNIST's validation images.
"""

import math
from collections.abc import Sequence

import torch
from torch.nn import functional

from modules.kmnist import scale_pixels

# the most that changes, either way
SHIFT = 2.0  # pixels along each axis
ROTATION = 10.0  # degrees
SCALE = 0.10  # of the size
DISPLACEMENT = 1.0  # pixels along each axis, at each control point
CONTROL_POINTS = 6  # along each side of the image


def warp_batch(batch: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale the pixels of a batch of images and labels, as in evaluation, and warp the images."""
    images, labels = scale_pixels(batch)
    return warp(images), labels


def warp(images: torch.Tensor) -> torch.Tensor:
    """Warp each image of a batch, N x C x H x W, square, pixels in [0, 1], in its own random way; outside is black."""
    count, size = len(images), images.shape[-1]
    half = (size - 1) / 2  # pixels in one unit of grid_sample's coordinates, in which the image spans -1 to 1

    # one number from -1 to 1 for each image and each kind of change; the grid says where each new pixel comes from, so
    # all changes go the other way than their names say, which is as likely
    turn, growth, right, down = torch.rand(4, count, device=images.device).mul(2).sub(1)
    angle = turn * math.radians(ROTATION)
    cos, sin = angle.cos() * (1 + growth * SCALE), angle.sin() * (1 + growth * SCALE)
    right, down = right * SHIFT / half, down * SHIFT / half
    matrix = torch.stack([cos, -sin, right, sin, cos, down], dim=1).view(count, 2, 3)

    # the map at a few control points, each displaced at random; enlarging it to all pixels smooths the displacement
    points = functional.affine_grid(matrix, [count, 1, CONTROL_POINTS, CONTROL_POINTS], align_corners=True)
    points = points + torch.rand_like(points).mul(2).sub(1) * (DISPLACEMENT / half)
    grid = functional.interpolate(points.permute(0, 3, 1, 2), size=(size, size), mode="bilinear", align_corners=True)
    return functional.grid_sample(images, grid.permute(0, 2, 3, 1), align_corners=True)
