"""Results that were changed, or whose stores were, are found out."""

import json
import shutil

import pandas as pd
import pytest
from typer.testing import CliRunner

from savs_analyze.audit import as_cell, audit
from savs_analyze.cli import app
from savs_analyze.results import Results
from savs_analyze.sweep import sweep


@pytest.fixture
def folder(make_store, tmp_path):
    sweep([make_store().path], tmp_path / "out", shots=5, draws=2, heads=(1, 3), methods=["savs", "lasso"])
    return tmp_path / "out"


def states(folder, seed=0):
    return {finding.checked: finding.sound for finding in audit(folder, seed)}


@pytest.mark.parametrize("seed", range(4))
def test_what_was_not_touched_is_sound(folder, seed):
    assert states(folder, seed) == {"files": True, "rows": True, "store": True, "again": True}
    printed = CliRunner().invoke(app, ["audit", str(folder), "--seed", str(seed)])
    assert printed.exit_code == 0
    assert "the same predictions" in printed.stdout


def test_a_cell_is_made_again_from_its_facts(folder):
    for key in Results(folder).run()["cells"]:
        assert as_cell(Results(folder).load(key).facts).key == key


def test_changed_arrays_are_found(folder):
    arrays = next((folder / "cells").glob("*.npz"))
    arrays.write_bytes(arrays.read_bytes() + b"\0")
    assert states(folder)["files"] is False
    printed = CliRunner().invoke(app, ["audit", str(folder)])
    assert printed.exit_code == 1
    assert f"1 of 4 are missing or changed: {arrays.stem}" in printed.stdout


def test_a_missing_cell_is_found(folder):
    next((folder / "cells").glob("*.json")).unlink()
    assert states(folder)["files"] is False


def test_a_polished_value_is_found(folder):
    cell = next((folder / "cells").glob("*.json"))
    saved = json.loads(cell.read_text())
    saved["rows"][0]["value"] += 0.001
    cell.write_text(json.dumps(saved))
    assert states(folder)["rows"] is False


def test_a_polished_table_is_found(folder):
    rows = pd.read_csv(folder / "rows.csv")
    rows.loc[0, "value"] = 1.5
    rows.to_csv(folder / "rows.csv", index=False)
    assert states(folder)["rows"] is False


def test_another_store_in_the_same_place_is_found(folder, make_store, tmp_path):
    shutil.rmtree(tmp_path / "toy.zarr")
    make_store(count=31)
    found = states(folder)
    assert (found["store"], found["again"]) == (False, None)


def test_without_its_store_nothing_is_computed_again(folder, tmp_path):
    shutil.rmtree(tmp_path / "toy.zarr")
    found = states(folder)
    assert (found["files"], found["rows"], found["store"], found["again"]) == (True, True, None, None)
