"""--folder: a person's own characters, from a folder of pictures to a network that reads them."""

import re
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from modules import checkpoint
from modules.handwriting.folders import divide
from tests.conftest import ODD, Run, quick, save_picture

pytestmark = pytest.mark.usefixtures("small")  # draws no plots


@pytest.mark.smoke
def test_handwritten_digits_from_a_folder_to_a_model_that_reads_them(tmp_path: Path, run: Run) -> None:
    digits = load_digits()
    folder, model = tmp_path / "digits", tmp_path / "m.pth"
    for number, (image, name) in enumerate(zip(digits.images[:500], digits.target, strict=False)):
        large = cv2.resize(255 - image / 16 * 255, (28, 28), interpolation=cv2.INTER_CUBIC)
        save_picture(folder / str(name) / f"{number}.png", large.clip(0, 255).astype(np.uint8))
    flags = ["--folder", folder, "--one-cycle", "--lr", "4e-3", "--epochs", 8, "--augment", "--train-split", 0.75]
    done = run("train.py", *quick(tmp_path, *flags))
    assert (done.code, done.out.splitlines()[0]) == (0, f"[INFO] loading {folder}...")
    _, saved = checkpoint.load(model)
    assert (saved["dataset"], saved["classes"], saved["temperature"]) == ("digits", [*"0123456789"], 1)
    assert saved["test_accuracy"] > 0.9  # all of them: 98%

    jpeg = ["--output", tmp_path / "sheet.jpg"]  # a large PNG takes seconds
    done = run("predict.py", "-m", model, "--folder", folder, "--samples", 1000, *jpeg)
    right, count = map(int, re.search(r"\[INFO\] read right: (\d+) of (\d+) test images", done.out).groups())
    assert right / count == pytest.approx(saved["test_accuracy"])
    done = run("predict.py", "-m", model, "--image", folder / "3", *jpeg)
    assert done.out.count("predicted label: 3 ") > 0.9 * (digits.target[:500] == 3).sum()


def test_names_deeper_folders_and_files_left_out(tmp_path: Path, run: Run, characters: Path, pretrained: Path) -> None:
    (characters / "b").rename(characters / unicodedata.normalize("NFD", "für"))
    deep, model = characters / "き" / "more", tmp_path / "m.pth"
    deep.mkdir()
    (characters / "き" / "0.png").rename(deep / f"{ODD}.PNG")
    shutil.copy(characters / "a a" / "1.png", characters / "き" / "copy.png")
    save_picture(deep / ".thumbnails" / "0.png", np.eye(28))
    save_picture(deep / "blank.png", np.full((50, 50), 255, np.uint8))
    for number in range(11):
        (deep / f"broken {number}.txt").write_bytes(b"no picture")
    done = run("train.py", *quick(tmp_path, "--folder", characters))
    lines = done.err.splitlines()
    assert lines[0].startswith(f"train.py: warning: {deep / 'blank.png'} shows no character")
    assert all("broken" in line and "left out" in line for line in lines[1:10])
    assert lines[10] == "train.py: warning: 2 more files are left out"
    assert lines[-1] == "train.py: warning: the classes a a and き share an image"
    assert checkpoint.load(model)[1]["classes"] == ["a a", unicodedata.normalize("NFC", "für"), "き"]
    assert re.search(r"\n +a a .* 2\n +für .* 2\n +き .* 2\n", done.out)  # a fifth of eight

    done = run("predict.py", "-m", model, "--folder", characters)
    assert (done.code, len(re.findall("ground truth label: (?:a a|für|き), ", done.out))) == (0, 6)
    done = run("predict.py", "-m", pretrained, "--folder", characters)
    assert (done.code, "the model does not know a a, für, き: give the right --folder, or train again" in done.err) == (
        2,
        True,
    )


def test_pictures_with_a_remark_are_counted(tmp_path: Path, run: Run, characters: Path) -> None:
    page = cv2.circle(cv2.circle(np.full((400, 400), 255, np.uint8), (200, 250), 70, 0, 14), (20, 20), 9, 0, -1)
    save_picture(characters / "b" / "8.png", page)
    done = run("train.py", *quick(tmp_path, "--folder", characters))
    line = f"of 25 pictures have a remark; the first: {characters / 'b'}"
    assert re.search(rf"warning: \d+ {re.escape(line)}.*: left out: marks", done.err)


def test_what_is_being_trained_is_said(tmp_path: Path, run: Run, characters: Path) -> None:
    for name in ("Thumbs.db", "desktop.ini"):  # Windows writes them
        (characters / "b" / name).write_bytes(b"no picture")
    done = run("train.py", *quick(tmp_path, "--folder", characters))
    assert "[INFO] 3 classes: a a 8, b 8, き 8\n" in done.out
    assert "[INFO] fewer than 10 test images, which say little about a class: a a, b, き\n" in done.out
    assert not re.search("Thumbs|desktop", done.err)

    for part in ("train", "val"):
        shutil.copytree(characters, tmp_path / "parts" / part)
    for number in range(12):
        shutil.copytree(characters / "b", tmp_path / "many" / f"{number:02}")
    done = run("train.py", *quick(tmp_path, "--folder", tmp_path / "parts"))
    assert "2 classes: train 24, val 24; each of them holds a a, b, き: if those are your classes, name" in done.out
    assert "12 classes: 00 8, 01 8, 02 8, 03 8, 04 8, 05 8, 06 8, 07 8, 08 8, 09 8, 2 more\n" in (
        run("train.py", *quick(tmp_path, "--folder", tmp_path / "many")).out
    )


def test_a_few_pictures_learned_by_heart_are_not_nothing(tmp_path: Path, run: Run, characters: Path) -> None:
    shutil.rmtree(characters / "き")
    for number in range(5, 8):
        (characters / "b" / f"{number}.png").unlink()
    done = run("train.py", *quick(tmp_path, "--folder", characters, "--epochs", 40, "--train-split", 0.75))
    assert (done.code, "every test image is read as" in done.out) == (0, False)


def test_a_picture_s_name_and_its_neighbours_do_not_change_the_part_it_is_in() -> None:
    images = torch.from_numpy(np.random.RandomState(0).randint(0, 256, (75, 1, 28, 28)).astype(np.uint8))
    images[:3] = images[0]  # equal ones, of one class
    labels = torch.tensor([0] * 50 + [1] * 20 + [2] * 5)

    def second(chosen: torch.Tensor) -> set[bytes]:
        """The images of the second part, if these are there, in this order."""
        parts = divide(images[chosen], labels[chosen], 0.2)
        assert sorted(parts[0] + parts[1]) == list(range(len(chosen)))
        first, second = ({images[chosen][index].numpy().tobytes() for index in part} for part in parts)
        assert not first & second
        return second

    everything = second(torch.arange(75))
    assert second(torch.randperm(75)) == everything  # as after renaming files
    assert labels[divide(images, labels, 0.2)[1]].bincount().tolist() == pytest.approx([10, 4, 1], abs=2)
    for number in range(3, 75):
        others = torch.cat([torch.arange(number), torch.arange(number + 1, 75)])
        assert len(everything ^ second(others) - {images[number].numpy().tobytes()}) <= 2


def copy_first(source: str, target: str) -> None:
    shutil.copy(Path(source).with_name("0.png"), target)


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "cannot be read: No such file or directory"),
    "loose pictures": (
        lambda folder: [shutil.rmtree(path) for path in folder.glob("[ab]*")],
        "two or more sub-folders",
    ),
    "an empty class": (lambda folder: (folder / "c").mkdir(), "c has no pictures in it"),
    "none is readable": (lambda folder: shutil.copytree(Path(__file__).parent, folder / "c"), "c has 0 different"),
    "copies": (lambda folder: shutil.copytree(folder / "b", folder / "c", copy_function=copy_first), "c has 1"),
    "an odd name": (lambda folder: (folder / "b\u200b").mkdir(), "with different printable names"),
}


@pytest.mark.parametrize("kind", BAD_FOLDERS)
def test_bad_folders_are_refused_before_any_training(tmp_path: Path, run: Run, characters: Path, kind: str) -> None:
    change, reason = BAD_FOLDERS[kind]
    change(characters)
    done = run("train.py", *quick(tmp_path / "out", "--folder", characters))
    *left_out, line = done.err.splitlines()
    assert all("left out" in line for line in left_out)
    assert line.startswith(f"train.py: error: {characters}")
    assert reason in line
    assert (done.code, done.out) == (2, f"[INFO] loading {characters}...\n")
    assert not (tmp_path / "out").exists()
