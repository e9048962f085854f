"""Model files: written whole or not at all; one that is none is refused in one line, and none runs code."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from pytest import MonkeyPatch

from modules import checkpoint, files, kmnist
from modules.lenet import LeNet
from tests.conftest import ROOT, Run, denied, posix

WEIGHTS = LeNet(1, 10).state_dict()


class Command:
    """Unpickles by making a folder where the test works."""

    def __reduce__(self) -> tuple:
        return os.mkdir, ("canary",)


def write_good(path: Path, weights: dict[str, torch.Tensor]) -> Path:
    about = {"history": {"train_loss": [0.5]}, "settings": {"epochs": 1}, "test_accuracy": 0.5}
    checkpoint.save(path, weights, classes=kmnist.CLASSES, dataset="KMNIST", **about)
    return path


def changed(**changes: object) -> Callable[[Path], None]:
    return lambda path: torch.save(torch.load(path, weights_only=True) | changes, path)


def repack(path: Path, old: bytes = b"", new: bytes = b"", compression: int = zipfile.ZIP_STORED) -> None:
    """Write the archive anew, its checksums in order, with other bytes among the plain values."""
    with zipfile.ZipFile(path) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in contents.items():
            assert not name.endswith("data.pkl") or old in content
            archive.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0x10]) + content[place + 1 :]


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "cannot be read (No such file or directory): write a model with"),
    "a folder": (lambda path: (path.unlink(), path.mkdir()), "is not a file"),
    "giant": (lambda path: os.truncate(path, 2**27), "is not a file of at most 64 MiB"),
    "no permission": (lambda path: None, "cannot be read (Permission denied)"),
    "first half": (lambda path: path.write_bytes(path.read_bytes()[:800_000]), "is damaged"),
    "last half": (lambda path: path.write_bytes(path.read_bytes()[800_000:]), "packed in another way"),
    "a zip bomb": (lambda path: repack(path, compression=zipfile.ZIP_DEFLATED), "packed in another way"),
    "a flipped byte": (lambda path: repack(path, b"state_dict", b"state_d\xffct"), "is damaged"),
    "a flipped weight": (lambda path: path.write_bytes(flip(path.read_bytes(), 1_000_000)), "is damaged"),
    "a command inside": (changed(history=Command()), "no model that train.py wrote"),
    "the tutorial's whole model": (lambda path: torch.save(LeNet(1, 10), path), "no model that train.py wrote"),
    "bare weights": (lambda path: torch.save(WEIGHTS, path), "not a model"),
    "a newer version": (changed(version=2), "this version"),
    "classes with control characters": (changed(classes=["\x1b[2J"] * 10), "class names"),
    "a data set with an escape": (changed(dataset="\x1b[2J"), "data set"),
    "the stand-in that is gone": (changed(dataset="rendered"), "train again, on KMNIST"),
    "half the weights": (changed(state_dict=dict([*WEIGHTS.items()][:4])), "fc1.weight"),
    "three channels": (changed(state_dict=LeNet(3, 10).state_dict()), "conv1.weight"),
    "nan": (changed(state_dict=WEIGHTS | {"fc2.bias": torch.full((10,), float("nan"))}), "not finite"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_model_file_is_one_line_and_exit_code_2(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, kind: str
) -> None:
    change, reason = BAD_FILES[kind]
    path = write_good(tmp_path / "model.pth", WEIGHTS)
    change(path)
    if kind == "no permission":
        monkeypatch.setattr(Path, "read_bytes", denied)
    monkeypatch.chdir(tmp_path)
    done = run("predict.py", "--model", path)
    assert (done.code, done.out) == (2, "")
    assert len(done.err.splitlines()) == 1
    assert len(done.err) < 500
    assert done.err.startswith(f"predict.py: error: {path} ")
    assert reason in done.err
    assert {*tmp_path.iterdir()} <= {path}


@pytest.mark.smoke
def test_what_is_saved_is_loaded_from_any_layout_and_device(tmp_path: Path) -> None:
    """A file from a GPU names its device."""
    model = LeNet(1, 10).to(memory_format=torch.channels_last)
    path = write_good(tmp_path / "deep" / "m.pth", model.state_dict())
    assert torch.load(path, weights_only=True)["state_dict"]["conv2.weight"].is_contiguous()
    repack(path, b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0")
    again, values = checkpoint.load(path)
    assert not again.training
    for one, two in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, two)
        assert two.device.type == "cpu"
    assert (values["classes"], values["history"]) == (kmnist.CLASSES, {"train_loss": [0.5]})


WRITER = """
import os, sys
from pathlib import Path
from modules import files
path, what = Path(sys.argv[1]), sys.argv[2]
if what == "killed":
    files.os.fsync = lambda _: os.kill(os.getpid(), 9)
for _ in range(50):
    files.write_whole(path, what.encode() * 100_000)
"""


@pytest.mark.smoke
@posix
def test_between_two_writers_and_after_a_kill_a_reader_finds_whole_files_only(tmp_path: Path) -> None:
    def writer(what: str) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, "-c", WRITER, path, what], cwd=ROOT)

    path, found = tmp_path / "m.pth", set()
    writers = [writer("one"), writer("two")]
    while any(process.poll() is None for process in writers):
        if path.exists():
            found.add(path.read_bytes())
    assert [process.wait() for process in writers] == [0, 0]
    assert [*tmp_path.iterdir()] == [path]
    assert writer("killed").wait(30) == -9
    found.add(path.read_bytes())
    assert found <= {b"one" * 100_000, b"two" * 100_000}


@posix
def test_a_replaced_file_keeps_its_permissions_and_a_link_stays_one(tmp_path: Path) -> None:
    target, link = tmp_path / "deep" / "target", tmp_path / "link"
    files.write_whole(target, b"old")
    target.chmod(0o600)
    link.symlink_to(target)
    files.check_writable(link)
    assert target.read_bytes() == b"old"
    files.write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert target.stat().st_mode & 0o777 == 0o600
    assert [*target.parent.iterdir()] == [target]
