"""train.py through its command line: what it prints, learns and saves, and how a run may end."""

import math
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from unittest.mock import DEFAULT, Mock

import pytest
import torch
from pytest import CaptureFixture, MonkeyPatch
from torch import nn

import train
from modules import checkpoint, command_line, kmnist
from tests.conftest import ROOT, Run, quick

pytestmark = pytest.mark.usefixtures("small")
NUMBER, SHARE = r"\d+\.\d{6}", r"[01]\.\d{4}"
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU"))]


@pytest.mark.smoke
@pytest.mark.parametrize("device", DEVICES)
def test_a_run_prints_the_fixed_lines_and_saves_what_it_learned(tmp_path: Path, run: Run, device: str) -> None:
    curves = "".join(rf"{part} loss: {NUMBER}, {part} accuracy: {SHARE}\n" for part in ("Train", "Val"))
    epochs = "".join(rf"\[INFO\] EPOCH: {epoch}/2\n{curves}\n" for epoch in (1, 2))
    rows = "".join(rf" +{name} +{SHARE} +{SHARE} +{SHARE} +\d+\n" for name in kmnist.CLASSES)
    lines = (
        r"\[INFO\] loading the KMNIST dataset\.\.\.\n\[INFO\] generating the train/validation split\.\.\.\n"
        rf"\[INFO\] initializing the LeNet model\.\.\.\n\[INFO\] training the network\.\.\.\n{epochs}"
        r"\[INFO\] total time taken to train the model: \d+\.\d\ds\n"
        rf"\[INFO\] temperature (\d\.\d\d): validation loss (\d\.\d{{4}}) becomes (\d\.\d{{4}})\n"
        r"\[INFO\] evaluating network\.\.\.\n"
        rf" +precision +recall +f1-score +support\n\n{rows}\n +accuracy +({SHARE}) +\d+\n"
    )
    done = run("train.py", *quick(tmp_path, "--epochs", 2, "--device", device))
    assert (done.code, done.err) == (0, "")
    temperature, before, after, accuracy = map(float, re.match(lines, done.out).groups())
    assert done.out.endswith(f"[INFO] model saved to {tmp_path / 'm.pth'}, plot saved to {tmp_path / 'p.png'}\n")

    model, saved = checkpoint.load(tmp_path / "m.pth")
    assert (saved["dataset"], saved["classes"], saved["settings"]["seed"]) == ("KMNIST", kmnist.CLASSES, 42)
    assert str(tmp_path) not in str(saved["settings"])
    assert [len(curve) for curve in saved["history"].values()] == [2] * 5
    assert f"Val accuracy: {saved['history']['val_acc'][-1]:.4f}" in done.out
    assert (saved["temperature"], saved["history"]["val_loss"][-1]) == pytest.approx((temperature, before), abs=0.006)
    assert after < before

    images, labels = kmnist.load(train=False).tensors
    guesses = model(images / 255).argmax(1)
    assert saved["test_accuracy"] == pytest.approx((guesses == labels).float().mean())
    assert saved["test_accuracy"] == pytest.approx(accuracy, abs=1e-4)
    truth, guess, count = re.search(r"\[INFO\] (\w+) read as (\w+): (\d+) of ", done.out).groups()
    seen, expected = guesses[labels == kmnist.CLASSES.index(truth)], kmnist.CLASSES.index(guess)
    assert (seen == expected).sum() == int(count)


def test_equal_flags_give_equal_weights_to_the_bit_and_each_flag_gives_others(tmp_path: Path, run: Run) -> None:
    flags = ["", "--seed=7", "--augment", "--one-cycle", "--weight-decay=0.05", "--label-smoothing=0.1", "--lr=2e-3"]
    flags += ["--batch-size=32", "--train-split=0.2", "--augment --one-cycle"]
    learned = []
    for row in [*flags, flags[0], flags[-1]]:
        assert run("train.py", *quick(tmp_path, *row.split())).code == 0
        learned.append(checkpoint.load(tmp_path / "m.pth")[0].fc2.weight.detach().numpy().tobytes())
    assert learned[len(flags) :] == [learned[0], learned[len(flags) - 1]]
    assert len(set(learned)) == len(flags)


def test_smoothing_is_torchs_and_the_losses_are_plain_means_over_images() -> None:
    images, labels = (part[:100] for part in kmnist.load(train=True).tensors)
    data, model = kmnist.ImageDataset(images, labels), train.LeNet(1, 10)
    answers = model(images / 255)
    nn.CrossEntropyLoss(label_smoothing=0.2)(answers, labels).backward()
    expected = [weight.grad.clone() for weight in model.parameters()]
    model.zero_grad()
    still = torch.optim.SGD(model.parameters(), lr=0)
    whole = train.DataLoader(data, batch_size=100, collate_fn=kmnist.scale_pixels)
    means: list[tuple] = [train.train_epoch(model, whole, still, None, label_smoothing=0.2)]
    torch.testing.assert_close([weight.grad for weight in model.parameters()], expected)
    in_batches = train.DataLoader(data, batch_size=64, collate_fn=kmnist.scale_pixels)  # the last one is smaller
    means += [train.train_epoch(model, in_batches, still, None, label_smoothing=0.2), train.evaluate(model, in_batches)]
    plain = nn.NLLLoss()(answers, labels).item(), (answers.argmax(1) == labels).float().mean().item()
    assert [loss_and_accuracy[:2] for loss_and_accuracy in means] == [pytest.approx(plain)] * 3


def test_decay_shrinks_weights_apart_from_the_gradient(tmp_path: Path, run: Run) -> None:
    norms = []
    for decay in (0, 2):
        assert run("train.py", *quick(tmp_path, "--epochs", 2, "--weight-decay", decay)).code == 0
        norms.append(checkpoint.load(tmp_path / "m.pth")[0].fc1.weight.norm().item())
    steps = 2 * math.ceil(200 / 64)
    assert norms[1] == pytest.approx(norms[0] * (1 - 2 * 1e-3) ** steps, rel=0.01)


def test_the_rate_rises_and_falls_in_one_cycle(tmp_path: Path, run: Run) -> None:
    assert run("train.py", *quick(tmp_path, "--epochs", 5, "--lr", 1e-2, "--one-cycle")).code == 0
    rates = checkpoint.load(tmp_path / "m.pth")[1]["history"]["lr"]  # as each epoch begins
    assert rates[0] == pytest.approx(1e-2 / 25)
    assert rates[0] < rates[1] < 1e-2 > rates[2] > rates[3] > rates[4]


def test_a_run_that_learned_nothing_says_so(tmp_path: Path, run: Run) -> None:
    done = run("train.py", *quick(tmp_path, "--lr", "1"))
    assert (done.code, done.err) == (0, "")
    assert re.search(r"\[INFO\] every test image is read as \w+: try another --lr, or more --epochs\n", done.out)


def test_a_default_device_that_cannot_be_used_is_no_fault_of_the_user(
    tmp_path: Path, run: Run, monkeypatch: MonkeyPatch
) -> None:
    answers = iter([True])  # to the project alone: torch asks, too
    monkeypatch.setattr(torch.cuda, "is_available", lambda: next(answers, False))
    monkeypatch.setattr(torch, "ones", Mock(side_effect=RuntimeError("CUDA error: no kernel image. Old card")))
    done = run("train.py", *quick(tmp_path))
    line = "[INFO] 'cuda' cannot be used here (CUDA error: no kernel image); 'cpu' always can: using the CPU\n"
    assert (done.code, done.err, done.out.startswith(line)) == (0, "", True)


ENDS = {130: (KeyboardInterrupt, "interrupted"), 1: ((math.nan, 0), "the loss of epoch 3 is not finite: try a lower")}


@pytest.mark.parametrize("code", ENDS)
def test_an_early_end_keeps_complete_epochs(pretrained: Path, run: Run, monkeypatch: MonkeyPatch, code: int) -> None:
    folder, evaluate, (end, line) = pretrained.parent, train.evaluate, ENDS[code]
    answers = [DEFAULT, DEFAULT, end, DEFAULT, DEFAULT]  # in epoch 3; then with the weights of epoch 2
    monkeypatch.setattr(train, "evaluate", Mock(wraps=evaluate, side_effect=answers))
    done = run("train.py", *quick(folder, "--epochs", 3, "-m", pretrained))
    assert done.code == code
    assert done.err.startswith(f"train.py: error: {line}")
    assert "model.pth will be replaced: it holds a model of KMNIST, test accuracy 98.40%\n" in done.out
    assert "[INFO] ended early: keeping the weights of epoch 2\n" in done.out
    assert f"[INFO] model saved to {pretrained}, plot saved to {folder / 'p.png'}\n" in done.out
    model, saved = checkpoint.load(pretrained)
    assert [len(curve) for curve in saved["history"].values()] == [2] * 5
    validation = train.split(kmnist.load(train=True), 0.25, own=False)[1]
    loader = train.DataLoader(validation, batch_size=250, collate_fn=kmnist.scale_pixels)
    assert evaluate(model, loader)[0] == pytest.approx(saved["history"]["val_loss"][1])


def test_ctrl_c_right_after_an_epoch_is_saved_costs_nothing(tmp_path: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    save, calls = checkpoint.save, []

    def saved_and_interrupted(path: Path, model: nn.Module, metadata: checkpoint.Metadata) -> None:
        save(path, model, metadata)
        calls.append(metadata)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", saved_and_interrupted)
    done = run("train.py", *quick(tmp_path, "--epochs", 3))
    assert (done.code, done.err) == (130, "train.py: error: interrupted\n")
    assert "[INFO] ended early: keeping the weights of epoch 2\n" in done.out
    assert len(checkpoint.load(tmp_path / "m.pth")[1]["history"]["lr"]) == 2


def test_what_fails_in_the_first_epoch_costs_no_model(pretrained: Path, run: Run, monkeypatch: MonkeyPatch) -> None:
    old, ends = pretrained.read_bytes(), {1: f"cannot write {pretrained}: No space left", 130: "interrupted"}
    for code, line in ends.items():
        with monkeypatch.context() as patch:
            if code == 1:
                patch.setattr(command_line.os, "fsync", Mock(side_effect=OSError(28, "No space left")))
            else:
                patch.setattr(train, "evaluate", Mock(side_effect=KeyboardInterrupt))
            done = run("train.py", *quick(pretrained.parent, "-m", pretrained))
        assert (done.code, done.err) == (code, f"train.py: error: {line}\n")
        assert [path.read_bytes() for path in pretrained.parent.iterdir()] == [old]
    done = run("train.py", *quick(pretrained.parent, "-m", pretrained, "--lr", 1e8))
    assert (done.code, "the loss of epoch 1 is not finite" in done.err, pretrained.read_bytes()) == (1, True, old)


@pytest.mark.smoke
def test_a_kill_leaves_the_model_of_the_last_epoch_also_in_a_locale_of_c(tmp_path: Path, characters: Path) -> None:
    (characters / "き").rename(characters / "c")  # bytes that are no text in this locale
    flags = quick(Path("モデル ü"), "--folder", characters.name, "--epochs", 10_000)
    words = [sys.executable, ROOT / "train.py", *flags]
    settings = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    with subprocess.Popen([*map(str, words)], cwd=tmp_path, env=settings, stdout=subprocess.PIPE, text=True) as process:
        while "EPOCH: 3/" not in (line := process.stdout.readline()):
            assert line
            assert "\r" not in line  # no progress bar
        process.kill()
    _, saved = checkpoint.load(tmp_path / "モデル ü" / "m.pth")
    assert (saved["classes"], saved["temperature"]) == (["a a", "b", "c"], 1)
    assert len(saved["history"]["val_acc"]) >= 3


def test_ctrl_c_at_a_terminal_with_a_progress_bar(tmp_path: Path, characters: Path, monkeypatch: MonkeyPatch) -> None:
    pty, out, shown = pytest.importorskip("pty"), tmp_path / "out", bytearray()

    def read(terminal: int) -> bytes:
        chunk = os.read(terminal, 1 << 16)
        if b"EPOCH: 3/" in shown + chunk and b"EPOCH: 3/" not in shown:
            os.write(terminal, b"\x03")
        shown.extend(chunk)
        return chunk

    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")  # there need not be a LaTeX
    monkeypatch.setenv("MATPLOTLIBRC", str(tmp_path))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")  # as a notebook sets it
    flags = quick(out, "--folder", characters, "--epochs", 10_000)
    shell = ["sh", "-c", 'stty rows 24 cols 100; exec "$@"', "sh"]
    status = pty.spawn([*shell, sys.executable, *map(str, [ROOT / "train.py", *flags])], read)
    lines = shown.decode()
    assert os.waitstatus_to_exitcode(status) == 130, lines
    assert "/24 [" in lines  # reading pictures
    assert "batch/s]" in lines
    assert "\r[INFO] EPOCH: 1/10000\r\n" in lines  # the bar is gone before the line
    kept = len(checkpoint.load(out / "m.pth")[1]["history"]["val_acc"])
    assert f"[INFO] ended early: keeping the weights of epoch {kept}\r\n" in lines
    assert "train.py: error: interrupted\r\n" in lines
    assert (out / "p.png").stat().st_size > 20_000


def test_a_link_stays_one(tmp_path: Path, run: Run) -> None:
    target, link = tmp_path / "there" / "m.pth", tmp_path / "m.pth"
    target.parent.mkdir()
    link.symlink_to(target)
    assert run("train.py", *quick(tmp_path)).code == 0
    assert link.is_symlink()
    assert checkpoint.load(target)[1]["dataset"] == "KMNIST"


def closed_pipe() -> int:
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def full_disk() -> int:
    if not os.path.exists("/dev/full"):
        pytest.skip("no device that is always full")
    return os.open("/dev/full", os.O_WRONLY)


FULL = "train.py: error: what is printed cannot be written: the disk is full\n"


@pytest.mark.parametrize(("open_output", "line"), [(closed_pipe, ""), (full_disk, FULL)])
def test_output_that_nobody_takes_is_no_traceback(
    tmp_path: Path, capsys: CaptureFixture, monkeypatch: MonkeyPatch, open_output: Callable[[], int], line: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, quick(tmp_path))])
    with os.fdopen(open_output(), "w") as output:  # closing it, as Python does when it ends, raises nothing
        monkeypatch.setattr(sys, "stdout", output)
        assert command_line.run(train.main) == 1
    assert capsys.readouterr().err == line


class NotebookStream:
    """What a notebook puts in the place of stdout."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        pass


def test_a_run_in_a_notebook(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    stream = NotebookStream()
    monkeypatch.setattr(sys, "argv", ["train.py", *map(str, quick(tmp_path))])
    monkeypatch.setattr(sys, "stdout", stream)
    assert command_line.run(train.main) == 0
    assert "[INFO] EPOCH: 1/1\n" in stream.text
