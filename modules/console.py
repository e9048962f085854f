"""What train.py and predict.py share as programs that people type: one-line errors, exit codes."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import torch


def warn_if_emulated(chosen: torch.device) -> None:
    """Say so where --amp cannot be faster because the CPU has no bfloat16 arithmetic of its own."""
    native = ("avx512_bf16", "amx_bf16", "bf16")  # on x86 and on Arm
    capabilities = torch.cpu.get_capabilities()
    if chosen.type == "cpu" and not any(capabilities.get(name) for name in native):
        print("[INFO] this CPU emulates bfloat16: --amp works, but may well be slower than without", flush=True)


def fail(message: object, code: int) -> NoReturn:
    """End the program with one line on standard error."""
    program = Path(sys.argv[0]).name
    print(f"{program}: error: {' '.join(str(message).split())}", file=sys.stderr)
    sys.exit(code)


def ignore_interrupts() -> None:
    """From here on the program finishes what it is doing: saving takes no time and must not stop half-way."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextlib.contextmanager
def program() -> Iterator[None]:
    """Run a script's body so that it ends in an exit code and one line, never in a traceback.

    Ctrl-C and SIGTERM become KeyboardInterrupt and exit code 130, lack of memory or of disk space exit code 1; a closed
    pipe ends the program quietly.
    """
    # a stream that the shell has closed (>&-) is None
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        # piped output arrives line by line, and a terminal that cannot show a kana gets its code instead
        stream.reconfigure(line_buffering=True, errors="backslashreplace")
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
        sys.stdout.flush()
    except KeyboardInterrupt:
        fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor may the flush at exit complain
        sys.exit(1)
    except (MemoryError, torch.OutOfMemoryError):
        fail("not enough memory: try a smaller --batch-size or another --device", 1)
    except OSError as error:
        fail(error, 1)
