"""The examples of CONTRIBUTING.md, as files that are included and as a distribution of its own."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from savs_analyze.cli.planted import write_planted
from savs_analyze.methods.rooms import ROOMS
from savs_metrics import OF_SCORES, Metric
from savs_stores import BenchmarkInfo, open_store, write_store

ROOT = Path(__file__).parents[1]
EXAMPLES = {
    code.splitlines()[0].removeprefix("# "): code
    for code in re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL)
}
POINTS = """[savs.methods]
careful = mine:careful
[savs.similarities]
chebyshev = mine:chebyshev
[savs.criteria]
worst = mine:worst
[savs.votes]
mean = mine:mean
broken = nowhere:nothing
[savs.metrics]
nearly = nearly:within_one
[savs.benchmarks]
leaves = leaves:BENCHMARK
"""
ENTRY = "import sys; sys.argv[0] = {name!r}; from {module} import entry; entry()"


@pytest.fixture(autouse=True)
def _as_before():
    """Take back what a test adds in this process."""
    before = {kind: set(registry) for kind, (_, registry) in ROOMS.items()}
    yield
    for kind, (_, registry) in ROOMS.items():
        for name in set(registry) - before[kind]:
            registry.remove(name)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    place = tmp_path_factory.mktemp("planted") / "planted.zarr"
    return write_planted(place, classes=2, layers=2, heads=8, informative=[(1, 3)], strength=2).path


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(EXAMPLES["mine.py"])
    return path


@pytest.fixture
def distribution(tmp_path):
    """A folder as an installer would leave it, with the examples as modules."""
    place = tmp_path / "site"
    (place / "leafy-0.3.dist-info").mkdir(parents=True)
    (place / "leafy-0.3.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: leafy\nVersion: 0.3\n")
    (place / "leafy-0.3.dist-info" / "entry_points.txt").write_text(POINTS)
    for name, code in EXAMPLES.items():
        (place / name).write_text(code)
    return place


def command(module, *words, beside=None, cwd=None):
    import os

    name = module.split("_")[0] + "-" + module.split("_")[1].split(".")[0]
    paths = [str(beside)] if beside else []
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*paths, *filter(None, sys.path)])}
    code = ENTRY.format(name=name, module=module)
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, env=environment, cwd=cwd
    )
    assert run.returncode == 0, run.stderr
    return run


def analyze(*words):
    from savs_analyze.cli.commands import app

    return CliRunner().invoke(app, list(map(str, words)))


def swept(planted, out, *more):
    return (
        "sweep",
        "--store",
        planted,
        "--method",
        "savs-careful",
        "--k",
        2,
        "--shots",
        5,
        "--draws",
        2,
        "--out",
        out,
        *more,
    )


def test_examples_are_short():
    assert set(EXAMPLES) == {"mine.py", "leaves.py", "nearly.py"}
    assert all(len(code.splitlines()) < 40 for code in EXAMPLES.values())


def test_an_included_method_is_swept_listed_and_named_in_the_results(planted, mine, tmp_path):
    out = tmp_path / "out"
    assert analyze(*swept(planted, out, "--include", mine)).exit_code == 0
    rows = pd.read_csv(out / "rows.csv")
    assert set(rows["method"]) == {"savs-careful"}
    assert rows.loc[~rows["metric"].isin(OF_SCORES), "value"].min() > 0.8
    [origin] = json.loads((out / "run.json").read_text())["origins"]
    assert origin["source"] == str(mine)
    assert len(origin["sha256"]) == 64
    facts = json.loads(next((out / "cells").glob("*.json")).read_text())["facts"]
    assert facts["origins"] == [origin]
    listed = analyze("methods", "--include", mine, "--format", "json")
    assert {row["method"]: row["origin"] for row in json.loads(listed.stdout)}["savs-careful"] == str(mine)


def test_processes_of_a_sweep_know_it(planted, mine, tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    analyze(*swept(planted, alone, "--include", mine, "--jobs", 1))
    assert analyze(*swept(planted, together, "--include", mine, "--jobs", 2)).exit_code == 0
    known, found = (pd.read_csv(out / "rows.csv").drop(columns="seconds") for out in (alone, together))
    pd.testing.assert_frame_equal(found, known)


def test_an_edited_file_is_computed_anew_and_a_moved_one_is_not(planted, mine, tmp_path):
    out = tmp_path / "out"
    analyze(*swept(planted, out, "--include", mine))
    first = {path.name for path in (out / "cells").iterdir()}
    for _, registry in ROOMS.values():
        for name in ("chebyshev", "worst-class", "mean", "savs-careful"):
            if name in registry:
                registry.remove(name)
    moved = mine.rename(tmp_path / "moved.py")
    analyze(*swept(planted, out, "--include", moved))
    assert {path.name for path in (out / "cells").iterdir()} == first
    for _, registry in ROOMS.values():
        for name in ("chebyshev", "worst-class", "mean", "savs-careful"):
            if name in registry:
                registry.remove(name)
    moved.write_text(moved.read_text() + "\n# a thought\n")
    analyze(*swept(planted, out, "--include", moved))
    assert len({path.name for path in (out / "cells").iterdir()} - first) == len(first)


def test_results_of_a_method_that_is_not_here_are_shown_and_what_is_missing_is_said(planted, mine, tmp_path):
    out = tmp_path / "out"
    command("savs_analyze.cli", *swept(planted, out, "--include", mine))
    table = analyze("table", out)
    assert table.exit_code == 0
    assert "savs-careful" in table.stdout
    audited = analyze("audit", out)
    assert audited.exit_code == 0
    assert "savs-careful is not here as it was: --include it, or install it; of" in audited.stdout
    assert str(mine) in audited.stdout
    assert "again   sound" in analyze("audit", out, "--include", mine).stdout


def test_a_distribution_adds_everything_and_what_is_broken_in_it_harms_nobody(planted, distribution, tmp_path):
    run = command("savs_analyze.cli", *swept(planted, tmp_path / "out"), beside=distribution)
    assert "savs.votes: broken of leafy 0.3 is left out" in run.stderr
    [origin] = json.loads((tmp_path / "out" / "run.json").read_text())["origins"]
    assert origin["source"] == "leafy 0.3"


def test_a_benchmark_of_a_distribution_is_harvested(distribution, tmp_path):
    listed = command("savs_harvest.cli", "data", "list", "--format", "json", beside=distribution).stdout
    assert {row["name"]: row["here"] for row in json.loads(listed)}["leaves"] == "from leafy 0.3"
    store = tmp_path / "leaves.zarr"
    command("savs_harvest.cli", "run", "--model", "tiny", "--data", "leaves", "--store", store, beside=distribution)
    opened = open_store(store)
    assert opened.benchmark.name == "leaves"
    assert opened["tiny"].read().shape == (240, 48, 8)


@pytest.fixture
def nearly(tmp_path):
    path = tmp_path / "nearly.py"
    path.write_text(EXAMPLES["nearly.py"])
    return path


@pytest.fixture
def shades(tmp_path):
    """A store whose benchmark names the metric of the example."""
    generator = np.random.default_rng(0)
    label = np.arange(160) % 4
    vectors = generator.normal(size=(160, 1, 3, 8)) + label[:, None, None, None]
    place = tmp_path / "shades.zarr"
    samples = {"label": [f"shade {one}" for one in label], "split": ["pool"] * 80 + ["test"] * 80}
    info = BenchmarkInfo("shades", {"all": [f"shade {one}" for one in range(4)]}, metric="within-one")
    write_store(place, benchmark=info, samples=samples, model="m", heads=vectors)
    return place


def of_ridge(store, out, *more):
    return ("sweep", "--store", store, "--method", "ridge", "--shots", 5, "--draws", 2, "--out", out, *more)


def forget_metric():
    ROOMS[Metric][1].remove("within-one")


def test_an_included_metric_is_measured_and_named_in_the_results(shades, nearly, tmp_path):
    out = tmp_path / "out"
    refused = analyze(*of_ridge(shades, out))
    assert "unknown metric 'within-one'" in str(refused.exception)
    assert analyze(*of_ridge(shades, out, "--include", nearly)).exit_code == 0
    rows = pd.read_csv(out / "rows.csv")
    assert list(dict.fromkeys(rows["metric"])) == [
        *("within_one", "accuracy", "balanced_accuracy", "macro_f1"),
        *("log_loss", "brier_score", "calibration_error"),
    ]
    value = rows.groupby("metric")["value"].mean()
    assert value["accuracy"] < value["within_one"]
    [origin] = json.loads((out / "run.json").read_text())["origins"]
    assert origin == {"source": str(nearly), "sha256": hashlib.sha256(nearly.read_bytes()).hexdigest()}
    for cell in (out / "cells").glob("*.json"):
        assert json.loads(cell.read_text())["facts"]["origins"] == [origin]
    listed = analyze("methods", "--include", nearly)
    assert "metric within-one" in " ".join((listed.stdout + listed.stderr).split())


def test_an_edited_metric_is_computed_anew_and_a_moved_one_is_not(shades, nearly, tmp_path):
    out = tmp_path / "out"
    analyze(*of_ridge(shades, out, "--include", nearly, "--jobs", 2))
    first = {path.name for path in (out / "cells").iterdir()}
    forget_metric()
    moved = nearly.rename(tmp_path / "moved.py")
    analyze(*of_ridge(shades, out, "--include", moved))
    assert {path.name for path in (out / "cells").iterdir()} == first
    forget_metric()
    moved.write_text(moved.read_text().replace("<= 1", "<= 2"))
    for reader in ("table", "compare"):
        result = analyze(reader, out, "--include", moved)
        assert "the metric within-one is not here as it was" in str(result.exception)
    analyze(*of_ridge(shades, out, "--include", moved))
    assert len({path.name for path in (out / "cells").iterdir()} - first) == len(first)


def test_results_of_a_metric_that_is_not_here_say_what_is_missing(shades, nearly, tmp_path):
    out = tmp_path / "out"
    command("savs_analyze.cli", *of_ridge(shades, out, "--include", nearly))
    words = "the metric within-one is not here as it was: --include it, or install it; of " + str(nearly)
    for reader in ("table", "compare", "hyperparameters", "stability", "report"):
        assert words in str(analyze(reader, out).exception)
    audited = analyze("audit", out)
    assert audited.exit_code == 0
    assert words in audited.stdout
    assert "not checked" in audited.stdout
    assert "WRONG" not in audited.stdout
    assert "again   sound" in analyze("audit", out, "--include", nearly).stdout
    assert "within_one" in analyze("table", out, "--include", nearly).stdout


def test_a_metric_of_a_distribution_is_harvested_swept_and_shown(distribution, tmp_path):
    source = distribution / "leaves.py"
    source.write_text(source.read_text().replace('metric="accuracy"', 'metric="within-one"'))
    store, out = tmp_path / "leaves.zarr", tmp_path / "out"
    command("savs_harvest.cli", "run", "--model", "tiny", "--data", "leaves", "--store", store, beside=distribution)
    assert open_store(store).benchmark.metric == "within-one"
    command("savs_analyze.cli", *of_ridge(store, out), beside=distribution)
    [origin] = json.loads((out / "run.json").read_text())["origins"]
    assert origin["source"] == "leafy 0.3"
    assert "within_one" in command("savs_analyze.cli", "table", out, "--format", "csv", beside=distribution).stdout


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1", "holds no method, similarity, transform, criterion, vote or metric"),
        ("x = 1\ny = 1 / 0", ", line 2: ZeroDivisionError: division by zero"),
        ("x = (", "line 1: SyntaxError"),
        (
            "from savs_analyze.votes.vote import Vote\nmine = Vote('majority', len)",
            "the vote 'majority' of .* is taken: savs has one",
        ),
        (
            "from savs_metrics import Metric\nmine = Metric('far', lambda predicted, label: {'off': label[:, 0] + 7})",
            "the metric 'far' cannot score: ValueError: its off are not one number from 0 to 1",
        ),
    ],
    ids=["nothing", "an error", "no Python", "a taken name", "a metric above 1"],
)
def test_a_file_that_cannot_be_included_is_refused_in_words(planted, tmp_path, code, words):
    file = tmp_path / "bad.py"
    file.write_text(code)
    result = analyze(*swept(planted, tmp_path / "out", "--include", file))
    assert isinstance(result.exception, ValueError)
    assert re.search(words, str(result.exception))
    assert str(file) in str(result.exception)
