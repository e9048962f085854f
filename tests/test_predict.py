"""predict.py through its command line: samples, mistakes, people's pictures, and the sheets it draws."""

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pytest import MonkeyPatch

import predict
from modules import checkpoint, kmnist
from modules.show import cards
from tests import ink
from tests.conftest import ODD, ROOT, SMALL, Run, save_picture

SAMPLE = r"\[INFO\] ground truth label: (\w+), predicted label: (\w+) \((\d+\.\d)%\)"
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
    assert min(cv2.imread(str(target)).shape[:2]) > 2 * cards.PICTURE


@pytest.fixture
def drawn(monkeypatch: MonkeyPatch) -> list[tuple]:
    """What each card shows: its pictures, title, colour and note."""
    shown, card = [], cards.card
    monkeypatch.setattr(cards, "card", lambda *args: shown.append((*args, "")[:4]) or card(*args))
    return shown


@pytest.mark.usefixtures("small")
def test_all_samples_at_the_models_temperature(pretrained: Path, run: Run, drawn: list[tuple]) -> None:
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
        colour, note = (cards.GREEN, "") if truth == guess else (cards.RED, f"true: {kana[truth]} {truth}")
        assert texts == [f"{kana[guess]} {guess} {confidence}%", colour, note]
        assert np.array_equal(pictures[0][6::12, 6::12, 0], images[index, 0].numpy())


@pytest.mark.smoke
@pytest.mark.usefixtures("small")
def test_all_mistakes_the_surest_first_in_red(pretrained: Path, run: Run, drawn: list[tuple]) -> None:
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
    assert [colour for _, _, colour, _ in drawn] == [cards.RED] * (len(wrong) + 1)


def test_own_pictures_good_and_bad_and_a_page(pretrained: Path, run: Run, drawn: list[tuple]) -> None:
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
    assert run("predict.py", "-m", "").code == 2


@pytest.mark.smoke
def test_predict_in_an_ascii_terminal_with_a_display_that_does_not_answer(pretrained: Path, characters: Path) -> None:
    odd = (characters / "き" / "0.png").rename(characters / "き" / f"き{ODD}.png")
    settings = {**os.environ, "PYTHONIOENCODING": "ascii", "LC_ALL": "C", "DISPLAY": ":77"}
    words = [sys.executable, ROOT / "predict.py", "-m", pretrained, "--image", odd]
    done = subprocess.run(words, env=settings, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert r"\u304d" in done.stdout
    assert done.stdout.endswith(f"[INFO] predictions drawn on {pretrained.with_name('model-predictions.png')}\n")
