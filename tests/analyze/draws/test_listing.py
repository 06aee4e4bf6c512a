"""Draws written out are those of a sweep with the same settings."""

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_analyze.cli.planted import write_planted
from savs_analyze.draws.validation import Validation
from savs_analyze.runs.results import Results


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
    ],
    ids=str,
)
def test_listed_draws_are_those_of_a_sweep(planted, tmp_path, words, options):
    rows = pd.DataFrame(
        map(json.loads, listed(planted, "--draws", 3, "--shots", 5, "--format", "json", *words).splitlines())
    )
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


def test_csv_and_json_say_the_same(planted):
    first, *lines = listed(planted, "--draws", 1, "--shots", 2).splitlines()
    assert first == "task,shots,draw,role,sample_id,label"
    as_json = [
        json.loads(line) for line in listed(planted, "--draws", 1, "--shots", 2, "--format", "json").splitlines()
    ]
    assert lines == [",".join(map(str, row.values())) for row in as_json]


def test_too_few_samples_are_told(planted):
    result = CliRunner().invoke(app, ["draws", str(planted), "--shots", "50"])
    assert isinstance(result.exception, ValueError)
    assert "50" in str(result.exception)
