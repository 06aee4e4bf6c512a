"""Results that were changed, or whose stores were, are found out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_analyze.runs.audit import audit
from savs_analyze.runs.cells import Cell
from savs_analyze.runs.results import Results
from savs_stores import open_store, write_class_vectors


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
    assert printed.stdout.splitlines()[-1].endswith(": the same")


def test_a_cell_is_made_again_from_its_facts(folder):
    for key in Results(folder).run()["cells"]:
        assert Cell.from_json(Results(folder).load(key).facts.to_json()).key == key


def test_cells_that_compare_with_class_vectors_are_sound_until_those_change(make_store, tmp_path):
    """Facts left out the hash of class vectors, so that every cell by them was of another name than its own."""
    store, out = make_store(), tmp_path / "named"
    [vectors] = [store[name] for name in store.models]
    texts = {task: {name: f"a {name}" for name in names} for task, names in store.benchmark.tasks.items()}
    shape = sum(map(len, texts.values())), len(vectors.heads), vectors.heads.dim
    write_class_vectors(vectors, texts, np.random.default_rng(0).normal(size=shape))
    sweep([store.path], out, shots=5, draws=2, heads=(3,), methods=["hec-t", "savs"])
    assert states(out) == {"files": True, "rows": True, "store": True, "again": True}
    [group] = Path(store.path).rglob("class_heads")
    shutil.rmtree(group)
    write_class_vectors(open_store(store.path)[vectors.name], texts, np.random.default_rng(1).normal(size=shape))
    [told] = [finding for finding in audit(out, 0) if finding.checked == "store"]
    assert (told.sound, told.words.endswith("has another hash of class vectors than the results")) == (False, True)


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


def change(cell, edit):
    """Change a saved cell as one would by hand who knows of its digest."""
    from savs_analyze.runs.results import _digest

    saved = json.loads(cell.read_text())
    del saved["sha256"]
    edit(saved)
    saved["sha256"] = _digest(saved, cell.with_suffix(".npz").read_bytes())
    cell.write_text(json.dumps(saved))


def test_a_value_edited_by_hand_is_found(folder):
    cell = next((folder / "cells").glob("*.json"))
    cell.write_text(cell.read_text().replace('"leaked": 0', '"leaked": 7'))
    assert states(folder)["files"] is False


@pytest.mark.parametrize(
    ("edit", "wrong"),
    [
        (lambda saved: saved["rows"][0].update(value=0.123), "rows"),
        (lambda saved: saved["rows"][0].update(n=9), "rows"),
        (lambda saved: saved["facts"].update(draw=7), "files"),
        (lambda saved: saved["facts"].update(method="ridge"), "files"),
        (lambda saved: saved["facts"].update(shots=50), "files"),
    ],
)
def test_a_cell_made_up_with_its_digest_is_found(folder, edit, wrong):
    change(next((folder / "cells").glob("*.json")), edit)
    assert states(folder)[wrong] is False


@pytest.mark.parametrize(
    "edit",
    [
        lambda saved: saved["facts"].update(kept=[[[9, 9]]] * len(saved["facts"]["kept"])),
        lambda saved: saved["facts"].update(class_names=["x", "y"]),
        lambda saved: saved["facts"].update(chooses=True),
        lambda saved: saved["rows"][0].update(leaked=77),
        lambda saved: saved.update(rows=saved["rows"][1:]),
    ],
)
def test_a_cell_computed_again_shows_facts_that_were_changed(folder, edit):
    for cell in (folder / "cells").glob("*.json"):
        change(cell, edit)
    results = Results(folder)
    results.finish(results.run())
    found = states(folder)
    assert (found["files"], found["rows"], found["again"]) == (True, True, False)


@pytest.mark.parametrize("text", ["", '{"facts": {', "[]"])
def test_a_damaged_cell_is_named(folder, text):
    cell = next((folder / "cells").glob("*.json"))
    cell.write_text(text)
    found = {finding.checked: finding for finding in audit(folder, 0)}
    assert found["files"].sound is False
    assert cell.stem in found["files"].words
    assert found["rows"].sound is None
    with pytest.raises(OSError, match=rf"{cell.name}, .* is damaged .*: run the same sweep into this folder again"):
        list(Results(folder).loaded())


def test_rows_that_are_gone_are_found(folder):
    (folder / "rows.csv").unlink()
    assert states(folder)["rows"] is False


def test_cells_of_no_store_are_found(folder):
    run = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**run, "sources": []}))
    assert states(folder)["files"] is False


def test_results_and_stores_may_move_together(folder, tmp_path, monkeypatch):
    run = json.loads((folder / "run.json").read_text())
    run["sources"][0]["store"] = "elsewhere/toy.zarr"
    (folder / "run.json").write_text(json.dumps(run))
    monkeypatch.chdir(tmp_path.parent)
    assert states(folder) == {"files": True, "rows": True, "store": True, "again": True}


def test_a_polished_table_is_found(folder):
    rows = pd.read_csv(folder / "rows.csv")
    rows.loc[0, "value"] = 1.5
    rows.to_csv(folder / "rows.csv", index=False)
    assert states(folder)["rows"] is False


def next_number(number):
    return float(np.nextafter(number, np.inf))


def test_last_digits_of_another_processor_are_no_alarm(folder):
    def edit(saved):
        for row in saved["rows"]:
            for name, value in row.items():
                if isinstance(value, float) and name != "seconds":
                    row[name] = next_number(value)

    for cell in (folder / "cells").glob("*.json"):
        change(cell, edit)
    # rows.csv still has the digits from before; and each seed computes another cell again
    for seed in range(4):
        assert states(folder, seed) == {"files": True, "rows": True, "store": True, "again": True}


@pytest.mark.parametrize(
    ("column", "edited"),
    [
        ("value", lambda value: value * (1 + 1e-8)),
        ("n", lambda value: value + 1),
        ("leaked", lambda value: value + 1),
        ("metric", lambda value: f"{value} "),
    ],
)
def test_what_differs_by_more_than_last_digits_is_found(folder, column, edited):
    rows = pd.read_csv(folder / "rows.csv")
    rows.loc[1, column] = edited(rows.loc[1, column])
    rows.to_csv(folder / "rows.csv", index=False)
    assert states(folder)["rows"] is False


def test_a_row_less_or_a_column_more_is_found(folder):
    rows = pd.read_csv(folder / "rows.csv")
    for other in (rows.iloc[1:], rows.assign(more=1), rows.iloc[:, ::-1]):
        other.to_csv(folder / "rows.csv", index=False)
        assert states(folder)["rows"] is False


def test_cells_without_checksums_are_not_checked_and_not_wrong(folder):
    for cell in (folder / "cells").glob("*.json"):
        saved = json.loads(cell.read_text())
        del saved["sha256"]
        cell.write_text(json.dumps(saved))
    found = {finding.checked: finding for finding in audit(folder, 0)}
    assert found["files"].sound is None
    assert "4 of 4 cells have no checksum" in found["files"].words
    assert (found["rows"].sound, found["again"].sound) == (True, True)


def test_another_store_in_the_same_place_is_found(folder, make_store, tmp_path):
    shutil.rmtree(tmp_path / "toy.zarr")
    make_store(count=31)
    found = states(folder)
    assert (found["store"], found["again"]) == (False, None)


def test_without_its_store_nothing_is_computed_again(folder, tmp_path):
    shutil.rmtree(tmp_path / "toy.zarr")
    found = states(folder)
    assert (found["files"], found["rows"], found["store"], found["again"]) == (True, True, None, None)
