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
from modules import arguments, checkpoint, draw, kmnist
from tests.conftest import ODD, ODD_SHOWN, SMALL, Run

SAMPLE = r"\[INFO\] ground truth label: (\w+), predicted label: (\w+) \((\d+\.\d)%\)"


def test_the_tutorials_ten_samples_on_a_sheet_beside_the_model(pretrained: Path, run: Run) -> None:
    done = run("predict.py", "--model", pretrained)
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[:2] == [
        "[INFO] loading the LeNet model, trained on KMNIST...",
        "[INFO] loading the KMNIST test dataset...",
    ]
    samples = [re.fullmatch(SAMPLE, line) for line in lines[2:12]]
    assert [sample[1] for sample in samples] == ["ki", "ki", "ki", "ha", "tsu", "ya", "tsu", "na", "ki", "tsu"]
    right = sum(sample[1] == sample[2] for sample in samples)
    assert right >= 9
    target = pretrained.with_name("model-predictions.png")
    assert lines[12:] == [f"[INFO] {right} of 10 are right", f"[INFO] predictions drawn on {target}"]
    height, width, _ = cv2.imread(str(target)).shape
    assert height > 2 * draw.PICTURE
    assert width > 2 * draw.PICTURE


def test_samples_are_different_images_that_the_seed_chooses() -> None:
    expected = [7270, 860, 5390, 5191, 5734, 6265, 466, 4426, 5578, 8322]
    assert predict.choose_samples(25, 10_000, 42).tolist()[:10] == expected
    assert predict.choose_samples(10, 10_000, 43).tolist() != expected
    assert sorted(predict.choose_samples(9999, 2000, 1)) == list(range(2000))


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
    jpeg = ["--output", pretrained.with_name("sheet.jpg")]  # a large PNG takes seconds
    done = run("predict.py", "-m", pretrained, "--samples", 10_000, "--seed", 7, *jpeg)
    assert "[INFO] the first 100 are drawn" in done.out
    found = re.findall(SAMPLE, done.out)
    assert (len(found), len(drawn)) == (SMALL["t10k"], 100)
    images, labels = kmnist.read("t10k")
    order = predict.choose_samples(SMALL["t10k"], SMALL["t10k"], 7)
    assert [truth for truth, *_ in found] == [kmnist.CLASSES[labels[index]] for index in order]
    kana = dict(zip(kmnist.CLASSES, "おきすつなはまやれを", strict=True))
    for index, (truth, guess, confidence), (pictures, title, colour, note) in zip(order, found, drawn, strict=False):
        assert title == f"{kana[guess]} {guess} {confidence}%"
        assert (colour, note) == ((draw.GREEN, "") if truth == guess else (draw.RED, f"true: {kana[truth]} {truth}"))
        assert np.array_equal(pictures[0][6::12, 6::12, 0], images[index, 0].numpy())
    assert run("predict.py", "-m", pretrained, "--seed", 8, *jpeg).out != run("predict.py", "-m", pretrained, *jpeg).out


@pytest.mark.smoke
@pytest.mark.usefixtures("small")
def test_all_mistakes_the_surest_first_in_red(pretrained: Path, run: Run, drawn: list[tuple]) -> None:
    model, _ = checkpoint.load(pretrained)
    images, labels = kmnist.read("t10k")
    with torch.no_grad():
        probabilities = model(images / 255).exp()
    guesses = probabilities.argmax(1)
    wrong = sorted((guesses != labels).nonzero().flatten().tolist(), key=lambda index: -probabilities[index].max())
    assert wrong
    done = run("predict.py", "-m", pretrained, "--mistakes", "--samples", 100)
    assert f"[INFO] {len(wrong)} of the {SMALL['t10k']} test images are read wrong" in done.out
    expected = [(kmnist.CLASSES[labels[index]], kmnist.CLASSES[guesses[index]]) for index in wrong]
    assert [(truth, guess) for truth, guess, _ in re.findall(SAMPLE, done.out)] == expected
    assert [colour for _, _, colour, _ in drawn] == [draw.RED] * len(wrong)
    few = run("predict.py", "-m", pretrained, "--mistakes", "--samples", 1)
    assert [(truth, guess) for truth, guess, _ in re.findall(SAMPLE, few.out)] == expected[:1]


@pytest.mark.usefixtures("small")
def test_a_perfect_model_has_no_mistakes(pretrained: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    _, labels = kmnist.read("t10k")
    monkeypatch.setattr(predict, "predict", lambda *_: torch.nn.functional.one_hot(labels, 10).float())
    done = run("predict.py", "-m", pretrained, "--mistakes", "--output", pretrained.with_name("sheet.png"))
    assert (done.code, "[INFO] 0 of the" in done.out) == (0, True)
    assert [*pretrained.parent.iterdir()] == [pretrained]


@pytest.mark.parametrize(
    "flags",
    [
        *[["--samples", "0"], ["--seed", "-1"], ["--device", "cuda:99"], ["--image"], ["surplus"]],
        ["--mistakes", "--image", "x.png"],
        *[["--output", value] for value in ("sheet", "sheet.doc", ".", "sheet.pbm", "sheet.pgm", "below.png/s.png")],
        *[["--output", value] for value in ("model.png", "drawing.png", "./DRAWING.png")],
    ],
    ids=lambda flags: "=".join(flags),
)
def test_bad_arguments_are_refused_before_the_work(
    pretrained: Path, run: Run, monkeypatch: MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.chdir(pretrained.parent)
    monkeypatch.setattr(checkpoint, "load", None)
    Path("below.png").touch()
    save_drawing(Path("drawing.png"))
    for link, target in (("model.png", "model.pth"), ("DRAWING.png", "drawing.png")):
        if not Path(link).exists():
            os.link(target, link)
    before = {path: path.read_bytes() for path in Path().iterdir()}
    more = ["--image", "drawing.png"] if "--output" in flags else []
    done = run("predict.py", "-m", "model.pth", *flags, *more)
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[-1].startswith("predict.py: error: ")
    if flags[1:] in (["model.png"], ["drawing.png"], ["./DRAWING.png"]):
        assert "would be overwritten" in done.err
    assert {path: path.read_bytes() for path in Path().iterdir()} == before


def test_a_sheet_beside_the_model_never_replaces_a_picture_that_is_read(
    pretrained: Path, run: Run, monkeypatch: MonkeyPatch
) -> None:
    picture = pretrained.with_name("model-predictions.png")
    save_drawing(picture)
    before = picture.read_bytes()
    for what in (picture, picture.parent):
        done = run("predict.py", "-m", pretrained, "--image", what)
        assert (done.code, done.out) == (2, "")
        assert "would be overwritten" in done.err
    assert picture.read_bytes() == before

    def denied(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(arguments, "check_writable", denied)
    done = run("predict.py", "-m", pretrained)
    assert (done.code, done.out) == (2, "")
    assert f"cannot write '{picture}': Permission denied" in done.err


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".bmp", ".TIFF"])
def test_the_ending_chooses_the_format(pretrained: Path, run: Run, ending: str) -> None:
    target = pretrained.parent / "new ü" / f"sheet{ending}"
    assert run("predict.py", "-m", pretrained, "--output", target, "--samples", 3).code == 0
    assert cv2.imdecode(np.frombuffer(target.read_bytes(), np.uint8), cv2.IMREAD_COLOR) is not None


def save_drawing(path: Path) -> None:
    picture = np.full((300, 400), 255, np.uint8)
    cv2.polylines(picture, [np.array([[120, 80], [280, 80], [200, 160], [260, 230]])], False, 0, 14)
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())


def test_own_pictures_good_and_bad(pretrained: Path, run: Run, drawn: list[tuple]) -> None:
    folder = pretrained.parent
    good = [folder / f"つ{ODD}.png", folder / "ha ha.jpg"]
    for path in good:
        save_drawing(path)
    blank_scan = 60_000 + np.random.RandomState(0).normal(0, 40, (100, 100))
    floats = [cv2.imencode(ending, np.eye(30, dtype=np.float32))[1].tobytes() for ending in (".pfm", ".tiff")]
    contents = {
        "text": b"no picture",
        "empty": b"",
        "cut": good[1].read_bytes()[:60],
        "pfm": floats[0],
        "floats": floats[1],
        "blank16": cv2.imencode(".png", blank_scan.astype(np.uint16))[1].tobytes(),
    }
    bad = [folder / f"{name}.png" for name in [*contents, "blank", f"missing{ODD}"]]
    for path, content in zip(bad, contents.values(), strict=False):
        path.write_bytes(content)
    cv2.imwrite(str(folder / "blank.png"), np.full((100, 100), 240, np.uint8))
    with (folder / "giant.png").open("wb") as file:
        file.truncate(10 * 2**30)
    bad += [folder / "giant.png"] + [Path("/dev/zero")] * (os.name == "posix")

    sheet = folder / f"sheet{ODD}.png"
    done = run("predict.py", "-m", pretrained, "--image", good[0], *bad, good[1], "--output", sheet)
    assert done.code == 2
    for name in (f"つ{ODD_SHOWN}.png", "ha ha.jpg"):
        answers = r"predicted label: (\w+) \((\d+\.\d)%\), then (\w+) \((\d+\.\d)%\), (\w+) \((\d+\.\d)%\)\n"
        answer = re.search(rf"\[INFO\] {re.escape(name)}: {answers}", done.out)
        assert 100 >= float(answer[2]) >= float(answer[4]) >= float(answer[6])
        assert len({answer[1], answer[3], answer[5]}) == 3
    assert [note for *_, note in drawn] == [f"つ{ODD_SHOWN}.png", "ha ha.jpg"]
    assert len(done.err.splitlines()) == len(bad)
    for path, line in zip(bad, done.err.splitlines(), strict=True):
        shown = str(path).replace(ODD, ODD_SHOWN.replace(r"\n", " "))
        assert line.startswith(f"predict.py: error: {shown} ")
    assert sheet.stat().st_size > 1000
    assert run("predict.py", "-m", pretrained, "--image", *good, "--output", sheet).code == 0


@pytest.mark.smoke
@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3), (28, 28), (3000, 40)])
def test_pictures_of_any_size_end_well(pretrained: Path, run: Run, shape: tuple[int, int]) -> None:
    picture = np.random.RandomState(0).randint(0, 255, shape).astype(np.uint8)
    cv2.imwrite(str(pretrained.with_name("noise.png")), picture)
    done = run("predict.py", "-m", pretrained, "--image", pretrained.with_name("noise.png"))
    assert done.code in (0, 2)
    assert len(done.err.splitlines()) == (1 if done.code else 0)
