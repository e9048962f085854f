"""Draw the pictures of README.md and lesson.md that no command of the scripts draws.

    python -m docs.pictures

Run it in the project's folder. It writes classes.png, writing.gif, collect.png and page.jpg into docs/.
"""

import tempfile
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from modules import checkpoint, kmnist
from modules.display import annotations
from modules.display.canvas import BARS, PAPER, Canvas, Stroke, smooth
from predict import SURE, predict

DOCS = Path(__file__).parent
EXAMPLES, SIZE, GAP = 8, 84, 8  # images in a row; pixels
STEP = 30  # pixels that the pen goes from one frame to the next
FRAME_MS, PAUSE_MS = 60, 1800  # that a frame lasts, and a whole character
CELL = 120  # pixels of a character on the page, with the space beside it
PEN, INK, SHEET = 7, (90, 60, 50), (222, 232, 236)  # pixels, and blue, green, red
KANA = {  # strokes as a pen of today writes them: x,y on a paper of 600 x 600, a line for each stroke
    "ha": """
        150,110 135,200 130,320 145,430 175,480 190,440
        260,210 350,205 460,190
        370,90 372,220 374,350 365,430 320,475 270,460 270,420 320,400 390,430 470,490
    """,
    "ki": """
        170,170 280,165 420,130
        180,270 290,262 440,225
        250,70 300,170 370,290 420,370 380,360 320,345
        200,380 180,440 220,500 320,515 410,500
    """,
    "tsu": """
        110,250 200,205 310,180 420,200 470,280 440,370 360,430 270,455
    """,
    "ma": """
        160,170 300,165 440,155
        180,270 300,265 430,258
        310,70 310,200 312,330 305,430 250,485 190,470 190,425 250,405 330,425 440,490
    """,
    "su": """
        110,190 300,175 490,165
        330,70 332,200 330,310 290,360 245,340 250,285 300,270 340,310 335,400 290,480 230,530
    """,
    "ya": """
        110,290 220,235 350,190 450,200 470,270 400,320 330,315
        330,90 300,140 275,170
        200,150 260,290 330,430 370,530
    """,
    "na": """
        120,180 200,170 300,150
        230,80 210,200 150,320
        400,150 450,190 470,230
        370,260 372,360 370,440 320,490 260,470 270,425 330,415 400,450 460,500
    """,
}


def strokes_of(name: str) -> list[Stroke]:
    """The strokes of a character, x and y in pixels."""
    lines = KANA[name].strip().splitlines()
    return [[(int(x), int(y)) for x, y in (point.split(",") for point in line.split())] for line in lines]


def draw_classes() -> np.ndarray:
    """Ten rows: today's kana, its name, and the first training images of the class."""
    images, labels = kmnist.load(train=True).tensors
    canvas = np.full((10 * (SIZE + GAP) + GAP, 150 + EXAMPLES * (SIZE + GAP), 3), 255, np.uint8)
    for number, name in enumerate(kmnist.CLASSES):
        top = GAP + number * (SIZE + GAP)
        annotations.write(canvas, f"{kmnist.KANA[name]}  {name}", (16, top + 54), 36, annotations.BLACK)
        for place, image in enumerate(images[labels == number][:EXAMPLES, 0].numpy()):
            left = 150 + place * (SIZE + GAP)
            canvas[top : top + SIZE, left : left + SIZE] = annotations.enlarge(image, SIZE)
    return canvas


def open_canvas(folder: Path | None) -> Canvas:
    """The window of `predict.py --draw` with the model that comes with the project, without a screen."""
    model, metadata = checkpoint.load("output/pretrained.pth")
    classify = partial(predict, model, temperature=metadata["temperature"])
    return Canvas(classify, metadata["classes"], SURE, DOCS, folder)


def write_gif(path: Path, names: list[str]) -> None:
    """Write characters in the window, point by point, each frame as the window draws it."""
    canvas, frames, waits = open_canvas(None), [], []
    for name in names:
        canvas.press("space")
        for stroke in strokes_of(name):
            x, y = np.array(stroke, float).T
            lengths = np.append(0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
            places = np.linspace(0, lengths[-1], max(2, round(lengths[-1] / STEP)))
            pen: Stroke = []
            canvas.strokes.append(pen)
            for point in zip(np.interp(places, lengths, x), np.interp(places, lengths, y), strict=True):
                pen.append((round(point[0]), round(point[1])))
                canvas.read()
                frame = cv2.resize(canvas.draw()[..., 1], None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
                frames.append(Image.fromarray((frame / 17).round().astype(np.uint8) * 17))  # 16 greys: a smaller file
                waits.append(FRAME_MS)
        waits[-1] = PAUSE_MS
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=waits, loop=0)


def draw_collecting() -> np.ndarray:
    """The window that collects, with the pointer on the right answer."""
    with tempfile.TemporaryDirectory() as parent:
        canvas = open_canvas(Path(parent, "my-characters"))
        for name in ["ha", "ha", "ki", "ma", "ma", "ma"]:
            canvas.strokes = strokes_of(name)
            canvas.file(name)
        canvas.strokes, canvas.note = strokes_of("ki"), ""
        canvas.read()
        canvas.pointer = (PAPER + 60, BARS[0] + 10)
        return canvas.draw()


def draw_page() -> np.ndarray:
    """A sheet with three rows of characters by one pen, close together and a little uneven, in a shadow."""
    rng = np.random.RandomState(3)
    page = np.full((560, 900, 3), SHEET, np.uint8)
    for row, names in enumerate(["ha ki tsu ma su ya", "na su ki ha ma tsu", "ya ma na ki tsu ha"]):
        for column, name in enumerate(names.split()):
            size = rng.uniform(0.17, 0.2)
            left, top = 50 + column * CELL + rng.randint(-6, 7), 40 + row * 165 + column * 4 + rng.randint(-6, 7)
            for stroke in strokes_of(name):
                points = np.array(stroke) * size + (left, top) + rng.normal(0, 1.2, (len(stroke), 2))
                cv2.polylines(page, [smooth(points)], False, INK, PEN, cv2.LINE_AA)
    x, y = np.meshgrid(np.arange(page.shape[1]), np.arange(page.shape[0]))
    shadow = cv2.GaussianBlur(np.where(x + 0.6 * y > 820, 0.62, 1.0), (0, 0), 12)
    light = np.linspace(1, 0.85, page.shape[0])[:, None] * shadow
    return (page * light[..., None] + rng.normal(0, 3, page.shape)).clip(0, 255).astype(np.uint8)


def main() -> None:
    write_gif(DOCS / "writing.gif", ["ha", "ki"])
    for name, picture in (
        ("classes.png", draw_classes()),
        ("collect.png", draw_collecting()),
        ("page.jpg", draw_page()),
    ):
        (DOCS / name).write_bytes(annotations.encode(picture, Path(name).suffix))


if __name__ == "__main__":
    main()
