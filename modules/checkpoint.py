"""Save a trained LeNet in one file, and load it again without trusting the file.

The file is a dict of plain types and tensors, so that torch can read it with `weights_only=True`: opening a file never
runs code from it. The dict holds everything that is needed to rebuild the model, and where it came from.
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch.torch_version import TorchVersion

from modules.command_line import CommandError
from modules.files import write_whole
from modules.lenet import LeNet

FORMAT, VERSION = "lenet-kuzushiji", 1
MOST_CLASSES = 1000
LONGEST_NAME = 40  # characters of a class name


def save(path: Path, model: LeNet, **about: Any) -> None:
    """Write a model file, or raise OSError and leave an old one intact.

    `about` is what is known of the model: `classes`, their names in the order of the network's outputs; `dataset`,
    "KMNIST" or a folder's name; `history`, the curves of the plot; `settings`, the flags as text; and once training is
    over `temperature`, which the scores are divided by before softmax, and `test_accuracy`.
    """
    weights = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    content = {"format": FORMAT, "version": VERSION, "state_dict": weights, "answer": answer(model), **about}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path) -> tuple[LeNet, dict[str, Any]]:
    """The network in a model file, on the CPU, in evaluation mode, and everything that `save` wrote.

    Raises CommandError if the file is not a model, is damaged, or does not fit the LeNet in modules/lenet.py.
    """
    saved = read_file(path)
    check(path, saved)

    model = LeNet(numChannels=1, classes=len(saved["classes"])).eval()
    try:
        model.load_state_dict(saved["state_dict"])
    except RuntimeError as error:
        reason = str(error).split("\n\t")[-1]
        raise CommandError(f"{path} does not fit the network in modules/lenet.py ({reason})") from None
    if not all(weights.isfinite().all() for weights in model.parameters()):
        raise CommandError(f"{path} has weights that are not finite: train again with a lower --lr")
    # the tolerance is for other devices and precisions; another activation function differs by 1 and more
    if "answer" in saved and not torch.allclose(answer(model), saved["answer"], rtol=0.01, atol=0.05):
        raise CommandError(f"{path} was trained with another network than modules/lenet.py is now: train again")
    return model, {"temperature": 1.0, **saved}  # files of earlier versions have none


def read_file(path: Path) -> Any:
    """The content of a file that torch.save wrote, undamaged. Runs no code from it. Raises CommandError."""
    if torch.__version__ < TorchVersion("2.6"):  # https://nvd.nist.gov/vuln/detail/CVE-2025-32434
        raise CommandError(f"torch {torch.__version__} may run code from a model file: install torch 2.6 or newer")
    if path.exists() and not path.is_file():
        raise CommandError(f"{path} is not a file: name a model of train.py")
    try:
        with zipfile.ZipFile(path) as archive:
            # torch does not verify the checksums, and compresses nothing
            if any(entry.compress_type for entry in archive.infolist()) or archive.testzip():
                raise zipfile.BadZipFile
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        cure = f"train a model with 'python train.py --model {path} --plot plot.png'"
        raise CommandError(f"{path} cannot be read ({error.strerror}): {cure}") from None
    except Exception:  # a broken file fails in many ways; each means the same to the user
        raise CommandError(f"{path} is damaged, or is not a model of train.py: train another") from None


def check(path: Path, saved: Any) -> None:
    """Raise CommandError unless what was loaded has everything that the scripts use."""
    if not isinstance(saved, dict) or (saved.get("format"), saved.get("version")) != (FORMAT, VERSION):
        raise CommandError(f"{path} is not a model that this version of train.py wrote: train again to replace it")
    classes = saved.get("classes")
    if not isinstance(classes, list) or not 2 <= len(classes) <= MOST_CLASSES or not all(map(is_name, classes)):
        raise CommandError(f"{path} has no valid class names: train again to replace it")
    temperature = saved.get("temperature", 1.0)
    if not isinstance(saved.get("state_dict"), dict) or not isinstance(temperature, float) or not 0 < temperature < 100:
        raise CommandError(f"{path} has no valid weights or temperature: train again to replace it")
    if not isinstance(saved.get("dataset"), str) or not saved["dataset"].isprintable():
        raise CommandError(f"{path} does not name its data set: train again to replace it")


def is_name(value: Any) -> bool:
    """Whether a value is text that can be printed and drawn as a class name."""
    return isinstance(value, str) and value.isprintable() and 0 < len(value.strip()) <= len(value) <= LONGEST_NAME


def is_replaceable(path: Path) -> bool:
    """Whether training may write a model to this path: no file, an empty one, or one of torch.save's is there."""
    if not path.exists() or not path.stat().st_size:
        return True
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("data.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


@torch.inference_mode()
def answer(model: LeNet) -> torch.Tensor:
    """The log-probabilities, 1 x classes, of one fixed image. They show whether the code still fits the weights."""
    image = torch.arange(28 * 28).mul(37).remainder(256).div(255).view(1, 1, 28, 28)
    weights = next(model.parameters())
    return model.eval()(image.to(weights.device)).cpu()
