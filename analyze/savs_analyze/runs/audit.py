"""Whether results still are what was computed: their files, the stores they come from, and one cell again.

Numbers are compared, not their texts: whole numbers, names and predictions exactly, scores to the relative
difference `OF_SCORES`, what an iterative solver tells of itself to `OF_SOLVERS`. Another processor adds in
another order, and changes last digits.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from savs_analyze.measure.metrics import METRICS, origins_of
from savs_analyze.runs.cells import Cell
from savs_analyze.runs.draw_pass import run_cells
from savs_analyze.runs.results import CellResult, Results, missing_metric
from savs_analyze.runs.saved import MOST_JSON_BYTES, read_bytes
from savs_analyze.runs.sources import place_of_source
from savs_analyze.runs.spreadsheet import csv_text
from savs_analyze.runs.sweep import base_cell
from savs_metrics import OF_SCORES as OF_KEPT_SCORES
from savs_stores import ModelVectors, StoreError, open_store
from savs_stores.terminal import counted

OF_SCORES, OF_SOLVERS = 1e-9, 1e-6
# What a solver tells of how it ended; the gap is a small part of its objective.
REPORTED = ("alpha", "objective", "gap")


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
    intact = {key: results.is_intact(key) for key in keys}
    loaded = {key: results.load(key) for key in keys if intact[key] is not False}
    yield _files(keys, loaded, sources, sum(state is None for state in intact.values()))
    yield _rows(results, keys, loaded)
    places: dict[str, dict[str, Any]] = {}
    for source in sources:
        finding, found = _store(source, results.folder, loaded)
        yield finding
        places |= dict.fromkeys(set(source["cells"]) & set(loaded), found) if finding.sound else {}
    for missing in _missing_rooms(loaded.values()):
        yield Finding("methods", None, missing)
    yield _again({key: place for key, place in places.items() if _is_known(loaded[key])}, loaded, seed)


def _cell_of(result: CellResult) -> Cell:
    return Cell.from_json(result.facts.to_json())


def _is_known(result: CellResult) -> bool:
    """Tell whether the methods and the metric of a cell are here, with the same source."""
    cell = _cell_of(result)
    known = all(setting.is_known for setting in cell.settings) and cell.metric in METRICS
    here = [*origins_of(cell.metric), *(origin for setting in cell.settings for origin in setting.origins)]
    return known and {origin.sha256 for origin in here} == {origin.sha256 for origin in cell.origins}


def _missing_rooms(results: Iterable[CellResult]) -> Iterator[str]:
    """Yield of everything from outside that is not here as it was, where it was from."""
    told: dict[str, None] = {}
    for result in results:
        if missing := missing_metric(result.facts):
            told[missing] = None
        elif not _is_known(result):
            from_where = ", ".join(f"{one.source} (SHA-256 {one.sha256[:12]})" for one in _cell_of(result).origins)
            told[f"{result.facts.method} is not here as it was: --include it, or install it; of {from_where}"] = None
    yield from told


def _files(keys: list[str], loaded: dict[str, CellResult], sources: list[dict[str, Any]], unchecked: int) -> Finding:
    """Check that every cell is there as it was saved, is named after what it is, and is of a source."""
    if broken := [key for key in keys if key not in loaded]:
        return Finding("files", False, f"{len(broken):,} of {len(keys):,} are missing or changed: {broken[0]}")
    if other := [key for key, result in loaded.items() if _key_of(result) != key]:
        return Finding("files", False, f"{len(other):,} of {len(keys):,} are not of what they are named: {other[0]}")
    if sorted(key for source in sources for key in source["cells"]) != sorted(keys):
        return Finding("files", False, "run.json does not say of every cell which store it is from")
    if unchecked:
        return Finding(
            "files", None, f"{unchecked:,} of {len(keys):,} cells have no checksum: an older version wrote them"
        )
    return Finding("files", True, counted(len(keys), "cell"))


def _key_of(result: CellResult) -> str:
    try:
        return Cell.from_json(result.facts.to_json()).key
    except (KeyError, TypeError, ValueError):
        return ""


def _rows(results: Results, keys: list[str], loaded: dict[str, CellResult]) -> Finding:
    """Compute every value again from predictions, and compare cells and `rows.csv` with it."""
    if len(loaded) < len(keys):
        return Finding("rows", None, "not all cells are there")
    if missing := next(filter(None, (missing_metric(result.facts) for result in loaded.values())), ""):
        return Finding("rows", None, missing)
    for key, result in loaded.items():
        measured: dict[tuple[str, str], tuple[dict[str, float], int]] = {}
        for row in result.rows:
            of = row["setting"], row["split"]
            if of not in measured:
                units = result.units(result.facts.columns.index(row["setting"]), row["split"])
                measured[of] = units.values(), len(units.unit)
            values, count = measured[of]
            least = OF_SCORES if row["metric"] in OF_KEPT_SCORES else 0.0
            if not (_is_close(values.get(row["metric"]), row["value"], least=least) and count == row["n"]):
                return Finding("rows", False, f"cell {key}: {row['metric']} of {row['setting']} is not {row['value']}")
    rows = [row for key in keys for row in loaded[key].rows]
    same = _same_tables(results.folder / "rows.csv", pd.DataFrame(rows))
    return Finding("rows", same, counted(len(rows), "row") if same else "rows.csv is not what the cells hold")


def _store(source: dict[str, Any], folder: Path, loaded: dict[str, CellResult]) -> tuple[Finding, ModelVectors | None]:
    """Return whether a store still holds the vectors that its cells name, and the vectors."""
    model, path = source["model"], place_of_source(source, folder)
    try:
        vectors = open_store(path, allow_partial=True)[model]
    except (StoreError, OSError, KeyError) as error:
        return Finding("store", None, f"{path}: cannot be read ({error})"), None
    base = base_cell(vectors, Cell("", "", "", "", "", ""))
    of_store = [loaded[key] for key in source["cells"] if key in loaded]
    pinned = ("fingerprint", "index_hash", "records", "metric")
    changed = {name for result in of_store for name in pinned if getattr(result.facts, name) != getattr(base, name)}
    if {result.facts.class_vectors for result in of_store} - {None, base.class_vectors}:
        changed.add("hash of class vectors")
    words = f"{path}: {model}, {counted(len(of_store), 'cell')}"
    if changed:
        words = f"{path}: {model} has another {', '.join(sorted(changed))} than the results"
    return Finding("store", not changed, words), vectors


def _again(places: dict[str, Any], loaded: dict[str, CellResult], seed: int | None) -> Finding:
    """Compute one cell again: predictions, facts and rows must be the same."""
    if not places:
        return Finding("again", None, "no cell can be computed again without its store")
    key = sorted(places)[int(np.random.default_rng(seed).integers(len(places)))]
    known = loaded[key]
    [(_, result)] = run_cells(places[key], [Cell.from_json(known.facts.to_json())])
    if "scores" not in known.arrays and not known.facts.without_scores:
        result = _as_first_format(result)
    differing = [name for name in known.arrays if not _same_arrays(result.arrays.get(name), known.arrays[name])]
    differing += [] if json.loads(json.dumps(result.facts.to_json())) == known.facts.to_json() else ["facts"]
    differing += [] if _same_rows(result.rows, known.rows) else ["rows"]
    facts = known.facts
    words = f"{facts.method}, {facts.benchmark}, {facts.model}, draw {facts.draw}"
    return Finding("again", not differing, f"{words}: {'other ' + ', '.join(differing) if differing else 'the same'}")


def _as_first_format(result: CellResult) -> CellResult:
    """Return a cell without scores and all that is made of them."""
    arrays = {name: array for name, array in result.arrays.items() if name != "scores"}
    rows = [row for row in result.rows if row["metric"] not in OF_KEPT_SCORES]
    return CellResult(replace(result.facts, without_scores=None), rows, arrays)


def _same_arrays(found: np.ndarray | None, known: np.ndarray) -> bool:
    """Tell whether two arrays hold the same; kept scores may be the next float16, as last digits round either way."""
    if found is None or found.shape != known.shape:
        return False
    if known.dtype != np.float16:
        return np.array_equal(found, known)
    return bool(((found == known) | (np.nextafter(found, known) == known)).all())


def _same_rows(found: list[dict[str, Any]], known: list[dict[str, Any]]) -> bool:
    return len(found) == len(known) and all(map(_same_row, json.loads(json.dumps(found)), known))


def _same_row(found: dict[str, Any], known: dict[str, Any]) -> bool:
    """Tell whether two rows measure the same.

    Values of scores are those of the known scores, which rows were compared with: a last digit may move them further.
    """
    if list(found) != list(known):
        return False
    passed = {"seconds", "value"} if known["metric"] in OF_KEPT_SCORES else {"seconds"}
    scale = abs(known["objective"]) if isinstance(known.get("objective"), float) else 0.0
    for name in known:
        tolerance, least = (OF_SOLVERS, OF_SOLVERS * scale) if name in REPORTED else (OF_SCORES, 0.0)
        if name not in passed and not _is_close(found[name], known[name], tolerance, least):
            return False
    return True


def _same_tables(written: Path, rows: pd.DataFrame) -> bool:
    """Tell whether a CSV file holds these rows."""
    try:
        content = read_bytes(written, MOST_JSON_BYTES)
        found, known = (
            pd.read_csv(io.BytesIO(text), dtype=str, keep_default_na=False)
            for text in (content, csv_text(rows).encode())
        )
    except (OSError, ValueError):
        return False
    if list(found.columns) != list(known.columns) or found.shape != known.shape:
        return False
    unlike = found.to_numpy() != known.to_numpy()
    # An error of calibration is a small difference of larger numbers, and often 0.
    least = np.where(known["metric"].isin(OF_KEPT_SCORES), OF_SCORES, 0.0)[np.nonzero(unlike)[0]]
    return all(map(_same_texts, found.to_numpy()[unlike], known.to_numpy()[unlike], least))


def _same_texts(found: str, known: str, least: float) -> bool:
    """Tell whether two texts are close numbers; whole ones must be the same text."""
    try:
        return "." in known + found and _is_close(float(found), float(known), least=least)
    except ValueError:
        return False


def _is_close(found: Any, known: Any, relative: float = OF_SCORES, least: float = 0.0) -> bool:
    """Tell whether two values are the same, or two fractions as good as the same."""
    if isinstance(found, float) and isinstance(known, float):
        return math.isclose(found, known, rel_tol=relative, abs_tol=least) or (math.isnan(found) and math.isnan(known))
    return type(found) is type(known) and bool(found == known)
