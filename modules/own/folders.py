"""People's own characters: a folder with one sub-folder of pictures for each class, named as the class.

The layout is that of torchvision's ImageFolder: classes in sorted order, and pictures in deeper folders count.
"""

import os
import sys
import unicodedata
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from modules.batches import divide
from modules.command_line import CommandError, complain, complain_about
from modules.kmnist import Labelled
from modules.own.pictures import Page, PictureError, find_characters, load_picture

TEST_SHARE = 0.2
LEAST_CHARACTERS = 3  # different ones in a class: one each to train on, to validate with and to test


def load(folder: Path) -> tuple[list[str], Labelled, Labelled]:
    """The names of the classes, pictures to train on and pictures to test, each with their labels.

    The test pictures are a fifth of each class, at least one, chosen by `divide`. Raises CommandError if a folder or a
    class cannot be used.
    """
    folders = find_classes(folder)
    files = [find_pictures(path) for path in folders.values()]
    pages = load_pages([path for paths in files for path in paths])
    parts = [[image for path in paths if path in pages for image in pages[path].characters] for paths in files]
    owners: dict[bytes, Path] = {}
    for path, part in zip(folders.values(), parts, strict=True):
        different = {image.tobytes() for image in part}
        if len(different) < LEAST_CHARACTERS:
            text = f"has {len(different)} different readable characters, and a class needs at least {LEAST_CHARACTERS}"
            raise CommandError(f"{path} {text}")
        if both := different & owners.keys():
            complain(f"{path} and {owners[both.pop()]} have a character in common", "warning")
        owners |= dict.fromkeys(different, path)

    images = torch.from_numpy(np.concatenate(parts))[:, None]
    labels = torch.arange(len(parts)).repeat_interleave(torch.tensor([len(part) for part in parts]))
    rest, test = divide(images, labels, TEST_SHARE)
    return list(folders), (images[rest], labels[rest]), (images[test], labels[test])


def find_classes(folder: Path) -> dict[str, Path]:
    """The sub-folder of each class, in the order of their names. Raises CommandError."""
    try:
        folders = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    except OSError as error:
        raise CommandError(f"{folder} is no folder of classes: {error.strerror}") from None
    # macOS may store an accent apart from its letter
    classes = sorted((unicodedata.normalize("NFC", path.name), path) for path in folders)
    if len(classes) < 2:
        text = f"has {len(classes)} sub-folders: make one sub-folder of pictures for each character, at least two"
        raise CommandError(f"{folder} {text}")
    for name, path in classes:
        if not name.isprintable() or [other for other, _ in classes].count(name) > 1:
            raise CommandError(f"{path} is no name for a class: use printable characters, and each name once")
    return dict(classes)


def find_pictures(path: Path) -> list[Path]:
    """All files in a folder and in deeper ones, without hidden ones, in order of name; a file alone is itself."""
    if not os.path.isdir(path):
        return [path]
    files: list[Path] = []
    for folder, deeper, names in os.walk(
        path, onerror=lambda error: complain(f"{error.filename}: {error.strerror}", "warning")
    ):
        deeper[:] = [name for name in deeper if name[0] != "."]  # thumbnails, checkpoints of notebooks
        files += [Path(folder, name) for name in names if name[0] != "."]
    if not files:
        raise CommandError(f"{path} has no pictures in it")
    return sorted(files)


def load_pages(paths: list[Path]) -> dict[Path, Page]:
    """The characters in each picture file; files without any are named."""
    pages, faults = {}, []
    for path in tqdm(paths, leave=False, disable=None, file=sys.stdout):
        try:
            pages[path] = find_characters(load_picture(path))
        except PictureError as error:
            faults.append(f"{path} {error}")
    complain_about(faults, "warning")
    if marks := sum(page.left_out for page in pages.values()):
        complain(f"marks left out of the pictures: {marks}, too small for a character and near none", "warning")
    return pages
