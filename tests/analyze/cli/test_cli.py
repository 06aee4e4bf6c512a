"""What a user types and sees."""

import io
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app, entry
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.report.layout import MOST_COLUMNS

COMMANDS = tuple(command.name or command.callback.__name__ for command in app.registered_commands)


def written(*arguments):
    """Return what a command writes to stdout, run in this process."""
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def as_csv(*arguments):
    return pd.read_csv(io.StringIO(written(*arguments, "--format", "csv")), keep_default_na=False)


def as_json(*arguments):
    return pd.DataFrame(json.loads(written(*arguments, "--format", "json")))


def call(*arguments):
    script = "from savs_analyze.cli.commands import entry; entry()"
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
    assert "SAVs," in printed.stdout
    assert "3 heads" in printed.stdout
    assert "random draws" in printed.stdout
    rows = as_csv("table", out)
    numbers = {name: pd.to_numeric(rows[name]) for name in ("sd", "low", "high")}
    pd.testing.assert_frame_equal(rows.assign(**numbers), as_json("table", out))
    assert set(rows.method) == {"zero-shot", "savs", "kernel-ridge"}

    figure = call("figures", out)
    assert figure.stdout.split() == [str(out / "heads.svg"), str(out / "reliability.svg")]
    assert all((out / name).stat().st_size > 1000 for name in ("heads.svg", "reliability.svg"))
    figure = call("figures", out, "--out", tmp_path / "mine.png")
    assert figure.stdout.split() == [str(tmp_path / "mine.png"), str(tmp_path / "mine-reliability.png")]

    printed = call("table", out, "--all-metrics").stdout
    assert "Log loss is in nats" in printed
    assert "Log loss" not in call("table", out).stdout


def test_methods_are_listed_in_every_form():
    rows = as_csv("methods")
    assert rows.method.tolist() == list(METHODS)
    assert rows.same_as.tolist() == [make_setting(name).same_as for name in METHODS]
    pd.testing.assert_frame_equal(rows, as_json("methods"))
    table = written("methods")
    for name, recipe in METHODS.items():
        [line] = [line for line in table.splitlines() if line.split()[:1] == [name]]
        assert recipe.formula in line
        assert recipe.source in line
        assert all(f"{key}={value:g}" in line for key, value in recipe.defaults.items())


def test_any_method_can_be_swept(make_store, tmp_path):
    names = ["ant", "bee", "cat", "dog"]
    labels = [names[i] for i in np.tile(np.repeat(range(4), 30), 2)]
    store = make_store(classes=4, options=[[label, "bee", "cat"] if label < "bee" else [] for label in labels])
    out, chosen = tmp_path / "results", ["savs-soft", "savs-rbf", "class-favoured", "layers", "knn", "savs"]
    methods = [word for name in chosen for word in ("--method", name)]
    grids = ["--grid", "gamma=0.1:10:3log", "--grid", "temperature=0.1,1", "--grid", "layers=1"]
    swept = call(
        "sweep", "--store", store.path, "--out", out, *methods, *grids, "--k", 3, "--shots", 5, "--restrict-options"
    )
    assert swept.returncode == 0, swept.stderr
    rows = as_csv("table", out)
    assert set(rows.setting) == {
        "savs-soft, 3 heads, printed options",
        "savs-soft, 3 heads, temperature=1, printed options",
        *(f"savs-rbf, 3 heads{gamma}, printed options" for gamma in (", gamma=0.1", "", ", gamma=10")),
        "class-favoured, 3 heads, printed options",
        "layers, 1 layer, printed options",
        "knn, 3 heads, printed options",
        "SAVs, 3 heads, printed options",
    }


@pytest.mark.parametrize(
    ("protocol", "more", "tested", "way"),
    [
        # The second paper sets the first quarter aside.
        ("paper", (), 45, "second paper's way"),
        ("extension", ("--arithmetic", "bfloat16"), 45, "second paper's way, bfloat16"),
        ("savs", (), 60, "first paper's way"),
        ("savs", ("--arithmetic", "float16", "--validation", 0.5), 30, "first paper's way, float16"),
    ],
)
def test_the_papers_protocols_keep_leaks_and_say_so(make_store, tmp_path, protocol, more, tested, way):
    store = make_store(image_hash=[(1 + i % 60,) for i in range(120)])
    out = tmp_path / "results"
    asked = "--protocol", protocol, "--shots", 5, "--draws", 1, *more
    swept = call("sweep", "--store", store.path, "--out", out, "--method", "savs", *asked)
    assert swept.returncode == 0, swept.stderr
    rows, table = as_csv("table", out), " ".join(written("table", out).split())
    assert rows.n.unique().tolist() == [tested]
    assert rows.setting.unique().tolist() == [f"SAVs, 12 heads, {way}"]
    assert "Unlike the papers: supports are random draws" in table
    assert ("in double precision" in table) == (not more)
    assert "Leaks kept" in table
    assert "the store does not say how classes first appear" in table


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            ("--arithmetic", "float16"),
            "float16 is how the papers' code computes: it needs a protocol, savs or extension",
        ),
        (("--protocol", "savs", "--arithmetic", "float8"), "Invalid value for '--arithmetic'"),
        (("--protocol", "papers"), "Invalid value for '--protocol'"),
    ],
)
def test_what_is_no_protocol_is_refused(toy, tmp_path, asked, words):
    refused = call("sweep", "--store", toy.path, "--out", tmp_path / "out", *asked)
    assert refused.returncode == 2
    assert words in " ".join(refused.stderr.replace("│", " ").split())
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("over", [0, 1])
def test_with_many_methods_a_table_has_a_line_each(toy, tmp_path, over):
    out = tmp_path / "results"
    count = MOST_COLUMNS + over
    sweep([toy.path], out, shots=5, draws=1, heads=tuple(range(1, count + 1)), methods=["savs"])
    header, *lines = [line for line in written("table", out).splitlines() if line.strip()]
    if not over:
        assert header.split() == ["SAVs,"] * count
        header, *lines = lines
    settings = ["SAVs, 1 head", *(f"SAVs, {k} heads" for k in range(2, count + 1))]
    if over:
        assert header.split() == ["benchmark", "model", "task", "metric", "setting", "n", "result"]
        assert [line for line in lines if "accuracy" in line and any(name in line for name in settings)] == lines[
            1 : count + 1
        ]
    else:
        assert [name.removeprefix("SAVs, ") in header for name in settings] == [True] * count
        assert "accuracy" in lines[1]
        assert "accuracy" not in "".join(lines[2:])


def test_a_table_of_many_methods_says_which_are_the_same(toy, tmp_path):
    out = tmp_path / "results"
    sweep([toy.path], out, shots=5, draws=1, heads=(1, 3), methods=["savs", "savs-penalty", "savs-artanh"])
    printed = written("table", out)
    assert "same as" in printed.splitlines()[0] + printed.splitlines()[1]
    for line in printed.splitlines():
        if line.split()[:1] == ["toy"]:
            assert line.rstrip().endswith(" savs") == ("savs-" in line)
    assert "Same as: predicts the same by algebra; computed once." in printed


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
        (("sweep", "--store", "x.zarr", "--k", "a:b"), 2, "write 20, or 5,10,20, or 5:50:5"),
        (("sweep", "--store", "no*.zarr"), 2, "no store is named like"),
        (("sweep", "--store", "x.zarr", "--method", "svas"), 2, "did you mean 'savs'"),
        (("sweep", "--store", "x.zarr", "--grid", "gamma=1:2"), 2, "write gamma=0.1,1,10 or gamma=0.01:100:5log"),
        (
            ("sweep", "--store", "x.zarr", "--grid", "gamma=1"),
            2,
            "no method here has gamma: zero-shot, said, savs, kernel-ridge",
        ),
    ],
)
def test_a_mistake_is_a_sentence_without_a_traceback(arguments, code, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["savs-analyze", *arguments])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as stop:
        entry()
    said = capsys.readouterr().err
    assert stop.value.code == code
    assert words in said
    assert "Traceback" not in said


def test_a_traceback_comes_when_asked_for():
    assert "Traceback" in call("-v", "info", "nowhere.zarr").stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command):
    result = call(command, "--help")
    assert result.returncode == 0
    assert len(result.stdout.splitlines()) > 5
