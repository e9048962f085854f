"""How both scripts start and end as programs that people type. They import this first, before anything slow.

Importing torch takes seconds. In a script, Ctrl-C in the meantime ends the program without a traceback, and Python
looks for garbage less often: there is none among modules, and looking costs half a second. Imported by anything but a
script of this project, a test or a notebook say, this module changes nothing.
"""

import contextlib
import gc
import os
import platform
import signal
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NoReturn

# the last one says that the terminal is gone; Windows has none, and under nohup it is ignored and stays so
ENDS = signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)
INTERRUPTS = [number for number in ENDS if signal.getsignal(number) != signal.SIG_IGN]


def on_interrupts(handler: object) -> None:
    for number in INTERRUPTS:
        signal.signal(number, handler)


def require(name: str, found: str, needed: str) -> None:
    if [int(part) for part in found.split(".")[:2]] < [int(part) for part in needed.split(".")]:
        sys.exit(f"{Path(sys.argv[0]).name}: error: {name} {found} is too old: {needed} or newer is needed")


if Path(getattr(sys.modules["__main__"], "__file__", "")).name in ("train.py", "predict.py"):
    gc.set_threshold(50_000)
    on_interrupts(lambda *_: os._exit(130))
    require("Python", platform.python_version(), "3.10")
    try:
        # older ones run code out of files that are opened as mere weights
        require("torch", metadata.version("torch"), "2.6")
    except metadata.PackageNotFoundError:
        cure = "activate .venv, or run 'pip install -r requirements.txt'"
        sys.exit(f"{Path(sys.argv[0]).name}: error: torch is not installed here: {cure}")


class BadInput(Exception):
    """A file or folder that a person named and that cannot be used; the text names it and says what to do."""


def printable(name: object) -> str:
    """A name, of a file say, as text that can be printed and drawn: what cannot be shown becomes its code."""
    text = str(name).encode(errors="surrogateescape").decode(errors="backslashreplace")  # a name need not be UTF-8
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def complain(message: object) -> None:
    """Print one line on standard error."""
    print(f"{Path(sys.argv[0]).name}: error: {printable(' '.join(str(message).split()))}", file=sys.stderr)


def fail(message: object, code: int) -> NoReturn:
    """End the program with one line on standard error."""
    complain(message)
    sys.exit(code)


@contextlib.contextmanager
def program() -> Iterator[None]:
    """Run a script's body so that it ends in an exit code and one line, never in a traceback.

    Ctrl-C, SIGTERM and SIGHUP become KeyboardInterrupt and exit code 130, BadInput exit code 2, a lack of memory or of
    disk space and a loss that is no number any more (FloatingPointError) exit code 1; a closed pipe ends quietly.
    """
    # looking through what was imported for garbage would take most of a second at exit; what comes later is left to it,
    # as Triton complains of what it finds uncollected
    gc.freeze()
    # a stream that the shell has closed (>&-) is None
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        # piped output arrives line by line, and a terminal that cannot show a kana gets its code instead
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    on_interrupts(signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        on_interrupts(signal.SIG_IGN)  # one is enough
        fail("interrupted", 130)
    except BadInput as error:
        fail(error, 2)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the flush at exit complain
        sys.exit(1)
    except (OSError, FloatingPointError) as error:
        fail(error, 1)
    except (MemoryError, RuntimeError) as error:
        # torch says "out of memory. Tried to allocate" on a GPU and "can't allocate memory" on a CPU
        if isinstance(error, RuntimeError) and "allocate" not in str(error):
            raise
        fail("not enough memory: try another --device, or a smaller --batch-size in training", 1)
