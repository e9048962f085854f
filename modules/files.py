"""Write a file whole or not at all: nobody ever finds half a model, and a failed run costs no file that was there."""

import os
import shutil
import tempfile
from pathlib import Path


def check_writable(path: Path) -> None:
    """Create the folder of `path` and prove that a file can be written there, or raise OSError. A file there stays."""
    target = Path(os.path.realpath(path))
    if not target.parent.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists() and not (target.is_file() and os.access(target, os.W_OK)):
        raise OSError(f"{path} is {'write-protected' if target.is_file() else 'not an ordinary file'}")
    with tempfile.TemporaryFile(dir=target.parent):
        pass


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step, creating its folder; an existing file keeps its permissions.

    The bytes go to a new file beside it, onto the disk, and it is then renamed: a kill or a full disk at any moment
    leaves the old file or the new one. Raises OSError, which names the file and the reason.
    """
    target = Path(os.path.realpath(path))  # a symbolic link stays one: the file that it points to is replaced
    temporary = target.with_name(f".{os.getpid()}.part")  # no other process of this machine uses it
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)
