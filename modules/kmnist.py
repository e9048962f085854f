"""Kuzushiji-MNIST from several sources, every byte verified before it is used.

torchvision's KMNIST knows one host, waits for it without limit, and trusts any unpacked file that it finds. This module
keeps its class (names, classes, file layout, reading) and adds what it lacks: mirrors, timeouts and checksums.

The data: "KMNIST Dataset" (created by CODH), adapted from "Kuzushiji Dataset" (created by NIJL and others),
doi:10.20676/00000341, licence CC BY-SA 4.0.
"""

import gzip
import hashlib
import sys
import tempfile
import time
import urllib.request
from http.client import HTTPException
from pathlib import Path

import torch
from torchvision import datasets
from tqdm import tqdm

from modules.files import check_writable, write_whole

MIRRORS = [
    "https://huggingface.co/datasets/tanganke/kmnist/resolve/53810959241e8f35890445245170c8cec0672f81/raw/",
    "https://raw.githubusercontent.com/zzc18765/AiPremiumClass/2187a1b6168b317230cb0d942ab8817aa94e1c89/"
    "week3_codes/data/KMNIST/raw/",
    "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
]
CLASSES = datasets.KMNIST.classes  # o ki su tsu na ha ma ya re wo
KANA = "おきすつなはまやれを"  # the same ten
TIMEOUT = 10  # seconds to connect, and between two reads
SLOWEST = 1000  # bytes per second on average; a source below that is as good as hanging

# name: bytes, sha256. The packed files are those whose md5 torchvision checks
FILES = {
    "train-images-idx3-ubyte.gz": (18165135, "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4"),
    "train-labels-idx1-ubyte.gz": (29497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
    "t10k-images-idx3-ubyte.gz": (3041136, "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5"),
    "t10k-labels-idx1-ubyte.gz": (5120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    "train-images-idx3-ubyte": (47040016, "7112ba9ec422d98de4885262d4a4dff14cc4fefb81c11ace8bf563a8255df5c3"),
    "train-labels-idx1-ubyte": (60008, "2a16eeae62da984b8bd24fa32e31d47291f01dac3fe84d5594f304f71e7d374b"),
    "t10k-images-idx3-ubyte": (7840016, "76fbd229ce87db80dd281af5e6670de4ad0e42fb30a7bd643972994c47c1f42e"),
    "t10k-labels-idx1-ubyte": (10008, "a11dc742be8e781a40a92f53d6a4957e7b7d36df2faa097659131ebfd8fd60c6"),
}

failed_mirrors: dict[str, str] = {}  # who failed, and how; such a mirror is not asked again in this run


class Missing(Exception):
    """KMNIST is not there and no source gives it; the text says why and what to do."""


class Damaged(Exception):
    """A file is there, its content is wrong, and no source replaces it; the text names it and says what to do."""


class KMNIST(datasets.KMNIST):
    """torchvision's KMNIST, reading from just the folder whose files were verified."""

    def __init__(self, folder: Path, train: bool) -> None:
        self.folder = folder
        super().__init__(folder, train=train)

    @property
    def raw_folder(self) -> str:
        return str(self.folder)

    def _check_legacy_exist(self) -> bool:
        return False  # torchvision prefers an old processed/*.pt where there is one; nobody has verified that

    def _check_exists(self) -> bool:
        return True  # torchvision wants all four files; a prediction needs only the two of the test set


def load(root: Path, train: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """Load the 60,000 training images or the 10,000 test images, fetching and unpacking what is missing.

    Args:
        root: folder that holds, or receives, `KMNIST/raw`, as torchvision lays it out.
        train: the training set if true, else the test set.

    Returns:
        Images, N x 1 x 28 x 28, uint8, white ink on black, and labels, N, int64.

    Raises:
        Missing: a file is not there and no source gives it.
        Damaged: a file is there, its content is wrong, and no source replaces it.
    """
    raw = Path(root) / "KMNIST" / "raw"
    prefix = "train" if train else "t10k"
    names = [f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"]
    if not any(fault(raw / name) for name in names):
        return tensors_of(KMNIST(raw, train))

    contents = {name: unpacked_content(raw, name) for name in names}
    try:
        for name, content in contents.items():
            write_whole(raw / name, content)
        return tensors_of(KMNIST(raw, train))
    except OSError:  # a read-only or full data folder: unpack elsewhere for the moment that reading takes
        with tempfile.TemporaryDirectory() as scratch:
            for name, content in contents.items():
                Path(scratch, name).write_bytes(content)
            return tensors_of(KMNIST(Path(scratch), train))


def how_to_get(root: Path) -> str:
    """What a person can do to get the files."""
    names = " ".join(name for name in FILES if name.endswith(".gz"))
    return f"To get KMNIST, put {names} into {Path(root) / 'KMNIST' / 'raw'}, from any of: {' '.join(MIRRORS)}"


def tensors_of(dataset: KMNIST) -> tuple[torch.Tensor, torch.Tensor]:
    # the channel comes in last and moves to its place: the memory layout channels_last, without a copy
    return dataset.data.unsqueeze(3).movedim(3, 1), dataset.targets


def fault(path: Path) -> str | None:
    """What is wrong with a file of `FILES`: None if its content is right."""
    size, sha256 = FILES[path.name]
    try:
        if path.stat().st_size != size:
            return f"{path} is damaged ({path.stat().st_size} of {size} bytes)"
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                return f"{path} is damaged (its checksum is wrong)"
    except FileNotFoundError:
        return f"{path} is missing"
    except OSError as error:
        return f"{path} cannot be read ({error.strerror})"
    return None


def unpacked_content(raw: Path, name: str) -> bytes:
    """The verified content of an unpacked file: from itself, else from its .gz, else from the mirrors."""
    unpacked, packed = raw / name, raw / f"{name}.gz"
    if fault(unpacked) is None:
        return unpacked.read_bytes()
    if fault(packed) is None:
        return gzip.decompress(packed.read_bytes())

    content = download(packed)
    if content is not None:
        return gzip.decompress(content)
    tried = "; ".join(f"{mirror}: {reason}" for mirror, reason in failed_mirrors.items())
    if unpacked.exists() or packed.exists():
        what = fault(unpacked) if unpacked.exists() else fault(packed)
        raise Damaged(
            f"{what}, and no source replaced it: delete it, put a good {packed.name} there, or go online ({tried})"
        )
    raise Missing(f"{packed} is missing and no source gave it ({tried})")


def download(packed: Path) -> bytes | None:
    """Fetch a .gz file from the first mirror that gives it whole, and store it; None if no mirror does."""
    for mirror in MIRRORS:
        if mirror in failed_mirrors:
            continue
        try:
            check_writable(packed)  # before 18 MB are on their way for nothing
            content = fetch(mirror + packed.name)
            write_whole(packed, content)
            return content
        except (OSError, HTTPException, ValueError) as error:
            failed_mirrors[mirror] = " ".join(str(error).split()) or type(error).__name__
    return None


def fetch(url: str) -> bytes:
    """Download one of `FILES` into memory.

    Raises:
        OSError: no connection, a broken one, an HTTP error, or content that is not the file's.
        HTTPException, ValueError: an answer that is not HTTP.
    """
    name = url.rsplit("/", 1)[1]
    size, sha256 = FILES[name]
    content, start = bytearray(), time.monotonic()
    bar = tqdm(desc=name, total=size, unit="B", unit_scale=True, leave=False, disable=None, file=sys.stdout)
    with bar, urllib.request.urlopen(url, timeout=TIMEOUT) as response:
        while len(content) <= size and (chunk := response.read1(1 << 16)):
            content += chunk
            bar.update(len(chunk))
            elapsed = time.monotonic() - start
            if elapsed > TIMEOUT and len(content) < SLOWEST * elapsed:
                raise TimeoutError(f"only {len(content)} bytes in {elapsed:.0f} s")
    if len(content) < size:
        raise ConnectionError(f"the connection ended after {len(content)} of {size} bytes of {name}")
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ConnectionError(f"it sent another file under the name {name} (wrong checksum)")
    return bytes(content)
