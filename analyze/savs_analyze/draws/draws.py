"""Few-shot draws: who is in the support, who is tested, who is left out and why. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from savs_analyze.measure.metrics import find_metric
from savs_analyze.methods.folds import clusters
from savs_stores import BenchmarkInfo, SampleTable

Learnt = Bool[np.ndarray, " sample"] | None


@dataclass(frozen=True)
class Draw:
    """One random support and the samples it is tested on, as sorted indices into the sample table.

    Left out and counted: `leaked` test samples, whose image the support shows or whose group it belongs
    to; `failed` ones, without vectors; and under a metric over groups also `incomplete` ones, whose group
    is not tested whole. Samples without a label are neither support nor test, and not counted.
    """

    seed: int
    support: Int[np.ndarray, " support"]
    test: Int[np.ndarray, " test"]
    leaked: int = 0
    failed: int = 0
    incomplete: int = 0


def draw_support(
    table: SampleTable,
    benchmark: BenchmarkInfo,
    task: str,
    usable: Bool[np.ndarray, " sample"],
    shots: int,
    seed: int,
    keep_leaks: bool = False,
    learnt: Learnt = None,
) -> Draw:
    """Draw `shots` samples of every class of a task; the rest of its test samples are tested.

    What the model has `learnt` by heart is not tested, whatever is kept of other leaks.
    Supports of the same seed are nested: 10 shots are among the 20. Raises ValueError naming a class
    with fewer usable samples than shots, and where nothing is left to test.
    """
    of_task = table.task == list(benchmark.tasks).index(task)
    candidates = _candidates(table, benchmark, task, usable)
    check_shots(table, benchmark, task, usable, shots)
    chosen = [
        np.random.default_rng([seed, label]).permutation(of_class)[:shots]
        for label, of_class in enumerate(candidates.values())
    ]
    return _test_on_the_rest(
        table, benchmark, of_task, usable, np.sort(np.concatenate(chosen)), seed, keep_leaks, learnt
    )


def check_shots(
    table: SampleTable, benchmark: BenchmarkInfo, task: str, usable: Bool[np.ndarray, " sample"], shots: int
) -> None:
    """Raise ValueError naming a class with fewer usable samples than shots."""
    counts = available(table, benchmark, task, usable)
    scarcest = min(counts, key=lambda name: counts[name])
    if (most := counts[scarcest]) < shots:
        enough = most - (not _has_tests(table, benchmark, task, usable, scarcest))
        advice = f"use --shots {enough} or fewer" if enough > 0 else "label more of them"
        advice = advice if most else "only the splits pool and either give supports"
        raise ValueError(
            f"{benchmark.name}: class {scarcest!r} of task {task!r} has {most} usable samples to draw from, "
            f"{shots} shots need more; {advice}"
        )


def _has_tests(
    table: SampleTable, benchmark: BenchmarkInfo, task: str, usable: Bool[np.ndarray, " sample"], name: str
) -> bool:
    """Tell whether a class has samples that are only for tests; without any, a support must leave some."""
    of_task = table.task == list(benchmark.tasks).index(task)
    of_class = of_task & (table.label == list(benchmark.tasks[task]).index(name))
    return bool((of_class & usable & table.in_split("test")).any())


def available(
    table: SampleTable, benchmark: BenchmarkInfo, task: str, usable: Bool[np.ndarray, " sample"]
) -> dict[str, int]:
    """Return how many samples of each class of a task supports are drawn from; ValueError where none has a label."""
    if not benchmark.tasks[task]:
        raise ValueError(f"{benchmark.name}: no sample of task {task!r} has a label, so nothing can be learnt of it")
    return {name: len(found) for name, found in _candidates(table, benchmark, task, usable).items()}


def _candidates(
    table: SampleTable, benchmark: BenchmarkInfo, task: str, usable: Bool[np.ndarray, " sample"]
) -> dict[str, Int[np.ndarray, " candidate"]]:
    of_task = table.task == list(benchmark.tasks).index(task)
    pool = of_task & usable & table.in_split("pool", "either")
    return {name: np.flatnonzero(pool & (table.label == i)) for i, name in enumerate(benchmark.tasks[task])}


def draw_without_support(
    table: SampleTable,
    benchmark: BenchmarkInfo,
    task: str,
    usable: Bool[np.ndarray, " sample"],
    learnt: Learnt = None,
) -> Draw:
    """Return the test samples of a method that learns nothing: all but what its model has learnt by heart."""
    of_task = table.task == list(benchmark.tasks).index(task)
    return _test_on_the_rest(table, benchmark, of_task, usable, np.array([], dtype=np.int64), 0, False, learnt)


def _test_on_the_rest(
    table: SampleTable,
    benchmark: BenchmarkInfo,
    of_task: Bool[np.ndarray, " sample"],
    usable: Bool[np.ndarray, " sample"],
    support: Int[np.ndarray, " support"],
    seed: int,
    keep_leaks: bool,
    learnt: Learnt,
) -> Draw:
    candidates = of_task & table.in_split("test", "either") & (table.label >= 0)
    candidates[support] = False
    failed = candidates & ~usable
    leaks = candidates & usable & leaked(table, support) & (not keep_leaks)
    if learnt is not None:
        leaks |= candidates & usable & learnt
    test = candidates & usable & ~leaks
    incomplete = test & ~in_whole_groups(table.group, test) & (find_metric(benchmark.metric).slots > 1)
    tested = np.flatnonzero(test & ~incomplete)
    if not len(tested):
        raise ValueError(
            f"{benchmark.name}: no sample is left to test: all are in the support, leak from it, or have no vectors"
        )
    return Draw(seed, support, tested, int(leaks.sum()), int(failed.sum()), int(incomplete.sum()))


def in_whole_groups(
    group: Int[np.ndarray, " sample"], chosen: Bool[np.ndarray, " sample"]
) -> Bool[np.ndarray, " sample"]:
    """Tell which samples belong to a group of which every member is chosen."""
    return (group >= 0) & ~np.isin(group, group[~chosen])


def leaked(table: SampleTable, support: Int[np.ndarray, " support"]) -> Bool[np.ndarray, " sample"]:
    """Tell which samples show an image of the support or belong to a group of it."""
    images = np.setdiff1d(table.image_hash[support], [0])
    groups = np.setdiff1d(table.group[support], [-1])
    return np.isin(table.image_hash, images).any(axis=1) | np.isin(table.group, groups)


def belonging(table: SampleTable, samples: Int[np.ndarray, " some"]) -> Int[np.ndarray, " some"]:
    """Number samples so that all that show one image, or are of one group, have one number."""
    group, images = table.group[samples], table.image_hash[samples]
    of_group = [np.flatnonzero(group == name) for name in np.unique(group[group >= 0])]
    of_image = [np.flatnonzero((images == name).any(axis=1)) for name in np.unique(images[images != 0])]
    return clusters(len(samples), [*of_group, *of_image])
