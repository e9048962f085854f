"""train.py through its command line."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import train
from modules import checkpoint, files, kmnist, plot
from tests.conftest import ROOT, Result

NUMBER = r"\d+\.\d{6}"
SHARE = r"[01]\.\d{4}"


def test_the_command_line_prints_the_fixed_lines_and_writes_both_files(trained: Path) -> None:
    out = (trained.parent / "out.txt").read_text()
    report = "\n".join(rf" +{name} +{SHARE} +{SHARE} +{SHARE} +200" for name in kmnist.CLASSES)
    expected = (
        r"\[INFO\] loading the rendered dataset\.\.\.\n"
        r"\[INFO\] generating the train/validation split\.\.\.\n"
        r"\[INFO\] initializing the LeNet model\.\.\.\n"
        r"\[INFO\] training the network\.\.\.\n"
        r"\[INFO\] EPOCH: 1/1\n"
        rf"Train loss: {NUMBER}, Train accuracy: {SHARE}\n"
        rf"Val loss: {NUMBER}, Val accuracy: {SHARE}\n\n"
        r"\[INFO\] total time taken to train the model: \d+\.\d\ds\n"
        r"\[INFO\] evaluating network\.\.\.\n"
        r" +precision +recall +f1-score +support\n\n" + report + rf"\n\n +accuracy +{SHARE} +2000\n"
    )
    assert re.match(expected, out), out
    assert "\r" not in out
    assert "\x1b" not in out
    picture = cv2.imread(str(trained.parent / "plot.png"))
    assert picture.shape[0] > 400
    assert picture.std() > 10


def test_the_stand_in_is_learned_but_not_at_once(trained: Path) -> None:
    _, saved = checkpoint.load(trained)
    assert 0.5 < saved["history"]["val_acc"][0] < 0.995
    assert saved["test_accuracy"] > 0.5


def test_the_model_file_holds_what_it_should(trained: Path) -> None:
    saved = torch.load(trained, weights_only=True)
    assert saved["dataset"] == "rendered"
    assert saved["classes"] == kmnist.CLASSES
    assert saved["channels"] == 1
    assert saved["settings"]["epochs"] == 1
    assert saved["settings"]["seed"] == 42
    assert {name: len(curve) for name, curve in saved["history"].items()} == dict.fromkeys(train.CURVES, 1)
    assert sum(weights.numel() for weights in saved["state_dict"].values()) == 431_080


def quick(folder: Path, *more: object) -> list[object]:
    files = ["-m", folder / "m.pth", "-p", folder / "p.png"]
    return [*files, "--dataset", "rendered", "--epochs", 1, "--train-split", 0.1, *more]


@pytest.mark.parametrize(
    "flags",
    [
        ["--one-cycle", "--lr", "4e-3", "--augment", "--label-smoothing", "0.1", "--weight-decay", "0.05"],
        ["--amp", "--epochs", "2", "--batch-size", "1000"],
        ["--train-split", "0.8"],
        ["--train-split", "0.9", "--batch-size", "60000"],
        ["--device", "cpu", "--seed", str(2**32 - 1)],
    ],
)
def test_every_flag_trains(tmp_path: Path, run: Callable[..., Result], small: None, flags: list[str]) -> None:
    done = run("train.py", *quick(tmp_path, *flags))
    assert done.code == 0, done.err
    assert (tmp_path / "m.pth").exists()
    assert "model saved to" in done.out


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "m.pth", weights_only=True)["state_dict"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("flags", [[], ["--augment", "--one-cycle", "--amp"]])
def test_equal_flags_give_equal_weights_and_another_seed_gives_others(
    tmp_path: Path, run: Callable[..., Result], small: None, flags: list[str], threads: int
) -> None:
    torch.set_num_threads(threads)
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        assert run("train.py", *quick(tmp_path / name, "--seed", seed, *flags)).code == 0
    one, two, three = (weights(tmp_path / name) for name in ("one", "two", "three"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not any(torch.equal(one[name], three[name]) for name in one)
    torch.set_num_threads(1)


def test_losses_are_means_over_images() -> None:
    """At a learning rate of 0 the loss of an epoch in batches is that of all images at once; 100 = 64 + 36."""
    torch.manual_seed(0)
    model = train.LeNet(1, 10)
    images = torch.randint(256, (100, 1, 28, 28), dtype=torch.uint8)
    data = train.Images(images, torch.randint(10, (100,)), torch.device("cpu"))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    loader = train.make_loader(data, 64, shuffle=True)
    with torch.no_grad():
        log_probs = model(images.float() / 255)
    expected = torch.nn.functional.nll_loss(log_probs, data.labels).item()
    accuracy = (log_probs.argmax(1) == data.labels).float().mean().item()

    loss, share = train.train_epoch(model, loader, torch.nn.NLLLoss(), optimizer, None, augment=False, amp=False)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert share == pytest.approx(accuracy)
    loss, share, predicted = train.evaluate(model, data, amp=False)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert share == pytest.approx(accuracy)
    assert torch.equal(predicted, log_probs.argmax(1))


def test_smoothed_cross_entropy_is_exact_on_log_probabilities() -> None:
    logits, labels = torch.randn(50, 10, dtype=torch.float64), torch.arange(50) % 10
    loss = torch.nn.CrossEntropyLoss(label_smoothing=0.1)
    torch.testing.assert_close(loss(logits.log_softmax(1), labels), loss(logits, labels))


def test_one_cycle_rises_to_the_peak_and_ends_near_zero(
    tmp_path: Path, run: Callable[..., Result], small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = []

    class Recorder(train.OneCycleLR):
        def step(self) -> None:
            super().step()
            rates.append(self.get_last_lr()[0])

    monkeypatch.setattr(train, "OneCycleLR", Recorder)
    assert (
        run("train.py", *quick(tmp_path, "--one-cycle", "--lr", "4e-3", "--epochs", 2, "--train-split", 0.75)).code == 0
    )
    assert len(rates) == 1 + 2 * 10  # once when it is made; 600 images, batches of 64
    assert max(rates) == pytest.approx(4e-3, rel=0.05)
    assert rates[-2] < 1e-6  # the last step was made with it; what comes after is computed, but never used


def test_the_progress_bar_is_on_a_terminal_only(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("4H", 24, 100, 0, 0))
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *map(str, quick(tmp_path))], stdout=follower, stderr=subprocess.PIPE
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            chunk = os.read(leader, 1 << 16)
        except OSError:  # the terminal closes with the process
            break
        if not chunk:
            break
        shown += chunk
    assert process.wait(60) == 0
    assert b"batch/s" in shown
    assert re.search(rb"\r *\r\[INFO\] EPOCH: 1/1\r\n", shown), shown[-2000:]


BAD_ARGUMENTS = [
    *[["--epochs", value] for value in ("", "0", "-1", "1.5", "1e3", "nan", "inf", "ten", "9" * 30, "9" * 5000)],
    *[["--batch-size", value] for value in ("", "0", "-64", "2.5", "nan", "inf", "x", "60001", "9" * 30)],
    *[["--lr", value] for value in ("", "0", "-1e-3", "nan", "inf", "-inf", "fast", "1e300", "1e-300")],
    *[["--train-split", value] for value in ("", "0", "1", "-0.5", "1.5", "nan", "inf", "half", "1e-9")],
    *[["--label-smoothing", value] for value in ("", "-0.1", "1", "2", "nan", "inf", "x")],
    *[["--weight-decay", value] for value in ("", "-0.1", "11", "nan", "inf", "x")],
    *[["--seed", value] for value in ("", "-1", "0.5", "nan", "inf", "x", str(2**32), "9" * 30)],
    *[["--device", value] for value in ("", "gpu", "cuda:99", "cuda:-1", "cpu:x", "meta", "tpu", "cuda:9999999999")],
    *[["--dataset", value] for value in ("", "mnist", "KMNIST")],
    *[["--data", value] for value in ("", __file__)],
    ["--model"],
    ["--epoch", "3"],
    ["surplus"],
]


@pytest.mark.parametrize("flags", BAD_ARGUMENTS, ids=lambda flags: "=".join(flags)[:40])
def test_bad_arguments_are_refused_before_anything_is_read(
    tmp_path: Path, run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    monkeypatch.setattr(train, "load_data", None)
    done = run("train.py", "-m", tmp_path / "m.pth", "-p", tmp_path / "p.png", *flags)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("usage: train.py")
    last = done.err.splitlines()[-1]
    assert last.startswith("train.py: error: ")
    assert len(last) < 300
    if len(flags) == 2 and flags[0] != "--epoch":
        assert flags[0] in last


def test_bad_places_for_the_output_are_refused(tmp_path: Path, run: Callable[..., Result]) -> None:
    (tmp_path / "file").write_text("content")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "model.pth")
    good_model, good_plot = tmp_path / "model.pth", tmp_path / "plot.png"
    cases = [
        (good_model, good_model, "must end in"),
        (tmp_path / "same.png", tmp_path / "same.png", "same file"),
        (tmp_path / "same.png", tmp_path / "." / "sub" / ".." / "same.png", "same file"),
        (good_model, tmp_path / "link.png", "same file"),
        (tmp_path, good_plot, "folder"),
        ("", good_plot, "folder"),
        (good_model, tmp_path / "folder.png", "folder"),
        (tmp_path / "file" / "m.pth", good_plot, "not a folder"),
        (good_model, tmp_path / "file" / "sub" / "p.png", "not a folder"),
        ("/proc/nowhere/m.pth", good_plot, "cannot write"),
        ("/dev/full", good_plot, "not an ordinary file"),
        ("/dev/null", good_plot, "not an ordinary file"),
        (good_model, tmp_path / "pipe.png", "not an ordinary file"),
        (tmp_path / ("n" * 300), good_plot, "too long"),
        (tmp_path / ("n" * 250), good_plot, "too long"),
        (good_model, tmp_path / "plot.doc", "must end in"),
        (good_model, tmp_path / "plot", "must end in"),
        (good_model, tmp_path / "plot.pgf", "must end in"),
    ]
    for model, picture, reason in cases:
        done = run("train.py", "--model", model, "--plot", picture)
        assert done.code == 2, (model, picture)
        assert reason in done.err.splitlines()[-1], done.err
        assert done.out == ""
    assert (tmp_path / "file").read_text() == "content"
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("rate", ["1e6", "1e8"])
def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_old_model(
    tmp_path: Path, run: Callable[..., Result], small: None, rate: str
) -> None:
    (tmp_path / "m.pth").write_bytes(b"the old model")
    done = run("train.py", *quick(tmp_path, "--lr", rate, "--epochs", 10))
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "try a lower --lr" in done.err
    assert (tmp_path / "m.pth").read_bytes() == b"the old model"


def start(folder: Path, *more: object) -> subprocess.Popen:
    arguments = map(str, quick(folder, "--epochs", 500, *more))
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(process: subprocess.Popen, text: str) -> None:
    for line in process.stdout:
        if text in line:
            return
    pytest.fail(process.stderr.read())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_first_epoch_touches_nothing(tmp_path: Path, number: int) -> None:
    (tmp_path / "m.pth").write_bytes(b"the old model")
    process = start(tmp_path, "--batch-size", 1, "--train-split", 0.75)  # an epoch of a minute
    wait_for(process, "training the network")
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == "train.py: error: interrupted\n"
    assert (tmp_path / "m.pth").read_bytes() == b"the old model"
    assert [path.name for path in tmp_path.iterdir()] == ["m.pth"]


def test_an_interrupt_during_the_imports_is_quiet(tmp_path: Path) -> None:
    process = start(tmp_path)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_later_interrupt_keeps_the_complete_epochs(tmp_path: Path) -> None:
    process = start(tmp_path)
    wait_for(process, "EPOCH: 2/500")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert err == ""
    _, saved = checkpoint.load(tmp_path / "m.pth")
    epochs = len(saved["history"]["val_acc"])
    assert epochs >= 2
    assert f"interrupted: keeping the {epochs} complete epochs" in out
    assert saved["test_accuracy"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pth", "p.png"]


def test_a_closed_pipe_ends_the_run_quietly(tmp_path: Path) -> None:
    process = start(tmp_path)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(30) == 1


def test_it_runs_in_a_locale_of_c_and_a_notebooks_shell_from_another_folder_with_odd_names(tmp_path: Path) -> None:
    folder = tmp_path / "モデル ü"
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *map(str, quick(Path(folder.name)))],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
        env={**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "MPLBACKEND": "gone"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "m.pth").exists()
    assert (folder / "p.png").exists()


def test_two_trainings_into_one_model_leave_one_whole_model(tmp_path: Path) -> None:
    arguments = [sys.executable, ROOT / "train.py", *map(str, quick(tmp_path))]
    processes = [subprocess.Popen([*arguments, "--seed", str(seed)], stdout=subprocess.DEVNULL) for seed in (1, 2)]
    assert [process.wait(100) for process in processes] == [0, 0]
    _, saved = checkpoint.load(tmp_path / "m.pth")
    assert saved["settings"]["seed"] in (1, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.pth", "p.png"]


def test_a_full_disk_while_saving_is_one_line_and_keeps_the_old_model(
    tmp_path: Path, run: Callable[..., Result], small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "m.pth").write_bytes(b"the old model")
    monkeypatch.setattr(files.os, "fsync", full)
    done = run("train.py", *quick(tmp_path))
    assert done.code == 1
    assert len(done.err.splitlines()) == 1
    assert "No space left on device" in done.err
    assert "m.pth" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["m.pth"]
    assert (tmp_path / "m.pth").read_bytes() == b"the old model"


def test_a_kill_while_writing_leaves_the_old_file_and_the_next_write_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "m.pth"
    files.write_whole(target, b"old")
    code = (
        "import os, sys; sys.path.insert(0, sys.argv[2]); from modules import files; from pathlib import Path\n"
        "files.os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
        "files.write_whole(Path(sys.argv[1]), b'new' * 1000)"
    )
    killed = subprocess.run([sys.executable, "-c", code, target, ROOT], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    leftovers = [path for path in tmp_path.iterdir() if path != target]
    assert len(leftovers) == 1

    files.write_whole(target, b"newer")
    assert leftovers[0].exists()  # it might be another run's, at work
    os.utime(leftovers[0], (time.time() - 100, time.time() - 100))
    files.write_whole(target, b"newest")
    assert [path.name for path in tmp_path.iterdir()] == ["m.pth"]
    assert target.read_bytes() == b"newest"


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    files.write_whole(tmp_path / "link", b"content")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"content"


@pytest.mark.parametrize("epochs", [1, 2, 10, 200])
def test_the_plot_has_the_names_and_counts_epochs_from_one(monkeypatch: pytest.MonkeyPatch, epochs: int) -> None:
    history = {name: list(np.linspace(0.9, 0.1, epochs)) for name in train.CURVES}
    figures = []
    monkeypatch.setattr(plot.plt, "close", figures.append)
    content = plot.draw_plot(history, "KMNIST", False, ".png")
    figure = figures[-1]
    monkeypatch.undo()
    assert figure.get_suptitle() == "Training Loss and Accuracy on Dataset: KMNIST"
    names = {line.get_label() for panel in figure.axes for line in panel.lines}
    assert names == {"train_loss", "val_loss", "train_acc", "val_acc"}
    for panel in figure.axes:
        assert panel.get_xlabel() == "Epoch #"
        assert list(panel.lines[0].get_xdata()) == list(range(1, epochs + 1))
        assert all(tick == int(tick) for tick in panel.get_xticks())
    plot.plt.close(figure)
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None


@pytest.mark.parametrize("ending", plot.plot_endings())
def test_every_promised_plot_format_can_be_drawn(ending: str) -> None:
    history = {name: [0.5] for name in train.CURVES}
    assert len(plot.draw_plot(history, "rendered", True, ending)) > 500


@pytest.mark.kmnist
def test_two_quick_epochs_on_the_real_data(kmnist_model: Path) -> None:
    _, saved = checkpoint.load(kmnist_model)
    assert saved["dataset"] == "KMNIST"
    assert saved["test_accuracy"] > 0.93
    assert saved["history"]["val_acc"][-1] > 0.97
