"""Heads that were found on some tasks, in a file, for other tasks: never for those that they were found on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs_stores import ModelVectors

FORMAT, VERSION = "savs heads", 1


@dataclass(frozen=True)
class FoundHeads:
    """Heads as (layer, place in it), best first, of the model that they are of, and where they were found.

    `table` is the hash of the model's head table; `found_on` says of every task its benchmark, name, samples and
    pictures.
    """

    heads: tuple[tuple[int, int], ...]
    model: str
    table: str
    found_on: tuple[Mapping[str, str], ...]

    @classmethod
    def read(cls, path: Path) -> FoundHeads:
        """Raises ValueError where the file is none of ours."""
        try:
            said: Any = json.loads(path.read_text(encoding="utf-8"))
            if (said["format"], said["version"]) != (FORMAT, VERSION):
                raise ValueError("it is of another format or version")
            heads = tuple((int(layer), int(place)) for layer, place in said["heads"])
            found_on = tuple({name: str(one[name]) for name in ("benchmark", "task")} for one in said["found_on"])
            return cls(heads, str(said["model"]), str(said["head_table_hash"]), found_on)
        except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"--heads {path} is no file of savs-analyze heads: {error}") from error

    def written(self) -> str:
        """Return what stands in the file."""
        said = {"format": FORMAT, "version": VERSION, "model": self.model, "head_table_hash": self.table}
        return json.dumps(said | {"found_on": list(self.found_on), "heads": self.heads}, indent=1) + "\n"

    def check(self, vectors: ModelVectors) -> None:
        """Raise ValueError for vectors of another model, and of a task that the heads were found on."""
        if vectors.heads.hash() != self.table:
            raise ValueError(
                f"the heads are of {self.model}, {vectors.store.path} holds others: {vectors.name}, "
                f"{vectors.heads.describe()}"
            )
        benchmark = vectors.store.benchmark
        for one in self.found_on:
            if one["benchmark"] == benchmark.name and one["task"] in benchmark.tasks:
                raise ValueError(
                    f"the heads were found on {benchmark.name}, task {one['task']!r}: zero-shot they would be no more; "
                    "find them on other stores (savs-analyze heads)"
                )
