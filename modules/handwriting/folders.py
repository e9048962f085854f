"""People's own characters: a folder with one sub-folder of pictures for each class, named as the class.

The layout is that of torchvision's ImageFolder: classes in sorted order, and pictures in deeper folders count.
"""

import os
import sys
from itertools import combinations
from pathlib import Path
from unicodedata import normalize

import numpy as np
import torch
from tqdm import tqdm

from modules.batches import divide
from modules.command_line import CommandError, complain
from modules.kmnist import Labelled
from modules.handwriting.pictures import find_characters, load_picture

TEST_SHARE = 0.2  # of each class, at least one image
LEAST = 3  # different images in a class: one each for training, validation and test


def load(folder: Path) -> tuple[str, list[str], Labelled, Labelled]:
    """A folder's name, its classes, images to train on and to test, each with their labels. Raises CommandError."""
    classes = find_classes(folder)
    files = [(name, path) for name, deeper in classes.items() for path in find_pictures(deeper)]
    characters: dict[str, list[np.ndarray]] = {name: [] for name in classes}
    faults, remarks = [], []
    for name, path in tqdm(files, leave=False, disable=None, file=sys.stdout):
        try:
            found, _, remark = find_characters(load_picture(path))
        except CommandError as error:
            faults.append(f"{path} {error}; it is left out")
            continue
        characters[name].extend(found[:, 0].numpy())
        remarks += [f"{path}: {remark}"] if remark else []
    complain(*faults, kind="warning")
    if remarks:
        complain(f"{len(remarks)} of {len(files)} pictures have a remark; the first: {remarks[0]}", kind="warning")

    different = {name: {image.tobytes() for image in images} for name, images in characters.items()}
    for name, images in different.items():
        if len(images) < LEAST:
            raise CommandError(f"{classes[name]} has {len(images)} different readable characters: it needs {LEAST}")
    for name, other in combinations(classes, 2):
        if different[name] & different[other]:
            complain(f"the classes {name} and {other} have a character in common", kind="warning")

    images = torch.from_numpy(np.concatenate(list(characters.values())))[:, None]
    labels = torch.arange(len(classes)).repeat_interleave(torch.tensor([*map(len, characters.values())]))
    rest, test = divide(images, labels, TEST_SHARE)
    dataset = "".join(filter(str.isprintable, folder.resolve().name))
    return dataset, list(classes), (images[rest], labels[rest]), (images[test], labels[test])


def find_classes(folder: Path) -> dict[str, Path]:
    """The sub-folder of each class, in the order of their names. Raises CommandError."""
    paths = [path for path in folder.glob("[!.]*") if path.is_dir()]
    classes = {normalize("NFC", path.name): path for path in paths}  # macOS may store é as e and ´
    if len(classes) < max(2, len(paths)) or not all(map(str.isprintable, classes)):
        raise CommandError(f"{folder} must have two or more sub-folders, one per class, with different printable names")
    return dict(sorted(classes.items()))


def find_pictures(path: Path) -> list[Path]:
    """All files in a folder and in deeper ones, without hidden ones, sorted by path; for a file, only that file."""
    if not os.path.isdir(path):
        return [path]
    files: list[Path] = []
    for folder, deeper, names in os.walk(path, onerror=lambda error: complain(error, kind="warning")):
        deeper[:] = [name for name in deeper if name[0] != "."]  # thumbnails, checkpoints of notebooks
        files += [Path(folder, name) for name in names if name[0] != "."]
    if not files:
        raise CommandError(f"{path} has no pictures in it")
    return sorted(files)
