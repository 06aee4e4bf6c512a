"""Draws written out, sample by sample, so that any other code can run on the same samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from savs_analyze.draws.task import Task
from savs_analyze.draws.validation import Validation


def listed_draws(
    tasks: Sequence[Task], shots: int, draws: int, validation: Validation, keep_leaks: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield a row a sample of every draw of every task: task, shots, draw, role, sample_id, label.

    The role is `support`, `validation` or `test`, as a sweep with the same settings has it. Raises ValueError as a
    draw does, where a class has too few samples.
    """
    for task in tasks:
        table, benchmark = task.vectors.store.samples, task.vectors.store.benchmark
        validates = validation.samples(table, benchmark)
        for seed in range(draws):
            draw = task.draw(shots, seed, keep_leaks)
            roles = {"support": draw.support}
            roles |= {"validation": draw.test[validates[draw.test]], "test": draw.test[~validates[draw.test]]}
            for role, samples in roles.items():
                for sample in np.asarray(samples).tolist():
                    named = {"task": task.task, "shots": shots, "draw": seed, "role": role}
                    yield named | {
                        "sample_id": str(table.sample_id[sample]),
                        "label": task.classes[table.label[sample]],
                    }
