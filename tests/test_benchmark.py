"""The benchmark's command line; what it measures is run by hand."""

import sys

import pytest

from tests import benchmark


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--repeats", "0"], "argument --repeats: '0' is not from 1"),
        (["--epochs", "0"], "argument --epochs: '0' is not from 1"),
        (["--device", "banana"], "argument --device: 'banana' cannot be used"),
        (["--data", __file__], "is not a folder"),
    ],
)
def test_bad_arguments_are_refused_before_the_first_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *flags])
    with pytest.raises(SystemExit) as end:
        benchmark.main()
    assert end.value.code == 2
    assert message in capsys.readouterr().err
