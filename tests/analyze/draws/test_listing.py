"""Draws written out are those of a sweep with the same settings."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_analyze.cli.planted import write_planted
from savs_analyze.draws.validation import Validation
from savs_analyze.runs.results import Results
from savs_stores import BenchmarkInfo, write_store


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_planted(tmp_path_factory.mktemp("x") / "x.zarr", 4, 20, 120, layers=3, heads=8, dim=8, strength=1).path


def listed(*words):
    result = CliRunner().invoke(app, ["draws", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ((), {}),
        (("--validation", 0, "--keep-leaks"), {"validation": Validation(0), "keep_leaks": True}),
        (("--protocol", "paper"), {"validation": Validation(0.25, first=True), "keep_leaks": True}),
        (("--protocol", "savs"), {"validation": Validation(0, first=True), "keep_leaks": True}),
    ],
    ids=str,
)
def test_listed_draws_are_those_of_a_sweep(planted, tmp_path, words, options):
    rows = pd.DataFrame(map(json.loads, listed(planted, "--draws", 3, "--shots", 5, *words).splitlines()))
    sweep([planted], tmp_path / "out", shots=5, draws=3, heads=(2,), methods=["savs"], **options)
    cells = list(Results(tmp_path / "out").loaded())
    assert len(cells) == 3
    for cell in cells:
        mine = rows[rows.draw == cell.facts.draw]
        of = {role: set(mine[mine.role == role].sample_id) for role in ("support", "validation", "test")}
        validates = cell.arrays["validation"]
        assert of["support"] == set(map(str, cell.facts.support))
        assert of["test"] == set(map(str, cell.arrays["sample"][~validates]))
        assert of["validation"] == set(map(str, cell.arrays["sample"][validates]))
        assert set(mine[mine.role == "support"].label.value_counts()) == {5}


def test_ids_and_labels_are_as_they_are(tmp_path):
    """A label of "-" once had an apostrophe before it."""
    samples = {"sample_id": [f"-{i}" for i in range(20)], "label": ["+", "-"] * 10, "split": ["either"] * 20}
    info = BenchmarkInfo("signs", {"all": ["+", "-"]})
    store = write_store(
        tmp_path / "x.zarr", benchmark=info, samples=samples, model="m", heads=np.ones((20, 1, 2, 4), dtype=np.float32)
    )
    rows = [json.loads(line) for line in listed(store.path, "--draws", 1, "--shots", 2).splitlines()]
    assert {row["label"] for row in rows} == {"-", "+"}
    assert {row["sample_id"] for row in rows} == {f"-{i}" for i in range(20)}


def test_too_few_samples_are_told(planted):
    result = CliRunner().invoke(app, ["draws", str(planted), "--shots", "50"])
    assert isinstance(result.exception, ValueError)
    assert "50" in str(result.exception)
