"""People's own characters: a folder with one sub-folder of pictures for each class, named as the class.

That is the layout of torchvision's ImageFolder, whose conventions hold: classes in sorted order, its file endings,
pictures in deeper folders count. Each picture goes through `modules/pictures.py`, as one that is shown to predict.py
does, so the network learns from what it will see.
"""

from modules.console import BadInput, complain

import os
import sys
import unicodedata
from multiprocessing.pool import ThreadPool
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from modules.checkpoint import LONGEST_NAME, MOST_CLASSES, is_name
from modules.kmnist import Labelled
from modules.pictures import SIZE, PictureError, read_picture, to_network_input

TEST_SHARE = 0.2
LEAST_PICTURES = 3  # of a class: one each to train on, to validate with and to test
MOST_COMPLAINTS = 10  # lines about single pictures


def load(folder: Path) -> tuple[list[str], Labelled, Labelled]:
    """Read all pictures: the names of the classes, pictures to train on and pictures to test, each with their labels.

    The test pictures are a fifth of each class, at least one. Equal folders give equal parts; a picture that is added
    or removed draws all parts of its class anew. BadInput says what is wrong with a folder, or with a class.
    """
    classes, paths, labels = find(folder)
    images, readable = read_all(paths)
    labels = labels[readable]
    count, rarest = labels.bincount(minlength=len(classes)).min(0)
    if count < LEAST_PICTURES:
        name, count = classes[rarest], int(count) or "no"
        raise BadInput(f"{folder / name} has {count} readable pictures: a class needs at least {LEAST_PICTURES}")
    rest, test = divide(labels, TEST_SHARE, seed=0)
    return classes, (images[rest], labels[rest]), (images[test], labels[test])


def find(folder: Path) -> tuple[list[str], list[Path], torch.Tensor]:
    """The classes of a folder, its picture files, and the number of the class of each. Raises BadInput as `load`."""
    from torchvision.datasets.folder import find_classes  # takes a second to import

    try:
        names = [name for name in find_classes(folder)[0] if not name.startswith(".")]
    except OSError as error:
        raise BadInput(f"{folder} is no folder of classes: {error.strerror or 'it has no folders in it'}") from None
    classes = [unicodedata.normalize("NFC", name) for name in names]  # macOS may take the accents of names apart
    if not 2 <= len(classes) <= MOST_CLASSES:
        what = f"has {len(classes)} sub-folders, and a network tells 2 to {MOST_CLASSES} classes apart"
        raise BadInput(f"{folder} {what}: make one sub-folder of pictures for each character")
    same = [name if len(name) == 1 else name.casefold() for name in classes]  # a and A are two, ki and Ki likely one
    for name, folded in zip(classes, same, strict=True):
        if not is_name(name):
            raise BadInput(f"{folder / name} is no name for a class: take 1 to {LONGEST_NAME} printable characters")
        if same.count(folded) > 1:
            raise BadInput(f"{folder} has several classes named {name}, or so but for case: make them one")
    paths = [pictures_in(folder / name) for name in names]
    labels = torch.arange(len(classes)).repeat_interleave(torch.tensor([*map(len, paths)]))
    return classes, [path for part in paths for path in part], labels


def read_all(paths: list[Path]) -> tuple[torch.Tensor, list[int]]:
    """The characters in picture files, N x 1 x 28 x 28, uint8, and which files have one; complains of the others."""
    with ThreadPool() as pool:  # Pillow and OpenCV release the interpreter lock: all cores work
        answers = pool.imap(try_to_read, paths, chunksize=8)
        answers = [*tqdm(answers, total=len(paths), leave=False, disable=None, file=sys.stdout)]
    readable = [index for index, answer in enumerate(answers) if isinstance(answer, np.ndarray)]
    faults = [f"{path} {answer}" for path, answer in zip(paths, answers, strict=True) if isinstance(answer, str)]
    for fault in faults[:MOST_COMPLAINTS]:
        complain(f"{fault}; it is left out")
    if len(faults) > MOST_COMPLAINTS:
        complain(f"{len(faults) - MOST_COMPLAINTS} more pictures are left out")
    images = np.array([answers[index] for index in readable], np.uint8).reshape(-1, 1, SIZE, SIZE)
    return torch.from_numpy(images), readable


def try_to_read(path: Path) -> np.ndarray | str:
    """The character in a picture file, 28 x 28, uint8, or else why there is none."""
    try:
        return to_network_input(read_picture(path))
    except PictureError as error:
        return str(error)


def divide(labels: torch.Tensor, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of two parts, the second with `share` of each class, but at least one picture and never all of them."""
    from sklearn.model_selection import train_test_split

    parts = []
    for number in labels.unique():
        members = np.flatnonzero(labels == number)
        count = min(max(1, round(share * len(members))), len(members) - 1)
        parts.append(train_test_split(members, test_size=count, random_state=seed))
    return tuple(np.sort(np.concatenate(part)) for part in zip(*parts, strict=True))


def pictures_in(path: Path) -> list[Path]:
    """The pictures in a folder, deeper ones too, in order of name; a file alone is itself. Raises BadInput."""
    if not os.path.isdir(path):
        return [path]
    from torchvision.datasets.folder import IMG_EXTENSIONS

    files: list[Path] = []
    for folder, deeper, names in os.walk(path, onerror=complain):
        deeper[:] = [name for name in deeper if not name.startswith(".")]  # thumbnails, checkpoints of notebooks
        files += [Path(folder, name) for name in names if name[0] != "." and name.lower().endswith(IMG_EXTENSIONS)]
    if not files:
        raise BadInput(f"{path} has no pictures in it")
    return sorted(files)
