"""Save a trained LeNet as one file and load it again without trusting it.

The file is a dict of plain types and tensors, so that torch can read it with `weights_only=True`: opening a file never
runs code from it. It carries all that rebuilds the model and says where it came from.
"""

import io
import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from modules.files import write_whole
from modules.lenet import LeNet

FORMAT = "lenet-kuzushiji"
VERSION = 1
DATASETS = ("KMNIST", "rendered")
LARGEST_FILE = 64 * 2**20  # bytes; a LeNet with ten classes takes 1.7 MB, most of it weights
LARGEST_PICKLE = 4 * 2**20  # bytes of the file's plain values; ten epochs take 3 KB
MOST_CLASSES = 10_000

# all that the pickle inside a model file names; torch allows more, among them types that allocate what a file asks for
PLAIN_GLOBALS = {"collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch FloatStorage"}


class CheckpointError(Exception):
    """A file that is no model of this project; the text names the file and says what to do."""


def save(
    path: Path,
    state_dict: dict[str, torch.Tensor],
    classes: list[str],
    dataset: str,
    history: dict[str, list[float]],
    settings: dict[str, Any],
    test_accuracy: float | None,
) -> None:
    """Write a model file, whole or not at all.

    Args:
        path: where to; an existing file is replaced only by the complete new one.
        state_dict: the weights of a LeNet, on any device.
        classes: names of the classes, in the order of the network's outputs.
        dataset: name of the data set that the network was trained on, one of `DATASETS`.
        history: for each curve of the plot, one number an epoch.
        settings: the flags of the run.
        test_accuracy: share of the test images that were right; None if the run was stopped before the test.

    Raises:
        OSError: the file cannot be written; an existing one is intact.
    """
    buffer = io.BytesIO()
    checkpoint = {
        "format": FORMAT,
        "version": VERSION,
        "state_dict": {name: tensor.contiguous().cpu() for name, tensor in state_dict.items()},
        "channels": state_dict["conv1.weight"].shape[1],
        "classes": list(classes),
        "dataset": dataset,
        "history": history,
        "settings": settings,
        "test_accuracy": test_accuracy,
    }
    torch.save(checkpoint, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path) -> tuple[LeNet, dict[str, Any]]:
    """Read a model file.

    Returns:
        The network, on the CPU, in evaluation mode, and the checkpoint, with the keys that `save` writes.

    Raises:
        CheckpointError: the file is missing, unreadable, or not a model that `save` wrote.
    """
    try:
        content = read_bounded(path)
        refuse_foreign_pickle(content)
        with warnings.catch_warnings(action="ignore"):  # torch wonders aloud about broken files
            checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return rebuild(checkpoint), checkpoint
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}") from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error.strerror or error})") from None
    except Exception:  # torch's reader fails in many ways on a broken file; each means the same to the user
        raise CheckpointError(f"{path} is damaged: train again to replace it") from None


def read_bounded(path: Path) -> bytes:
    """Read a file unless it is far too large to be a LeNet."""
    if not path.exists():
        raise CheckpointError(f"does not exist: write one with 'python train.py --model {path} --plot plot.png'")
    if not path.is_file():
        raise CheckpointError("is not a file: name the model file that train.py wrote")
    if path.stat().st_size > LARGEST_FILE:
        raise CheckpointError(f"is larger than {LARGEST_FILE >> 20} MiB: no model that train.py wrote")
    return path.read_bytes()


def refuse_foreign_pickle(content: bytes) -> None:
    """Look into a model file without loading it: refuse what is not a plain checkpoint, and any claim of more data.

    Raises:
        CheckpointError: the content is of another kind.
        Exception: the content is broken in one of the many ways of zip files and pickles.
    """
    if not content:
        raise CheckpointError("is empty: train again to replace it")
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise CheckpointError("is not a model that train.py wrote (or only a part of one): train again to replace it")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        # torch stores its records uncompressed, one after the other: what grows on reading would fill the memory
        stored = all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
        if not stored or sum(entry.file_size for entry in entries) > len(content):
            raise CheckpointError("is packed in another way than a model that train.py wrote")
        pickles = [entry for entry in entries if entry.filename.endswith("data.pkl")]
        if len(pickles) != 1 or pickles[0].file_size > LARGEST_PICKLE:
            raise CheckpointError("is an archive, but not a model that train.py wrote")
        operations = pickletools.genops(archive.read(pickles[0]))
        found = {argument for operation, argument, _ in operations if operation.name == "GLOBAL"}
    if any(name.endswith(" LeNet") for name in found):
        raise CheckpointError(
            "is a whole pickled LeNet as the tutorial saves it, which could run any code on loading: train again here, "
            "or save its weights with this project's modules.checkpoint.save where you trust the file"
        )
    if found - PLAIN_GLOBALS:
        name = min(found - PLAIN_GLOBALS).replace(" ", ".")
        raise CheckpointError(f"is not opened, as it asks for Python code ({name:.60}): use a file that train.py wrote")


def rebuild(checkpoint: Any) -> LeNet:
    """Make the network of a checkpoint, checking everything that is used of it.

    Raises:
        CheckpointError: something is missing, of the wrong type, or does not fit.
    """
    if isinstance(checkpoint, dict) and "conv1.weight" in checkpoint:
        raise CheckpointError("holds bare weights without class names: use the file that train.py wrote")
    if not isinstance(checkpoint, dict) or checkpoint.get("format") != FORMAT:
        raise CheckpointError("is not a model that train.py wrote")
    version = checkpoint.get("version")
    if type(version) is not int or version < 1:
        raise CheckpointError("has no valid format version: train again to replace it")
    if version > VERSION:
        raise CheckpointError(f"has format version {version}, this project reads up to {VERSION}: update the project")

    classes, channels = checkpoint.get("classes"), checkpoint.get("channels")
    if not isinstance(classes, list) or not 2 <= len(classes) <= MOST_CLASSES or not all(map(is_name, classes)):
        raise CheckpointError("has no valid class names: train again to replace it")
    if channels != 1:
        raise CheckpointError(f"is for images of {channels} channels, the data sets here have 1")
    if checkpoint.get("dataset") not in DATASETS:
        raise CheckpointError(f"does not name its data set ({' or '.join(DATASETS)}): train again to replace it")

    model = LeNet(numChannels=channels, classes=len(classes))
    check_weights(checkpoint.get("state_dict"), model.state_dict())
    model.load_state_dict(checkpoint["state_dict"])
    return model.eval()


def is_name(value: Any) -> bool:
    """Whether a value is a text that can be printed and drawn as a class name."""
    return isinstance(value, str) and 0 < len(value) <= 40 and value.isprintable()


def check_weights(weights: Any, expected: dict[str, torch.Tensor]) -> None:
    """Refuse weights that are not exactly those of the expected network, or not numbers.

    Raises:
        CheckpointError: names the first weight that does not fit.
    """
    if not isinstance(weights, dict):
        raise CheckpointError("has no weights: train again to replace it")
    for name in [*expected, *weights]:
        if name not in weights or name not in expected:
            what = "lacks" if name in expected else "has surplus"
            raise CheckpointError(f"is of another network: it {what} the weights {name!r:.60}")
    for name, tensor in expected.items():
        if not isinstance(weights[name], torch.Tensor) or weights[name].shape != tensor.shape:
            shape = tuple(getattr(weights[name], "shape", ()))
            raise CheckpointError(f"is of another network: {name} has shape {shape}, LeNet's is {tuple(tensor.shape)}")
        if not weights[name].isfinite().all():
            raise CheckpointError(f"has weights that are not finite numbers ({name}): train again with a lower --lr")
