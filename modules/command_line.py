"""What both scripts share: flags for numbers and devices, files written whole or not at all, one-line errors."""

import errno
import os
import sys
import tempfile
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

MOST_COMPLAINTS = 10  # lines about single files


class CommandError(Exception):
    """An error that one line explains. Exit code 2: a bad argument or a bad file of the user's; 1: anything else."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def add_number(parser: ArgumentParser, flag: str, low: float, high: float, default: float, meaning: str) -> None:
    """Add a flag for a number from `low` to `high`, both included: an int if the default is one, else a float."""

    def parse(text: str) -> float:
        with suppress(ValueError):
            value = type(default)(text)
            if low <= value <= high:
                return value
        noun = "whole number" if isinstance(default, int) else "number"
        raise ArgumentTypeError(f"{text!r} is not a {noun} from {low} to {high}")

    parser.add_argument(flag, metavar="N", type=parse, default=default, help=f"{meaning} (default: %(default)s)")


def parse_path(text: str) -> Path:
    """A path, as the value of a flag."""
    if not text:  # it would be the current folder
        raise ArgumentTypeError("it is empty")
    return Path(text)


def parse_device(text: str) -> torch.device:
    """A device that torch can compute on, as the value of a flag."""
    try:
        torch.ones(1, device=text).item()
    except Exception as error:  # each kind of device fails with its own type of error
        reason = str(error).split("\n")[0].split(". ")[0]
        raise ArgumentTypeError(f"{text!r} cannot be used here ({reason}); 'cpu' always can") from None
    return torch.device(text)


def default_device() -> torch.device:
    """CUDA if this computer has it and it works, else the CPU."""
    if torch.cuda.is_available():
        try:
            return parse_device("cuda")
        except ArgumentTypeError as error:  # a card too old for this torch, or its memory is full
            print(f"[INFO] {error}: using the CPU")
    return torch.device("cpu")


def check_writable(path: Path, endings: list[str]) -> None:
    """Raise CommandError unless a file with one of these endings can be written at `path`. Leaves nothing behind."""
    if path.suffix.lower() not in endings:
        raise CommandError(f"cannot write {path}: its name must end in {' '.join(endings)}")
    target = Path(os.path.realpath(path))  # where a symbolic link points to
    try:
        with suppress(FileNotFoundError):
            target.stat()
            if not (target.is_file() and os.access(target, os.W_OK)):
                raise CommandError(f"cannot write {path}: it is write-protected, or no ordinary file")
        tempfile.TemporaryFile(dir=next(folder for folder in target.parents if folder.exists())).close()
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from None


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, or raise CommandError. A kill or a full disk at any moment leaves the old file or the new one."""
    path = Path(os.path.realpath(path))  # a symbolic link stays one: the file that it points to is replaced
    temporary = path.with_name(f".{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}", code=1) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def complain(*messages: object, kind: str = "error") -> None:
    """Print the first messages on standard error, one line each, and how many more there are."""
    lines = [" ".join(str(message).split()) for message in messages[:MOST_COMPLAINTS]]
    if len(messages) > MOST_COMPLAINTS:
        lines.append(f"{len(messages) - MOST_COMPLAINTS} more files are left out")
    for line in lines:
        print(f"{Path(sys.argv[0]).name}: {kind}: {line}", file=sys.stderr)


def report_error(error: CommandError | KeyboardInterrupt) -> int:
    """Say in one line why a run ends, and return its exit code."""
    if isinstance(error, CommandError):
        complain(error)
        return error.code
    complain("interrupted")
    return 130


def run(main: Callable[[], int]) -> int:
    """Call a script's main function and return the exit code. An error in the code itself keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's stream has no such method, and a closed one is None
            # lines arrive in a pipe one by one; a terminal that cannot show a kana shows its code instead
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        return main()
    except (CommandError, KeyboardInterrupt) as error:
        return report_error(error)
    except BrokenPipeError:  # nobody reads the output any more, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        complain("what is printed cannot be written: the disk is full")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
