"""Whether results still are what was computed: their files, the stores they come from, and one cell again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from savs_analyze.cells import Cell
from savs_analyze.group import run_cells
from savs_analyze.results import CellResult, Results
from savs_analyze.settings import Setting
from savs_analyze.sweep import base_cell
from savs_analyze.validation import Validation
from savs_stores import ModelVectors, StoreError, open_store


@dataclass(frozen=True)
class Finding:
    """One thing that was checked; `sound` is None where it could not be."""

    checked: str
    sound: bool | None
    words: str


def audit(folder: Path, seed: int | None = None) -> Iterator[Finding]:
    """Yield what is found: files of cells, rows, stores, and a random cell computed again (of `seed`, if given).

    Raises FileNotFoundError where no sweep has finished.
    """
    results = Results(folder)
    run = results.run()
    keys, sources = run["cells"], run["sources"]
    loaded = {key: results.load(key) for key in keys if results.is_intact(key)}
    yield _files(keys, loaded, sources)
    yield _rows(results, keys, loaded)
    places: dict[str, dict[str, Any]] = {}
    for source in sources:
        finding, found = _store(source, results.folder, loaded)
        yield finding
        places |= dict.fromkeys(set(source["cells"]) & set(loaded), found) if finding.sound else {}
    yield _again(places, loaded, seed)


def as_cell(facts: dict[str, Any]) -> Cell:
    """Return the cell that facts are of."""
    named = {field.name: facts[field.name] for field in fields(Cell)}
    named["settings"] = tuple(Setting.from_json(found) for found in named["settings"])
    return Cell(**{**named, "validation": Validation(**named["validation"])})


def _files(keys: list[str], loaded: dict[str, CellResult], sources: list[dict[str, Any]]) -> Finding:
    """Check that every cell is there as it was saved, is named after what it is, and is of a source."""
    if broken := [key for key in keys if key not in loaded]:
        return Finding("files", False, f"{len(broken):,} of {len(keys):,} are missing or changed: {broken[0]}")
    if other := [key for key, result in loaded.items() if _key_of(result) != key]:
        return Finding("files", False, f"{len(other):,} of {len(keys):,} are not of what they are named: {other[0]}")
    if sorted(key for source in sources for key in source["cells"]) != sorted(keys):
        return Finding("files", False, "run.json does not say of every cell which store it is from")
    return Finding("files", True, f"{len(keys):,} cells")


def _key_of(result: CellResult) -> str:
    try:
        return as_cell(result.facts).key
    except (KeyError, TypeError, ValueError):
        return ""


def _rows(results: Results, keys: list[str], loaded: dict[str, CellResult]) -> Finding:
    """Compute every value again from predictions, and compare cells and `rows.csv` with it."""
    if len(loaded) < len(keys):
        return Finding("rows", None, "not all cells are there")
    for key, result in loaded.items():
        for row in result.rows:
            units = result.units(result.facts["columns"].index(row["setting"]), row["split"])
            found = units.values()[row["metric"]], len(units.unit)
            if not np.allclose(found, (row["value"], row["n"]), rtol=0, atol=1e-12):
                return Finding("rows", False, f"cell {key}: {row['metric']} of {row['setting']} is not {row['value']}")
    rows = [row for key in keys for row in loaded[key].rows]
    written = results.folder / "rows.csv"
    same = written.exists() and written.read_text() == pd.DataFrame(rows).to_csv(index=False)
    return Finding("rows", same, f"{len(rows):,} rows" if same else "rows.csv is not what the cells hold")


def _store(source: dict[str, Any], folder: Path, loaded: dict[str, CellResult]) -> tuple[Finding, ModelVectors | None]:
    """Return whether a store still holds the vectors that its cells name, and the vectors."""
    model, path = source["model"], source["store"]
    if not Path(path).exists() and (folder / source["from_here"]).exists():
        path = str(folder / source["from_here"])
    try:
        vectors = open_store(path, allow_partial=True)[model]
    except (StoreError, OSError, KeyError) as error:
        return Finding("store", None, f"{path}: cannot be read ({error})"), None
    base = base_cell(vectors, Cell("", "", "", "", "", ""))
    of_store = [loaded[key] for key in source["cells"] if key in loaded]
    pinned = ("fingerprint", "index_hash", "records", "metric")
    changed = {name for result in of_store for name in pinned if result.facts[name] != getattr(base, name)}
    words = f"{path}: {model}, {len(of_store):,} cells"
    if changed:
        words = f"{path}: {model} has another {', '.join(sorted(changed))} than the results"
    return Finding("store", not changed, words), vectors


def _again(places: dict[str, Any], loaded: dict[str, CellResult], seed: int | None) -> Finding:
    """Compute one cell again: predictions, facts and rows must be the same."""
    if not places:
        return Finding("again", None, "no cell can be computed again without its store")
    key = sorted(places)[int(np.random.default_rng(seed).integers(len(places)))]
    known = loaded[key]
    [(_, result)] = run_cells(places[key], [as_cell(known.facts)])
    differing = [name for name in known.arrays if not np.array_equal(result.arrays[name], known.arrays[name])]
    differing += [] if json.loads(json.dumps(result.facts)) == known.facts else ["facts"]
    differing += [] if _timeless(result.rows) == _timeless(known.rows) else ["rows"]
    facts = known.facts
    words = f"{facts['method']}, {facts['benchmark']}, {facts['model']}, draw {facts['draw']}"
    return Finding("again", not differing, f"{words}: {'other ' + ', '.join(differing) if differing else 'the same'}")


def _timeless(rows: list[dict[str, Any]]) -> str:
    return json.dumps([{name: value for name, value in row.items() if name != "seconds"} for row in rows])
