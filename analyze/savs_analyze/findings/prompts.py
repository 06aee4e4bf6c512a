"""Which wordings of a question differ: the same pictures and the same method, other words; paired tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from savs_analyze.findings.comparisons import Line, line_of, mean_name, side_by_side, tests
from savs_analyze.measure.metrics import METRICS
from savs_analyze.methods.recipes import ZERO_SHOT
from savs_analyze.runs.results import CellResult
from savs_stores import Store
from savs_stores.terminal import counted

DEFAULT = "default"  # what the benchmark's own wording is called, which stores do not name
# What is the same of stores that differ in their wording only, of the benchmark and of every sample.
SAME = ("tasks", "metric", "source", "revision", "licence")
ASKED = {"image_hash": "picture"} | {name: name for name in ("task", "label", "split", "slot", "group")}
COLUMNS = "model task metric shots method wording other difference low high level n p holm verdict".split()


def wordings_of(stores: Sequence[Store]) -> dict[str, str]:
    """Return how each store's question is put, by the name of its benchmark.

    Raises ValueError in words where they are not the same samples of one benchmark in different wordings.
    """
    if len(stores) < 2:
        raise ValueError("name two stores or more that differ in the wording of their question: --store A --store B")
    found: dict[str, str] = {}
    for store in stores:
        wording = store.benchmark.wording or DEFAULT
        if wording in found.values():
            raise ValueError(f"{store.path} is the second store of the wording {wording!r}: name one of each")
        if store.benchmark.name in found:
            raise ValueError(f"two stores are called {store.benchmark.name!r}, so their results have one name")
        found[store.benchmark.name] = wording
    for store in stores[1:]:
        if words := _other_samples(stores[0], store):
            raise ValueError(f"{stores[0].path} and {store.path} are not the same samples in other words: {words}")
    return found


def _other_samples(one: Store, other: Store) -> str:
    """Return in words what besides the wording differs, "" for nothing."""
    for name in SAME:
        values = [getattr(store.benchmark, name) for store in (one, other)]
        if values[0] != values[1]:
            return f"the benchmark's {name} differs" + (
                f", {values[0]!r} and {values[1]!r}" * isinstance(values[0], str)
            )
    ids = one.samples.sample_id
    for some, others in ((one, other), (other, one)):
        if len(lacks := np.setdiff1d(some.samples.sample_id, others.samples.sample_id)):
            return f"{others.path} lacks {counted(len(lacks), 'sample')} of the other, such as {str(lacks[0])!r}"
    if not np.array_equal(ids, other.samples.sample_id):
        return "they hold the samples in another order, so a draw would take others"
    for column, name in ASKED.items():
        if len(differs := np.flatnonzero(_differ(getattr(one.samples, column), getattr(other.samples, column)))):
            return f"of {counted(len(differs), 'sample')} the {name} differs, such as {str(ids[differs[0]])!r}"
    return ""


def _differ(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Tell which rows differ; all where rows are of another width."""
    if one.shape != other.shape:
        return np.ones(len(one), dtype=bool)
    return (one != other).reshape(len(one), -1).any(axis=1)


def compare_wordings(cells: Iterable[CellResult], wordings: Mapping[str, str]) -> pd.DataFrame:
    """Return tested differences between wordings of one question, for each model, task and method by itself.

    `wordings` are those of `wordings_of`. Numbers and verdicts are as in `findings.comparisons`, holm is of the pairs
    of wordings of one method. Where a benchmark has several tasks, there are rows of the mean over them as well.
    """
    lines: dict[tuple, dict[str, list[tuple[str, CellResult, int]]]] = {}
    for cell in cells:
        facts = cell.facts
        if facts.benchmark not in wordings:
            continue
        for place, setting in enumerate(facts.columns):
            key = facts.model, METRICS[facts.metric].first, facts.shots, setting
            of_task = lines.setdefault(key, {}).setdefault(facts.task, [])
            of_task.append((wordings[facts.benchmark], cell, place))
    rows = []
    for (model, metric, shots, setting), of_tasks in lines.items():
        keys = {"model": model, "metric": metric, "shots": shots, "method": setting}
        found = {task: line for task, of_line in of_tasks.items() if (line := _line(of_line, metric))}
        rows += [keys | {"task": task} | row for task, line in found.items() for row in tests([line])]
        if len(found) > 1:
            rows += [keys | {"task": mean_name(len(found))} | row for row in tests(list(found.values()))]
    return pd.DataFrame(rows).rename(columns={"setting": "wording"}).reindex(columns=COLUMNS)


def _line(of_line: Sequence[tuple[str, CellResult, int]], metric: str) -> Line | None:
    """Return the wordings side by side, None where fewer than two were run on the same draws."""
    wordings, draws = side_by_side(of_line, metric)
    if len(wordings) < 2 or not draws:
        return None
    return line_of(wordings, draws, wordings if of_line[0][1].facts.method == ZERO_SHOT else ())
