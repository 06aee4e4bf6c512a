"""What is told before torch is imported, and what a harvest tells where no bar is seen."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from savs_harvest.cli import progress
from savs_harvest.cli.commands import app
from savs_harvest.cli.progress import HarvestProgress
from savs_stores.terminal import counted

WITHOUT_TORCH = """
import sys
from savs_harvest.cli.commands import app
try:
    app(sys.argv[1:])
except Exception as error:
    sys.exit(f"{error}; torch: {'torch' in sys.modules}")
"""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "--model", "tinny", "--data", "digits"], "there is no model 'tinny'; did you mean 'tiny'?"),
        (["run", "--model", "tiny", "--data", "digitz"], "there is no file, folder or benchmark 'digitz'"),
        (["plan", "--model", "tinny", "--data", "digits"], "there is no model 'tinny'; did you mean 'tiny'?"),
        (["fit", "--model", "tinny", "--data", "digits", "--out", "x.safetensors"], "there is no model 'tinny'"),
        (["run", "--model", "tiny", "--data", "digits", "--date", "today"], "today"),
        (["run", "--model", "tiny", "--data", "digits", "--dtype", "float23"], "unknown type 'float23'; there are"),
        (["run", "--model", "tiny", "--data", "digits", "--codec", "zip"], "unknown codec 'zip'; there are none"),
        (["run", "--model", "tiny", "--data", "digits", "--parity", "any"], "unknown parity switch 'any'; there are"),
        (["plan", "--model", "tiny", "--data", "digits", "--dtype", "float23"], "unknown type 'float23'; there are"),
    ],
    ids=" ".join,
)
def test_a_wrong_name_is_told_before_torch_is_imported(words, told):
    """It took 7 to 15 seconds."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, *words], capture_output=True, text=True, check=False)
    assert told in done.stderr
    assert "torch: False" in done.stderr


@pytest.mark.parametrize(("option", "value"), [("--dtype", "float23"), ("--codec", "zip"), ("--parity", "any")])
def test_a_wrong_name_is_told_before_anything_is_fetched(monkeypatch, option, value):
    """A benchmark and a model were downloaded first, for hours."""
    monkeypatch.setattr("savs_harvest.cli.chosen.Chosen.fetched", lambda _: pytest.fail("a benchmark is fetched"))
    found = CliRunner().invoke(app, ["run", "--model", "tiny", "--data", "vlguard", option, value])
    assert isinstance(found.exception, ValueError)
    assert f"{value!r}; there are" in str(found.exception)


def test_a_piped_harvest_logs_a_line_every_half_minute(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    shown = HarvestProgress("tiny", "digits")
    shown.task = shown.bar.add_task("tiny on digits", total=1000, sample_bytes=10)
    for _ in range(100):
        clock[0] += 1
        shown.advance(10)
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 3
    assert lines[0].startswith("tiny on digits: 300 of 1,000 samples")


@pytest.mark.parametrize(
    ("count", "words", "told"),
    [(1, ("sample",), "1 sample"), (2000, ("sample",), "2,000 samples"), (0, ("class", "classes"), "0 classes")],
)
def test_one_is_not_many(count, words, told):
    assert counted(count, *words) == told
