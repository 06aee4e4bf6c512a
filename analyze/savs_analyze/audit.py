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
from savs_analyze.methods import Setting
from savs_analyze.results import CellResult, Results
from savs_analyze.sweep import base_cell
from savs_analyze.validation import Validation
from savs_stores import StoreError, open_store


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
    keys = results.run()["cells"]
    yield _files(results, keys)
    loaded = {key: results.load(key) for key in keys if results.is_intact(key)}
    yield _rows(results, loaded)
    places: dict[str, dict[str, Any]] = {}
    for source in results.run()["sources"]:
        finding, cells = _store(source, loaded)
        yield finding
        places |= dict.fromkeys(cells, source) if finding.sound else {}
    yield _again(places, loaded, seed)


def as_cell(facts: dict[str, Any]) -> Cell:
    """Return the cell that facts are of."""
    named = {field.name: facts[field.name] for field in fields(Cell)}
    named["settings"] = tuple(Setting.from_json(found) for found in named["settings"])
    return Cell(**{**named, "validation": Validation(**named["validation"])})


def _files(results: Results, keys: list[str]) -> Finding:
    broken = [key for key in keys if not results.is_intact(key)]
    words = (
        f"{len(keys):,} cells"
        if not broken
        else f"{len(broken):,} of {len(keys):,} are missing or changed: {broken[0]}"
    )
    return Finding("files", not broken, words)


def _rows(results: Results, loaded: dict[str, CellResult]) -> Finding:
    """Compute every value again from predictions, and compare cells and `rows.csv` with it."""
    for key, result in loaded.items():
        names = {name: place for place, name in enumerate(result.facts["columns"])}
        splits = {(row["setting"], row["split"]) for row in result.rows}
        values = {pair: result.units(names[pair[0]], pair[1]).values() for pair in splits}
        for row in result.rows:
            if not np.isclose(row["value"], values[row["setting"], row["split"]][row["metric"]], rtol=0, atol=1e-12):
                return Finding("rows", False, f"cell {key}: {row['metric']} of {row['setting']} is not {row['value']}")
    rows = [row for result in loaded.values() for row in result.rows]
    written = (results.folder / "rows.csv").read_text()
    same = written == pd.DataFrame(rows).to_csv(index=False)
    return Finding("rows", same, f"{len(rows):,} rows" if same else "rows.csv is not what the cells hold")


def _store(source: dict[str, Any], loaded: dict[str, CellResult]) -> tuple[Finding, list[str]]:
    """Return whether a store still holds the vectors that its cells name, and the keys of these cells."""
    path, model = source["store"], source["model"]
    try:
        vectors = open_store(path, allow_partial=True)[model]
    except (StoreError, OSError, KeyError) as error:
        return Finding("store", None, f"{path}: cannot be read ({error})"), []
    base = base_cell(vectors, Cell("", "", "", "", "", ""))
    of_store = {
        key: result
        for key, result in loaded.items()
        if (result.facts["benchmark"], result.facts["model"]) == (base.benchmark, model)
    }
    pinned = ("fingerprint", "index_hash", "records", "metric")
    changed = {name for result in of_store.values() for name in pinned if result.facts[name] != getattr(base, name)}
    words = f"{path}: {model}, {len(of_store):,} cells"
    if changed:
        words = f"{path}: {model} has another {', '.join(sorted(changed))} than the results"
    return Finding("store", not changed, words), list(of_store)


def _again(places: dict[str, dict[str, Any]], loaded: dict[str, CellResult], seed: int | None) -> Finding:
    if not places:
        return Finding("again", None, "no cell can be computed again without its store")
    key = sorted(places)[int(np.random.default_rng(seed).integers(len(places)))]
    source, known = places[key], loaded[key]
    vectors = open_store(source["store"], allow_partial=True)[source["model"]]
    [(_, result)] = run_cells(vectors, [as_cell(json.loads(json.dumps(known.facts)))])
    same = all(np.array_equal(result.arrays[name], known.arrays[name]) for name in known.arrays)
    facts = known.facts
    words = f"{facts['method']}, {facts['benchmark']}, {facts['model']}, draw {facts['draw']}"
    return Finding("again", same, f"{words}: {'the same predictions' if same else 'other predictions'}")
