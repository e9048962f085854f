"""Processes as terminals and shells start and end them: Ctrl-C, signals, pipes, progress bars."""

import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modules import checkpoint
from tests.conftest import ODD, ODD_SHOWN, ROOT, command, posix, quick

pytestmark = posix
# a script without the slow imports; what it imports first is what train.py and predict.py import first
SCRIPT = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from modules.console import program
import time
if "imports" in sys.argv:
    print("ready", flush=True)
    time.sleep(60)
with program():
    while True:
        print("ready")
        if "once" in sys.argv:
            break
        time.sleep(0.01)
"""


@pytest.fixture
def script(tmp_path: Path) -> list[object]:
    (tmp_path / "train.py").write_text(SCRIPT)
    return [sys.executable, tmp_path / "train.py"]


def start(*command: object) -> subprocess.Popen:
    process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n", process.communicate()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)])
@pytest.mark.parametrize(("moment", "line"), [("imports", ""), ("work", "train.py: error: interrupted\n")])
def test_signals_end_in_130_without_a_traceback(script: list, number: int, moment: str, line: str) -> None:
    process = start(*script, moment)
    process.send_signal(number)
    assert process.communicate(timeout=30)[1] == line
    assert process.returncode == 130


def test_nohup_outlives_its_terminal(script: list) -> None:
    process = start("sh", "-c", 'trap "" HUP; exec "$@"', "sh", *script)
    process.send_signal(signal.SIGHUP)
    for _ in range(10):
        assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130


def test_a_closed_pipe_ends_quietly(script: list) -> None:
    process = start(*script)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1


@pytest.mark.parametrize(("redirection", "code", "lines"), [(">&-", 0, 0), (">&- 2>&-", 0, 0), (">/dev/full", 1, 1)])
def test_an_output_that_is_closed_or_full(script: list, redirection: str, code: int, lines: int) -> None:
    if "full" in redirection and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    shell = ["sh", "-c", f'exec "$@" {redirection}', "sh", *map(str, script), "once"]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == lines


def test_ctrl_c_while_torch_is_imported(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, ROOT / "train.py"], stderr=subprocess.PIPE, text=True)
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[1] == ""
    assert process.returncode == 130


def test_ctrl_c_at_a_terminal_with_a_progress_bar(tmp_path: Path, characters: Path) -> None:
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    flags = quick(tmp_path / "out", "--folder", characters, "--epochs", 10_000)
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *map(str, flags)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(follower)
    shown, pressed = b"", False
    while True:
        try:
            chunk = os.read(leader, 1 << 16)
        except OSError:  # the terminal closes with the process
            break
        shown += chunk
        if not chunk:
            break
        if b"EPOCH: 3/10000" in shown and not pressed:
            pressed = bool(os.write(leader, b"\x03"))
    os.close(leader)
    assert process.wait(60) == 130, shown[-2000:]
    shown = shown.decode()
    assert "/24 [" in shown  # reading pictures
    assert "batch/s]" in shown
    assert "\r[INFO] EPOCH: 1/10000\r\n" in shown  # the bar is gone before the line
    _, saved = checkpoint.load(tmp_path / "out" / "m.pth")
    kept = len(saved["history"]["val_acc"])
    assert kept >= 3
    assert f"[INFO] ended early: keeping the {kept} complete epochs" in shown
    assert "train.py: error: interrupted" in shown
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["m.pth", "p.png"]


@pytest.mark.smoke
def test_predict_in_an_ascii_terminal_with_a_display_that_does_not_answer(pretrained: Path, characters: Path) -> None:
    """OpenCV aborts the process where there is no display."""
    picture = characters / "き" / "0.png"
    settings = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "DISPLAY": ":77"}
    odd = picture.rename(picture.with_name(f"き{ODD}.png"))
    done = command("predict.py", "-m", pretrained, "--image", odd, **settings)
    assert (done.code, done.err) == (0, "")
    assert rf"[INFO] \u304d{ODD_SHOWN}.png: predicted label: " in done.out
    sheet = pretrained.with_name("model-predictions.png")
    assert done.out.endswith(f"[INFO] predictions drawn on {sheet}\n")
    assert sheet.stat().st_size > 1000
