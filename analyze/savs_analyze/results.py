"""A folder of results: one pair of files a finished cell, and the tidy rows of all of them.

results/demo/run.json          the command, settings and versions
results/demo/rows.csv          one measurement a row
results/demo/cells/KEY.json    a cell's settings, facts and rows; written last, so its being there means done
results/demo/cells/KEY.npz     its predictions, for intervals and tests
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from savs_analyze.metrics import Units, unit_scores


@dataclass(frozen=True)
class CellResult:
    """A finished cell.

    `facts` are its settings and what was found; `predicted` is `[setting, sample]`, and `sample`, `label`,
    `group`, `slot` describe the samples; those in `validation` choose hyperparameters, the others are tested.
    """

    facts: dict[str, Any]
    rows: list[dict[str, Any]]
    arrays: dict[str, np.ndarray]

    def units(self, setting: int, split: str = "test") -> Units:
        """Return the scored units of one setting, on the samples that are tested or on those that validate."""
        of_split = self.arrays["validation"] == (split == "validation")
        described = {name: self.arrays[name][of_split] for name in ("label", "sample", "group", "slot")}
        predicted = self.arrays["predicted"][setting][of_split]
        return unit_scores(self.facts["metric"], predicted, **described, classes=self.facts["classes"])


class Results:
    """The folder of one sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cells = folder / "cells"

    def has(self, key: str) -> bool:
        return (self.cells / f"{key}.json").exists()

    def save(self, key: str, result: CellResult) -> None:
        """Write a cell: arrays first, then the file that says it is finished."""
        self.cells.mkdir(parents=True, exist_ok=True)
        arrays = self.cells / f".{key}.{uuid.uuid4().hex}.npz"
        with arrays.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **result.arrays)
        saved = {"facts": result.facts, "rows": result.rows}
        saved["sha256"] = _digest(saved, arrays.read_bytes())
        arrays.replace(self.cells / f"{key}.npz")
        _write_text(self.cells / f"{key}.json", json.dumps(saved, indent=1))

    def load(self, key: str) -> CellResult:
        path = self.cells / f"{key}.json"
        try:
            saved = json.loads(path.read_text())
            with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
                return CellResult(saved["facts"], saved["rows"], dict(arrays))
        except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise OSError(f"{path} is damaged ({error}): delete it and run the sweep again") from error

    def is_intact(self, key: str) -> bool:
        """Tell whether a cell is there, as it was saved."""
        try:
            saved = json.loads((self.cells / f"{key}.json").read_text())
            arrays = (self.cells / f"{key}.npz").read_bytes()
            return bool(saved.pop("sha256") == _digest(saved, arrays))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def finish(self, run: dict[str, Any]) -> Path:
        """Write `run.json` and the rows of the run's cells; return the file of the rows."""
        rows = [row for key in run["cells"] for row in self.load(key).rows]
        _write_text(self.folder / "run.json", json.dumps(run, indent=1))
        _write_text(self.folder / "rows.csv", pd.DataFrame(rows).to_csv(index=False))
        return self.folder / "rows.csv"

    def loaded(self) -> Iterable[CellResult]:
        """Yield the cells of the last finished sweep in this folder; raises as `run`."""
        for key in self.run()["cells"]:
            yield self.load(key)

    def notes(self) -> list[str]:
        """Return what the last finished sweep left out, and why; raises as `run`."""
        return list(self.run().get("notes", ()))

    def run(self) -> dict[str, Any]:
        """Return what `run.json` says of the last finished sweep: command, sources, cells, versions, notes.

        Raises FileNotFoundError where none has finished.
        """
        run = self.folder / "run.json"
        if not run.exists():
            raise FileNotFoundError(
                f"{self.folder} holds no finished sweep; make one with: "
                f"savs-analyze sweep --store STORE --out {self.folder}"
            )
        return dict(json.loads(run.read_text()))


def _digest(saved: dict[str, Any], arrays: bytes) -> str:
    return hashlib.sha256(json.dumps(saved, sort_keys=True).encode() + arrays).hexdigest()


def _write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    beside.write_text(text)
    beside.replace(path)
