"""predict.py through its command line: samples, mistakes, people's pictures, windows."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import predict
from modules import checkpoint, draw, kmnist, layers, pictures, rendered
from modules.lenet import LeNet
from tests import ink
from tests.conftest import ROOT, Result, command

SAMPLE = r"\[INFO\] ground truth label: (\w+), predicted label: (\w+) \((\d+\.\d)%\)"


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "model.pth"
    copy.write_bytes(trained.read_bytes())
    return copy


def test_the_tutorials_ten_samples() -> None:
    expected = [7270, 860, 5390, 5191, 5734, 6265, 466, 4426, 5578, 8322]
    assert predict.choose_samples(10, 10_000, 42).tolist() == expected
    assert predict.choose_samples(25, 10_000, 42).tolist()[:10] == expected
    assert predict.choose_samples(10, 10_000, 43).tolist() != expected
    assert sorted(predict.choose_samples(2000, 2000, 1)) == list(range(2000))


def test_without_a_screen_a_sheet_beside_the_model(trained: Path) -> None:
    done = command("predict.py", "--model", trained, DISPLAY="")
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[:2] == [
        "[INFO] loading the LeNet model, trained on rendered...",
        "[INFO] loading the rendered test dataset...",
    ]
    labels = rendered.load(train=False)[1][predict.choose_samples(10, 2000, 42)]
    samples = [re.fullmatch(SAMPLE, line) for line in lines[2:12]]
    assert [sample[1] for sample in samples] == [kmnist.CLASSES[label] for label in labels]
    right = sum(sample[1] == sample[2] for sample in samples)
    target = trained.with_name("model-predictions.png")
    assert lines[12:] == [f"[INFO] {right} of 10 are right", f"[INFO] predictions drawn on {target}"]
    sheet = cv2.imread(str(target))
    assert sheet.shape[1] > 5 * 128
    assert sheet.shape[0] > 2 * 128


def test_a_display_that_does_not_answer_is_no_screen(model: Path) -> None:
    """OpenCV aborts the process here."""
    done = command("predict.py", "--model", model, "--samples", 1, DISPLAY=":77", WAYLAND_DISPLAY="")
    assert done.code == 0, done.err
    assert "predictions drawn on" in done.out


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp", ".bmp", ".TIFF"])
def test_the_ending_chooses_the_format(model: Path, tmp_path: Path, run: Callable[..., Result], ending: str) -> None:
    target = tmp_path / "new" / f"sheet{ending}"
    assert run("predict.py", "-m", model, "--output", target, "--samples", 3).code == 0
    assert cv2.imread(str(target)) is not None


def test_other_seeds_draw_other_samples_and_many_samples_are_capped(model: Path, run: Callable[..., Result]) -> None:
    first, second = (run("predict.py", "-m", model, "--seed", seed).out for seed in (1, 2))
    assert first != second
    done = run("predict.py", "-m", model, "--samples", 2000)
    assert len(re.findall(SAMPLE, done.out)) == 2000
    _, saved = checkpoint.load(model)
    assert f"[INFO] {round(saved['test_accuracy'] * 2000)} of 2000 are right" in done.out
    assert "[INFO] the first 100 are drawn" in done.out


def test_mistakes_come_most_confident_first(model: Path, run: Callable[..., Result]) -> None:
    done = run("predict.py", "-m", model, "--mistakes", "--samples", 20)
    found = re.findall(SAMPLE, done.out)
    assert len(found) == 20
    assert all(truth != guess for truth, guess, _ in found)
    confidences = [float(confidence) for *_, confidence in found]
    assert confidences == sorted(confidences, reverse=True)
    _, saved = checkpoint.load(model)
    assert f"[INFO] {round((1 - saved['test_accuracy']) * 2000)} of the 2000 test images are read wrong" in done.out


def test_a_perfect_model_has_no_mistakes() -> None:
    probabilities = torch.eye(10)
    assert predict.choose_mistakes(10, probabilities, torch.arange(10)).tolist() == []


@pytest.mark.parametrize(
    "flags",
    [
        *[["--samples", value] for value in ("", "0", "-1", "1.5", "nan", "inf", "x", "60001", "9" * 99)],
        *[["--seed", value] for value in ("", "-1", "1.5", "nan", "x", str(2**32))],
        *[["--device", value] for value in ("", "cuda:99", "meta", "x")],
        *[["--dataset", value] for value in ("", "auto", "mnist")],
        *[["--output", value] for value in ("", "sheet", "sheet.doc", ".", ".png/", "/proc/x/y.png")],
        *[["--data", value] for value in ("", __file__)],
        ["--image"],
        ["--mistakes", "--image", "x.png"],
        ["surplus"],
    ],
    ids=lambda flags: "=".join(flags)[:40],
)
def test_bad_arguments(model: Path, run: Callable[..., Result], flags: list[str]) -> None:
    done = run("predict.py", "-m", model, *flags)
    assert done.code == 2
    assert done.out == ""
    assert done.err.splitlines()[-1].startswith("predict.py: error: ")


def test_the_output_never_replaces_what_the_run_reads(model: Path, tmp_path: Path, run: Callable[..., Result]) -> None:
    before = model.read_bytes()
    trick = tmp_path / "model.png"
    trick.symlink_to(model)
    picture = tmp_path / "drawing.png"
    cv2.imwrite(str(picture), np.full((50, 50), 255, np.uint8))
    for output, more in ((trick, []), (picture, ["--image", picture])):
        done = run("predict.py", "-m", model, "--output", output, *more)
        assert done.code == 2
        assert "would be overwritten" in done.err
    assert model.read_bytes() == before


def test_more_samples_than_test_images(model: Path, run: Callable[..., Result]) -> None:
    done = run("predict.py", "-m", model, "--samples", 2001)
    assert done.code == 2
    assert done.err == "predict.py: error: --samples 2001 is more than the 2000 test images\n"


def test_a_terminal_of_ascii(model: Path, tmp_path: Path) -> None:
    picture = tmp_path / "き.png"
    save_drawing(picture, "き")
    done = command("predict.py", "-m", model, "--image", picture, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert done.code == 0, done.err
    assert r"[INFO] \u304d.png: predicted label:" in done.out


def save_drawing(path: Path, character: str) -> None:
    picture = np.full((300, 400), 255, np.uint8)
    cv2.putText(picture, character, (120, 200), 0, cv2.FontFace("uni"), 130)
    path.write_bytes(cv2.imencode(path.suffix, picture)[1].tobytes())


def test_own_pictures_good_and_bad(model: Path, tmp_path: Path, run: Callable[..., Result]) -> None:
    good = [tmp_path / "つ.png", tmp_path / "ha ha.jpg"]
    save_drawing(good[0], "つ")
    save_drawing(good[1], "は")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    (tmp_path / "cut.png").write_bytes(good[0].read_bytes()[:60])
    (tmp_path / "folder.png").mkdir()
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((100, 100), 240, np.uint8))
    bad = [tmp_path / f"{name}.png" for name in ("text", "empty", "cut", "folder", "blank", "missing")]
    done = run("predict.py", "-m", model, "--image", good[0], *bad, good[1], "--output", tmp_path / "sheet.png")
    assert done.code == 2
    for path in good:
        pattern = (
            rf"\[INFO\] {re.escape(path.name)}: predicted label: \w+ "
            r"\(\d+\.\d%\), then \w+ \(\d+\.\d%\), \w+ \(\d+\.\d%\)\n"
        )
        assert re.search(pattern, done.out)
    assert len(done.err.splitlines()) == len(bad)
    for path, line in zip(bad, done.err.splitlines(), strict=True):
        assert line.startswith("predict.py: error: ")
        assert path.name in line
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    done = run("predict.py", "-m", model, "--image", *good, "--output", tmp_path / "sheet.png")
    assert done.code == 0


@pytest.mark.parametrize(("redirection", "code", "lines"), [(">&-", 0, 0), (">&- 2>&-", 0, 0), (">/dev/full", 1, 1)])
def test_an_output_that_is_closed_or_full(model: Path, redirection: str, code: int, lines: int) -> None:
    shell = f'exec "$0" "$@" {redirection}'
    arguments = [sys.executable, ROOT / "predict.py", "-m", model]
    done = subprocess.run(["sh", "-c", shell, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert len(done.stderr.splitlines()) == lines
    assert model.exists()


def test_a_device_and_a_giant_are_no_pictures(model: Path, tmp_path: Path, run: Callable[..., Result]) -> None:
    with (tmp_path / "giant.png").open("wb") as file:
        file.truncate(10 * 2**30)
    done = run("predict.py", "-m", model, "--image", "/dev/zero", tmp_path / "giant.png")
    assert done.code == 2
    assert len(done.err.splitlines()) == 2
    assert "/dev/zero is no picture file" in done.err


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (2, 3), (28, 28), (3000, 40)])
def test_pictures_of_any_size_end_well(model: Path, tmp_path: Path, run: Callable[..., Result], shape: tuple) -> None:
    picture = np.random.RandomState(0).randint(0, 255, shape).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), picture)
    done = run("predict.py", "-m", model, "--image", tmp_path / "noise.png")
    assert done.code in (0, 2)
    assert len(done.err.splitlines()) == (1 if done.code else 0)


def network_inputs(images: torch.Tensor, kind: ink.Kind, folder: Path) -> torch.Tensor:
    numbers, seen = np.random.RandomState(0), []
    for image in images[:, 0].numpy():
        ending, picture = kind(image, numbers)
        path = folder / f"picture{ending}"
        path.write_bytes(cv2.imencode(ending, picture)[1].tobytes())
        seen.append(pictures.to_network_input(pictures.read_picture(path)))
    return torch.from_numpy(np.stack(seen))[:, None]


@pytest.mark.parametrize("kind", ink.KINDS)
def test_characters_on_paper_are_framed_as_they_were(tmp_path: Path, kind: ink.Kind) -> None:
    """Without any network: what is seen of a framed character on paper is that character again."""
    images, _ = rendered.load(train=False)
    framed = [pictures.frame(image / 255) for image in images[:60, 0].numpy().astype(np.float32)]
    cropped = []
    for image in framed:
        x, y, width, height = cv2.boundingRect((image > 127).astype(np.uint8))
        cropped.append(pictures.frame(image[y : y + height, x : x + width].astype(np.float32) / 255))
    originals = torch.from_numpy(np.stack(cropped))[:, None]
    seen = network_inputs(originals, kind, tmp_path)
    pairs = torch.stack([originals.flatten(1).float(), seen.flatten(1).float()], dim=1)
    similarity = torch.stack([torch.corrcoef(pair)[0, 1] for pair in pairs])
    assert similarity.mean() > 0.8


@pytest.mark.kmnist
def test_ink_on_paper_is_read_nearly_as_well_as_the_originals(
    kmnist_root: Path, kmnist_model: Path, tmp_path: Path
) -> None:
    model, _ = checkpoint.load(kmnist_model)
    images, labels = kmnist.load(kmnist_root, train=False)
    images, labels = images[:60], labels[:60]

    def accuracy(inputs: torch.Tensor) -> float:
        return (predict.predict(model, inputs, torch.device("cpu")).argmax(1) == labels).float().mean().item()

    original = accuracy(images)
    assert original > 0.85
    shares = {kind.__name__: accuracy(network_inputs(images, kind, tmp_path)) / original for kind in ink.KINDS}
    assert min(shares.values()) >= 0.9, shares


def test_16_bit_and_alpha_and_grey_give_the_same_character(tmp_path: Path) -> None:
    page = np.full((200, 200), 255, np.uint8)
    cv2.putText(page, "ま", (60, 140), 0, cv2.FontFace("uni"), 90)
    clear = np.dstack([np.zeros((200, 200, 3), np.uint8), 255 - page])
    light = np.dstack([np.full((200, 200, 3), 255, np.uint8), 255 - page])
    variants = {
        "grey.png": page,
        "colour.png": cv2.cvtColor(page, cv2.COLOR_GRAY2BGR),
        "deep.png": page.astype(np.uint16) * 257,
        "clear.png": clear,
        "light.png": light,
        "deep_clear.png": clear.astype(np.uint16) * 257,
        "negative.png": 255 - page,
    }
    seen = {}
    for name, picture in variants.items():
        cv2.imwrite(str(tmp_path / name), picture)
        seen[name] = pictures.to_network_input(pictures.read_picture(tmp_path / name)).astype(int)
    for name, image in seen.items():
        assert np.abs(image - seen["grey.png"]).mean() < 3, name


def test_fine_lines_are_made_as_broad_as_a_brush() -> None:
    page = np.full((600, 600, 3), 255, np.uint8)
    cv2.line(page, (100, 100), (500, 480), (0, 0, 0), 2)
    cv2.line(page, (500, 100), (100, 480), (0, 0, 0), 2)
    assert pictures.to_network_input(page).mean() / 255 > 0.08


def test_dust_does_not_move_the_frame() -> None:
    page = np.full((400, 400, 3), 255, np.uint8)
    cv2.putText(page, "す", (150, 250), (0, 0, 0), cv2.FontFace("uni"), 120)
    clean = pictures.to_network_input(page)
    cv2.circle(page, (20, 20), 2, (0, 0, 0), -1)
    cv2.circle(page, (380, 390), 2, (0, 0, 0), -1)
    assert np.abs(pictures.to_network_input(page).astype(int) - clean).mean() < 2


def test_text_never_leaves_its_picture() -> None:
    for text in ("つ tsu 100.0%", "a rather long name of a class " * 5, "き" * 40):
        canvas = np.full((60, 252, 3), 255, np.uint8)
        draw.write(canvas, text, (14, 35), 30, (0, 0, 0))
        assert (canvas < 255).any()
        assert (canvas[:, -5:] == 255).all()
        assert (canvas[:, :14] == 255).all()
        assert (canvas[:5] == 255).all()
        assert (canvas[50:] == 255).all()


def test_the_card_shows_every_pixel_crisply() -> None:
    image = np.random.RandomState(0).randint(0, 256, (28, 28)).astype(np.uint8)
    card = draw.card([draw.enlarge(image)], "き ki 99.0%", draw.GREEN)
    inside = card[draw.MARGIN : -draw.CAPTION, draw.MARGIN : -draw.MARGIN]
    pixel = draw.PICTURE // 28
    assert np.array_equal(inside[pixel // 2 :: pixel, pixel // 2 :: pixel, 0], image)
    assert (card[-draw.CAPTION :] == draw.GREEN).all(2).any()


@pytest.mark.parametrize(("count", "width"), [(1, 1), (2, 1), (5, 1), (10, 1), (17, 1), (10, 4), (100, 4)])
def test_a_sheet_has_room_for_all_cards_and_a_shape_that_screens_have(count: int, width: int) -> None:
    cards = [draw.card([np.full((336, 336 * width, 3), 10 + index, np.uint8)], "", draw.RED) for index in range(count)]
    sheet = draw.sheet(cards, "heading")
    shades = np.bincount(sheet[..., 0].ravel(), minlength=256)
    assert (shades[10 : 10 + count] > 100 * 100 * width).all()
    assert max(sheet.shape) <= 8100
    if count >= 10:
        assert 0.9 < sheet.shape[1] / sheet.shape[0] < 2


@pytest.mark.parametrize("font", [draw.FONT, None], ids=["OpenCV 5", "OpenCV 4"])
def test_every_script_is_written_somehow(monkeypatch: pytest.MonkeyPatch, font: object) -> None:
    monkeypatch.setattr(draw, "FONT", font)
    draw.has_letter.cache_clear()
    for text in ("つ tsu", "äß", "漢字", "ไทย", "हिन्दी", "Привет", "😀"):
        canvas, marks = np.zeros((2, 60, 600, 3), np.uint8)
        draw.write(canvas, text, (5, 40), 30, (255, 255, 255))
        draw.write(marks, "?" * len(text), (5, 40), 30, (255, 255, 255))
        assert canvas.any()
        assert (canvas != marks).any()
    draw.has_letter.cache_clear()


@pytest.mark.parametrize("classes", [2, 49])
def test_layers_show_where_the_network_responds(classes: int) -> None:
    """With a filter that hands its middle pixel on, a map of conv1 is the image itself."""
    model, names = LeNet(1, classes).eval(), [f"class {index}" for index in range(classes)]
    with torch.no_grad():
        model.conv1.weight.zero_()
        model.conv1.bias.zero_()
        model.conv1.weight[19, 0, 2, 2] = 1
    image = np.zeros((28, 28), np.uint8)
    image[10:20, 12:15] = 255
    last = layers.draw_layers(model, image, names)[444:516, 762:834]
    bright = (last > 200).any(2)
    assert 0.9 < bright.sum() / (9 * (image > 0).sum()) < 1.5
    assert bright[24:54, 30:39].all()
    assert layers.draw_layers(model, np.zeros_like(image), names).shape == (layers.HEIGHT, layers.WIDTH, 3)


@pytest.mark.kmnist
def test_the_tutorials_samples_of_the_real_data(kmnist_root: Path, model: Path) -> None:
    done = command("predict.py", "-m", model, "--dataset", "kmnist", "--data", kmnist_root)
    assert done.code == 0, done.err
    truths = [truth for truth, *_ in re.findall(SAMPLE, done.out)]
    assert truths == ["ki", "ki", "ki", "ha", "tsu", "ya", "tsu", "na", "ki", "tsu"]
