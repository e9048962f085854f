"""People's own characters: --folder of both scripts, and folders for --image."""

import os
import re
import shutil
import signal
import unicodedata
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pytest import MonkeyPatch
from sklearn.datasets import load_digits

from modules import checkpoint, folders
from tests.conftest import ODD, ODD_SHOWN, Run, quick, write_folder

NOISE = np.random.RandomState(0).randint(0, 256, 49 * 28 * 28 * 4, np.uint8).tobytes()
pytestmark = pytest.mark.usefixtures("small")  # draws no plots


@pytest.mark.smoke
def test_handwritten_digits_from_a_folder_to_a_model_that_reads_them(tmp_path: Path, run: Run) -> None:
    digits = load_digits()
    large = [cv2.resize(image / 16, (28, 28), interpolation=cv2.INTER_CUBIC).clip(0, 1) for image in digits.images]
    order = digits.target.argsort(kind="stable")
    pixels = (255 * np.array(large)[order]).astype(np.uint8).tobytes()
    counts = {str(number): int(count) for number, count in enumerate(np.bincount(digits.target))}
    folder, model = write_folder(tmp_path / "digits", counts, pixels), tmp_path / "m.pth"
    flags = ["--folder", folder, "--one-cycle", "--lr", "4e-3", "--epochs", 6, "--augment", "--train-split", 0.75]
    done = run("train.py", *quick(tmp_path, *flags))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"[INFO] loading the pictures in {folder}...\n[INFO] generating the train/val")
    _, saved = checkpoint.load(model)
    assert (saved["dataset"], saved["classes"]) == ("digits", [*"0123456789"])
    assert saved["test_accuracy"] > 0.93  # 30 epochs: 99%

    classes, paths, labels = folders.find(folder)
    _, test = folders.divide(labels, folders.TEST_SHARE, folders.TEST_SEED)
    jpeg = ["--output", tmp_path / "sheet.jpg"]  # a large PNG takes seconds
    done = run("predict.py", "-m", model, "--folder", folder, "--samples", 1000, *jpeg)
    right = int(re.search(rf"\[INFO\] (\d+) of {len(test)} are right", done.out)[1])
    assert right / len(test) == pytest.approx(saved["test_accuracy"])
    done = run("predict.py", "-m", model, "--image", *(paths[index] for index in test), *jpeg)
    answers = re.findall(r"predicted label: (\d) ", done.out)
    assert right == sum(answer == classes[labels[index]] for answer, index in zip(answers, test, strict=True))


def test_names_in_any_script_deeper_folders_and_pictures_left_out(tmp_path: Path, run: Run, characters: Path) -> None:
    (characters / "b").rename(characters / unicodedata.normalize("NFD", "für"))
    classes = sorted(path.name for path in characters.iterdir())
    deep, model = characters / "き" / "more", tmp_path / "m.pth"
    deep.mkdir()
    (characters / "き" / "0.png").rename(deep / f"{ODD}.PNG")
    (characters / "き" / "notes.txt").write_text("no picture by its name")
    (characters / "loose.png").write_text("in no class")
    cv2.imwrite(str(deep / "blank.png"), np.full((50, 50), 255, np.uint8))
    for number in range(11):
        (deep / f"broken {number}.png").write_bytes(b"no picture")
    done = run("train.py", *quick(tmp_path, "--folder", characters, "--epochs", 2))
    assert done.code == 0
    lines = done.err.splitlines()
    assert lines[0].startswith(f"train.py: error: {deep / 'blank.png'} shows no character")
    assert all("broken" in line and "left out" in line for line in lines[1:10])
    assert lines[10:] == ["train.py: error: 2 more pictures are left out"]
    _, saved = checkpoint.load(model)
    assert saved["classes"] == [unicodedata.normalize("NFC", name) for name in classes] == ["a a", "für", "き"]
    assert re.search(r"\n +a a .* 2\n +für .* 2\n +き .* 2\n", done.out)  # a fifth of eight

    done = run("predict.py", "-m", model, "--folder", characters)
    assert (done.code, len(re.findall("ground truth label: (?:a a|für|き), ", done.out))) == (0, 6)
    done = run("predict.py", "-m", model, "--image", deep / f"{ODD}.PNG", characters / "a a")
    assert done.code == 0
    names = re.findall(r"\[INFO\] (.+): predicted label: ", done.out)
    assert names == [f"{ODD_SHOWN}.PNG", *(f"{number}.png" for number in range(8))]


def test_what_goes_together(tmp_path: Path, run: Run, pretrained: Path, characters: Path) -> None:
    assert run("train.py", *quick(tmp_path, "--folder", characters)).code == 0
    model = tmp_path / "m.pth"
    done = run("predict.py", "-m", model)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "in the folder my characters: name it with --folder" in done.err
    done = run("predict.py", "-m", pretrained, "--folder", characters)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert "must have the same classes, and a a is in one of them only" in done.err
    (tmp_path / "empty").mkdir()
    done = run("predict.py", "-m", model, "--image", tmp_path / "empty")
    assert (done.code, len(done.err.splitlines())) == (2, 1)
    assert f"{tmp_path / 'empty'} has no pictures in it" in done.err


def test_many_classes_in_equal_parts_whenever_it_is_read(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "many", {f"class {number:02}": 4 for number in range(49)}, NOISE)
    (classes, training, test), again = folders.load(folder), folders.load(folder)
    assert classes == [f"class {number:02}" for number in range(49)]
    assert test[1].bincount().tolist() == [1] * 49
    assert training[1].bincount().tolist() == [3] * 49
    assert training[0].shape == (147, 1, 28, 28)
    assert training[0].dtype == torch.uint8
    for part, other in ((training, again[1]), (test, again[2])):
        assert torch.equal(part[0], other[0])


def broken(folder: Path, name: str, keep: int) -> None:
    for file in sorted((folder / name).iterdir())[keep:]:
        file.write_bytes(b"no picture")


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda folder: shutil.rmtree(folder), "No such file|cannot find"),
    "a file": (lambda folder: (shutil.rmtree(folder), folder.write_text("")), "Not a directory|invalid"),
    "empty": (lambda folder: (shutil.rmtree(folder), folder.mkdir()), "it has no folders in it"),
    "pictures alone": (lambda folder: [shutil.rmtree(path) for path in folder.glob("*/")], "it has no folders in it"),
    "one class": (lambda folder: [shutil.rmtree(folder / name) for name in ("b", "き")], "has 1 "),
    "too many": (lambda folder: [(folder / f"{number}").mkdir() for number in range(1000)], "has 1003 "),
    "an empty class": (lambda folder: (folder / "c").mkdir(), "c has no readable pictures"),
    "no picture is readable": (lambda folder: broken(folder, "b", 0), "b has no readable pictures"),
    "none at all is": (
        lambda folder: [broken(folder, name.name, 0) for name in folder.iterdir()],
        "no readable pictures",
    ),
    "two are": (lambda folder: broken(folder, "き", 2), "き has 2 readable pictures: a class needs at least 3"),
    "a long name": (lambda folder: (folder / "b").rename(folder / ("n" * 41)), "no name for a class"),
    "an odd name": (lambda folder: (folder / "b").rename(folder / "b\u200b"), r"b\\u200b is no name for a class"),
    "case": (
        lambda folder: (folder / "b").rename(folder / "A A"),
        "A A .*differ in case only|differ in case only.* A A",
    ),
}


@pytest.mark.parametrize("kind", BAD_FOLDERS)
def test_bad_folders_are_refused_before_any_training(tmp_path: Path, run: Run, characters: Path, kind: str) -> None:
    change, reason = BAD_FOLDERS[kind]
    if kind == "case" and (characters / "B").exists():
        pytest.skip("this disk does not tell them apart")
    change(characters)
    if characters.is_dir():
        (characters / "loose.png").write_text("in no class")
    done = run("train.py", *quick(tmp_path / "out", "--folder", characters))
    assert done.code == 2
    *left_out, line = done.err.splitlines()
    assert len(left_out) == {"no picture is readable": 8, "none at all is": 11, "two are": 6}.get(kind, 0)
    assert line.startswith("train.py: error: ")
    assert str(characters) in line
    assert re.search(reason, line), line
    assert done.out == f"[INFO] loading the pictures in {characters}...\n"
    assert [*(tmp_path / "out").iterdir()] == []


def test_ctrl_c_while_reading_pictures(tmp_path: Path, run: Run, characters: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "try_to_read", lambda path: os.kill(os.getpid(), signal.SIGINT) or (None, ""))
    done = run("train.py", *quick(tmp_path / "out", "--folder", characters))
    assert (done.code, done.err) == (130, "train.py: error: interrupted\n")
    assert [*(tmp_path / "out").iterdir()] == []
