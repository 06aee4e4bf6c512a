"""Heads that classify by class vectors on several tasks at once, for tasks that none of them is (HEC-T, zero-shot)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from savs_analyze.draws.draws import check_shots
from savs_analyze.draws.task import Task
from savs_analyze.parts.named import named_scores
from savs_analyze.parts.selection import rank_heads
from savs_analyze.runs.found_heads import FoundHeads, model_hash, task_facts


def find_heads(tasks: Sequence[Task], k: int, shots: int, draws: int) -> FoundHeads:
    """Return the `k` heads whose posterior of the true class is highest, in the mean over draws and tasks.

    A task counts by how far its heads are above chance. Raises ValueError where no task has class vectors, where models
    differ, and where a class has too few samples.
    """
    named = [task for task in tasks if task.class_vectors([0]) is not None]
    if not named:
        raise ValueError("no task has class vectors for all its classes: harvest once more into the same stores")
    first = named[0].vectors
    if other := [task for task in named if task.vectors.heads.hash() != first.heads.hash()]:
        raise ValueError(f"{other[0].vectors.store.path} holds other heads than {first.store.path}: name one --model")
    score = np.mean([_above_chance(task, shots, draws) for task in named], axis=0)
    table, best = first.heads, rank_heads(score, np.zeros(len(score)))[:k]
    return FoundHeads(
        tuple((int(table.layer[head]), int(table.head_in_layer[head])) for head in best),
        first.name,
        table.hash(),
        tuple(task_facts(task.vectors.store.benchmark, task.task) for task in named),
        model_hash(first),
    )


def _above_chance(task: Task, shots: int, draws: int) -> Float[np.ndarray, " head"]:
    """Return how far each head is above chance, as a share of what is left to it."""
    store, class_vectors = task.vectors.store, task.class_vectors()
    assert class_vectors is not None
    check_shots(store.samples, store.benchmark, task.task, task.vectors.usable, shots)
    found = []
    for seed in range(draws):
        context = task.context(task.draw(shots, seed))
        found.append(named_scores(context.vectors, context.labels, class_vectors, 1.0).value)
    chance = 1 / len(task.classes)
    return (np.mean(found, axis=0) - chance) / (1 - chance)
