"""People's own characters: a folder with one sub-folder of pictures for each class, named as the class.

The layout is that of torchvision's ImageFolder: classes in sorted order, and pictures in deeper folders count.
"""

import hashlib
import os
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from unicodedata import normalize

import torch
from tqdm import tqdm

from modules.command_line import CommandError, complain
from modules.handwriting.pictures import SIZE, find_characters, load_picture
from modules.kmnist import ImageDataset

TEST_SHARE = 0.2  # of each class, at least one image
LEAST = 3  # different images in a class: one each for training, validation and test
FEW = 10  # test images of a class; with fewer its score says little
MOST_NAMES = 10  # in one line
NO_PICTURES = ["thumbs.db", "desktop.ini"]  # Windows writes them into folders of pictures


def load(folder: Path) -> tuple[str, list[str], ImageDataset, ImageDataset]:
    """A folder's name, its classes, the images to train on and those to test. Raises CommandError."""
    folders = find_classes(folder)
    characters = read_characters(folders)
    different = {name: {image.numpy().tobytes() for image in images} for name, images in characters.items()}
    for name, path in folders.items():
        if len(different[name]) < LEAST:
            raise CommandError(f"{path} has {len(different[name])} different readable characters: it needs {LEAST}")
    for name, other in combinations(folders, 2):
        if different[name] & different[other]:
            complain(f"the classes {name} and {other} share an image", kind="warning")

    classes = list(folders)
    images = torch.cat([*characters.values()])
    labels = torch.tensor([number for number, name in enumerate(classes) for _ in characters[name]])
    train, test = divide(images, labels, TEST_SHARE)
    counts = [f"{name} {len(characters[name])}" for name in classes]
    print(f"[INFO] {len(classes)} classes: {shortened(counts)}{hint_at_deeper_classes(folders)}")
    tested = labels[test].bincount(minlength=len(classes))
    few = [name for name, count in zip(classes, tested.tolist(), strict=True) if count < FEW]
    if few:
        print(f"[INFO] fewer than {FEW} test images, which say little about a class: {shortened(few)}")
    name = "".join(filter(str.isprintable, folder.resolve().name))
    return name, classes, ImageDataset(images[train], labels[train]), ImageDataset(images[test], labels[test])


def read_characters(folders: dict[str, Path]) -> dict[str, torch.Tensor]:
    """The characters in all pictures of each class, N x 1 x 28 x 28, uint8. What cannot be read is named."""
    files = [(name, file) for name, path in folders.items() for file in find_pictures(path)]
    characters = {name: [torch.empty(0, 1, SIZE, SIZE, dtype=torch.uint8)] for name in folders}
    faults, remarks = [], []
    for name, file in tqdm(files, leave=False, disable=None, file=sys.stdout):
        try:
            found, _, remark = find_characters(load_picture(file))
        except CommandError as error:
            faults.append(f"{file} {error}; it is left out")
            continue
        characters[name].append(found)
        if remark:
            remarks.append(f"{file}: {remark}")
    complain(*faults, kind="warning")
    if remarks:
        complain(f"{len(remarks)} of {len(files)} pictures have a remark; the first: {remarks[0]}", kind="warning")
    return {name: torch.cat(found) for name, found in characters.items()}


def find_classes(folder: Path) -> dict[str, Path]:
    """The sub-folder of each class, in the order of their names. Raises CommandError."""
    try:
        paths = [Path(entry) for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."]
    except OSError as error:
        raise CommandError(f"{folder} cannot be read: {error.strerror}") from None
    classes = {normalize("NFC", path.name): path for path in paths}  # macOS may store é as e and ´
    if len(classes) < max(2, len(paths)) or not all(map(str.isprintable, classes)):
        raise CommandError(f"{folder} must have two or more sub-folders, one per class, with different printable names")
    return dict(sorted(classes.items()))


def check_outside(path: Path, folder: Path | None) -> None:
    """Raise CommandError if a file that is to be written lies among the pictures of the classes in a folder."""
    if folder and Path(os.path.realpath(folder)) in Path(os.path.realpath(path)).parent.parents:
        raise CommandError(f"{path} lies among the pictures of {folder}: name a file elsewhere")


def find_pictures(path: Path) -> list[Path]:
    """All files in a folder and in deeper ones, without hidden ones, sorted by path; for a file, only that file."""
    if not os.path.isdir(path):
        return [path]
    files: list[Path] = []
    for folder, deeper, names in os.walk(path, onerror=lambda error: complain(error, kind="warning")):
        deeper[:] = [name for name in deeper if name[0] != "."]  # thumbnails, checkpoints of notebooks
        files += [Path(folder, name) for name in names if name[0] != "." and name.lower() not in NO_PICTURES]
    if not files:
        raise CommandError(f"{path} has no pictures in it")
    return sorted(files)


def divide(images: torch.Tensor, labels: torch.Tensor, share: float) -> tuple[list[int], list[int]]:
    """Split each class in two; the second part gets `share` of its different images, at least one and never all.

    A hash of its pixels gives each image of a class its place, and the second part is the beginning of that order. So
    an image that is added or removed moves at most its neighbours at the border, and equal images are never parted.
    """
    first: list[int] = []
    second: list[int] = []
    hashes = [hashlib.sha256(image.tobytes()).digest() for image in images.cpu().numpy()]
    for number in labels.unique():
        members = (labels == number).nonzero().flatten().tolist()
        different = sorted({hashes[index] for index in members})
        chosen = set(different[: min(max(1, round(share * len(different))), len(different) - 1)])
        for index in members:
            (second if hashes[index] in chosen else first).append(index)
    return first, second


def hint_at_deeper_classes(folders: dict[str, Path]) -> str:
    """A hint where the sub-folders are no classes but parts, such as train and val, or writers."""
    deeper = {tuple(sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())) for folder in folders.values()}
    names = min(deeper)
    if len(deeper) > 1 or len(names) < 2:
        return ""
    return f"; each of them holds {shortened(names)}: if those are your classes, name one sub-folder as --folder"


def shortened(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = [f"{len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else []
    return ", ".join([*names[:MOST_NAMES], *more])
