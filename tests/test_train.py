"""train.py through its command line: what it prints, learns, saves and refuses, and how a run may end."""

import argparse
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pytest import MonkeyPatch

import train
from modules import checkpoint, files, kmnist, plot
from tests.conftest import ROOT, SMALL, Run, command, posix, quick

pytestmark = pytest.mark.usefixtures("small")
NUMBER, SHARE = r"\d+\.\d{6}", r"[01]\.\d{4}"
CURVES = ["train_loss", "train_acc", "val_loss", "val_acc"]
CPU = torch.device("cpu")


def fixed_lines(epochs: int) -> str:
    curves = "".join(rf"{part} loss: {NUMBER}, {part} accuracy: {SHARE}\n" for part in ("Train", "Val"))
    rows = "".join(rf" +{name} +{SHARE} +{SHARE} +{SHARE} +\d+\n" for name in kmnist.CLASSES)
    return (
        r"\[INFO\] loading the KMNIST dataset\.\.\.\n\[INFO\] generating the train/validation split\.\.\.\n"
        r"\[INFO\] initializing the LeNet model\.\.\.\n\[INFO\] training the network\.\.\.\n"
        + "".join(rf"\[INFO\] EPOCH: {epoch}/{epochs}\n{curves}\n" for epoch in range(1, epochs + 1))
        + r"\[INFO\] total time taken to train the model: \d+\.\d\ds\n\[INFO\] evaluating network\.\.\.\n"
        rf" +precision +recall +f1-score +support\n\n{rows}\n +accuracy +({SHARE}) +\d+\n"
    )


def predicted(saved: dict, images: torch.Tensor) -> torch.Tensor:
    model = train.LeNet(1, len(saved["classes"]))
    model.load_state_dict(saved["state_dict"])
    with torch.no_grad():
        return model(images / 255).argmax(1)


@pytest.mark.smoke
def test_a_run_prints_the_fixed_lines_and_saves_what_it_learned(tmp_path: Path, run: Run) -> None:
    done = run("train.py", *quick(tmp_path, "--epochs", 2, "--train-split", 0.75))
    assert (done.code, done.err) == (0, "")
    accuracy = float(re.match(fixed_lines(2), done.out)[1])

    saved = torch.load(tmp_path / "m.pth", weights_only=True)
    assert saved["dataset"] == "KMNIST"
    assert saved["classes"] == kmnist.CLASSES
    assert saved["settings"]["epochs"] == 2
    assert saved["settings"]["seed"] == 42
    assert sum(weights.numel() for weights in saved["state_dict"].values()) == 431_080
    assert {name: len(curve) for name, curve in saved["history"].items()} == dict.fromkeys(CURVES, 2)
    assert saved["history"]["val_acc"][-1] > 0.3  # it learns
    assert f"Val accuracy: {saved['history']['val_acc'][-1]:.4f}" in done.out
    assert f"Train loss: {saved['history']['train_loss'][0]:.6f}" in done.out

    images, labels = kmnist.read("t10k")
    guesses = predicted(saved, images)
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


def listing(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.mark.smoke
def test_all_of_kmnist_from_another_folder_in_a_locale_of_c_with_odd_settings(tmp_path: Path) -> None:
    """A process of its own: the only one in which nothing is small."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")  # there need not be a LaTeX
    settings = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "MPLBACKEND": "gone"}
    before = listing(ROOT / "data")
    flags = ["--one-cycle", "--lr", "4e-3", "--train-split", 0.05]
    done = command("train.py", *quick(Path("モデル ü"), *flags), cwd=tmp_path, MATPLOTLIBRC=str(tmp_path), **settings)
    assert (done.code, done.err) == (0, "")
    assert re.match(fixed_lines(1), done.out), done.out
    assert "\r" not in done.out  # no progress bar
    assert listing(ROOT / "data") == before
    _, saved = checkpoint.load(tmp_path / "モデル ü" / "m.pth")
    assert saved["test_accuracy"] > 0.6
    assert (tmp_path / "モデル ü" / "p.png").stat().st_size > 20_000


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "m.pth", weights_only=True)["state_dict"]


def test_equal_flags_give_equal_weights_to_the_bit_and_each_flag_gives_others(tmp_path: Path, run: Run) -> None:
    flags = ["", "--seed=7", "--augment", "--one-cycle", "--weight-decay=0.05", "--label-smoothing=0.1", "--lr=2e-3"]
    flags += ["--amp", "--batch-size=32", "--train-split=0.2", "--augment --one-cycle"]
    learned = []
    for number, row in enumerate([*flags, flags[0], flags[-1]]):
        assert run("train.py", *quick(tmp_path / f"{number}", *row.split())).code == 0
        learned.append(b"".join(tensor.numpy().tobytes() for tensor in weights(tmp_path / f"{number}").values()))
    assert learned[len(flags) :] == [learned[0], learned[len(flags) - 1]]
    assert len(set(learned)) == len(flags)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_are_plain_means_over_images_and_smoothing_is_in_the_gradients(
    monkeypatch: MonkeyPatch, smoothing: float
) -> None:
    """At a learning rate of 0 the loss of an epoch in batches is that of all images at once; 100 = 64 + 36."""

    def nll_loss(log_probs: torch.Tensor, *args: object, reduction: str = "mean", **more: object) -> torch.Tensor:
        assert reduction == "mean" or not log_probs.requires_grad  # the sum keeps no graphs
        return plain_loss(log_probs, *args, reduction=reduction, **more)

    plain_loss = torch.nn.functional.nll_loss
    monkeypatch.setattr(torch.nn.functional, "nll_loss", nll_loss)
    torch.manual_seed(0)
    model, images = train.LeNet(1, 10), torch.randint(256, (100, 1, 28, 28), dtype=torch.uint8)
    data = train.Images(images, torch.randint(10, (100,)), CPU)
    log_probs = model(images / 255)
    expected = torch.nn.functional.nll_loss(log_probs, data.labels).item()
    accuracy = (log_probs.argmax(1) == data.labels).float().mean().item()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    args = argparse.Namespace(device=CPU, label_smoothing=smoothing, augment=False, amp=False)
    for size in (64, 100):
        loader = train.make_loader(data, size, shuffle=True)
        loss, share = train.train_epoch(model, loader, optimizer, None, args)
        assert loss == pytest.approx(expected, rel=1e-5)
        assert share == pytest.approx(accuracy)
    asked = (1 - smoothing) * torch.nn.functional.one_hot(data.labels, 10) + smoothing / 10
    torch.testing.assert_close(model.fc2.bias.grad, (log_probs.exp() - asked).mean(0))

    loss, share, guesses = train.evaluate(model, data)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert share == pytest.approx(accuracy)
    assert torch.equal(guesses, log_probs.argmax(1))


def test_amp_trains_in_bfloat16_judges_in_float32_and_both_scripts_agree(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch
) -> None:
    passes = set()

    def forward(self: train.LeNet, images: torch.Tensor) -> torch.Tensor:
        log_probs = plain_forward(self, images)
        passes.add((self.training, torch.is_autocast_enabled("cpu"), torch.is_grad_enabled(), log_probs.dtype))
        return log_probs

    plain_forward = train.LeNet.forward
    monkeypatch.setattr(train.LeNet, "forward", forward)
    assert run("train.py", *quick(tmp_path, "--amp")).code == 0
    assert passes == {(True, True, True, torch.float32), (False, False, False, torch.float32)}

    _, saved = checkpoint.load(tmp_path / "m.pth")
    done = run("predict.py", "-m", tmp_path / "m.pth", "--samples", 10_000, "--output", tmp_path / "sheet.jpg")
    right = int(re.search(rf"\[INFO\] (\d+) of {SMALL['t10k']} are right", done.out)[1])
    assert f"{right / SMALL['t10k']:.6f}" == f"{saved['test_accuracy']:.6f}"


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


@pytest.mark.parametrize("flags", [["--lr", "1", "--train-split", 0.75], ["--one-cycle", "--lr", "1e-6"]])
def test_a_run_that_learned_nothing_says_so(tmp_path: Path, run: Run, flags: list[object]) -> None:
    done = run("train.py", *quick(tmp_path, *flags))
    assert (done.code, done.err) == (0, "")
    assert re.search(r"\[INFO\] it learned nothing: .*no better than guessing\. Try a lower --lr.*\n$", done.out)
    assert (tmp_path / "m.pth").exists()


@pytest.mark.parametrize(("part", "epoch"), [("evaluate", 1), ("train_epoch", 3), ("evaluate", 3)])
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_epochs_before_it(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, part: str, epoch: int
) -> None:
    calls, function = [], getattr(train, part)

    def breaking(*args: object) -> tuple:
        calls.append(1)
        loss, *more = function(*args)
        return float("nan") if len(calls) == epoch else loss, *more

    monkeypatch.setattr(train, part, breaking)
    (tmp_path / "m.pth").write_bytes(b"the old model")
    done = run("train.py", *quick(tmp_path, "--epochs", 9))
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert f"no finite loss in epoch {epoch}: try a lower --lr than 0.001" in done.err
    if epoch == 1:
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the old model"]
    else:
        assert "the epochs before it are kept" in done.err
        _, saved = checkpoint.load(tmp_path / "m.pth")
        assert [len(curve) for curve in saved["history"].values()] == [2] * 4


@posix
@pytest.mark.parametrize(
    ("name", "moment", "kept"), [("INT", 1, 0), ("INT", 3, 2), ("TERM", 3, 2), ("HUP", 3, 2), ("INT", 4, 3)]
)
def test_an_interrupt_keeps_the_complete_epochs(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, name: str, moment: int, kept: int
) -> None:
    """In the first epoch, in the third of three, and in the report after them."""
    calls, evaluate = [], train.evaluate

    def interrupted(*args: object) -> tuple:
        calls.append(1)
        if len(calls) == moment:
            signal.raise_signal(signal.Signals[f"SIG{name}"])
        return evaluate(*args)

    for folder in ("whole", "cut"):
        (tmp_path / folder).mkdir()
    (tmp_path / "cut" / "m.pth").write_bytes(b"the old model")
    if kept:
        assert run("train.py", *quick(tmp_path / "whole", "--epochs", kept)).code == 0
    monkeypatch.setattr(train, "evaluate", interrupted)
    done = run("train.py", *quick(tmp_path / "cut", "--epochs", 3))
    assert (done.code, done.err) == (130, "train.py: error: interrupted\n")
    if not kept:
        assert [path.name for path in (tmp_path / "cut").iterdir()] == ["m.pth"]
        assert (tmp_path / "cut" / "m.pth").read_bytes() == b"the old model"
        return
    assert f"[INFO] ended early: keeping the {kept} complete epochs" in done.out
    _, saved = checkpoint.load(tmp_path / "cut" / "m.pth")
    assert saved["test_accuracy"] is None
    assert len(saved["history"]["val_acc"]) == kept
    expected = weights(tmp_path / "whole")
    assert all(torch.equal(saved["state_dict"][name], expected[name]) for name in expected)


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


KMNIST_FAULTS: dict[str, Callable[[Path], None]] = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut short": lambda file: file.write_bytes(file.read_bytes()[:-9]),
    "a byte flipped": lambda file: file.write_bytes(file.read_bytes()[:-9] + b"?" + file.read_bytes()[-8:]),
    "another file's": lambda file: file.write_bytes(file.with_name("other").read_bytes()),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "no permission": lambda file: file.chmod(0),
}


@pytest.mark.parametrize("name", kmnist.MD5)
@pytest.mark.parametrize("fault", KMNIST_FAULTS)
def test_bad_data_is_one_line_that_says_how_to_get_it_back(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, name: str, fault: str
) -> None:
    if fault == "no permission":  # which the tests' user may have all the same

        def read_bytes(path: Path) -> bytes:
            if not path.stat().st_mode & 0o400:
                raise PermissionError(13, "Permission denied", str(path))
            return plain_read_bytes(path)

        plain_read_bytes = Path.read_bytes
        monkeypatch.setattr(Path, "read_bytes", read_bytes)
    raw = Path(shutil.copytree(kmnist.RAW, tmp_path / "raw"))
    (raw / "other").write_bytes((raw / [*kmnist.MD5][[*kmnist.MD5].index(name) - 1]).read_bytes())
    KMNIST_FAULTS[fault](raw / name)
    monkeypatch.setattr(kmnist, "RAW", raw)
    monkeypatch.chdir(tmp_path)
    before = listing(raw)
    done = run("train.py", *quick(tmp_path / "out"))
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert str(raw / name) in done.err
    assert "git checkout -- data" in done.err
    assert "training the network" not in done.out
    assert [*(tmp_path / "out").iterdir()] == []
    assert listing(raw) == before


BAD_ARGUMENTS = [
    *[["--epochs", value] for value in ("", "0", "1.5", "nan", "9" * 5000)],
    *[["--lr", value] for value in ("0", "-1e-3", "nan", "inf", "fast")],
    *[["--device", value] for value in ("", "gpu", "cuda:99", "meta")],
    *[["--batch-size", "60001"], ["--train-split", "1"], ["--label-smoothing", "1"], ["--weight-decay", "11"]],
    *[["--seed", str(2**32)], ["--seed", "-1"]],
    *[[flag] for flag in ("--model", "--epoch=3", "--dataset=kmnist", "--data=data", "surplus", "sur\x1b[2J\nplus")],
]


@pytest.mark.parametrize("flags", BAD_ARGUMENTS, ids=lambda flags: repr("=".join(flags))[:40])
def test_bad_arguments_are_refused_before_anything_is_read(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.setattr(train, "load_data", None)
    done = run("train.py", "-m", tmp_path / "m.pth", "-p", tmp_path / "p.png", *flags)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("usage: train.py")
    last = done.err.splitlines()[-1]
    assert last.startswith("train.py: error: ")
    assert len(last) < 300
    assert "\x1b" not in last
    assert flags[0] in last or len(flags) == 1


BAD_PLACES = [
    ("same.png", "sub/../same.png", "same file"),
    ("model.pth", "link.png", "same file"),
    (".", "plot.png", "not an ordinary file"),
    ("model.pth", "pipe.png", "not an ordinary file"),
    ("file/sub/m.pth", "plot.png", "not a folder"),
    ("n" * 250, "plot.png", "too long"),
    ("model.pth", "plot.doc", "must end in"),
    ("model.pth", "plot.pgf", "must end in"),
]


@posix
@pytest.mark.parametrize(("model", "picture", "reason"), BAD_PLACES)
def test_bad_places_for_the_output_are_refused(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch, model: str, picture: str, reason: str
) -> None:
    monkeypatch.setattr(train, "load_data", None)
    (tmp_path / "file").write_text("content")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "model.pth")
    done = run("train.py", "--model", tmp_path / model, "--plot", tmp_path / picture)
    assert (done.code, done.out) == (2, "")
    assert reason in done.err.splitlines()[-1]
    assert (tmp_path / "file").read_text() == "content"
    assert not (tmp_path / "model.pth").exists()


@pytest.mark.parametrize("ending", [".png", ".jpg", ".pdf", ".svg", ".EPS"])
def test_a_plot_in_any_format_whatever_a_personal_matplotlibrc_says(monkeypatch: MonkeyPatch, ending: str) -> None:
    monkeypatch.setitem(plot.plt.rcParams, "text.usetex", True)
    assert ending.lower() in plot.plot_endings()
    assert len(plot.draw_plot({name: [0.5] for name in CURVES}, "KMNIST", True, ending)) > 500


@pytest.mark.smoke
@pytest.mark.filterwarnings("error")  # a character that the font lacks is one
def test_the_plot_has_curves_confusions_and_names_in_any_script(monkeypatch: MonkeyPatch) -> None:
    history, figures = {name: [0.5, 0.4, 0.3] for name in CURVES}, []
    monkeypatch.setattr(plot.plt, "close", figures.append)
    confusion = np.array([[90, 3], [0, 70]])
    one, other = (plot.draw_plot(history, "か", False, ".raw", confusion, ["か", name]) for name in ("漢", "字"))
    assert one != other
    panels = {panel.get_title(): panel for panel in figures[0].axes}
    assert {line.get_label() for title in ("Loss", "Accuracy") for line in panels[title].lines} == set(CURVES)
    for title in ("Loss", "Accuracy"):
        assert list(panels[title].lines[0].get_xdata()) == [1, 2, 3]
        assert all(tick == int(tick) for tick in panels[title].get_xticks())
    assert {text.get_text() for text in panels["Test images"].texts} == {"90", "3", "70", ""}
    assert (panels["Test images"].get_ylabel(), panels["Test images"].get_xlabel()) == ("is", "read as")
    assert panels["Test images"].images[0].get_array()[0, 1] == 3
    plot.draw_plot(history, "KMNIST", False, ".raw", np.eye(49), [f"class {number}" for number in range(49)])
    assert figures[-1].get_suptitle() == "Training Loss and Accuracy on Dataset: KMNIST"
    assert not any(panel.texts for panel in figures[-1].axes)  # no room for numbers
    monkeypatch.undo()
    plot.plt.close("all")
