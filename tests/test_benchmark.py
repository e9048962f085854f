"""The benchmark: the tutorial's loop on the small KMNIST, the measuring of a command, and the table."""

from pathlib import Path

from pytest import MonkeyPatch
from torchvision.datasets import KMNIST

from tests import benchmark


def small(*args: object, **more: object) -> KMNIST:
    data = KMNIST(*args, **more)
    data.data, data.targets = data.data[:400], data.targets[:400]
    return data


def test_the_plain_loop_trains_and_a_command_is_measured(tmp_path: Path, monkeypatch: MonkeyPatch) -> None:
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.setattr(benchmark, "KMNIST", small)
    benchmark.unpack(tmp_path)
    model, script = tmp_path / "m.pth", tmp_path / "script.py"
    benchmark.plain_loop(str(tmp_path), 1, "cpu", model, tmp_path / "p.png")
    assert model.stat().st_size > 10_000
    script.write_text("print('[INFO] total time taken to train the model: 1.25s', flush=True)")
    assert benchmark.measure([str(script)])[0] == 1.25
    assert "| 2.50 (2.00-3.00) | 2.00 | 3.00 | 5.5 |" in benchmark.row("new", [(4, 5), (6, 6)], [(8, 15), (12, 18)], 2)
