"""Model files that are none: each is refused in one line that names the file, and none runs code."""

import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modules import checkpoint, kmnist
from modules.lenet import LeNet
from tests.conftest import ROOT, Result

CANARY = "/tmp/lenet-canary"


class Command:
    """Unpickles by running a command."""

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {CANARY}",)


def good_file(path: Path, **changes: object) -> Path:
    torch.manual_seed(0)
    model = LeNet(1, 10)
    values = {
        "state_dict": model.state_dict(),
        "classes": kmnist.CLASSES,
        "dataset": "KMNIST",
        "history": {"train_loss": [0.5]},
        "settings": {"epochs": 1},
        "test_accuracy": 0.5,
    }
    checkpoint.save(path, **(values | changes))
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return good_file(tmp_path_factory.mktemp("good") / "m.pth").read_bytes()


def saved(value: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def changed(good: bytes, **changes: object) -> bytes:
    values = torch.load(io.BytesIO(good), weights_only=True)
    for key, value in changes.items():
        if value is None:
            del values[key]
        else:
            values[key] = value
    return saved(values)


def weights_changed(good: bytes, **changes: torch.Tensor | None) -> bytes:
    weights = torch.load(io.BytesIO(good), weights_only=True)["state_dict"]
    for key, value in changes.items():
        weights[key.replace("__", ".")] = value
    return changed(good, state_dict={name: value for name, value in weights.items() if value is not None})


def repacked(good: bytes, change: Callable[[str, bytes], bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
    return buffer.getvalue()


def huge_claim(good: bytes) -> bytes:
    """fc1.weight's 400,000 numbers made 2,000,000,000 in the pickle alone."""

    def change(name: str, content: bytes) -> bytes:
        if name.endswith("data.pkl"):
            assert b"J" + struct.pack("<i", 400_000) in content
            content = content.replace(b"J" + struct.pack("<i", 400_000), b"J" + struct.pack("<i", 2_000_000_000))
        return content

    return repacked(good, change)


def bomb(good: bytes) -> bytes:
    """A record of 200 MB of zeros in 0.2 MB."""

    def change(name: str, content: bytes) -> bytes:
        return bytes(200_000_000) if name.endswith("data/4") else content

    return repacked(good, change, zipfile.ZIP_DEFLATED)


def tutorials_whole_model() -> bytes:
    return saved(LeNet(1, 10))


def picture() -> bytes:
    import cv2

    return cv2.imencode(".png", np.zeros((28, 28), np.uint8))[1].tobytes()


def other_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    return buffer.getvalue()


NAN = torch.full((10,), float("nan"))
BAD_FILES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda good: b"", "is empty"),
    "text": (lambda good: "これは文章です\n".encode() * 9, "not a model"),
    "random bytes": (lambda good: np.random.RandomState(0).bytes(5000), "not a model"),
    "first half": (lambda good: good[: len(good) // 2], "a part of one"),
    "last half": (lambda good: good[len(good) // 2 :], ""),
    "half its records": (lambda good: good[:500_000] + good[900_000:], ""),
    "plain pickle": (lambda good: pickle.dumps({"a": 1}), "not a model"),
    "pickle with a command": (lambda good: pickle.dumps(Command()), "not a model"),
    "torch file with a command": (lambda good: saved(Command()), "asks for Python code"),
    "a command inside a checkpoint": (lambda good: changed(good, history=Command()), "asks for Python code"),
    "a numpy array inside": (lambda good: changed(good, history=np.zeros(3)), "asks for Python code"),
    "old torch format": (lambda good: saved({"a": 1}, _use_new_zipfile_serialization=False), "not a model"),
    "old format with a command": (lambda good: saved(Command(), _use_new_zipfile_serialization=False), "not a model"),
    "zip": (lambda good: other_zip(), "an archive, but not a model"),
    "PNG": (lambda good: picture(), "not a model"),
    "the tutorial's whole model": (lambda good: tutorials_whole_model(), "as the tutorial saves it"),
    "bare weights": (lambda good: saved(LeNet(1, 10).state_dict()), "bare weights"),
    "a number": (lambda good: saved(5), "not a model"),
    "a tensor": (lambda good: saved(torch.ones(3)), "not a model"),
    "another dict": (lambda good: saved({"epoch": 3, "model": {}}), "not a model"),
    "another network": (lambda good: changed(good, state_dict=torch.nn.Linear(2, 2).state_dict()), "another network"),
    "a missing weight": (lambda good: weights_changed(good, fc2__bias=None), "lacks the weights 'fc2.bias'"),
    "a surplus weight": (lambda good: weights_changed(good, fc3__bias=torch.ones(2)), "surplus the weights 'fc3.bias'"),
    "a wrong shape": (lambda good: weights_changed(good, fc1__weight=torch.ones(500, 801)), "fc1.weight has shape"),
    "a number as a weight": (lambda good: weights_changed(good, fc2__bias=3), "fc2.bias has shape"),
    "integer weights": (lambda good: weights_changed(good, fc2__bias=torch.arange(10)), "asks for Python code"),
    "nan weights": (lambda good: weights_changed(good, fc2__bias=NAN), "not finite numbers (fc2.bias)"),
    "infinite weights": (lambda good: weights_changed(good, fc2__bias=1 / torch.zeros(10)), "not finite"),
    "no weights": (lambda good: changed(good, state_dict=None), "no weights"),
    "a list of weights": (lambda good: changed(good, state_dict=[1, 2]), "no weights"),
    "no classes": (lambda good: changed(good, classes=None), "class names"),
    "too few classes": (lambda good: changed(good, classes=["o", "ki"]), "another network"),
    "too many classes": (lambda good: changed(good, classes=["o"] * 11), "another network"),
    "a million classes": (lambda good: changed(good, classes=["o"] * 1_000_000), "class names"),
    "classes that are numbers": (lambda good: changed(good, classes=list(range(10))), "class names"),
    "classes in one text": (lambda good: changed(good, classes="okisutsuna"), "class names"),
    "classes with control characters": (lambda good: changed(good, classes=["\x1b[2J"] * 10), "class names"),
    "a newer version": (lambda good: changed(good, version=2), "update the project"),
    "no version": (lambda good: changed(good, version=None), "format version"),
    "a version that is text": (lambda good: changed(good, version="1"), "format version"),
    "another data set": (lambda good: changed(good, dataset="CIFAR10"), "data set"),
    "a data set of the wrong type": (lambda good: changed(good, dataset=["KMNIST"]), "data set"),
    "three channels": (lambda good: changed(good, channels=3), "3 channels"),
    "no channels": (lambda good: changed(good, channels=None), "channels"),
    "a claim of 8 GB": (huge_claim, "damaged"),
    "a zip bomb": (bomb, "packed in another way"),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_model_file_is_one_line_and_exit_code_2(
    tmp_path: Path, run: Callable[..., Result], good: bytes, kind: str
) -> None:
    make, reason = BAD_FILES[kind]
    path = tmp_path / "model.pth"
    path.write_bytes(make(good))
    Path(CANARY).unlink(missing_ok=True)
    done = run("predict.py", "--model", path, "--dataset", "rendered")
    assert done.code == 2
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert len(done.err) < 400
    assert done.err.startswith(f"predict.py: error: {path} ")
    assert reason in done.err
    assert not Path(CANARY).exists()


@pytest.mark.parametrize("place", ["missing.pth", "", ".", "/dev/null", "/dev/zero", "x" * 300, "file/below"])
def test_a_path_that_is_no_file(tmp_path: Path, run: Callable[..., Result], place: str) -> None:
    (tmp_path / "file").touch()
    done = run("predict.py", "--model", place if place.startswith("/") else tmp_path / place)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1


def test_a_file_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with path.open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(checkpoint.CheckpointError, match="larger than 64 MiB"):
        checkpoint.load(path)


@pytest.mark.parametrize("make", [huge_claim, bomb])
def test_memory_stays_bounded(tmp_path: Path, good: bytes, make: Callable[[bytes], bytes]) -> None:
    (tmp_path / "model.pth").write_bytes(make(good))
    code = (
        "import resource, sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path; from modules import checkpoint\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: checkpoint.load(Path(sys.argv[1]))\n"
        "except checkpoint.CheckpointError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "model.pth", ROOT], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 100 * 1024  # KiB


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = LeNet(1, 10)
    path = good_file(tmp_path / "deep" / "folder" / "m.pth", state_dict=model.state_dict())
    again, values = checkpoint.load(path)
    assert not again.training
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), again.parameters(), strict=True))
    assert values["classes"] == kmnist.CLASSES
    assert values["history"] == {"train_loss": [0.5]}
    assert type(values["history"]["train_loss"][0]) is float
    assert torch.load(path, weights_only=True)["format"] == checkpoint.FORMAT


def test_weights_in_another_layout_or_on_a_gpu_are_stored_plainly(tmp_path: Path) -> None:
    """A file from a GPU names its device; map_location brings it to the CPU."""
    model = LeNet(1, 10).to(memory_format=torch.channels_last)
    path = good_file(tmp_path / "m.pth", state_dict=model.state_dict())
    assert torch.load(path, weights_only=True)["state_dict"]["conv2.weight"].is_contiguous()

    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
    cpu, cuda = b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"
    assert cpu in zipfile.ZipFile(path).read(name)
    moved = repacked(path.read_bytes(), lambda entry, content: content.replace(cpu, cuda) if entry == name else content)
    path.write_bytes(moved)
    again, _ = checkpoint.load(path)
    assert all(weights.device.type == "cpu" for weights in again.parameters())
    assert torch.equal(again.conv2.weight, model.conv2.weight)


def model_or_refusal(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        model, values = checkpoint.load(path)
    except checkpoint.CheckpointError as error:
        assert str(error).startswith(str(path))
        assert "\n" not in str(error)
    else:
        assert model(torch.zeros(1, 1, 28, 28)).shape == (1, len(values["classes"]))


# a longer run: LENET_EXAMPLES=20000 pytest tests/test_checkpoint.py
EXAMPLES = int(os.environ.get("LENET_EXAMPLES", "100"))
FUZZ = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FUZZ
@given(content=st.binary(max_size=2000))
def test_any_bytes_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    model_or_refusal(tmp_path / "m.pth", content)
    model_or_refusal(tmp_path / "m.pth", b"PK\x03\x04" + content)


@FUZZ
@given(data=st.data())
def test_any_mutation_of_a_good_file_gives_a_model_or_one_line(
    tmp_path: Path, good: bytes, data: st.DataObject
) -> None:
    content = bytearray(good)
    # the plain values stand in the first 4 KB, the directory in the last 4 KB; what lies between are weights
    places = st.integers(0, 4000) | st.integers(len(good) - 4000, len(good) - 1) | st.integers(0, len(good) - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        place = min(data.draw(places), len(content))
        piece = data.draw(st.binary(max_size=6))
        end = place + data.draw(st.sampled_from([len(piece), 0, 1, 1000]))
        content[place:end] = piece
    model_or_refusal(tmp_path / "m.pth", bytes(content[: data.draw(st.sampled_from([None, None, -1, 5000]))]))


@FUZZ
@given(data=st.data())
def test_any_mutation_of_the_pickle_gives_a_model_or_one_line(tmp_path: Path, good: bytes, data: st.DataObject) -> None:
    """Mutated inside a whole archive, the checksums in order: the pickle's reader itself is reached."""
    place, piece = data.draw(st.integers(0, 2500)), data.draw(st.binary(min_size=1, max_size=4))

    def change(name: str, content: bytes) -> bytes:
        return content[:place] + piece + content[place + len(piece) :] if name.endswith("data.pkl") else content

    model_or_refusal(tmp_path / "m.pth", repacked(good, change))
