"""Save a trained LeNet in one file, and load it again without trusting the file.

The file is a dict of plain types and tensors, which torch reads with `weights_only=True`: opening a file runs no code
from it (before torch 2.6 it could: https://nvd.nist.gov/vuln/detail/CVE-2025-32434).
"""

import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any, TypedDict, cast

import torch
from torch import nn

from modules.command_line import CommandError, write_whole
from modules.lenet import LeNet

FORMAT, VERSION = "lenet-kuzushiji", 1
ENDINGS = [".pth", ".pt"]
History = dict[str, list[float]]  # train_loss, val_loss, train_acc, val_acc and lr: a number for each epoch


class Metadata(TypedDict, total=False):
    """What a model file holds besides the weights."""

    dataset: str  # "KMNIST" or a folder's name
    classes: list[str]  # the names of the outputs, in order
    settings: dict[str, float]  # the flags of the run that are numbers or switches
    started_from: str  # what the network had learned before
    history: History
    temperature: float  # divides the scores; 1 until training has ended
    test_accuracy: float  # once training has ended


def save(path: Path, model: LeNet, metadata: Metadata) -> None:
    """Write a model file, or raise CommandError and leave an old one intact.

    Raises TypeError if `metadata` holds what `load` would refuse to read, such as a number of NumPy's.
    """
    for name, value in metadata.items():
        try:
            torch.load(io.BytesIO(to_bytes(value)), weights_only=True)
        except pickle.UnpicklingError:
            raise TypeError(f"{name} is {value!r}: a model file holds plain Python values only") from None
    weights = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    content = {"format": FORMAT, "version": VERSION, "state_dict": weights, "fingerprint": fingerprint(model)}
    write_whole(path, to_bytes({**metadata, **content}))


def to_bytes(content: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def load(path: str | Path) -> tuple[LeNet, Metadata]:
    """The network in a model file, on the CPU, in evaluation mode, and what else was saved. Raises CommandError."""
    saved = load_dict(path)
    model = LeNet(numChannels=1, classes=len(saved["classes"]))
    try:
        model.load_state_dict(saved["state_dict"])
    except RuntimeError as error:
        raise CommandError(f"{path} does not fit modules/lenet.py: {str(error).splitlines()[-1].strip()}") from None
    answer = fingerprint(model)
    # the tolerance is for other devices and precisions; a network of other layers usually differs by far more
    if not torch.allclose(answer, saved.get("fingerprint", answer), rtol=0.01, atol=0.05, equal_nan=True):
        raise CommandError(f"{path} fits another modules/lenet.py than this one: undo your changes, or train again")
    return model, metadata_of(saved)


def load_metadata(path: str | Path) -> Metadata:
    """What a model file holds besides the weights, whether they fit modules/lenet.py or not. Raises CommandError."""
    return metadata_of(load_dict(path))


def metadata_of(saved: dict[str, Any]) -> Metadata:
    return cast(Metadata, {name: saved[name] for name in Metadata.__annotations__ if name in saved})


def load_dict(path: str | Path) -> dict[str, Any]:
    """All that is in a model file. Raises CommandError."""
    try:
        saved = read(Path(path))
    except OSError as error:
        raise CommandError(f"{path} cannot be used ({error.strerror}): name a file that train.py wrote") from None
    except pickle.UnpicklingError:
        raise CommandError(f"{path} cannot be used: it holds Python objects, which may run code; train again") from None
    except Exception:  # a broken file fails in many ways; each means the same to the user
        raise CommandError(f"{path} cannot be used: it is damaged, or no model that train.py wrote") from None
    if saved["version"] != VERSION:
        raise CommandError(f"{path} cannot be used: another version of this project wrote it; train again")
    return saved


def read(path: Path) -> dict[str, Any]:
    """The dict in a model file. What is wrong with it raises errors of many kinds."""
    if path.exists() and not path.is_file():
        raise OSError(0, "it is no ordinary file")  # a pipe would be waited for
    with zipfile.ZipFile(path) as archive:
        if damaged := archive.testzip():  # torch does not verify the checksums
            raise ValueError(damaged)
    saved = torch.load(path, map_location="cpu", weights_only=True)
    names = [saved["dataset"], *saved["classes"], *saved["state_dict"].keys()]
    if saved["format"] != FORMAT or "version" not in saved or not all(map(str.isprintable, names)):
        raise ValueError(names)
    saved["temperature"] = float(saved.get("temperature", 1.0))
    if not 0 < saved["temperature"] < math.inf:
        raise ValueError(saved["temperature"])
    if "fingerprint" in saved:
        saved["fingerprint"] = saved["fingerprint"].view(1, len(saved["classes"])).float()
    if "test_accuracy" in saved:
        saved["test_accuracy"] = float(saved["test_accuracy"])
    return saved


@torch.inference_mode()
def fingerprint(model: LeNet) -> torch.Tensor:
    """The log-probabilities, 1 x classes, of one fixed image. They show whether the code still fits the weights.

    Leaves the network in evaluation mode. Raises CommandError if it gives two answers.
    """
    image = torch.arange(28 * 28).mul(37).remainder(256).div(255).view(1, 1, 28, 28)
    image = image.to(next(model.parameters()).device)
    answer, again = model.eval()(image).cpu(), model(image).cpu()
    if not torch.allclose(answer, again, rtol=0, atol=0, equal_nan=True):
        line = "modules/lenet.py gives two answers to one image: does dropout go on after training? F.dropout needs"
        raise CommandError(f"{line} training=self.training", code=1)
    return answer


def transfer(trained: LeNet, metadata: Metadata, model: LeNet, classes: list[str]) -> int:
    """Give a new network the weights of a trained one. Returns how many of the new classes the trained one knows.

    In the last linear layer, a class takes the old row of its name. A class that is new keeps its new row.
    """
    known = [name for name in classes if name in metadata["classes"]]
    rows = [classes.index(name) for name in known]
    old_rows = [metadata["classes"].index(name) for name in known]
    weights = trained.state_dict()
    last = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)][-1]
    for name, own in model.state_dict().items():
        if name.startswith(f"{last}."):  # its weights and biases
            own[rows] = weights[name][old_rows].to(own.device)
            weights[name] = own
    model.load_state_dict(weights)
    return len(known)


def describe_file(path: Path) -> str:
    """What a file holds that may be a model, in words."""
    try:
        return f"a model of {describe_training(load_metadata(path))}"
    except CommandError:
        return "something else than a model of this project"


def describe_training(metadata: Metadata) -> str:
    """The data set that a network was trained on, and how well it reads it, as far as that is known."""
    accuracy = f", test accuracy {metadata['test_accuracy']:.2%}" if "test_accuracy" in metadata else ""
    return metadata["dataset"] + accuracy
