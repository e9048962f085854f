import pytest
import torch
from torch import nn

from modules.lenet import LeNet


def tutorial_lenet() -> nn.Sequential:
    """The tutorial's network layer by layer, ReLU before pooling, under its parameter names."""
    network = nn.Sequential()
    for name, layer in {
        "conv1": nn.Conv2d(1, 20, 5),
        "relu1": nn.ReLU(),
        "maxpool1": nn.MaxPool2d(2, 2),
        "conv2": nn.Conv2d(20, 50, 5),
        "relu2": nn.ReLU(),
        "maxpool2": nn.MaxPool2d(2, 2),
        "flatten": nn.Flatten(1),
        "fc1": nn.Linear(800, 500),
        "relu3": nn.ReLU(),
        "fc2": nn.Linear(500, 10),
        "logSoftmax": nn.LogSoftmax(dim=1),
    }.items():
        network.add_module(name, layer)
    return network


@pytest.mark.smoke
def test_loads_the_tutorials_weights_and_gives_its_outputs_to_the_bit() -> None:
    tutorial, ours = tutorial_lenet(), LeNet(numChannels=1, classes=10)
    assert list(ours.state_dict()) == list(tutorial.state_dict())
    ours.load_state_dict(tutorial.state_dict())
    images, labels = torch.rand(64, 1, 28, 28), torch.arange(64) % 10
    assert torch.equal(ours(images), tutorial(images))
    for model in (tutorial, ours):
        nn.functional.nll_loss(model(images), labels).backward()
    for one, other in zip(tutorial.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    assert LeNet(numChannels=3, classes=49)(torch.rand(2, 3, 28, 28)).shape == (2, 49)
