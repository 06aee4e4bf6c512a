"""Prompts with answered questions in front: the papers' in-context baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from savs_benchmarks import Sample
from savs_stores import SampleTable


@dataclass(frozen=True)
class InContext:
    """How many answered questions stand in front of each one, and the seed that draws them."""

    shots: int = 0
    seed: int = 0

    @property
    def suffix(self) -> str:
        """What is added to a model's name: its vectors are of other prompts, of another seed of other ones."""
        return f"-icl{self.shots}{f'-seed{self.seed}' if self.seed else ''}" if self.shots else ""

    def to_json(self) -> dict[str, int]:
        """Return what fingerprints hash, under names that stay when a field is called something else."""
        return {"shots": self.shots, "seed": self.seed}


def candidates(samples: Sequence[Sample], table: SampleTable, seed: int) -> dict[str, list[int]]:
    """Return the rows of each task that may be shown, in the order in which they are: drawn, class after class.

    They are those that supports are drawn from, with pictures that can be read.
    """
    readable = np.array([all(table.image_hash[row, : len(s.images)]) for row, s in enumerate(samples)])
    order = np.random.default_rng(seed).permutation(len(samples))
    drawn: dict[str, dict[str, list[int]]] = {}
    for row in order[(readable & (table.label >= 0) & table.in_split("pool", "either"))[order]].tolist():
        drawn.setdefault(samples[row].task, {}).setdefault(samples[row].label, []).append(row)
    return {task: _class_after_class(by_class) for task, by_class in drawn.items()}


def _class_after_class(by_class: Mapping[str, Sequence[int]]) -> list[int]:
    """Return all rows, one of each class in turn."""
    longest = max(map(len, by_class.values()))
    return [rows[place] for place in range(longest) for rows in by_class.values() if place < len(rows)]


def choose_shots(
    row: int,
    rows: Sequence[int],
    samples: Sequence[Sample],
    table: SampleTable,
    count: int,
    usable: Callable[[int], bool] = lambda row: True,
) -> list[int]:
    """Return the first `count` usable rows that give nothing of `row` away: neither its pictures nor its group.

    Raises ValueError naming the task where there are too few.
    """
    shown = set(table.image_hash[row].tolist()) - {0}
    chosen: list[int] = []
    for candidate in rows:
        if len(chosen) == count:
            break
        same_group = table.group[row] >= 0 and table.group[candidate] == table.group[row]
        gives_away = same_group or not shown.isdisjoint(table.image_hash[candidate].tolist())
        if candidate != row and not gives_away and usable(candidate):
            chosen.append(candidate)
    if len(chosen) < count:
        raise ValueError(
            f"task {samples[row].task!r} has {len(chosen)} samples to show before {samples[row].sample_id!r}, "
            f"{count} are asked for: use a smaller --icl"
        )
    return chosen
