"""predict.py through its command line: samples, mistakes, people's pictures, and the pictures it draws."""

import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pytest import MonkeyPatch

import predict
from modules import checkpoint, draw, kmnist
from tests.conftest import ODD, ODD_SHOWN, SMALL, Run, save_picture

SAMPLE = r"\[INFO\] ground truth label: (\w+), predicted label: (\w+) \((\d+\.\d)%\)"


def test_the_tutorials_ten_samples_on_a_sheet_beside_the_model(pretrained: Path, run: Run) -> None:
    done = run("predict.py", "--model", pretrained)
    assert (done.code, done.err) == (0, "")
    first, second, *lines = done.out.splitlines()
    assert first == "[INFO] loading the LeNet model, trained on KMNIST..."
    assert second == "[INFO] loading the KMNIST test dataset..."
    indices = [7270, 860, 5390, 5191, 5734, 6265, 466, 4426, 5578, 8322]
    assert predict.choose_samples(10, 10_000, 42).tolist() == indices
    samples = [re.fullmatch(SAMPLE, line) for line in lines[:10]]
    assert [sample[1] for sample in samples] == ["ki", "ki", "ki", "ha", "tsu", "ya", "tsu", "na", "ki", "tsu"]
    right = sum(sample[1] == sample[2] for sample in samples)
    assert right >= 9
    target = pretrained.with_name("model-predictions.png")
    assert lines[10:] == [f"[INFO] {right} of 10 are right", f"[INFO] predictions drawn on {target}"]
    assert min(cv2.imread(str(target)).shape[:2]) > 2 * draw.PICTURE


@pytest.fixture
def drawn(monkeypatch: MonkeyPatch) -> list[tuple]:
    """What each card shows: its pictures, title, colour and note."""
    cards, card = [], draw.card
    monkeypatch.setattr(draw, "card", lambda *args: cards.append((*args, "")[:4]) or card(*args))
    return cards


@pytest.mark.usefixtures("small")
def test_all_samples_each_card_with_its_kana_its_colour_and_its_image(
    pretrained: Path, run: Run, drawn: list[tuple]
) -> None:
    sheet = pretrained.parent / "new ü" / "sheet.JPG"
    done = run("predict.py", "-m", pretrained, "--samples", 10_000, "--seed", 7, "--output", sheet)
    assert sheet.read_bytes().startswith(b"\xff\xd8\xff")
    found = re.findall(SAMPLE, done.out)
    assert (len(found), len(drawn)) == (SMALL["t10k"], 100)
    images, labels = kmnist.read("t10k")
    order = predict.choose_samples(SMALL["t10k"], SMALL["t10k"], 7)
    assert sorted(order) == list(range(SMALL["t10k"]))
    assert [truth for truth, *_ in found] == [kmnist.CLASSES[labels[index]] for index in order]
    kana = dict(zip(kmnist.CLASSES, "おきすつなはまやれを", strict=True))
    for index, (truth, guess, confidence), (pictures, title, colour, note) in zip(order, found, drawn, strict=False):
        assert title == f"{kana[guess]} {guess} {confidence}%"
        assert (colour, note) == ((draw.GREEN, "") if truth == guess else (draw.RED, f"true: {kana[truth]} {truth}"))
        assert np.array_equal(pictures[0][6::12, 6::12, 0], images[index, 0].numpy())


@pytest.mark.smoke
@pytest.mark.usefixtures("small")
def test_all_mistakes_the_surest_first_in_red(
    pretrained: Path, run: Run, drawn: list[tuple], monkeypatch: MonkeyPatch
) -> None:
    model, _ = checkpoint.load(pretrained)
    images, labels = kmnist.read("t10k")
    with torch.no_grad():
        probabilities = model(images / 255).exp()
    guesses = probabilities.argmax(1)
    wrong = sorted((guesses != labels).nonzero().flatten().tolist(), key=lambda index: -probabilities[index].max())
    expected = [(kmnist.CLASSES[labels[index]], kmnist.CLASSES[guesses[index]]) for index in wrong]
    assert expected
    for count, more in ((100, []), (1, ["--layers"])):
        done = run("predict.py", "-m", pretrained, "--mistakes", "--samples", count, *more)
        assert f"[INFO] {len(wrong)} of the {SMALL['t10k']} test images are read wrong" in done.out
        assert [(truth, guess) for truth, guess, _ in re.findall(SAMPLE, done.out)] == expected[:count]
    assert [colour for _, _, colour, _ in drawn] == [draw.RED] * (len(wrong) + 1)

    monkeypatch.setattr(predict, "predict", lambda *_: torch.nn.functional.one_hot(labels, 10).float())
    done = run("predict.py", "-m", pretrained, "--mistakes", "--output", pretrained.with_name("none.png"))
    assert (done.code, "[INFO] 0 of the" in done.out) == (0, True)
    assert not pretrained.with_name("none.png").exists()


def test_own_pictures_good_and_bad(pretrained: Path, run: Run, drawn: list[tuple]) -> None:
    folder = pretrained.parent
    good = [folder / f"つ{ODD}.png", folder / "ha ha.jpg"]
    for path in good:
        save_picture(path, cv2.circle(np.full((300, 400), 255, np.uint8), (200, 150), 70, 0, 14))
    save_picture(folder / "blank.png", np.full((100, 100), 240, np.uint8))
    contents = {"text.png": b"no picture", "empty.png": b"", "cut.jpg": good[1].read_bytes()[:60], "giant.png": b""}
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    os.truncate(folder / "giant.png", 10 * 2**30)
    bad = [folder / name for name in [*contents, "blank.png", f"missing{ODD}.png"]]

    sheet = folder / f"sheet{ODD}.png"
    done = run("predict.py", "-m", pretrained, "--image", good[0], *bad, good[1], "--output", sheet)
    assert done.code == 2
    for name in (f"つ{ODD_SHOWN}.png", "ha ha.jpg"):
        answers = r"predicted label: (\w+ \(\d+\.\d%\)(, then |, |\n)){3}"
        assert re.search(rf"\[INFO\] {re.escape(name)}: {answers}", done.out)
    assert [note for *_, note in drawn] == [f"つ{ODD_SHOWN}.png", "ha ha.jpg"]
    for path, line in zip(bad, done.err.splitlines(), strict=True):
        shown = str(path).replace(ODD, ODD_SHOWN.replace(r"\n", " "))
        assert line.startswith(f"predict.py: error: {shown} ")
    assert sheet.stat().st_size > 1000


@pytest.mark.smoke
def test_pictures_of_any_size_end_well_and_doubtful_answers_say_so(pretrained: Path, run: Run) -> None:
    shapes = [(1, 1), (1, 500), (500, 1), (2, 3), (28, 28), (3000, 40)]
    for number, shape in enumerate(shapes):
        noise = np.random.RandomState(0).randint(0, 255, shape).astype(np.uint8)
        save_picture(pretrained.with_name(f"{number}.png"), noise)
    done = run("predict.py", "-m", pretrained, "--image", pretrained.parent)
    answers = re.findall(r"predicted label: \w+ \((\d+\.\d)%\), then .*?(; unsure: .*)?\n", done.out)
    assert len(answers) + len(done.err.splitlines()) == len(shapes)
    for probability, doubt in answers:
        assert (float(probability) > 70) == (not doubt), answers
    assert any(doubt for _, doubt in answers)
