"""A folder of results: one pair of files a finished cell, and the tidy rows of all of them.

results/demo/run.json          the command, settings and versions
results/demo/rows.csv          one measurement a row
results/demo/cells/KEY.json    a cell's settings, facts and rows; written last, so its being there means done
results/demo/cells/KEY.npz     its predictions and the scores of all classes, for intervals and tests

Both JSON files name the version of their `format`. The first had no scores and no such name; its cells are read, stay
finished, and lack the metrics that need scores.

A cell's JSON holds the SHA-256 of itself and its arrays, which every reader compares. That finds damage: whoever
changes a cell on purpose can change its checksum too.
"""

from __future__ import annotations

import hashlib
import json
import sys
import uuid
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from jaxtyping import Float16

from savs_analyze.measure.metrics import METRICS, origins_of, unit_scores
from savs_analyze.measure.units import Units
from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.saved import (
    FORMAT,
    MOST_ARRAY_BYTES,
    NewerFormatError,
    check_cell,
    check_format,
    check_run,
    read_arrays,
    read_bytes,
    read_json,
)
from savs_analyze.runs.spreadsheet import csv_text
from savs_stores.place.folder import enclosing_store
from savs_stores.terminal import command

# Arrays that the cells of one folder may hold together.
MOST_BYTES_IN_ALL = 2**33
# What damaged files make their readers raise.
DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    EOFError,
    RuntimeError,
    BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class CellResult:
    """A finished cell.

    `facts` are its settings and what was found; `predicted` is `[setting, sample]`, and `sample`, `label`,
    `group`, `slot` describe the samples; those in `validation` choose hyperparameters, the others are tested.
    `scores` are `[setting, sample, class]` as `to_scores` makes them, where there are any.
    """

    facts: CellFacts
    rows: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]

    def units(self, setting: int, split: str = "test") -> Units:
        """Return the scored units of one setting, on the samples that are tested or on those that validate."""
        of_split = self.arrays["validation"] == (split == "validation")
        described = {name: self.arrays[name][of_split] for name in ("label", "sample", "group", "slot")}
        predicted = self.arrays["predicted"][setting][of_split]
        scores = self.scores(setting)
        kept = None if scores is None else scores[of_split]
        return unit_scores(self.facts.metric, predicted, **described, classes=self.facts.classes, scores=kept)

    def scores(self, setting: int) -> Float16[np.ndarray, "sample class"] | None:
        """Return the kept scores of one setting, None where the cell has none."""
        return self.arrays["scores"][setting] if "scores" in self.arrays else None


def missing_metric(facts: CellFacts) -> str:
    """Return in words that the metric of a cell is not here as it was, and where it was from; empty where it is."""
    metric, origins = facts.metric, facts.origins
    here = origins_of(metric)
    if metric in METRICS and all(one.sha256 in {origin["sha256"] for origin in origins} for one in here):
        return ""
    from_where = ", ".join(f"{one['source']} (SHA-256 {one['sha256'][:12]})" for one in origins)
    return f"the metric {metric} is not here as it was: --include it, or install it; of {from_where}"


class Results:
    """The folder of one sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"

    def has(self, key: str) -> bool:
        return (self.cells / f"{key}.json").exists()

    def refuse_newer(self) -> None:
        """Raise NewerFormatError where a later version of savs wrote here; what is damaged may be written over."""
        run = self.folder / "run.json"
        try:
            check_format(run, read_json(run))
        except NewerFormatError:
            raise
        except DAMAGE:
            return

    def save(self, key: str, result: CellResult) -> None:
        """Write a cell: arrays first, then the file that says it is finished."""
        saved: dict[str, Any] = {"format": FORMAT, "facts": result.facts.to_json(), "rows": result.rows}
        with replaced(self.cells / f"{key}.npz") as arrays:
            with arrays.open("wb") as file:
                np.savez_compressed(file, allow_pickle=False, **result.arrays)
            saved["sha256"] = _digest(saved, arrays.read_bytes())
        _write_text(self.cells / f"{key}.json", json.dumps(saved, indent=1))

    def load(self, key: str) -> CellResult:
        """Return a cell. Raises OSError naming its file where it is not as it was saved, or of a later format."""
        return self._read(key)[0]

    def is_intact(self, key: str) -> bool | None:
        """Tell whether a cell is there, as it was saved; None for one of an older version, without a checksum.

        Raises NewerFormatError for one of a later format.
        """
        try:
            return True if self._read(key)[1] else None
        except NewerFormatError:
            raise
        except OSError:
            return False

    def _read(self, key: str) -> tuple[CellResult, bool]:
        """Return a cell, and whether it was compared with a checksum. Raises as `load`."""
        path = self.cells / f"{key}.json"
        try:
            saved = read_json(path)
            check_format(path, saved)
            content = read_bytes(path.with_suffix(".npz"), MOST_ARRAY_BYTES)
            digest = saved.pop("sha256", None)
            if digest is not None and digest != _digest(saved, content):
                raise ValueError("it is not what its checksum says")
            arrays = read_arrays(content)
            check_cell(saved["facts"], saved["rows"], arrays)
            return CellResult(CellFacts.from_json(saved["facts"]), saved["rows"], arrays), digest is not None
        except NewerFormatError:
            raise
        except DAMAGE as error:
            raise OSError(
                f"{path}, or the .npz beside it, is damaged ({error}): run the same sweep into this folder again, "
                "it computes this cell anew and keeps the others"
            ) from error

    def finish(self, run: dict[str, Any]) -> Path:
        """Write `run.json` and the rows of the run's cells; return the file of the rows.

        What cells lack, and why, is among the notes. Raises ValueError where no cell has a result.
        """
        rows: list[dict[str, Any]] = []
        faulty: list[CellFacts] = []
        for cell in map(self.load, run["cells"]):
            rows += cell.rows
            faulty += [cell.facts] if cell.facts.fault else []
        if faulty and not rows:
            raise ValueError(f"no draw can be learnt from: {faulty[0].fault}")
        noted = {"format": FORMAT} | run | {"notes": [*run.get("notes", ()), *_notes_of(faulty)]}
        _write_text(self.folder / "run.json", json.dumps(noted, indent=1))
        _write_text(self.folder / "rows.csv", csv_text(pd.DataFrame(rows)))
        return self.folder / "rows.csv"

    def loaded(self) -> Iterable[CellResult]:
        """Yield the cells with results of the last finished sweep in this folder; raises as `run` and `load`.

        Says on stderr how many of them have no checksum to compare with.
        """
        unchecked = held = 0
        for key in self.run()["cells"]:
            cell, checked = self._read(key)
            unchecked += not checked
            held += sum(array.nbytes for array in cell.arrays.values())
            if held > MOST_BYTES_IN_ALL:
                raise OSError(f"the cells in {self.folder} hold more than {MOST_BYTES_IN_ALL:,} bytes together")
            if not cell.facts.fault:
                yield cell
        if unchecked:
            print(
                f"{self.folder}: {unchecked:,} cells are of an older version without checksums and were not checked",
                file=sys.stderr,
            )

    def _how_to_begin(self) -> str:
        store = enclosing_store(self.folder)
        if store is None:
            begin = command("savs-analyze", "sweep", "--store", "STORE", "--out", self.folder)
            return f"holds no finished sweep; make one with: {begin}"
        named = self.folder if self.folder.resolve() == store else store
        begin = command("savs-analyze", "sweep", "--store", named, "--out", Path("results") / store.stem)
        return f"is a store, not a folder of results; sweep it first: {begin}"

    def notes(self) -> list[str]:
        """Return what the last finished sweep left out, and why; raises as `run`."""
        return list(self.run().get("notes", ()))

    def run(self) -> dict[str, Any]:
        """Return what `run.json` says of the last finished sweep: command, sources, cells, versions, notes.

        Raises FileNotFoundError where none has finished, OSError where it cannot be read.
        """
        run = self.folder / "run.json"
        if not run.exists():
            raise FileNotFoundError(f"{self.folder} {self._how_to_begin()}")
        try:
            found = read_json(run)
            check_format(run, found)
            check_run(found)
            return found
        except NewerFormatError:
            raise
        except DAMAGE as error:
            raise OSError(f"{run} is damaged ({error}): run the same sweep into this folder again") from error


def _notes_of(faulty: Iterable[CellFacts]) -> Iterator[str]:
    """Yield a note a method and number of shots on the draws that have no result, with the first reason."""
    of_method: dict[tuple[str, ...], list[CellFacts]] = {}
    for facts in faulty:
        key = facts.benchmark, facts.model, facts.task, facts.method, str(facts.shots)
        of_method.setdefault(key, []).append(facts)
    for (benchmark, model, task, method, shots), found in of_method.items():
        draws = ", ".join(str(facts.draw) for facts in found)
        yield (
            f"{benchmark}, {model}, {task}: {method} has no result at {shots} shots in the draws {draws}: "
            f"{found[0].fault}."
        )


def refuse_store(path: Path) -> None:
    """Raise ValueError where writing to a path would write into a store, and break it."""
    if store := enclosing_store(path):
        raise ValueError(f"{path} is in the store {store}: results would break it, name another place with --out")


def _digest(saved: dict[str, Any], arrays: bytes) -> str:
    return hashlib.sha256(json.dumps(saved, sort_keys=True).encode() + arrays).hexdigest()


def _write_text(path: Path, text: str) -> None:
    with replaced(path) as beside:
        beside.write_text(text, encoding="utf-8")


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Yield a file beside `path`, of the same ending, that takes its place when it is written: whole, or not at all."""
    refuse_store(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{uuid.uuid4().hex}.{path.name}")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
