"""Files that are written whole or not at all, and the ends that no other test comes to."""

import subprocess
import sys
from pathlib import Path

import pytest
from pytest import MonkeyPatch

import train
from modules import files
from tests.conftest import ROOT, Run, posix, quick

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


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("cannot allocate 2 GiB"), RuntimeError("shapes differ")])
def test_a_lack_of_memory_is_one_line_and_a_defect_is_not_hidden(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(train, "load_data", fails)
    if "shapes" in str(error):
        with pytest.raises(RuntimeError, match="shapes"):
            run("train.py", *quick(tmp_path))
        return
    line = "train.py: error: not enough memory: try a smaller --batch-size or another --device\n"
    assert run("train.py", *quick(tmp_path)) == (1, "", line)
