"""What a user types and sees."""

import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

COMMANDS = ("info", "verify", "sweep", "table", "figures")


def call(*arguments):
    script = "from savs_analyze.cli import entry; entry()"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_store_becomes_a_table_and_a_figure(make_store, tmp_path):
    logits = np.zeros((240, 4), dtype=np.float32)
    store, out = make_store(classes=4, logits=logits), tmp_path / "results"
    swept = call("sweep", "--store", store.path, "--out", out, "--k", "1:3:2", "--shots", 5, "--draws", 2)
    assert swept.returncode == 0, swept.stderr
    assert swept.stdout == ""
    assert f"next: savs-analyze table {out}" in swept.stderr

    printed = call("table", out)
    assert "SAVs, 3 heads" in printed.stdout
    assert "random draws" in printed.stdout
    rows = pd.read_csv(io.StringIO(call("table", out, "--format", "csv").stdout))
    same = pd.DataFrame(json.loads(call("table", out, "--format", "json").stdout))
    pd.testing.assert_frame_equal(rows, same)
    assert set(rows.method) == {"zero-shot", "savs"}

    figure = call("figures", out)
    assert figure.stdout.strip() == str(out / "heads.svg")
    assert (out / "heads.svg").stat().st_size > 1000


def test_info_explains_and_verify_checks(make_store):
    store = make_store()
    shown = call("info", store.path)
    assert "toy: tasks all (2 classes)" in shown.stdout
    assert "planted: 3 layers x 4 heads x 8" in shown.stdout
    assert call("verify", store.path).returncode == 0

    shard = store.path / "planted" / "heads" / "c" / "1" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[100] ^= 1
    shard.write_bytes(content)
    broken = call("verify", store.path)
    assert broken.returncode == 1
    assert "shard 1" in broken.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("info", "nowhere.zarr"), 2, "nowhere.zarr is no store"),
        (("table", "nowhere"), 1, "savs-analyze sweep --store STORE --out nowhere"),
        (("sweep", "--store", "nowhere.zarr"), 2, "is no store"),
        (("sweep", "--store", "x.zarr", "--k", "a:b"), 2, "write 20, or 5:50:5"),
        (("sweep", "--store", "no*.zarr"), 2, "no store is named like"),
    ],
)
def test_a_mistake_is_a_sentence_without_a_traceback(arguments, code, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments)
    assert result.returncode == code
    assert words in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in call("-v", *arguments).stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = call(command, "--help")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) > 5
