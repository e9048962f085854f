"""How both scripts start and end as programs that people type. They import this first, before anything slow.

Importing torch takes seconds. Ctrl-C in the meantime ends a script without a traceback, and Python looks for garbage
less often: there is none among modules, and looking costs half a second. In tests and notebooks nothing changes.
"""

import atexit
import gc
import os
import signal
import sys
from collections.abc import Callable
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
    require("Python", sys.version.split()[0], "3.10")
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


def run(main: Callable[[], None]) -> NoReturn:
    """Run a script and leave at once: taking apart all that torch has imported would take most of a second."""
    code = exit_code(main)
    atexit._run_exitfuncs()  # temporary folders and semaphores go
    os._exit(code)


def exit_code(main: Callable[[], None]) -> int:
    """Run a script's main function so that what people can cause ends in one line and an exit code, not in a traceback.

    Ctrl-C, SIGTERM and SIGHUP become KeyboardInterrupt and exit code 130, BadInput exit code 2, a lack of memory or of
    disk space and a loss that is no number any more (FloatingPointError) exit code 1; a closed pipe ends quietly.
    """
    nowhere = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere  # None where the shell has closed them (>&-)
    for stream in (sys.stdout, sys.stderr):
        # piped output arrives line by line, and a terminal that cannot show a kana gets its code instead
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    on_interrupts(signal.default_int_handler)
    try:
        main()
    except SystemExit as end:
        return end.code
    except KeyboardInterrupt:
        on_interrupts(signal.SIG_IGN)  # one is enough
        complain("interrupted")
        return 130
    except BadInput as error:
        complain(error)
        return 2
    except BrokenPipeError:
        return 1
    except (OSError, FloatingPointError) as error:
        complain(error)
        return 1
    except (MemoryError, RuntimeError) as error:
        # torch says "out of memory. Tried to allocate" on a GPU and "can't allocate memory" on a CPU
        if isinstance(error, RuntimeError) and "allocate" not in str(error):
            raise
        complain("not enough memory: try another --device, or a smaller --batch-size in training")
        return 1
    return 0
