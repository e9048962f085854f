"""--start-from: training that begins with the weights of a trained network."""

import re
from pathlib import Path

import pytest
import torch

from modules import checkpoint, kmnist
from modules.lenet import LeNet
from tests.conftest import ROOT, Run, quick, save_picture

pytestmark = pytest.mark.usefixtures("small")  # draws no plots


def test_each_class_takes_the_weights_of_its_name_and_a_new_one_begins_anew() -> None:
    trained, metadata = checkpoint.load(ROOT / "output" / "pretrained.pth")
    torch.manual_seed(0)
    model = LeNet(1, 3)
    new_row = model.fc2.weight[1].clone()
    assert checkpoint.transfer(trained, metadata, model, ["ha", "new", "ki"]) == 2
    assert torch.equal(model.fc2.weight[1], new_row)
    images = kmnist.load(train=False).tensors[0] / 255
    with torch.no_grad():
        old, new = trained(images), model(images)
    ha, ki = kmnist.CLASSES.index("ha"), kmnist.CLASSES.index("ki")
    torch.testing.assert_close(new[:, 0] - new[:, 2], old[:, ha] - old[:, ki])  # the scores differ as before


def test_layers_may_be_added_under_any_name_and_at_any_place() -> None:
    trained, model = LeNet(1, 3), LeNet(1, 2)
    for network, classes in ((trained, 3), (model, 2)):
        network.fc2 = torch.nn.Linear(500, 60)
        network.fc3 = torch.nn.Linear(60, classes, bias=False)
        network.conv3 = torch.nn.Conv2d(50, 50, 3)  # made last, wherever forward calls it
    assert checkpoint.transfer(trained, {"classes": ["a", "b", "c"]}, model, ["c", "d"]) == 1
    assert torch.equal(model.fc2.weight, trained.fc2.weight)
    assert torch.equal(model.fc3.weight[0], trained.fc3.weight[2])
    assert torch.equal(model.conv3.weight, trained.conv3.weight)


@pytest.mark.smoke
def test_a_hand_is_adapted_to_from_few_drawings_and_training_goes_on(
    tmp_path: Path, run: Run, pretrained: Path
) -> None:
    images, labels = kmnist.load(train=True).tensors
    for number in range(10):
        for copy, image in enumerate(images[labels == number][:5, 0].numpy()):
            save_picture(tmp_path / "hand" / kmnist.CLASSES[number] / f"{copy}.png", 255 - image)
    accuracies = []
    for start in ([], ["--start-from", pretrained], ["--start-from", tmp_path / "m.pth"]):
        done = run("train.py", *quick(tmp_path, "--folder", tmp_path / "hand", *start, "--epochs", 3, "--lr", 1e-4))
        assert done.code == 0
        accuracies.append(float(re.findall(r"Val accuracy: (.*)", done.out)[0]))
        _, saved = checkpoint.load(tmp_path / "m.pth")
        if not start:
            assert "started_from" not in saved
    assert accuracies[0] < 0.5 < 0.9 < min(accuracies[1:])
    assert f"[INFO] starting from a model of {saved['started_from']}: it knows 10 of 10 classes\n" in done.out
    assert re.fullmatch(r"hand, test accuracy \d+\.\d\d%", saved["started_from"])
    assert saved["classes"] == sorted(kmnist.CLASSES)

    done = run("predict.py", "-m", pretrained, "--folder", tmp_path / "hand", "--samples", 60)
    right = int(re.search(r"read right: (\d+) of 10 test images", done.out)[1])
    assert right >= 9  # classes are matched by name here, too
