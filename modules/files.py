"""Write a file completely or not at all: nobody ever finds half a model, and a failed run destroys no file."""

import os
import shutil
import tempfile
from pathlib import Path

from modules.command_line import CommandError


def check_writable(path: Path, endings: list[str], pictures: Path | None = None) -> None:
    """Raise CommandError unless a file with one of these endings can be written at `path`. A file there stays.

    A place in the folder `pictures` is refused, too: the file would be taken for a picture there.
    """
    try:
        if path.suffix.lower() not in endings:
            raise OSError(f"its name must end in {' '.join(endings)}")
        if pictures and path.resolve().is_relative_to(pictures.resolve()):
            raise OSError("it would lie among the pictures: choose another place")
        if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
            raise OSError("it is write-protected, or no ordinary file")
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror or error}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Replace `path` by `content` in one step, creating its folder; an existing file keeps its permissions.

    The bytes go to a new file beside it, which is then renamed: a kill or a full disk at any moment leaves the old file
    or the new one. Raises OSError, which names the file and the reason.
    """
    target = path.resolve()  # a symbolic link stays one: the file that it points to is replaced
    temporary = target.with_name(f".{os.getpid()}.part")  # no other process of this machine uses this name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            shutil.copymode(target, temporary)
        temporary.replace(target)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        temporary.unlink(missing_ok=True)
