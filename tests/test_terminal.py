"""Processes as terminals and shells start and end them: Ctrl-C, signals, pipes, progress bars."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from modules import checkpoint
from tests.conftest import ODD, ODD_SHOWN, ROOT, command, posix, quick

pytestmark = posix
# a script without the slow imports; what it imports first is what train.py and predict.py import first
SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from modules.console import run
import time
from tqdm import tqdm
if "imports" in sys.argv:
    print("ready", flush=True)
    time.sleep(60)
def main():
    while True:
        print("ready")
        if "once" in sys.argv:
            return [*tqdm([1], disable=None, file=sys.stdout)]
        time.sleep(0.01)
run(main)
"""


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    (tmp_path / "train.py").write_text(SCRIPT)
    return [sys.executable, str(tmp_path / "train.py")]


def start(*command: str) -> subprocess.Popen:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n", process.communicate()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)])
@pytest.mark.parametrize(("moment", "line"), [("imports", ""), ("work", "train.py: error: interrupted\n")])
def test_signals_end_in_130_without_a_traceback(script: list[str], number: int, moment: str, line: str) -> None:
    process = start(*script, moment)
    process.send_signal(number)
    first = process.stderr.readline()
    process.send_signal(number)  # people press Ctrl-C twice
    assert (first, process.communicate(timeout=30)[1]) == (line, "")
    assert process.returncode == 130


def test_nohup_outlives_its_terminal_and_a_closed_pipe_ends_quietly(script: list[str]) -> None:
    process = start("sh", "-c", 'trap "" HUP; exec "$@"', "sh", *script)
    process.send_signal(signal.SIGHUP)
    for _ in range(10):
        assert process.stdout.readline() == "ready\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1


@pytest.mark.parametrize(("redirection", "code", "lines"), [(">&-", 0, 0), (">&- 2>&-", 0, 0), (">/dev/full", 1, 1)])
def test_an_output_that_is_closed_or_full(script: list[str], redirection: str, code: int, lines: int) -> None:
    if "full" in redirection and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *script, "once"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == lines


def test_ctrl_c_at_a_terminal_with_a_progress_bar(tmp_path: Path, characters: Path) -> None:
    pty, out, shown = pytest.importorskip("pty"), tmp_path / "out", b""

    def read(terminal: int) -> bytes:
        nonlocal shown
        chunk, before = os.read(terminal, 1 << 16), b"EPOCH: 3/" in shown
        shown += chunk
        if b"EPOCH: 3/" in shown and not before:
            os.write(terminal, b"\x03")
        return chunk

    flags = quick(out, "--folder", characters, "--epochs", 10_000)
    shell = ["sh", "-c", 'stty rows 24 cols 100; exec "$@"', "sh"]
    status = pty.spawn([*shell, sys.executable, *map(str, [ROOT / "train.py", *flags])], read)
    assert os.waitstatus_to_exitcode(status) == 130, shown
    lines = shown.decode()
    assert "/24 [" in lines  # reading pictures
    assert "batch/s]" in lines
    assert "\r[INFO] EPOCH: 1/10000\r\n" in lines  # the bar is gone before the line
    kept = len(checkpoint.load(out / "m.pth")[1]["history"]["val_acc"])
    assert kept >= 3
    assert f"[INFO] ended early: keeping the {kept} complete epochs" in lines
    assert "train.py: error: interrupted" in lines
    assert sorted(path.name for path in out.iterdir()) == ["m.pth", "p.png"]


@pytest.mark.smoke
def test_predict_in_an_ascii_terminal_with_a_display_that_does_not_answer(pretrained: Path, characters: Path) -> None:
    """OpenCV aborts the process where there is no display."""
    picture = characters / "き" / "0.png"
    odd = picture.rename(picture.with_name(f"き{ODD}.png"))
    settings = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "DISPLAY": ":77"}
    done = command("predict.py", "-m", pretrained, "--image", odd, **settings)
    assert (done.code, done.err) == (0, "")
    assert rf"[INFO] \u304d{ODD_SHOWN}.png: predicted label: " in done.out
    sheet = pretrained.with_name("model-predictions.png")
    assert done.out.endswith(f"[INFO] predictions drawn on {sheet}\n")
    assert sheet.stat().st_size > 1000
