"""train.py through its command line: what it prints, learns, saves and refuses, and how a run may end."""

import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from pytest import MonkeyPatch

import train
from modules import checkpoint, files, kmnist, plot
from tests.conftest import Run, command, denied, posix, quick

pytestmark = pytest.mark.usefixtures("small")
NUMBER, SHARE = r"\d+\.\d{6}", r"[01]\.\d{4}"
CURVES = ["train_loss", "train_acc", "val_loss", "val_acc"]


def fixed_lines() -> str:
    curves = "".join(rf"{part} loss: {NUMBER}, {part} accuracy: {SHARE}\n" for part in ("Train", "Val"))
    rows = "".join(rf" +{name} +{SHARE} +{SHARE} +{SHARE} +\d+\n" for name in kmnist.CLASSES)
    return (
        r"\[INFO\] loading the KMNIST dataset\.\.\.\n\[INFO\] generating the train/validation split\.\.\.\n"
        r"\[INFO\] initializing the LeNet model\.\.\.\n\[INFO\] training the network\.\.\.\n"
        + "".join(rf"\[INFO\] EPOCH: {epoch}/2\n{curves}\n" for epoch in (1, 2))
        + r"\[INFO\] total time taken to train the model: \d+\.\d\ds\n\[INFO\] evaluating network\.\.\.\n"
        rf" +precision +recall +f1-score +support\n\n{rows}\n +accuracy +({SHARE}) +\d+\n"
    )


@pytest.mark.smoke
def test_a_run_prints_the_fixed_lines_and_saves_what_it_learned(tmp_path: Path, run: Run) -> None:
    done = run("train.py", *quick(tmp_path, "--epochs", 2, "--train-split", 0.75))
    assert (done.code, done.err) == (0, "")
    accuracy = float(re.match(fixed_lines(), done.out)[1])

    model, saved = checkpoint.load(tmp_path / "m.pth")
    assert (saved["dataset"], saved["classes"]) == ("KMNIST", kmnist.CLASSES)
    assert (saved["settings"]["epochs"], saved["settings"]["seed"]) == ("2", "42")
    assert {name: len(curve) for name, curve in saved["history"].items()} == dict.fromkeys(CURVES, 2)
    assert saved["history"]["val_acc"][-1] > 0.3  # it learns
    assert f"Val accuracy: {saved['history']['val_acc'][-1]:.4f}" in done.out
    assert f"Train loss: {saved['history']['train_loss'][0]:.6f}" in done.out

    images, labels = kmnist.read("t10k")
    guesses = model(images / 255).argmax(1)
    right = (guesses == labels).sum().item()
    assert saved["test_accuracy"] == pytest.approx(right / len(labels))
    assert accuracy == pytest.approx(right / len(labels), abs=1e-4)
    confusions = re.findall(r"\[INFO\] (\w+) read as (\w+): (\d+) of (\d+)", done.out)
    for truth, guess, count, of in confusions:
        of_class = labels == kmnist.CLASSES.index(truth)
        assert int(of) == of_class.sum()
        assert int(count) == (guesses[of_class] == kmnist.CLASSES.index(guess)).sum()
    counts = torch.bincount((labels * 10 + guesses)[labels != guesses]).sort(descending=True).values
    assert [int(count) for *_, count, _ in confusions] == counts[:5].tolist()
    assert done.out.endswith(f"[INFO] model saved to {tmp_path / 'm.pth'}, plot saved to {tmp_path / 'p.png'}\n")


@pytest.mark.smoke
def test_a_process_from_another_folder_in_a_locale_of_c_with_odd_settings(tmp_path: Path, characters: Path) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")  # there need not be a LaTeX
    settings = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "MPLBACKEND": "module://gone"}
    (characters / "き").rename(characters / "c")  # bytes that are no text in this locale
    flags = quick(Path("モデル ü"), "--folder", characters.name)
    done = command("train.py", *flags, cwd=tmp_path, MATPLOTLIBRC=str(tmp_path), **settings)
    assert (done.code, done.err) == (0, "")
    assert "[INFO] EPOCH: 1/1\nTrain loss: " in done.out
    assert "\r" not in done.out  # no progress bar
    assert checkpoint.load(tmp_path / "モデル ü" / "m.pth")[1]["classes"] == ["a a", "b", "c"]
    assert (tmp_path / "モデル ü" / "p.png").stat().st_size > 20_000


def weights(folder: Path) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in checkpoint.load(folder / "m.pth")[1]["state_dict"].values())


def test_equal_flags_give_equal_weights_to_the_bit_and_each_flag_gives_others(tmp_path: Path, run: Run) -> None:
    flags = ["", "--seed=7", "--augment", "--one-cycle", "--weight-decay=0.05", "--label-smoothing=0.1", "--lr=2e-3"]
    flags += ["--amp", "--batch-size=32", "--train-split=0.2", "--augment --one-cycle"]
    learned = []
    for number, row in enumerate([*flags, flags[0], flags[-1]]):
        assert run("train.py", *quick(tmp_path / f"{number}", *row.split())).code == 0
        learned.append(weights(tmp_path / f"{number}"))
    assert learned[len(flags) :] == [learned[0], learned[len(flags) - 1]]
    assert len(set(learned)) == len(flags)


def test_losses_are_plain_means_over_images_whatever_the_smoothing(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch
) -> None:
    """At a learning rate of almost 0 the losses in batches are those of the saved model for all images at once."""

    def nll_loss(log_probs: torch.Tensor, *args: object, reduction: str = "mean", **more: object) -> torch.Tensor:
        assert reduction == "mean" or not log_probs.requires_grad  # the sum keeps no graphs
        return plain_loss(log_probs, *args, reduction=reduction, **more)

    plain_loss = torch.nn.functional.nll_loss
    monkeypatch.setattr(torch.nn.functional, "nll_loss", nll_loss)
    assert run("train.py", *quick(tmp_path, "--lr", 1e-8, "--label-smoothing", 0.2)).code == 0
    model, saved = checkpoint.load(tmp_path / "m.pth")
    images, labels = kmnist.read("train")
    for name, part in zip(("train", "val"), train.split(labels, 0.25, by_class=False), strict=True):
        log_probs = model(images[part] / 255)
        loss, accuracy = plain_loss(log_probs, labels[part]), (log_probs.argmax(1) == labels[part]).float().mean()
        assert saved["history"][f"{name}_loss"] == pytest.approx([loss.item()], rel=1e-5)
        assert saved["history"][f"{name}_acc"] == pytest.approx([accuracy.item()])


def test_training_is_shuffled_and_in_bfloat16_and_judging_is_neither(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch
) -> None:
    passes, batches = set(), {True: [], False: []}  # whether in training: the sums of the pixels of each batch

    def forward(self: train.LeNet, images: torch.Tensor) -> torch.Tensor:
        log_probs = plain_forward(self, images)
        passes.add((self.training, torch.is_autocast_enabled("cpu"), torch.is_grad_enabled(), log_probs.dtype))
        batches[self.training].append(images.sum().item())
        return log_probs

    plain_forward = train.LeNet.forward
    monkeypatch.setattr(train.LeNet, "forward", forward)
    assert run("train.py", *quick(tmp_path, "--amp", "--epochs", 2)).code == 0
    assert passes == {(True, True, True, torch.float32), (False, False, False, torch.float32)}
    assert len({*batches[True]}) == 2 * 4  # 200 images in batches of 64, in two orders
    assert sum(batches[True][:4]) == pytest.approx(sum(batches[True][4:]))
    assert batches[False][:3] == batches[False][3:6]  # 600 images in batches of 250


def test_one_cycle_rises_to_the_peak_and_ends_near_zero(tmp_path: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    rates = []

    class Recorder(train.OneCycleLR):
        def step(self) -> None:
            super().step()
            rates.append(self.get_last_lr()[0])

    monkeypatch.setattr(train, "OneCycleLR", Recorder)
    flags = ["--one-cycle", "--lr", "4e-3", "--epochs", 2, "--train-split", 0.75]
    assert run("train.py", *quick(tmp_path, *flags)).code == 0
    assert len(rates) == 1 + 2 * 10  # once when it is made; 600 images, batches of 64
    assert max(rates) == pytest.approx(4e-3, rel=0.05)
    assert rates[-2] < 1e-6  # the last step was made with it; what comes after is computed, but never used


def test_a_run_that_learned_nothing_says_so(tmp_path: Path, run: Run) -> None:
    done = run("train.py", *quick(tmp_path, "--lr", "1"))
    assert (done.code, done.err) == (0, "")
    assert re.search(r"\[INFO\] it learned nothing: .*no better than guessing\. Try a lower --lr.*\n$", done.out)
    assert (tmp_path / "m.pth").exists()


@posix
@pytest.mark.parametrize(
    ("event", "moment"),
    [("INT", 1), ("INT", 3), ("TERM", 3), ("HUP", 3), ("INT", 4), ("nan", 1), ("nan", 3)],
)
def test_a_run_that_ends_early_keeps_its_complete_epochs(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, event: str, moment: int
) -> None:
    """In the first epoch, in the third of three, and in the report after them."""
    calls, kept, evaluate = [], moment - 1, train.evaluate

    def ended(*args: object) -> tuple:
        calls.append(1)
        loss, *more = evaluate(*args)
        if len(calls) == moment and event != "nan":
            signal.raise_signal(signal.Signals[f"SIG{event}"])
        return float("nan") if len(calls) == moment else loss, *more

    if kept:
        assert run("train.py", *quick(tmp_path / "whole", "--epochs", kept)).code == 0
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / "m.pth").write_bytes(b"the old model")
    monkeypatch.setattr(train, "evaluate", ended)
    done = run("train.py", *quick(tmp_path / "cut", "--epochs", 3))
    if event == "nan":
        error = f"train.py: error: no finite loss in epoch {moment}: try a lower --lr than 0.001\n"
        assert (done.code, done.err) == (1, error)
    else:
        assert (done.code, done.err) == (130, "train.py: error: interrupted\n")
    if not kept:
        assert [path.read_bytes() for path in (tmp_path / "cut").iterdir()] == [b"the old model"]
        return
    assert f"[INFO] ended early: keeping the {kept} complete epochs" in done.out
    _, saved = checkpoint.load(tmp_path / "cut" / "m.pth")
    assert saved["test_accuracy"] is None
    assert [len(curve) for curve in saved["history"].values()] == [kept] * 4
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


@pytest.mark.parametrize("event", ["an interrupt", "a full disk"])
def test_while_saving_an_interrupt_changes_nothing_and_a_full_disk_keeps_the_old_model(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, event: str
) -> None:
    def happens(_: int) -> None:
        if event == "a full disk":
            raise OSError(28, "No space left on device")
        signal.raise_signal(signal.SIGINT)

    (tmp_path / "m.pth").write_bytes(b"the old model")
    monkeypatch.setattr(files.os, "fsync", happens)
    done = run("train.py", *quick(tmp_path))
    if event == "an interrupt":
        assert (done.code, done.err) == (0, "")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pth", "p.png"]
    else:
        error = f"train.py: error: cannot write {tmp_path / 'm.pth'}: No space left on device\n"
        assert (done.code, done.err) == (1, error)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the old model"]


KMNIST_FAULTS: dict[str, Callable[[Path], object]] = {
    "no permission": lambda file: None,
    "missing": Path.unlink,
    "empty": lambda file: file.write_bytes(b""),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-9]),
    "a byte flipped": lambda file: file.write_bytes(file.read_bytes()[:-9] + b"?" + file.read_bytes()[-8:]),
    "another file's": lambda file: file.write_bytes(file.with_name("t10k-images-idx3-ubyte.gz").read_bytes()),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize(("fault", "name"), [*zip(KMNIST_FAULTS, [*kmnist.MD5] * 2, strict=False)])
def test_bad_data_is_one_line_that_says_how_to_get_it_back(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, name: str, fault: str
) -> None:
    raw = Path(shutil.copytree(kmnist.RAW, tmp_path / "raw"))
    KMNIST_FAULTS[fault](raw / name)
    monkeypatch.setattr(kmnist, "RAW", raw)
    if fault == "no permission":
        monkeypatch.setattr(Path, "read_bytes", denied)
    done = run("train.py", *quick(tmp_path / "out"))
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert str(raw / name) in done.err
    assert "git checkout -- data" in done.err
    assert "training the network" not in done.out
    assert [*(tmp_path / "out").iterdir()] == []


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("cannot allocate 2 GiB"), RuntimeError("shapes differ")])
def test_a_lack_of_memory_is_one_line_and_a_defect_is_not_hidden(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, error: Exception
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(train, "load_data", fails)
    if "shapes" in str(error):
        with pytest.raises(RuntimeError, match="shapes"):
            run("train.py", *quick(tmp_path))
        return
    line = "train.py: error: not enough memory: try another --device, or a smaller --batch-size in training\n"
    assert run("train.py", *quick(tmp_path)) == (1, "", line)


@pytest.mark.smoke
@pytest.mark.filterwarnings("error")  # a character that the font lacks is one
def test_the_plot_has_curves_confusions_and_names_in_any_script(monkeypatch: MonkeyPatch) -> None:
    history, figures = {name: [0.5, 0.4, 0.3] for name in CURVES}, []
    monkeypatch.setattr(plot, "Figure", lambda *size, **more: figures.append(Figure(*size, **more)) or figures[-1])
    confusion = np.array([[90, 3], [0, 70]])
    one, other = (plot.draw_plot(history, confusion, ["か", name], "\u037fか", False, ".raw") for name in ("漢", "字"))
    assert one != other
    panels = {panel.get_title(): panel for panel in figures[0].axes}
    for title in ("Loss", "Accuracy"):
        assert {line.get_label() for line in panels[title].lines} < {*CURVES}
        assert [[*line.get_xdata()] for line in panels[title].lines] == [[1, 2, 3]] * 2
        assert all(tick == int(tick) for tick in panels[title].get_xticks())
    assert {text.get_text() for text in panels["Test images"].texts} == {"90", "3", "70", ""}
    assert (panels["Test images"].get_ylabel(), panels["Test images"].get_xlabel()) == ("is", "read as")
    assert panels["Test images"].images[0].get_array()[0, 1] == 3
    places = [panel.get_position() for panel in (panels["Test images"], *figures[0].axes[-2:])]
    middles = [(place.y0 + place.y1) / 2 for place in places]  # of the matrix, and of the names of its two rows
    assert middles[1] - middles[0] == pytest.approx(middles[0] - middles[2], abs=0.02)
    assert middles[1] - middles[2] == pytest.approx(places[0].height / 2, abs=0.02)
    plot.draw_plot(history, np.eye(49), [f"class {number}" for number in range(49)], "KMNIST", True, ".PDF")
    assert figures[-1].get_suptitle() == "Training Loss and Accuracy on Dataset: KMNIST"
    assert not any(panel.texts for panel in figures[-1].axes)  # no room for numbers
