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
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from pytest import MonkeyPatch
from torch import nn

import predict
from modules import checkpoint, kmnist, plot
from modules.lenet import LeNet
from modules.display import annotations, feature_maps
from tests import ink
from tests.conftest import ODD, ROOT, SMALL, Run, save_picture

SAMPLE = r"\[INFO\] ground truth label: (\w+), predicted label: (\w+) \((\d+\.\d)%\)"
STROKE = np.zeros((28, 28), np.uint8)
STROKE[10:20, 12:15] = 255
RING = cv2.circle(np.full((300, 400), 255, np.uint8), (200, 150), 70, 0, 14)


def test_the_tutorials_ten_samples_on_a_sheet_beside_the_model(pretrained: Path, run: Run) -> None:
    done = run("predict.py", "--model", pretrained)
    assert (done.code, done.err) == (0, "")
    model, data, *lines = done.out.splitlines()
    assert model == "[INFO] loading the LeNet model, trained on KMNIST..."
    assert data == "[INFO] loading the KMNIST test dataset..."
    samples = [re.fullmatch(SAMPLE, line) for line in lines[:10]]
    assert [sample[1] for sample in samples] == ["ki", "ki", "ki", "ha", "tsu", "ya", "tsu", "na", "ki", "tsu"]
    right = sum(sample[1] == sample[2] for sample in samples)
    target = pretrained.with_name("model-predictions.png")
    assert lines[10:] == [f"[INFO] {right} of 10 test images are read right", f"[INFO] predictions drawn on {target}"]
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
    drawn = record(monkeypatch, annotations, "card")
    model, _ = checkpoint.load(pretrained)
    checkpoint.save(pretrained, model, classes=kmnist.CLASSES, dataset="KMNIST", temperature=3.0)
    sheet = pretrained.parent / "new ü" / "sheet.JPG"
    done = run("predict.py", "-m", pretrained, "--samples", 10_000, "--seed", 7, "--output", sheet)
    assert f"[INFO] the first 100 predictions drawn on {sheet}\n" in done.out
    found = re.findall(SAMPLE, done.out)
    assert (len(found), len(drawn)) == (SMALL["t10k"], 100)
    images, _ = kmnist.load("t10k")
    generator = np.random.RandomState(7)
    order = list(dict.fromkeys([*generator.randint(0, 400, 400), *generator.permutation(400)]))
    with torch.no_grad():
        expected = 100 * (model(images[order] / 255) / 3).softmax(1).max(1).values
    assert [float(confidence) for *_, confidence in found] == pytest.approx(expected.tolist(), abs=0.06)
    kana = dict(zip(kmnist.CLASSES, "おきすつなはまやれを", strict=True))
    for index, (truth, guess, confidence), (pictures, *texts) in zip(order, found, drawn, strict=False):
        colour, note = (annotations.GREEN, "") if truth == guess else (annotations.RED, f"true: {kana[truth]} {truth}")
        assert texts == [f"{kana[guess]} {guess} {confidence}%", colour, note]
        assert np.array_equal(pictures[0][6::12, 6::12, 0], images[index, 0].numpy())


@pytest.mark.smoke
@pytest.mark.usefixtures("small")
def test_all_mistakes_the_surest_first_in_red(pretrained: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    drawn = record(monkeypatch, annotations, "card")
    model, saved = checkpoint.load(pretrained)
    images, labels = kmnist.load("t10k")
    answers = predict.predict(model, images[:, 0].numpy(), saved["temperature"])
    wrong = np.flatnonzero(answers.argmax(1) != labels.numpy())
    wrong = sorted(wrong, key=lambda index: -answers[index].max())
    expected = [(kmnist.CLASSES[labels[index]], kmnist.CLASSES[answers[index].argmax()]) for index in wrong]
    assert expected
    for count, more in ((100, []), (1, ["--layers"])):
        done = run("predict.py", "-m", pretrained, "--mistakes", "--samples", count, *more)
        assert f"[INFO] {len(wrong)} of the {SMALL['t10k']} test images are read wrong" in done.out
        assert [(truth, guess) for truth, guess, _ in re.findall(SAMPLE, done.out)] == expected[:count]
    assert [colour for _, _, colour, _ in drawn] == [annotations.RED] * (len(wrong) + 1)


def test_own_pictures_good_and_bad_and_a_page(pretrained: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    drawn = record(monkeypatch, annotations, "card")
    folder = pretrained.parent
    good = [folder / f"つ{ODD}.png", folder / "page.jpg"]
    save_picture(good[0], RING)
    save_picture(good[1], ink.page(kmnist.load("t10k")[0][:6, 0].numpy(), 2, 3))
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
    assert f"[INFO] predictions drawn on {folder / 'model-predictions.png'}\n" in done.out
    assert (done.code, done.err.count("\n")) == (2, 1)  # the model is no picture
    for flags in ([], ["--output", folder / "2" / ".." / "2" / "b.png"]):  # the first sheet is a picture now
        done = run("predict.py", "-m", model, "--image", folder, *flags)
        assert (done.code, "is one of the pictures to read" in done.err) == (2, True)


@pytest.mark.smoke
def test_pictures_of_any_size_end_well_and_doubtful_answers_say_so(pretrained: Path, run: Run) -> None:
    folder, shapes = pretrained.parent / "scans", [(1, 1), (1, 500), (500, 1), (2, 3), (28, 28), (3000, 40)]
    for number, shape in enumerate(shapes):
        save_picture(folder / f"{number}.png", np.random.RandomState(0).randint(0, 255, shape).astype(np.uint8))
    done = run("predict.py", "-m", pretrained, "--image", folder)
    assert {*re.findall(r"(\d)\.png", done.out + done.err)} == {*"012345"}
    answers = re.findall(r"predicted label: \w+ \((\d+\.\d)%\), then .*?(; unsure: .*)?\n", done.out)
    assert all((float(probability) <= 100 * predict.SURE) == bool(doubt) for probability, doubt in answers)
    assert any(doubt for _, doubt in answers)


def test_without_a_screen_there_is_no_drawing(pretrained: Path, run: Run) -> None:
    line = "predict.py: error: --draw opens a window, and there is no screen for it\n"
    assert run("predict.py", "-m", pretrained, "--draw") == (1, "", line)


@pytest.mark.smoke
def test_predict_in_an_ascii_terminal_with_a_display_that_does_not_answer(pretrained: Path, characters: Path) -> None:
    odd = (characters / "き" / "0.png").rename(characters / "き" / f"き{ODD}.png")
    settings = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "DISPLAY": ":77"}
    words = [sys.executable, ROOT / "predict.py", "-m", pretrained, "--image", odd]
    done = subprocess.run(words, env=settings, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u304d" in done.stdout
    assert done.stdout.endswith(f"[INFO] predictions drawn on {pretrained.with_name('model-predictions.png')}\n")


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
    sheet = annotations.sheet([annotations.card([picture], "き ki 99.0%", annotations.GREEN) for picture in pictures], "heading")
    shades = np.bincount(sheet[..., 0].ravel(), minlength=256)
    assert (shades[10 : 10 + count] > 100 * 100 * width).all()
    assert 0.5 < sheet.shape[1] / sheet.shape[0] < 2.5


@pytest.mark.smoke
def test_layers_show_where_the_network_responds(monkeypatch: MonkeyPatch) -> None:
    """With a filter that hands its middle pixel on, a map of conv1 is the image itself, two pixels cut off."""
    model, chances, names = LeNet(1, 2).eval(), np.full(2, 0.5), ["one", "two"]
    nn.init.zeros_(model.conv1.weight)
    nn.init.zeros_(model.conv1.bias)
    nn.init.ones_(model.conv1.weight[19, 0, 2, 2].detach())
    pictures = record(monkeypatch, Axes, "imshow")
    drawn = feature_maps.draw_layers(model, STROKE, chances, names)
    assert np.array_equal(pictures[4][1][:24, 19 * 25 :][:, :24], STROKE[2:-2, 2:-2] / 255)
    assert (drawn == (255, 144, 30)).all(2).sum() > 500  # the blue marks
    assert feature_maps.draw_layers(model, np.zeros_like(STROKE), chances, names).shape == drawn.shape


def test_layers_of_another_network_and_the_step_that_is_computed(monkeypatch: MonkeyPatch) -> None:
    model = LeNet(1, 49).eval()
    model.conv1, model.conv2, model.relu1 = nn.Conv2d(1, 40, 3, padding="same"), nn.Conv2d(40, 60, 7), nn.Tanh()
    pictures, texts = record(monkeypatch, Axes, "imshow"), record(monkeypatch, Text, "set_text")
    feature_maps.draw_layers(model, STROKE, np.full(49, 0.02), ["name"] * 49)
    texts = "\n".join(str(text) for _, text in texts)
    products, bias, total, value = (float(number) for number in re.findall(r"([-+]?\d\.\d\d)   is ", texts)[:4])
    assert products + bias == pytest.approx(total, abs=0.02)
    patch = torch.from_numpy(pictures[1][1]) / 255
    assert (model.conv1.weight[:20, 0] * patch).sum((1, 2)).sub(products).abs().min() < 0.006
    image = torch.from_numpy(STROKE)[None, None] / 255
    assert model.relu1(model.conv1(image))[0, :20].max().item() == pytest.approx(value, abs=0.006)


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
