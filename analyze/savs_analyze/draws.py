"""Few-shot draws: who is in the support, who is tested, who is left out and why. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from savs_stores import BenchmarkInfo, SampleTable


@dataclass(frozen=True)
class Draw:
    """One random support and the samples it is tested on, as sorted indices into the sample table.

    `leaked` counts test samples left out because the support shows the same image or belongs to the
    same group, `failed` those without vectors; a group is left out whole.
    """

    seed: int
    support: Int[np.ndarray, " support"]
    test: Int[np.ndarray, " test"]
    leaked: int = 0
    failed: int = 0


def draw_support(
    table: SampleTable,
    benchmark: BenchmarkInfo,
    task: str,
    usable: Bool[np.ndarray, " sample"],
    shots: int,
    seed: int,
    keep_leaks: bool = False,
) -> Draw:
    """Draw `shots` samples of every class of a task; the rest of its test samples are tested.

    Supports of the same seed are nested: 10 shots are among the 20. Raises ValueError naming a class
    with fewer usable samples than shots, and where nothing is left to test.
    """
    of_task = table.task == list(benchmark.tasks).index(task)
    pool = of_task & usable & table.in_split("pool", "either")
    chosen = []
    for label, name in enumerate(benchmark.tasks[task]):
        candidates = np.flatnonzero(pool & (table.label == label))
        if len(candidates) < shots:
            raise ValueError(
                f"class {name!r} of task {task!r} has {len(candidates)} usable samples to draw from, "
                f"{shots} shots need more: use --shots {len(candidates)} or fewer"
            )
        chosen.append(np.random.default_rng([seed, label]).permutation(candidates)[:shots])
    support = np.sort(np.concatenate(chosen))
    return _test_on_the_rest(table, of_task, usable, support, seed, keep_leaks)


def draw_without_support(
    table: SampleTable, benchmark: BenchmarkInfo, task: str, usable: Bool[np.ndarray, " sample"]
) -> Draw:
    """Return the test samples of a method that learns nothing: all of them."""
    of_task = table.task == list(benchmark.tasks).index(task)
    return _test_on_the_rest(table, of_task, usable, np.array([], dtype=np.int64), 0, keep_leaks=False)


def _test_on_the_rest(
    table: SampleTable, of_task: np.ndarray, usable: np.ndarray, support: np.ndarray, seed: int, keep_leaks: bool
) -> Draw:
    candidates = of_task & table.in_split("test", "either")
    candidates[support] = False
    leaks = np.zeros_like(candidates) if keep_leaks else candidates & leaked(table, support)
    failed = candidates & ~usable & ~leaks
    test = candidates & ~leaks & ~failed
    # A group that lacks a member cannot be scored.
    broken = np.isin(table.group, table.group[(leaks | failed) & (table.group >= 0)])
    test = np.flatnonzero(test & ~broken)
    if not len(test):
        raise ValueError("no sample is left to test: all are in the support, leak from it, or have no vectors")
    return Draw(seed, support, test, leaked=int(leaks.sum()), failed=int(failed.sum()))


def leaked(table: SampleTable, support: Int[np.ndarray, " support"]) -> Bool[np.ndarray, " sample"]:
    """Tell which samples show an image of the support or belong to a group of it."""
    images = np.setdiff1d(table.image_hash[support], [0])
    groups = np.setdiff1d(table.group[support], [-1])
    return np.isin(table.image_hash, images).any(axis=1) | np.isin(table.group, groups)
