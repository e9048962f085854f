"""predict.py through its command line, and what is drawn: cards, sheets, the inside of the network, the plot."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from pytest import MonkeyPatch
from torch import nn

import predict
from modules import checkpoint, kmnist, plot
from modules.command_line import CommandError
from modules.display import annotations, feature_maps, screen
from modules.lenet import LeNet
from tests import ink
from tests.conftest import ODD, ROOT, SMALL, Run, save_picture

SAMPLE = r"\[INFO\] ground truth label: (\w+), predicted label: (\w+) \((\d+\.\d)%\)"
STROKE = np.zeros((28, 28), np.uint8)
STROKE[10:20, 12:15] = 255
RING = cv2.circle(np.full((300, 400), 255, np.uint8), (200, 150), 70, 0, 14)


def test_the_tutorials_ten_samples_on_a_sheet_beside_the_model(pretrained: Path, run: Run) -> None:
    done = run("predict.py", "--model", pretrained)
    assert (done.code, done.err) == (0, "")
    target = pretrained.with_name("model-predictions.png")
    screen, model, data, *lines = done.out.splitlines()
    assert screen == f"[INFO] no window: there is no screen. Up to 100 samples go onto one sheet, {target}"
    assert model == "[INFO] loading the LeNet model, trained on KMNIST..."
    assert data == "[INFO] loading the KMNIST test dataset..."
    samples = [re.fullmatch(SAMPLE, line) for line in lines[:10]]
    assert [sample[1] for sample in samples] == ["ki", "ki", "ki", "ha", "tsu", "ya", "tsu", "na", "ki", "tsu"]
    right = sum(sample[1] == sample[2] for sample in samples)
    assert lines[10:] == [f"[INFO] read right: {right} of 10 test images", f"[INFO] predictions drawn on {target} (10)"]
    assert min(cv2.imread(str(target)).shape[:2]) > 2 * annotations.PICTURE


def record(monkeypatch: MonkeyPatch, owner: object, name: str) -> list[tuple]:
    """The arguments of all calls of a function, which works as before."""
    function, calls = getattr(owner, name), []

    def recorded(*args: object, **more: object) -> object:
        calls.append(args)
        return function(*args, **more)

    monkeypatch.setattr(owner, name, recorded)
    return calls


@pytest.mark.usefixtures("small")
def test_all_samples_at_the_models_temperature(pretrained: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    drawn = record(monkeypatch, annotations, "annotate")
    model, _ = checkpoint.load(pretrained)
    checkpoint.save(pretrained, model, {"classes": kmnist.CLASSES, "dataset": "KMNIST", "temperature": 3.0})
    sheet = pretrained.parent / "new ü" / "sheet.JPG"
    done = run("predict.py", "-m", pretrained, "--samples", 10_000, "--seed", 7, "--output", sheet)
    assert f"[INFO] predictions drawn on {sheet} (100)\n" in done.out
    found = re.findall(SAMPLE, done.out)
    assert (len(found), len(drawn)) == (SMALL[False], 100)
    images, _ = kmnist.load(train=False).tensors
    with torch.no_grad():
        expected = 100 * (model(images / 255) / 3).softmax(1).max(1).values
    assert [float(confidence) for *_, confidence in found] == pytest.approx(expected.tolist(), abs=0.06)
    kana = dict(zip(kmnist.CLASSES, "おきすつなはまやれを", strict=True))
    for index, (truth, guess, confidence), (pictures, *texts) in zip(range(100), found, drawn, strict=False):
        colour, note = (annotations.GREEN, "") if truth == guess else (annotations.RED, f"true: {kana[truth]} {truth}")
        assert texts == [f"{kana[guess]} {guess} {confidence}%", colour, note]
        assert np.array_equal(pictures[0][6::12, 6::12, 0], images[index, 0].numpy())


@pytest.mark.smoke
@pytest.mark.usefixtures("small")
def test_all_mistakes_the_surest_first_in_red(pretrained: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    drawn = record(monkeypatch, annotations, "annotate")
    model, saved = checkpoint.load(pretrained)
    images, labels = kmnist.load(train=False).tensors
    examples, kinds = kmnist.load(train=True).tensors
    answers = predict.predict(model, images, saved["temperature"]).numpy()
    wrong = np.flatnonzero(answers.argmax(1) != labels.numpy())
    wrong = sorted(wrong, key=lambda index: -answers[index].max())
    expected = [(kmnist.CLASSES[labels[index]], kmnist.CLASSES[answers[index].argmax()]) for index in wrong]
    assert expected
    for count, more in ((100, []), (1, ["--layers"])):
        done = run("predict.py", "-m", pretrained, "--mistakes", "--samples", count, *more)
        assert f"[INFO] read wrong: {len(wrong)} of all {SMALL[False]} test images" in done.out
        assert [(truth, guess) for truth, guess, _ in re.findall(SAMPLE, done.out)] == expected[:count]
    assert [colour for _, _, colour, _ in drawn] == [annotations.RED] * (len(wrong) + 1)
    for index, (pictures, *_) in zip(wrong, drawn, strict=False):
        for label, column in zip((answers[index].argmax(), labels[index]), pictures[1:], strict=True):
            nearest = min(examples[kinds == label], key=lambda example: (example.float() - images[index]).norm().item())
            assert np.array_equal(column[2:112:4, 2::4, 0], nearest[0].numpy())  # left its answer, right the truth


def test_beside_a_mistake_a_class_without_examples_is_black() -> None:
    examples = kmnist.ImageDataset(torch.ones(2, 1, 28, 28, dtype=torch.uint8), torch.tensor([0, 0]))
    assert not predict.find_nearest(torch.zeros(1, 28, 28), examples, 1).any()


def test_own_pictures_good_and_bad_and_a_page(pretrained: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    drawn = record(monkeypatch, annotations, "annotate")
    folder = pretrained.parent
    good = [folder / f"つ{ODD}.png", folder / "page.jpg"]
    save_picture(good[0], RING)
    save_picture(good[1], ink.page(kmnist.load(train=False).tensors[0][:6, 0].numpy(), 2, 3))
    save_picture(folder / "blank.png", np.full((100, 100), 240, np.uint8))
    contents = {"text.png": b"no picture", "empty.png": b"", "cut.jpg": good[1].read_bytes()[:60], "giant.png": b""}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    os.truncate(folder / "giant.png", 10 * 2**30)
    bad = [folder / name for name in [*contents, "blank.png", "missing.png"]]
    sheet = folder / f"sheet{ODD}.png"
    done = run("predict.py", "-m", pretrained, "--image", good[0], *bad, good[1], "--output", sheet)
    assert done.code == 2
    answers = r": predicted label: \w+ \(\d+\.\d%\), then \w+ \(\d+\.\d%\), \w+ \(\d+\.\d%\)"
    assert re.findall(rf"page\.jpg, (\d){answers}", done.out) == [*"123456"]
    assert len(re.findall(answers, done.out)) == 7
    assert [note for *_, note in drawn] == [str(path) for path in good]
    for path, line in zip(bad, done.err.splitlines(), strict=True):
        assert line.startswith(f"predict.py: error: {path} ")
    assert sheet.stat().st_size > 1000


def test_a_folder_of_pictures_and_none_of_them_is_overwritten(pretrained: Path, run: Run) -> None:
    folder = pretrained.parent / "scans"
    for name in ("2/b.png", "10/a.png", ".thumbnails/c.png"):
        save_picture(folder / name, RING)
    model = pretrained.rename(folder / "model.pth")
    done = run("predict.py", "-m", model, "--image", folder)
    names = [f"{folder / name}" for name in ("10/a.png", "2/b.png")]
    assert re.findall(r"\[INFO\] (.+): predicted", done.out) == names
    assert f"[INFO] predictions drawn on {folder / 'model-predictions.png'} (2)\n" in done.out
    assert (done.code, done.err.count("\n")) == (2, 1)  # the model is no picture
    done = run("predict.py", "-m", model, "--image", model, "--output", folder / "none.png")
    assert (done.code, "nothing to draw" in done.out, (folder / "none.png").exists()) == (2, True, False)
    for flags in ([], ["--output", folder / "2" / ".." / "2" / "b.png"]):  # the first sheet is a picture now
        done = run("predict.py", "-m", model, "--image", folder, *flags)
        assert (done.code, "is one of the pictures to read" in done.err) == (2, True)


@pytest.mark.smoke
def test_pictures_of_any_size_end_well_and_doubtful_answers_say_so(pretrained: Path, run: Run) -> None:
    folder, shapes = pretrained.parent / "scans", [(1, 1), (1, 500), (60_000, 1), (2, 3), (28, 28), (3000, 40)]
    for number, shape in enumerate(shapes):
        save_picture(folder / f"{number}.png", np.random.RandomState(0).randint(0, 255, shape).astype(np.uint8))
    done = run("predict.py", "-m", pretrained, "--image", folder)
    assert {*re.findall(r"(\d)\.png", done.out + done.err)} == {*"012345"}
    answers = re.findall(r"predicted label: \w+ \((\d+\.\d)%\), then .*?(; unsure: .*)?\n", done.out)
    assert all((float(probability) <= 100 * predict.SURE) == bool(doubt) for probability, doubt in answers)
    assert any(doubt for _, doubt in answers)


def test_without_a_screen_there_is_no_drawing(pretrained: Path, run: Run) -> None:
    line = "predict.py: error: --draw opens a window, which is not possible: there is no screen\n"
    assert run("predict.py", "-m", pretrained, "--draw") == (1, "", line)


OBSTACLES = {
    "no screen": ({"DISPLAY": ""}, "", "there is no screen"),
    "a display that does not answer": ({"DISPLAY": ":77"}, "", "could not connect to display :77"),
    "another platform": (
        {"DISPLAY": ":77", "QT_QPA_PLATFORM": "wayland"},
        "",
        'Could not find the Qt platform plugin "wayland"',
    ),
    "no windows": (
        {},
        "GUI:                           NONE",
        "this OpenCV has no windows: pip uninstall opencv-python-headless",
    ),
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere OpenCV has a window wherever it is built with one")
@pytest.mark.parametrize("kind", OBSTACLES)
def test_what_keeps_a_window_from_opening_is_said(monkeypatch: MonkeyPatch, kind: str) -> None:
    settings, build, reason = OBSTACLES[kind]
    for name, value in {"WAYLAND_DISPLAY": "", **settings}.items():
        monkeypatch.setenv(name, value)
    if build:
        monkeypatch.setattr(cv2, "getBuildInformation", lambda: build)
    assert reason in screen.find_obstacle()


def test_a_sheet_that_cannot_be_written_beside_the_model_asks_for_output(pretrained: Path, run: Run) -> None:
    pretrained.with_name("model-predictions.png").mkdir()
    done = run("predict.py", "-m", pretrained)
    assert (done.code, done.err.endswith("; name another file with --output\n")) == (2, True)


@pytest.mark.smoke
def test_predict_in_an_ascii_terminal_with_a_display_that_does_not_answer(pretrained: Path, characters: Path) -> None:
    odd = (characters / "き" / "0.png").rename(characters / "き" / f"き{ODD}.png")
    settings = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "DISPLAY": ":77"}
    words = [sys.executable, ROOT / "predict.py", "-m", pretrained, "--image", odd]
    done = subprocess.run(words, env=settings, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u304d" in done.stdout
    assert done.stdout.endswith(f"[INFO] predictions drawn on {pretrained.with_name('model-predictions.png')} (1)\n")


@pytest.mark.smoke
def test_every_script_is_written_somehow_and_never_leaves_its_picture() -> None:
    for text in ("つ tsu 100.0%", "äß", "漢字", "ไทย", "हिन्दी", "Привет", "😀", "a rather long name " * 5, "き" * 40):
        canvas = np.zeros((60, 252, 3), np.uint8)
        annotations.write(canvas, text, (14, 35), 30, (255, 255, 255))
        assert canvas[5:50, 14:-5].any()
        canvas[2:56, 10:-2] = 0  # OpenCV 4's pen is round
        assert not canvas.any()
    for ending in predict.ENDINGS:
        blue = annotations.encode(np.full((9, 9, 3), (255, 0, 0), np.uint8), ending.upper())
        assert np.abs(np.asarray(Image.open(io.BytesIO(blue)).convert("RGB"), int) - (0, 0, 255)).max() < 9


@pytest.mark.parametrize(("count", "width"), [(1, 1), (5, 1), (17, 1), (36, 4)])
def test_a_sheet_has_room_for_all_cards_and_a_shape_that_screens_have(count: int, width: int) -> None:
    pictures = [np.full((336, 336 * width, 3), 10 + index, np.uint8) for index in range(count)]
    sheet = annotations.draw_sheet(
        [annotations.annotate([picture], "き ki 99.0%", annotations.GREEN) for picture in pictures], "heading"
    )
    shades = np.bincount(sheet[..., 0].ravel(), minlength=256)
    assert (shades[10 : 10 + count] > 100 * 100 * width).all()
    assert 0.5 < sheet.shape[1] / sheet.shape[0] < 2.5


class Another(LeNet):
    """What learners make of it: a padded convolution, BatchNorm, other names, a function instead of a layer."""

    def __init__(self) -> None:
        super().__init__(1, 49)
        self.first, self.norm, self.conv3 = nn.Conv2d(1, 30, 3, padding=1), nn.BatchNorm2d(30), nn.Conv2d(50, 60, 3)
        self.conv2, self.fc1 = nn.Conv2d(30, 50, 5, stride=2), nn.Linear(60, 500)
        del self.conv1, self.relu2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.maxpool1(self.relu1(self.norm(self.first(x))))
        x = torch.relu(self.conv3(torch.relu(self.conv2(x))))
        return self.logSoftmax(self.fc2(self.relu3(self.fc1(x.amax((2, 3))))))


LAYERS = {
    LeNet: ["conv1, relu1: 20 of 20 maps, 24 x 24", "conv2, relu2: 50 of 50 maps, 8 x 8"],
    Another: [
        "first, norm, relu1: 30 of 30 maps, 28 x 28",
        "conv2: 50 of 50 maps, 5 x 5",
        "conv3: 51 of 60 maps, 3 x 3",
    ],
}


@pytest.mark.smoke
@pytest.mark.parametrize("network", LAYERS)
def test_layers_show_what_the_network_computed(monkeypatch: MonkeyPatch, network: type) -> None:
    torch.manual_seed(0)
    model = (network(1, 10) if network is LeNet else network()).eval()
    pictures, texts = record(monkeypatch, Axes, "imshow"), record(monkeypatch, Figure, "text")
    titles = record(monkeypatch, Axes, "set_title")
    image, names = torch.from_numpy(STROKE)[None], [str(number) for number in range(49)]
    drawn = feature_maps.draw_feature_maps(model, image, np.full(len(names), 0.02), names)
    assert (drawn == (255, 144, 30)).all(2).sum() > 300  # the blue marks
    titles = [title for _, title in titles]
    for expected in LAYERS[network]:
        assert any(title.startswith(expected) for title in titles), titles

    convolution, *_ = model.children() if network is LeNet else [model.first]
    with torch.no_grad():
        maps = convolution(image[None] / 255)
        last = model.relu1(maps if network is LeNet else model.norm(maps))[0, :20]
    products, bias, total, *_, value = map(float, re.findall(r"([-+]?\d+\.\d\d)  ", texts[0][3]))
    assert products + bias == pytest.approx(total, abs=0.02)
    assert value == pytest.approx(last.max().item(), abs=0.006)
    shown = dict(zip(titles, (picture for _, picture, *_ in pictures), strict=True))
    patch, weights = shown["its framed part"], next(shown[title] for title in titles if title.startswith("filter "))
    assert (patch * weights).sum() == pytest.approx(products, abs=0.006)


def test_a_network_without_convolutions_has_no_layers_to_show() -> None:
    steps = [feature_maps.Step("fc1", nn.Linear(1, 1), torch.zeros(1), torch.zeros(1))]
    with pytest.raises(CommandError, match=r"has no nn.Conv2d"):
        feature_maps.group_by_convolution(steps)


def test_a_font_that_is_installed_later_is_found(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    path, broken = font_manager.findfont("DejaVu Sans"), tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [])
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda: [str(broken), path])
    plot.find_new_fonts()
    assert font_manager.get_font_names() == ["DejaVu Sans"]


@pytest.mark.smoke
@pytest.mark.filterwarnings("error")  # a character that no font has is one
@pytest.mark.parametrize(("count", "mistakes", "rate"), [(2, 1, 1e-3), (10, 0, 2e-3), (49, 40, 2e-3)])
def test_the_plot_can_be_read(monkeypatch: MonkeyPatch, count: int, mistakes: int, rate: float) -> None:
    saved = record(monkeypatch, Figure, "savefig")
    classes = [f"{number} か $ \u037f and a long name" for number in range(count)]
    confusion = 100 * np.eye(count, dtype=int)
    confusion[0] += np.arange(count) * mistakes
    history = {"train_loss": [0.5, 0.3], "val_loss": [0.4, 0.6], "train_acc": [0.1, 0.2], "val_acc": [0.1, 0.2]}
    history["lr"] = [1e-3, rate]
    assert plot.draw_plot(history, confusion, classes, "か" * 99, ".PDF").startswith(b"%PDF")

    figure = saved[0][0]
    panels = {panel.get_title() or panel.get_ylabel(): panel for panel in figure.axes}
    assert ("learning rate (dashed)" in panels) == (rate > 1e-3)  # where it changes
    for title, name in (("Loss", "loss"), ("Accuracy", "acc")):
        curves = {line.get_label(): [*line.get_ydata()] for line in panels[title].lines}
        assert {f"train_{name}", f"val_{name}"} <= {*curves}
        assert curves[f"val_{name}"] == history[f"val_{name}"]
        assert all(tick == int(tick) for tick in panels[title].get_xticks())
    assert "lowest val_loss: epoch 1" in {line.get_label() for line in panels["Loss"].lines}
    assert len(figure.get_suptitle()) < 80

    matrix = panels["Test images"]
    assert len(matrix.texts) == (np.count_nonzero(confusion) if count <= plot.MOST_COUNTS else 0)
    assert all(len(label.get_text()) <= plot.LONGEST for label in matrix.get_xticklabels())
