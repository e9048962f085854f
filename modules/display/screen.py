"""A window, where there is a screen to open it on."""

import os
import re
import subprocess
import sys
from contextlib import suppress

import cv2
import numpy as np

WINDOW = "LeNet"
MOST_HIGH = 700  # pixels of a window when it opens: a small laptop shows no more, and a person can enlarge it
# Backspace is 127 on macOS and 8 elsewhere, and a keyboard has two Enter keys; see OpenCV's highgui/src/window_*
KEYS = {8: "backspace", 127: "backspace", 10: "enter", 13: "enter", 27: "esc", 32: "space"}
HEADLESS = (
    "this OpenCV has no windows: pip uninstall opencv-python-headless opencv-contrib-python-headless, "
    "then pip install --force-reinstall --no-deps opencv-contrib-python"
)


def find_obstacle() -> str:
    """Why OpenCV can open no window, or "". On Linux, where it may abort the process, a child process tries first."""
    if re.search(r"GUI: +NONE", cv2.getBuildInformation()):
        return HEADLESS
    if not sys.platform.startswith("linux"):
        return ""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return "there is no screen"
    trial = "import signal; signal.alarm(20); import cv2; cv2.namedWindow('trial'); cv2.waitKey(1)"  # 20 seconds
    done = subprocess.run([sys.executable, "-c", trial], capture_output=True, check=False, text=True, errors="replace")
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines() or ["the screen does not answer"]
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]  # Qt says first what is wrong, Python last


def open_window(width: int, height: int) -> None:
    # OpenCV's wheels ship Qt without its fonts, and Qt warns of that several times; nothing here uses them
    os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
    cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)  # without Qt's toolbar
    share = min(1, MOST_HIGH / height)
    cv2.resizeWindow(WINDOW, round(share * width), round(share * height))


def wait_key() -> str:
    """The key pressed within 20 ms, "" if there was none; "esc" for Esc and for a closed window."""
    key = cv2.waitKeyEx(20)  # ms; waitKey takes an arrow for a letter, and 0 would wait for a closed window for ever
    with suppress(cv2.error):  # with Qt, after the last window was closed
        if cv2.getWindowProperty(WINDOW, cv2.WND_PROP_VISIBLE) >= 1:
            return KEYS.get(key & 0xFFFF, chr(key & 0xFFFF)) if key != -1 else ""
    return "esc"


def show(picture: np.ndarray) -> bool:
    """Show a picture in the window until a key is pressed. False for q, Esc or the window's close button."""
    open_window(*picture.shape[1::-1])
    cv2.imshow(WINDOW, picture)
    while not (key := wait_key()):
        pass
    return key not in ("q", "esc")
