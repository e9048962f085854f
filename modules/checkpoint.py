"""Save a trained LeNet in one file, and load it again without trusting the file.

The file is a dict of plain types and tensors, which torch (2.6 or newer) reads with `weights_only=True`: opening a file
never runs code from it (https://nvd.nist.gov/vuln/detail/CVE-2025-32434).
"""

import io
import zipfile
from pathlib import Path
from typing import Any

import torch

from modules.command_line import CommandError, write_whole
from modules.lenet import LeNet

FORMAT, VERSION = "lenet-kuzushiji", 1
ENDINGS = [".pth", ".pt"]


def save(path: Path, model: LeNet, **about: Any) -> None:
    """Write a model file, or raise OSError and leave an old one intact.

    `about` holds `classes`, the names of the outputs in order; `dataset`, "KMNIST" or a folder's name; `history`, the
    curves; `settings`, the flags as text; after training `temperature`, which divides the scores, and `test_accuracy`.
    """
    weights = {name: tensor.contiguous().cpu() for name, tensor in model.state_dict().items()}
    content = {"format": FORMAT, "version": VERSION, "state_dict": weights, "answer": answer(model), **about}
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path) -> tuple[LeNet, dict[str, Any]]:
    """The network in a model file, on the CPU, in evaluation mode, and all that `save` wrote. Raises CommandError."""
    try:
        if path.exists() and not path.is_file():
            raise ValueError  # a pipe would be waited for
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch does not verify the checksums
        saved = torch.load(path, map_location="cpu", weights_only=True)
        names = [saved["dataset"], *saved["classes"], *saved["state_dict"]]
        if damaged or (saved["format"], saved["version"]) != (FORMAT, VERSION) or not all(map(str.isprintable, names)):
            raise ValueError
    except Exception as error:  # a broken file fails in many ways; each means the same to the user
        reason = getattr(error, "strerror", None) or "damaged, or not a model that this version wrote"
        raise CommandError(f"{path} cannot be used ({reason}): name a file that train.py wrote") from None

    model = LeNet(numChannels=1, classes=len(saved["classes"])).eval()
    try:
        model.load_state_dict(saved["state_dict"])
    except RuntimeError as error:
        raise CommandError(f"{path} does not fit modules/lenet.py: {str(error).splitlines()[-1].strip()}") from None
    # the tolerance is for other devices and precisions; a network of other layers usually differs by far more
    if "answer" in saved and not torch.allclose(answer(model), saved["answer"], rtol=0.01, atol=0.05):
        raise CommandError(f"{path} was trained with another network than modules/lenet.py is now: train again")
    return model, {"temperature": 1.0, **saved}  # a file saved during training has none yet


@torch.inference_mode()
def answer(model: LeNet) -> torch.Tensor:
    """The log-probabilities, 1 x classes, of one fixed image. They show whether the code still fits the weights."""
    image = torch.arange(28 * 28).mul(37).remainder(256).div(255).view(1, 1, 28, 28)
    return model.eval()(image.to(next(model.parameters()).device)).cpu()
