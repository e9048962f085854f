"""Windows, where there is a screen to open them on."""

import os
import subprocess
import sys

import cv2
import numpy as np

WINDOW = "LeNet"


def has_screen() -> bool:
    """Whether OpenCV can open a window. Where it cannot, it aborts the whole process: a child tries it first."""
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    trial = [sys.executable, "-c", "import cv2; cv2.namedWindow('trial'); cv2.waitKey(1)"]
    return subprocess.run(trial, capture_output=True, check=False).returncode == 0


def open_window(width: int, height: int) -> None:
    # OpenCV's wheels ship Qt without its fonts, and Qt says so several times; nothing here uses them
    os.environ.setdefault("QT_LOGGING_RULES", "*.warning=false")
    cv2.namedWindow(WINDOW, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)  # without Qt's toolbar
    cv2.resizeWindow(WINDOW, width, height)


def read_key() -> str:
    """The key pressed within the next milliseconds, "" if none was; "q" too for Esc and for a closed window."""
    key = cv2.waitKeyEx(20)  # ms; 0 would wait for ever once the window is closed; waitKey takes an arrow for a letter
    try:
        is_open = cv2.getWindowProperty(WINDOW, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # with Qt there is nothing left to ask once the last window is closed
        is_open = False
    if not is_open or key & 0xFFFF == 27:  # Esc
        return "q"
    return chr(key & 0xFFFF).lower() if key != -1 else ""


def show(cards: list[np.ndarray]) -> None:
    """Show one card after the other: any key goes on; q, Esc or the window's close button ends."""
    open_window(*cards[0].shape[1::-1])
    for picture in cards:
        cv2.imshow(WINDOW, picture)
        while not (key := read_key()):
            pass
        if key == "q":
            break
    cv2.destroyAllWindows()
