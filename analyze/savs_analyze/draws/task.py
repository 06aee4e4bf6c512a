"""One task of one model's vectors: its draws, and what they learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float16

from savs_analyze.draws.draws import Draw, belonging, draw_support, draw_without_support
from savs_analyze.draws.tuned import known_by_heart
from savs_analyze.measure.metrics import find_metric
from savs_analyze.methods.context import Context
from savs_stores import ModelVectors, class_vectors


@dataclass(frozen=True)
class Task:
    """One task of one model's vectors; its name is that of the benchmark, and of the task where there are several."""

    vectors: ModelVectors
    task: str

    @property
    def name(self) -> str:
        benchmark = self.vectors.store.benchmark
        return benchmark.name if len(benchmark.tasks) == 1 else f"{benchmark.name} / {self.task}"

    @property
    def classes(self) -> Sequence[str]:
        return self.vectors.store.benchmark.tasks[self.task]

    @property
    def metric(self) -> str:
        """The benchmark's metric, by the name of the first number that it reports."""
        return find_metric(self.vectors.store.benchmark.metric).first

    def draw(self, shots: int, seed: int, keep_leaks: bool = False) -> Draw:
        store, learnt = self.vectors.store, known_by_heart(self.vectors)
        known = store.samples, store.benchmark, self.task, self.vectors.usable
        return draw_support(*known, shots, seed, keep_leaks, learnt)

    def draw_nothing(self) -> Draw:
        """Return the draw of what learns nothing: every sample that is labelled for a test."""
        store = self.vectors.store
        learnt = known_by_heart(self.vectors)
        return draw_without_support(store.samples, store.benchmark, self.task, self.vectors.usable, learnt)

    @property
    def order(self) -> list[int]:
        """The classes as they first appear in the training file: as the store says, else among what supports may be."""
        store = self.vectors.store
        if said := store.benchmark.class_order.get(self.task):
            return [list(self.classes).index(name) for name in said]
        table = store.samples
        of_task = (table.task == list(store.benchmark.tasks).index(self.task)) & (table.label >= 0)
        candidates = table.label[of_task & table.in_split("pool", "either")].tolist()
        return list(dict.fromkeys([*candidates, *range(len(self.classes))]))

    def context(self, draw: Draw, order: Sequence[int] = (), named: bool = False) -> Context:
        """Return what a draw's support teaches.

        `order` are the classes by appearance, for methods that ask for it; `named` brings the class vectors too.
        """
        labels = self.vectors.store.samples.label[draw.support]
        return Context(
            self.vectors.read(draw.support),
            labels,
            len(self.classes),
            self.vectors.heads.layer,
            draw.seed,
            cluster=belonging(self.vectors.store.samples, draw.support),
            order=np.array(order, dtype=np.int64) if order else None,
            class_vectors=self.class_vectors() if named else None,
        )

    def class_vectors(self, heads: Sequence[int] | None = None) -> Float16[np.ndarray, "class head dim"] | None:
        """Return the vectors of texts that name the classes; None where one lacks."""
        found = class_vectors(self.vectors)
        return found.read(self.task, heads) if found and self.task in found.texts else None
