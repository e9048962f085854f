import pytest
import torch
from torch.nn import functional

from modules.lenet import LeNet


@pytest.mark.smoke
def test_it_is_the_tutorials_network_to_the_bit_under_its_names() -> None:
    model, images = LeNet(numChannels=1, classes=10), torch.rand(64, 1, 28, 28)
    layers = ("conv1", "conv2", "fc1", "fc2")
    assert [*model.state_dict()] == [f"{layer}.{part}" for layer in layers for part in ("weight", "bias")]
    assert sum(weights.numel() for weights in model.parameters()) == 431_080
    x = functional.max_pool2d(functional.relu(model.conv1(images)), 2)
    x = functional.max_pool2d(functional.relu(model.conv2(x)), 2)
    x = functional.relu(model.fc1(x.flatten(1)))
    assert torch.equal(model(images), functional.log_softmax(model.fc2(x), 1))
    assert LeNet(numChannels=3, classes=49)(torch.rand(2, 3, 28, 28)).shape == (2, 49)
