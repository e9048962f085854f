"""Files that are written whole or not at all, and names that can be printed."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from pytest import MonkeyPatch

from modules import console, files
from tests.conftest import ROOT, posix

WRITER = """
import os, sys
from pathlib import Path
from modules import files
what, path = sys.argv[1], Path(sys.argv[2])
if what == "killed":
    files.os.fsync = lambda _: os.kill(os.getpid(), 9)
for _ in range(50):
    files.write_whole(path, what.encode() * 100_000)
"""


def writer(what: str, path: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", WRITER, what, path], cwd=ROOT)


@pytest.mark.smoke
@posix
def test_a_kill_while_writing_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "m.pth").write_bytes(b"old")
    assert writer("killed", tmp_path / "m.pth").wait(30) == -9
    assert (tmp_path / "m.pth").read_bytes() == b"old"


@posix
def test_a_reader_between_two_writers_finds_whole_files_only(tmp_path: Path) -> None:
    path = tmp_path / "m.pth"
    writers = [writer(what, path) for what in ("one", "two")]
    found = set()
    while any(process.poll() is None for process in writers):
        if path.exists():
            found.add(path.read_bytes())
    assert [process.wait() for process in writers] == [0, 0]
    found.add(path.read_bytes())
    assert found <= {b"one" * 100_000, b"two" * 100_000}
    assert [*tmp_path.iterdir()] == [path]


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


def test_what_cannot_be_written_is_found_out_before_the_work(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    """Simulated: the tests' user may be one who can write anywhere."""

    def denied(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    (tmp_path / "protected").write_bytes(b"")
    monkeypatch.setattr(files.os, "access", lambda *_: False)
    with pytest.raises(OSError, match="write-protected"):
        files.check_writable(tmp_path / "protected")
    monkeypatch.setattr(Path, "touch", denied)
    with pytest.raises(OSError, match="Permission denied"):
        files.check_writable(tmp_path / "in a folder that is read-only")


def test_any_name_can_be_printed() -> None:
    assert console.printable("き ä.png") == "き ä.png"
    assert console.printable(Path("a\x1b[2J\n\u202e.png")) == r"a\x1b[2J\n\u202e.png"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (console.BadInput("x\x1b is\nbad"), 2, r"x\x1b is bad"),
        (MemoryError(), 1, "not enough memory: try a smaller --batch-size or another --device"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 1, "not enough memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), 1, "not enough memory"),
    ],
)
def test_each_end_has_its_code_and_one_line(
    monkeypatch: MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/train.py"])
    with pytest.raises(SystemExit) as end, console.program():
        raise error
    assert end.value.code == code
    assert capsys.readouterr().err.startswith(f"train.py: error: {line}")


def test_a_defect_is_not_hidden_and_an_import_changes_nothing() -> None:
    with pytest.raises(RuntimeError, match="shapes"), console.program():
        raise RuntimeError("shapes differ")
    assert gc.get_threshold()[0] < 50_000
