"""Save a trained LeNet as one file and load it again without trusting it.

The file is a dict of plain types and tensors, so that torch can read it with `weights_only=True`: opening a file never
runs code from it. It carries all that rebuilds the model and says where it came from.
"""

from modules.console import BadInput

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from modules.files import write_whole
from modules.kmnist import CLASSES
from modules.lenet import LeNet

FORMAT, VERSION = "lenet-kuzushiji", 1
LARGEST_FILE = 64 * 2**20  # bytes; a LeNet with ten classes takes 1.7 MB
MOST_CLASSES, LONGEST_NAME = 1000, 40


def save(path: Path, state_dict: dict[str, torch.Tensor], **about: Any) -> None:
    """Write a model file, or raise OSError and leave an old one intact: a LeNet's weights, and what is known about it.

    That is `classes`, names in the order of the network's outputs; `dataset`, "KMNIST" or a folder's name; `history`,
    the curves of the plot; `settings`, the flags as text; `test_accuracy`, None if the run ended before the test.
    """
    weights = {name: tensor.contiguous().cpu() for name, tensor in state_dict.items()}
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, "state_dict": weights, **about}, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path) -> tuple[LeNet, dict[str, Any]]:
    """The network in a model file, on the CPU, in evaluation mode, and all that `save` wrote. Raises BadInput."""
    try:
        content = read_bounded(path)
        with warnings.catch_warnings():  # torch wonders aloud about broken files
            warnings.simplefilter("ignore")
            checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return rebuild(checkpoint), checkpoint
    except BadInput as error:
        raise BadInput(f"{path} {error}") from None
    except OSError as error:
        cure = f"write a model with 'python train.py --model {path} --plot plot.png'"
        raise BadInput(f"{path} cannot be read ({error.strerror}): {cure}") from None
    except Exception:  # torch's reader fails in many ways on a broken file; each means the same to the user
        raise BadInput(f"{path} is damaged, or no model that train.py wrote: train again to replace it") from None


def read_bounded(path: Path) -> bytes:
    """Read a file that can be a model: a zip archive of a LeNet's size that does not grow when it is unpacked."""
    if path.stat().st_size > LARGEST_FILE or not path.is_file():
        raise BadInput(f"is not a file of at most {LARGEST_FILE >> 20} MiB: name a model file that train.py wrote")
    content = path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        # torch stores its records uncompressed, and does not look at their checksums
        if sum(entry.file_size for entry in archive.infolist()) > len(content) or archive.testzip():
            raise BadInput("is damaged, or packed in another way than by train.py: train again to replace it")
    return content


def rebuild(checkpoint: Any) -> LeNet:
    """Make the network of a checkpoint, checking everything that is used of it. Raises BadInput."""
    if not isinstance(checkpoint, dict) or (checkpoint.get("format"), checkpoint.get("version")) != (FORMAT, VERSION):
        raise BadInput("is not a model that this version of train.py wrote: train again to replace it")
    classes, dataset = checkpoint.get("classes"), checkpoint.get("dataset")
    if not isinstance(classes, list) or not 2 <= len(classes) <= MOST_CLASSES or not all(map(is_name, classes)):
        raise BadInput("has no valid class names: train again to replace it")
    if not isinstance(dataset, str) or not dataset.isprintable():
        raise BadInput("does not name its data set: train again to replace it")
    if dataset == "rendered" and classes == CLASSES:
        raise BadInput("was trained on the rendered stand-in, which is gone: train again, on KMNIST")

    model = LeNet(numChannels=1, classes=len(classes))
    try:
        model.load_state_dict(checkpoint["state_dict"])
    except Exception as error:  # of many kinds, as there are many ways not to be a dict of weights
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"holds no weights of a LeNet with {len(classes)} classes ({reason})") from None
    if not all(weights.isfinite().all() for weights in model.parameters()):
        raise BadInput("has weights that are not finite numbers: train again with a lower --lr")
    return model.eval()


def is_name(value: Any) -> bool:
    """Whether a value is a text that can be printed and drawn as a class name."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable()
