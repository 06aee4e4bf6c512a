"""Transfer between tasks: heads chosen on one task classify another (SAVs, arXiv 2412.00142: heads transfer)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from savs_analyze.draws.draws import Draw, in_whole_groups, leaked
from savs_analyze.draws.task import Task
from savs_analyze.draws.testing import Tested, predict_in_one_pass
from savs_analyze.measure.crossed import noise, on_clusters
from savs_analyze.measure.intervals import interval_of_mean, interval_of_share
from savs_analyze.measure.metrics import find_metric, unit_scores
from savs_analyze.measure.units import Units
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.runs.found_heads import model_hash
from savs_analyze.votes.fitted import Fitted, share_centroids
from savs_analyze.votes.heads import HeadVotes
from savs_stores import Store

# What of the source a prediction takes: nothing, its heads, or its heads and centroids; or random heads, the control.
OWN, HEADS, ALL, RANDOM = "own", "heads", "heads and centroids", "random heads"
COLUMNS = ["model", "source", "target", "takes", "metric", "shots", "heads", "draws", "n", "value", "low", "high"]
COLUMNS += ["against_own", "against_own_low", "against_own_high"]


@dataclass(frozen=True)
class Source:
    """What one draw of a task gives to others: its heads, best first, and the centroids of all heads."""

    task: Task
    fitted: HeadVotes
    centroids: Float[np.ndarray, "class head dim"]


@dataclass(frozen=True)
class Trial:
    """What is tried on a target: `key` is (source, what is taken)."""

    key: tuple[str, str]
    fitted: Fitted


def choose_name(kind: str, there: Sequence[str], wanted: str = "") -> str:
    """Return the wanted name, or the only one there is.

    Raises ValueError suggesting the nearest name, and where one has to be chosen.
    """
    if wanted in there:
        return wanted
    names = ", ".join(there) or "none"
    if wanted:
        close = difflib.get_close_matches(wanted, there, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise ValueError(f"there is no {kind} {wanted!r}; {hint}There are: {names}")
    if len(there) != 1:
        raise ValueError(f"choose a {kind} (--{kind}): there are {names}")
    return there[0]


def tasks_of(stores: Sequence[Store], model: str = "") -> list[Task]:
    """Return all tasks of the stores, for the one model that they share or the wanted one of them.

    Raises ValueError where no model is in all stores, where a name stands for different models, and for a task
    that comes twice.
    """
    common = [name for name in stores[0].models if all(name in store.models for store in stores)]
    if not common:
        held = "; ".join(f"{store.path}: {', '.join(store.models) or 'none'}" for store in stores)
        raise ValueError(f"no model is in all of these stores: {held}")
    name = choose_name("model", common, model)
    tasks = [Task(store[name], task) for store in stores for task in store.benchmark.tasks]
    for task in tasks:
        if model_hash(task.vectors) != model_hash(tasks[0].vectors):
            here, first = task.vectors.store.path, tasks[0].vectors.store.path
            raise ValueError(f"{first} and {here} hold different models named {name!r}: their heads do not compare")
    names = [task.name for task in tasks]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"each task can come once, these come more often: {', '.join(sorted(twice))}")
    return tasks


def transfer(tasks: Sequence[Task], k: int = 20, shots: int = 20, draws: int = 5) -> pd.DataFrame:
    """Return a row for every source, target and what is taken: the target's own heads, the source's, or random ones.

    Numbers are means over draws with 95 % intervals; `against_own` is the difference from the target's own heads
    on the same samples. Heads and centroids of the source are tried where both tasks have the same classes.
    Raises ValueError where there are fewer than two tasks.
    """
    if len(tasks) < 2:
        raise ValueError("transfer needs two tasks: name further stores, or one with several tasks")
    found: dict[int, list[dict[tuple[str, str], Units]]] = {place: [] for place in range(len(tasks))}
    for seed in range(draws):
        of_draw = [task.draw(shots, seed) for task in tasks]
        sources = [_source(task, draw, k) for task, draw in zip(tasks, of_draw, strict=True)]
        for place, (task, draw) in enumerate(zip(tasks, of_draw, strict=True)):
            test = without_leaks(task, draw, tasks, of_draw)
            found[place].append(_test(task, test, _trials(task, sources, place, k, seed)))
    rows = []
    for place, task in enumerate(tasks):
        common = {"model": task.vectors.name, "target": task.name, "metric": task.metric, "shots": shots}
        common |= {"heads": min(k, len(task.vectors.heads)), "draws": draws}
        rows += [common | row for row in _measure(found[place], (task.name, OWN), task.metric)]
    return pd.DataFrame(rows, columns=COLUMNS)


def without_leaks(target: Task, draw: Draw, tasks: Sequence[Task], draws: Sequence[Draw]) -> Int[np.ndarray, " test"]:
    """Return the test samples that no support of the draw shows, so that all sources are tested on the same ones.

    Raises ValueError where none is left.
    """
    table, store = target.vectors.store.samples, target.vectors.store
    images = [
        task.vectors.store.samples.image_hash[one.support].ravel() for task, one in zip(tasks, draws, strict=True)
    ]
    same = [one.support for task, one in zip(tasks, draws, strict=True) if task.vectors.store is store]
    seen = np.isin(table.image_hash, np.setdiff1d(np.concatenate(images), [0])).any(axis=1)
    test = np.zeros(len(table), dtype=bool)
    test[draw.test] = True
    test &= ~seen & ~leaked(table, np.concatenate(same))
    if find_metric(store.benchmark.metric).slots > 1:
        test &= in_whole_groups(table.group, test)
    if not test.any():
        raise ValueError(f"{target.name}: no sample is left to test, the supports of the tasks show all of them")
    return np.flatnonzero(test)


def _source(task: Task, draw: Draw, k: int) -> Source:
    context = task.context(draw)
    return Source(task, Savs(min(k, len(task.vectors.heads))).learn(context), context.centroids)


def _trials(target: Task, sources: Sequence[Source], place: int, k: int, seed: int) -> list[Trial]:
    """Return what is tried on the target, whose own source stands at `place`."""
    own, heads = sources[place], len(target.vectors.heads)
    chance = replace(own.fitted, heads=np.random.default_rng([seed, heads]).permutation(heads)[:k])
    lent = [(target.name, OWN, own.fitted), (RANDOM, HEADS, chance)]
    lent += [(source.task.name, HEADS, source.fitted) for source in sources if source is not own]
    names = [(source, takes) for source, takes, _ in lent]
    fitted = share_centroids([one for _, _, one in lent], lambda means: own.centroids)
    trials = [Trial(name, one) for name, one in zip(names, fitted, strict=True)]
    for source in sources:
        if source is not own and list(source.task.classes) == list(target.classes):
            trials.append(Trial((source.task.name, ALL), source.fitted))
    return trials


def _test(target: Task, test: Int[np.ndarray, " test"], trials: Sequence[Trial]) -> dict[tuple[str, str], Units]:
    """Return the scored test samples of one draw by (source, what is taken)."""
    table, metric = target.vectors.store.samples, target.vectors.store.benchmark.metric
    described = {"label": table.label[test], "sample": test, "group": table.group[test], "slot": table.slot[test]}
    tested = Tested([trial.fitted for trial in trials], test, len(target.classes))
    predict_in_one_pass(target.vectors, [tested])
    return {
        trial.key: unit_scores(metric, predicted, **described, classes=len(target.classes))
        for trial, predicted in zip(trials, tested.predicted, strict=True)
    }


def _measure(
    draws: Sequence[dict[tuple[str, str], Units]], own: tuple[str, str], metric: str
) -> Iterable[dict[str, Any]]:
    """Yield the numbers of every (source, what is taken) of one target, and their paired differences from its own."""
    keys = list(draws[0])
    found = [[of_draw[key].measured(further=())[metric] for key in keys] for of_draw in draws]
    values = np.array([[one.value for one in of_draw] for of_draw in found])
    influences = [np.column_stack([one.influence for one in of_draw]) for of_draw in found]
    clusters = on_clusters([(of_draw[own].cluster, one) for of_draw, one in zip(draws, influences, strict=True)])
    units, mine = round(np.mean([len(of_draw[own].unit) for of_draw in draws])), keys.index(own)
    means = values.mean(axis=0)
    low, high = interval_of_share(means, noise(values, clusters))
    every = np.arange(len(keys))
    against = noise(values - values[:, [mine]], clusters.of(every, np.full_like(every, mine)))
    against = against.with_two_samples_more(units)
    below, above = (np.clip(end, -1, 1) for end in interval_of_mean(means - means[mine], against))
    below[mine] = above[mine] = 0
    for place, (source, takes) in enumerate(keys):
        row = {"source": source, "takes": takes, "n": units}
        row |= {"value": means[place], "low": low[place], "high": high[place]}
        row |= {"against_own": means[place] - means[mine]}
        yield row | {"against_own_low": below[place], "against_own_high": above[place]}
