"""Tables on terminals of every width: nothing is cut, nothing is lost, whatever things are called."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from fcntl import ioctl

import numpy as np
import pandas as pd
import pytest

from savs_analyze.cli.options import TableFormat
from savs_analyze.cli.printing import WORDS, print_rows

LONG = "sparse-group-lasso-share, 4 layers, share=0.1"
NAMES = ["SAVs, 5 heads", "[/red]", "leaves [v1]", "leaves [v2]", "$a_{b$", ":100:", "日本語の見出し", "x" * 70, LONG]


def wide():
    """One line a task, one column a method, as `table` has it."""
    lines = {"benchmark": ["digits", "digits-claims"], "model": "tiny", "task": "all", "metric": "group_accuracy"}
    return pd.DataFrame(
        lines | {"n": "445 / 405"} | {name: ["90.8 [88.0, 93.0]", "13.4 [10.4, 17.0] °"] for name in NAMES}
    )


def long():
    lines = {"benchmark": np.repeat(["digits", "digits-claims"], len(NAMES)), "model": "tiny", "task": "all"}
    return pd.DataFrame(lines | {"setting": NAMES * 2, "n": "445 / 405", "result": "90.8 [88.0, 93.0]"})


def pairs():
    compared = long().rename(columns={"result": "difference"})
    compared.insert(4, "other", NAMES[::-1] * 2)
    return compared.assign(p="<0.001", holm="0.012", verdict="not distinguishable")


def shown(table, width, monkeypatch, capsys, longer=None):
    """Return what a terminal of so many columns is sent."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((width, 24)))
    print_rows(table, TableFormat.table, table, ["A note that is longer than a narrow terminal is wide, " * 3], longer)
    return re.sub("\x1b\\[[0-9;]*m", "", capsys.readouterr().out)


def squeezed(text):
    return re.sub(r"\s", "", text)


@pytest.mark.parametrize("make", [wide, long, pairs])
@pytest.mark.parametrize("width", [60, 80, 100, 120, 500])
def test_nothing_is_cut_and_nothing_is_lost(make, width, monkeypatch, capsys):
    """On 80 columns a table once was 207 lines of single letters, and lost columns."""
    from rich.cells import cell_len

    table = make()
    printed = shown(table, width, monkeypatch, capsys)
    assert max(cell_len(line) for line in printed.splitlines()) <= width
    everything = squeezed(printed)
    for words in [*(name for name in table if name not in WORDS), *table.astype(str).to_numpy().ravel()]:
        assert all(squeezed(word) in everything for word in words.split(", "))  # headings fold at commas
    assert "90.8 [88.0, 93.0]" in printed
    assert len(printed.splitlines()) < 12 + 6 * table.size


@pytest.mark.parametrize(("width", "columns"), [(80, ["n", "result"]), (500, NAMES)])
def test_a_table_that_is_too_wide_has_a_line_a_method(width, columns, monkeypatch, capsys):
    table = wide()[["benchmark", "model", "task", "metric", "n", *NAMES[:2], LONG]]
    listed = long()[long().setting.isin([*NAMES[:2], LONG])]
    printed = shown(table, width, monkeypatch, capsys, lambda: listed)
    assert ("result" in printed) == (width == 80)
    if width == 80:
        assert "benchmark digits, model tiny, task all\n" in printed
        assert re.search(rf"{re.escape(LONG)} +445 / 405 +90.8 \[88.0, 93.0\]", printed)


def test_an_empty_table_is_one(monkeypatch, capsys):
    assert "setting" in shown(long()[:0], 80, monkeypatch, capsys)


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=str)
@pytest.mark.parametrize("width", [60, 120])
def test_a_real_terminal_shows_whole_words(width, environment):
    shows = "from savs_analyze.cli.commands import app; app(['methods'])"
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    known = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR", "LINES")}
    with subprocess.Popen([sys.executable, "-c", shows], stdout=slave, stderr=slave, env=known | environment):
        os.close(slave)
        sent = b""
        while part := _read(master):
            sent += part
    os.close(master)
    text = re.sub("\x1b\\[[0-9;?]*[a-zA-Z]", "", sent.decode()).replace("\r\n", "\n")
    assert max(map(len, text.split("\n"))) <= width
    assert "mean posterior of shrunk Gaussian discriminants of k heads" in re.sub(r"\s+", " ", text)
    if environment:
        assert "\x1b[" not in sent.decode()


def _read(master):
    try:
        return os.read(master, 65536)
    except OSError:  # the other end is closed
        return b""
