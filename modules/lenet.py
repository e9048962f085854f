"""LeNet, the convolutional network of the tutorial: 431,080 weights for one grey channel and ten classes.

It follows LeNet-5 of LeCun et al., "Gradient-Based Learning Applied to Document Recognition" (1998). It is wider (20
and 50 maps instead of 6 and 16), has one fully connected layer fewer, and uses ReLU and max pooling instead of tanh and
average pooling.
"""

import torch
from torch import nn


class LeNet(nn.Module):
    """Two convolutions and two fully connected layers, named as in the tutorial, so that its weights load."""

    def __init__(self, numChannels: int, classes: int) -> None:
        super().__init__()

        self.conv1 = nn.Conv2d(numChannels, 20, kernel_size=(5, 5))
        self.relu1 = nn.ReLU()
        self.maxpool1 = nn.MaxPool2d(kernel_size=(2, 2), stride=(2, 2))

        self.conv2 = nn.Conv2d(20, 50, kernel_size=(5, 5))
        self.relu2 = nn.ReLU()
        self.maxpool2 = nn.MaxPool2d(kernel_size=(2, 2), stride=(2, 2))

        self.fc1 = nn.Linear(800, 500)
        self.relu3 = nn.ReLU()

        self.fc2 = nn.Linear(500, classes)
        self.logSoftmax = nn.LogSoftmax(dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images, N x numChannels x 28 x 28 with pixels in [0, 1], to log-probabilities, N x classes."""
        x = self.conv1(x)  # N x 20 x 24 x 24
        x = self.relu1(x)
        x = self.maxpool1(x)  # N x 20 x 12 x 12

        x = self.conv2(x)  # N x 50 x 8 x 8
        x = self.relu2(x)
        x = self.maxpool2(x)  # N x 50 x 4 x 4

        x = torch.flatten(x, 1)  # N x 800
        x = self.fc1(x)  # N x 500
        x = self.relu3(x)

        x = self.fc2(x)  # N x classes
        return self.logSoftmax(x)
