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
from tests.conftest import ODD, ODD_SHOWN, Run, denied, posix, quick, save_picture

pytestmark = pytest.mark.usefixtures("small")  # draws no plots


@pytest.mark.smoke
def test_handwritten_digits_from_a_folder_to_a_model_that_reads_them(tmp_path: Path, run: Run) -> None:
    digits = load_digits()
    folder, model = tmp_path / "digits", tmp_path / "m.pth"
    for number, (image, name) in enumerate(zip(digits.images[:1000], digits.target, strict=False)):
        large = cv2.resize(255 - image / 16 * 255, (28, 28), interpolation=cv2.INTER_CUBIC)
        save_picture(folder / str(name) / f"{number}.png", large.clip(0, 255).astype(np.uint8))
    flags = ["--folder", folder, "--one-cycle", "--lr", "4e-3", "--epochs", 6, "--augment", "--train-split", 0.75]
    done = run("train.py", *quick(tmp_path, *flags))
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"[INFO] loading the pictures in {folder}...\n[INFO] generating the train/val")
    _, saved = checkpoint.load(model)
    assert (saved["dataset"], saved["classes"]) == ("digits", [*"0123456789"])
    assert saved["test_accuracy"] > 0.93  # 30 epochs: 99%

    jpeg = ["--output", tmp_path / "sheet.jpg"]  # a large PNG takes seconds
    done = run("predict.py", "-m", model, "--folder", folder, "--samples", 1000, *jpeg)
    right, count = map(int, re.search(r"\[INFO\] (\d+) of (\d+) are right", done.out).groups())
    assert right / count == pytest.approx(saved["test_accuracy"])
    done = run("predict.py", "-m", model, "--image", folder / "3", *jpeg)
    assert done.out.count("predicted label: 3 ") > 0.9 * (digits.target[:1000] == 3).sum()


def test_names_in_any_script_deeper_folders_and_pictures_left_out(tmp_path: Path, run: Run, characters: Path) -> None:
    (characters / "b").rename(characters / unicodedata.normalize("NFD", "für"))
    deep, model = characters / "き" / "more", tmp_path / "m.pth"
    deep.mkdir()
    (characters / "き" / "0.png").rename(deep / f"{ODD}.PNG")
    (characters / "き" / "notes.txt").write_text("no picture by its name")
    (characters / "loose.png").write_text("in no class")
    for hidden in (characters / ".cache", deep / ".thumbnails"):
        save_picture(hidden / "0.png", np.eye(28))
    if os.name == "posix":
        (deep / "link").symlink_to(characters)  # its pictures are not of this class
    save_picture(deep / "blank.png", np.full((50, 50), 255, np.uint8))
    for number in range(11):
        (deep / f"broken {number}.png").write_bytes(b"no picture")
    done = run("train.py", *quick(tmp_path, "--folder", characters))
    lines = done.err.splitlines()
    assert lines[0].startswith(f"train.py: error: {deep / 'blank.png'} shows no character")
    assert all("broken" in line and "left out" in line for line in lines[1:10])
    assert lines[10:] == ["train.py: error: 2 more pictures are left out"]
    assert checkpoint.load(model)[1]["classes"] == ["a a", unicodedata.normalize("NFC", "für"), "き"]
    assert re.search(r"\n +a a .* 2\n +für .* 2\n +き .* 2\n", done.out)  # a fifth of eight

    done = run("predict.py", "-m", model, "--folder", characters)
    assert (done.code, len(re.findall("ground truth label: (?:a a|für|き), ", done.out))) == (0, 6)
    done = run("predict.py", "-m", model, "--image", deep / f"{ODD}.PNG", characters / "a a")
    assert done.code == 0
    names = re.findall(r"\[INFO\] (.+): predicted label: ", done.out)
    assert names == [f"{ODD_SHOWN}.PNG", *(f"{number}.png" for number in range(8))]


def test_what_goes_together(tmp_path: Path, run: Run, pretrained: Path, characters: Path) -> None:
    assert run("train.py", *quick(tmp_path, "--folder", characters)).code == 0
    (tmp_path / "empty").mkdir()
    for model, flags, reason in (
        (tmp_path / "m.pth", [], "in the folder my characters: name it with --folder"),
        (pretrained, ["--folder", characters], "must have the same classes, and a a is in one alone"),
        (pretrained, ["--image", tmp_path / "empty"], f"{tmp_path / 'empty'} has no pictures in it"),
    ):
        done = run("predict.py", "-m", model, *flags)
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert reason in done.err


def test_a_fifth_of_each_class_is_for_the_test_and_the_same_fifth_whenever_it_is_read(characters: Path) -> None:
    (classes, training, test), again = folders.load(characters), folders.load(characters)
    assert classes == ["a a", "b", "き"]
    assert test[1].bincount().tolist() == [2, 2, 2]
    assert training[1].bincount().tolist() == [6, 6, 6]
    assert torch.equal(training[0], again[1][0])
    assert torch.equal(test[0], again[2][0])


def broken(folder: Path, keep: int = 0) -> None:
    for file in sorted(folder.rglob("*.png"))[keep:]:
        file.write_bytes(b"no picture")


BAD_FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (shutil.rmtree, "No such file|cannot find"),
    "a file": (lambda folder: (shutil.rmtree(folder), folder.write_text("")), "Not a directory|invalid"),
    "not to be read": (lambda folder: None, "Permission denied"),
    "empty": (lambda folder: (shutil.rmtree(folder), folder.mkdir()), "it has no folders in it"),
    "pictures alone": (lambda folder: [shutil.rmtree(path) for path in folder.glob("*/")], "it has no folders in it"),
    "one class": (lambda folder: [shutil.rmtree(folder / name) for name in ("b", "き")], "has 1 "),
    "too many": (lambda folder: [(folder / f"{number}").mkdir() for number in range(1000)], "has 1003 "),
    "an empty class": (lambda folder: (folder / "c").mkdir(), "c has no pictures in it"),
    "no picture is readable": (lambda folder: broken(folder / "b"), "b has no readable pictures"),
    "none at all is": (broken, "no readable pictures"),
    "two are": (lambda folder: broken(folder / "き", 2), "き has 2 readable pictures: a class needs at least 3"),
    "a long name": (lambda folder: (folder / "b").rename(folder / ("n" * 41)), "no name for a class"),
    "an odd name": (lambda folder: (folder / "b").rename(folder / "b\u200b"), r"b\\u200b is no name for a class"),
    "case": (lambda folder: (folder / "b").rename(folder / "A A"), "several classes named (A A|a a)"),
    "accents": (lambda folder: [(folder / name).mkdir() for name in ("\u00e9", "e\u0301")], "several classes named"),
}


@pytest.mark.parametrize("kind", BAD_FOLDERS)
def test_bad_folders_are_refused_before_any_training(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, characters: Path, kind: str
) -> None:
    change, reason = BAD_FOLDERS[kind]
    if kind == "case" and (characters / "B").exists():
        pytest.skip("this disk does not tell them apart")
    (characters / "loose.png").write_text("in no class")
    change(characters)
    if kind == "not to be read":
        monkeypatch.setattr(os, "scandir", denied)
    done = run("train.py", *quick(tmp_path / "out", "--folder", characters))
    *left_out, line = done.err.splitlines()
    assert all("left out" in line for line in left_out)
    assert line.startswith("train.py: error: ")
    assert str(characters) in line
    assert re.search(reason, line), line
    assert (done.code, done.out) == (2, f"[INFO] loading the pictures in {characters}...\n")
    assert [*(tmp_path / "out").iterdir()] == []


@posix
def test_classes_may_be_links_whose_pictures_are_safe_and_locked_folders_are_named(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, characters: Path
) -> None:
    folder, scan = tmp_path / "links", os.scandir
    (characters / "b" / "locked").mkdir()
    folder.mkdir()
    for name in ("a a", "b"):
        (folder / name).symlink_to(characters / name)
    done = run("train.py", "-m", tmp_path / "m.pth", "-p", characters / "b" / "0.png", "--folder", folder)
    assert (done.code, "lies among the pictures" in done.err) == (2, True)
    monkeypatch.setattr(os, "scandir", lambda path=".": denied(path) if "locked" in str(path) else scan(path))
    done = run("train.py", *quick(tmp_path / "out", "--folder", folder))
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert f"Permission denied: '{folder / 'b' / 'locked'}'" in done.err


def test_ctrl_c_while_reading_pictures(tmp_path: Path, run: Run, characters: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "try_to_read", lambda path: os.kill(os.getpid(), signal.SIGINT) or (None, ""))
    done = run("train.py", *quick(tmp_path / "out", "--folder", characters))
    assert (done.code, done.err) == (130, "train.py: error: interrupted\n")
    assert [*(tmp_path / "out").iterdir()] == []
