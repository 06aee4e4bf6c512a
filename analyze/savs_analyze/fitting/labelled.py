"""Which samples a classifier learns from, and what they were asked: known from the sample table alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from savs_stores import BenchmarkInfo, SampleTable
from savs_stores.format.fingerprint import short_hash
from savs_stores.terminal import counted

LEAST = 2


def find_task(info: BenchmarkInfo, name: str | None, where: str) -> str:
    """Return the task of this name, or the only one. Raises ValueError naming those of `where`."""
    tasks = list(info.tasks)
    if name is None and len(tasks) == 1:
        return tasks[0]
    if name not in tasks:
        what = "name one" if name is None else f"there is no task {name!r}"
        raise ValueError(f"{where} has {counted(len(tasks), 'task')}, {what}: --task {', --task '.join(tasks)}")
    return name


def of_task(table: SampleTable, info: BenchmarkInfo, task: str) -> Bool[np.ndarray, " sample"]:
    return table.task == list(info.tasks).index(task)


def labelled(
    table: SampleTable,
    info: BenchmarkInfo,
    task: str,
    usable: Bool[np.ndarray, " sample"],
    shots: int | None,
    seed: int,
) -> Int[np.ndarray, " some"]:
    """Return the rows to learn from, `shots` of every class, None for all. Raises ValueError where there are fewer."""
    of_interest, classes = of_task(table, info, task) & usable, info.tasks[task]
    known = of_interest & (table.label >= 0) & table.in_split("pool", "either")
    _check_counts(_counts(table, classes, known), shots, _counts(table, classes, of_interest & table.in_split("test")))
    if shots is None:
        return np.flatnonzero(known)
    chosen = [
        np.random.default_rng([seed, place]).permutation(np.flatnonzero(known & (table.label == place)))
        for place in range(len(classes))
    ]
    return np.sort(np.concatenate([of_class[:shots] for of_class in chosen]))


def _counts(table: SampleTable, classes: Sequence[str], chosen: Bool[np.ndarray, " sample"]) -> dict[str, int]:
    return {name: int((chosen & (table.label == place)).sum()) for place, name in enumerate(classes)}


def _check_counts(counts: dict[str, int], shots: int | None, kept: dict[str, int]) -> None:
    """Raise ValueError naming the scarcest class where it has too few samples; `kept` are those for tests."""
    if not counts:
        raise ValueError("no sample has a label, so nothing can be learnt: give pictures labels, harvest again")
    name, count = min(counts.items(), key=lambda item: item[1])
    if count >= (needed := shots or LEAST):
        return
    advice = f"label more pictures of it, or {f'ask for --shots {count}' if count >= LEAST else 'leave the class out'}"
    if kept[name] and count < LEAST:
        advice = f"{kept[name]} more are kept for tests, in the split 'test': put some into 'pool' (train/) or 'either'"
    raise ValueError(f"class {name!r} has {count} labelled samples to learn from, {needed} are needed: {advice}")


def question_of(
    table: SampleTable, info: BenchmarkInfo, samples: Int[np.ndarray, " some"], given: str | None
) -> str | None:
    """Return what all samples were asked, None where they were not asked the same, or nobody says what.

    Raises ValueError where it is not what was `given`.
    """
    asked = np.unique(table.prompt_hash[samples])
    if len(asked) > 1:
        if given is not None:
            raise ValueError(f"{len(asked):,} different questions were asked: leave --question out")
        return None
    if asked[0] == 0:
        return given
    question = info.prompt if given is None else given
    if short_hash(question.encode()) == asked[0]:
        return question
    if given is None:
        raise ValueError("the store does not say what its samples were asked: repeat it with --question '...'")
    raise ValueError(f"the samples were not asked {given!r}: --question must be what was asked, letter for letter")
