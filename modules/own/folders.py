"""People's own characters: a folder with one sub-folder of pictures for each class, named as the class.

The layout is that of torchvision's ImageFolder: classes in sorted order, and pictures in deeper folders count. Each
picture goes through `pictures.py`, as one that is shown to predict.py does, so training sees what predict.py will see.
"""

import os
import sys
import unicodedata
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from modules.batches import divide
from modules.checkpoint import LONGEST_NAME, MOST_CLASSES, is_name
from modules.command_line import CommandError, complain, complain_about
from modules.kmnist import Labelled
from modules.own.pictures import SIZE, Page, PictureError, find_characters, load_picture

TEST_SHARE = 0.2
LEAST_CHARACTERS = 3  # different ones in a class: one each to train on, to validate with and to test


def load(folder: Path) -> tuple[list[str], Labelled, Labelled]:
    """The names of the classes, pictures to train on and pictures to test, each with their labels.

    The test pictures are a fifth of each class, at least one, chosen by `divide`. Raises CommandError if a folder or a
    class cannot be used.
    """
    classes, paths, labels = find(folder)
    images, files = load_pictures(paths)
    labels = labels[files]
    for number, name in enumerate(classes):
        count = len({image.tobytes() for image in images[labels == number].numpy()})
        if count < LEAST_CHARACTERS:
            text = f"has {count or 'no'} different readable characters, and a class needs at least {LEAST_CHARACTERS}"
            raise CommandError(f"{folder / name} {text}")
    first_class: dict[bytes, int] = {}
    for image, number in zip(images.numpy(), labels.tolist(), strict=True):
        if (first := first_class.setdefault(image.tobytes(), number)) != number:
            complain(f"{folder}: one character is in {classes[first]} and in {classes[number]}, too", "warning")
            break
    rest, test = divide(images, labels, TEST_SHARE)
    return classes, (images[rest], labels[rest]), (images[test], labels[test])


def find(folder: Path) -> tuple[list[str], list[Path], torch.Tensor]:
    """The classes of a folder, its picture files, and the number of the class of each. Raises CommandError."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    except OSError as error:
        raise CommandError(f"{folder} is no folder of classes: {error.strerror}") from None
    classes = [unicodedata.normalize("NFC", name) for name in names]  # macOS may take the accents of names apart
    if not 2 <= len(classes) <= MOST_CLASSES:
        text = f"has {len(classes)} sub-folders, and a network tells 2 to {MOST_CLASSES} classes apart"
        raise CommandError(f"{folder} {text}: make one sub-folder of pictures for each character")
    same = [name if len(name) == 1 else name.casefold() for name in classes]  # a and A are two, ki and Ki likely one
    for name, folded in zip(classes, same, strict=True):
        if not is_name(name):
            raise CommandError(f"{folder / name} is no name for a class: use 1 to {LONGEST_NAME} printable characters")
        if same.count(folded) > 1:
            raise CommandError(f"{folder} has classes whose names differ only in case or accents: {name} is one")
    files = [find_pictures(folder / name) for name in names]
    labels = torch.arange(len(classes)).repeat_interleave(torch.tensor([len(part) for part in files]))
    return classes, [path for part in files for path in part], labels


def find_pictures(path: Path) -> list[Path]:
    """All files in a folder and in deeper ones, without hidden ones, in order of name; a file alone is itself."""
    if not path.is_dir():
        return [path]
    files: list[Path] = []
    for folder, deeper, names in os.walk(path, onerror=lambda error: complain(error, "warning")):
        deeper[:] = [name for name in deeper if name[0] != "."]  # thumbnails, checkpoints of notebooks
        files += [Path(folder, name) for name in names if name[0] != "."]
    if not files:
        raise CommandError(f"{path} has no pictures in it")
    return sorted(files)


def load_pictures(paths: list[Path]) -> tuple[torch.Tensor, list[int]]:
    """The characters in picture files, N x 1 x 28 x 28, uint8, and the index of the file of each; names the others."""
    with ThreadPool() as pool:  # Pillow and OpenCV release the interpreter lock: all cores work
        answers = pool.imap(load_page, paths, chunksize=8)
        pages = list(tqdm(answers, total=len(paths), leave=False, disable=None, file=sys.stdout))
    faults = [f"{path} {page}" for path, page in zip(paths, pages, strict=True) if isinstance(page, str)]
    complain_about(faults, "warning")
    found = [(index, page) for index, page in enumerate(pages) if isinstance(page, Page)]
    if marks := sum(page.left_out for _, page in found):
        complain(f"marks left out of the pictures: {marks}, too small for a character and near none", "warning")
    characters = [character for _, page in found for character in page.characters]
    files = [index for index, page in found for _ in page.characters]
    return torch.from_numpy(np.array(characters, np.uint8).reshape(-1, 1, SIZE, SIZE)), files


def load_page(path: Path) -> Page | str:
    """The characters in a picture file, or else why there is none."""
    try:
        return find_characters(load_picture(path))
    except PictureError as error:
        return str(error)
