"""Heads that were found on some tasks, in a file, for other tasks: never for those that they were found on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from savs_analyze.runs.saved import are_heads, read_json
from savs_stores import BenchmarkInfo, ModelVectors
from savs_stores.format.fingerprint import fingerprint

FORMAT, VERSION = "savs heads", 1
# What the identity of a harvested model says of tasks, not of vectors.
OF_TASKS = ("answers", "logits")
FOUND_ON = ("benchmark", "task", "source", "classes")


@dataclass(frozen=True)
class FoundHeads:
    """Heads as (layer, place in it), best first, of the model that they are of, and where they were found.

    `table` is the hash of the model's head table; `found_on` says of every task its name, its benchmark and the
    benchmark's source, and a hash of its classes: another wording or part of it is the same task. `made_by` is
    the hash of the model, "" where the file does not say it.
    """

    heads: tuple[tuple[int, int], ...]
    model: str
    table: str
    found_on: tuple[Mapping[str, str], ...]
    made_by: str = ""

    @classmethod
    def read(cls, path: Path) -> FoundHeads:
        """Raises ValueError where the file is none of ours."""
        try:
            said = read_json(path)
            if (said["format"], said["version"]) != (FORMAT, VERSION):
                raise ValueError("it is of another format or version")
            found_on = tuple({name: str(one[name]) for name in FOUND_ON} for one in said["found_on"])
            if not found_on:
                raise ValueError("it does not say where its heads were found")
            return cls(
                _heads(said["heads"]),
                str(said["model"]),
                str(said["head_table_hash"]),
                found_on,
                str(said.get("model_hash", "")),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"--heads {path} is no file of savs-analyze heads: {error}") from error

    def written(self) -> str:
        """Return what stands in the file."""
        said: dict[str, Any] = {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "head_table_hash": self.table,
        }
        said |= {"model_hash": self.made_by} if self.made_by else {}
        return json.dumps(said | {"found_on": list(self.found_on), "heads": self.heads}, indent=1) + "\n"

    def check(self, vectors: ModelVectors) -> None:
        """Raise ValueError for vectors without these heads, and of a task that the heads were found on."""
        if vectors.heads.hash() != self.table:
            raise ValueError(
                f"the heads are of {self.model}, {vectors.store.path} holds others: {vectors.name}, "
                f"{vectors.heads.describe()}"
            )
        if self.made_by not in ("", model_hash(vectors)):
            raise ValueError(
                f"the heads are of {self.model}, and {vectors.name} in {vectors.store.path} is another model with as "
                "many: their heads do not compare"
            )
        table = set(zip(vectors.heads.layer.tolist(), vectors.heads.head_in_layer.tolist(), strict=True))
        if unknown := [head for head in self.heads if head not in table]:
            raise ValueError(f"the heads hold {unknown[0]}, (layer, place in it), which {self.model} does not have")
        here = [task_facts(vectors.store.benchmark, task) for task in vectors.store.benchmark.tasks]
        for mine, theirs in product(here, self.found_on):
            if _same(mine, theirs):
                raise ValueError(
                    f"the heads were found on {theirs['benchmark']}, task {theirs['task']!r}, of which "
                    f"{mine['benchmark']} is: zero-shot they would be no more; find them on other stores "
                    "(savs-analyze heads)"
                )


def _heads(found: Any) -> tuple[tuple[int, int], ...]:
    """Return heads as pairs. Raises ValueError where they are none, or one stands there twice."""
    heads = tuple((layer, place) for layer, place in found) if found and are_heads(found) else ()
    if len(set(heads)) < max(1, len(heads)):
        raise ValueError("its heads are no pairs of layer and place, each once")
    return heads


def _same(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Tell whether two tasks are one: by name, or as the same classes from the same source."""
    named = all(one[name] == other[name] for name in ("benchmark", "task"))
    return named or (one["source"] != "" and all(one[name] == other[name] for name in ("source", "classes")))


def model_hash(vectors: ModelVectors) -> str:
    """Return the hash of all that made vectors but what a task asks: how its answers and logits are read."""
    return fingerprint({name: value for name, value in vectors.identity.items() if name not in OF_TASKS})


def task_facts(benchmark: BenchmarkInfo, task: str) -> dict[str, str]:
    """Return what a task is known by, whatever the wording of its question."""
    classes = fingerprint({"classes": list(benchmark.tasks[task])})
    return dict(zip(FOUND_ON, (benchmark.name, task, benchmark.source, classes), strict=True))
