"""What happens to the cells of one draw: methods learn from the support, then all are tested in one pass."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.draws.draws import Draw, draw_support, draw_without_support
from savs_analyze.methods.learners import learn, predict
from savs_analyze.methods.learnt import Learnt, Support
from savs_analyze.methods.recipes import ZERO_SHOT, Method
from savs_analyze.runs.cells import Cell, of_one_draw
from savs_analyze.runs.results import CellResult
from savs_analyze.votes.voting import allowed_classes
from savs_stores import ModelVectors

# Similarities that are held at a time, [sample, class, head].
SIMILARITY_BYTES = 100_000_000


@dataclass
class Group:
    """The cells of one draw between their support and their test, and what each different method learnt and predicts.

    Methods that provably predict the same share a place in `methods`, `learnt` and `predicted`.
    """

    cells: list[Cell]
    draw: Draw
    methods: list[Method]
    learnt: list[Learnt] = field(default_factory=list)
    heads: Int[np.ndarray, " head"] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    centroids: Float[np.ndarray, "class head dim"] = field(default_factory=lambda: np.empty((0, 0, 0)))
    predicted: Int[np.ndarray, "method test"] = field(default_factory=lambda: np.empty((0, 0), dtype=np.int16))
    seconds: float = 0.0


def run_cells(vectors: ModelVectors, cells: Sequence[Cell]) -> Iterable[tuple[str, CellResult]]:
    """Yield (key, result) of every cell, all tested in one pass over the vectors."""
    voting = []
    for of_draw in of_one_draw(cells):
        group = learn_group(vectors, of_draw)
        if group.learnt:
            voting.append(group)
        else:
            yield from ((cell.key, _result(vectors, group, cell)) for cell in group.cells)
    if voting:
        _predict_in_one_pass(vectors, voting)
    for group in voting:
        yield from ((cell.key, _result(vectors, group, cell)) for cell in group.cells)


def learn_group(vectors: ModelVectors, cells: list[Cell]) -> Group:
    """Return the cells of one draw with their methods learnt, or with predictions made where nothing is learnt."""
    started = time.perf_counter()
    table, benchmark = vectors.store.samples, vectors.store.benchmark
    first, classes = cells[0], len(benchmark.tasks[cells[0].task])
    methods = list(dict.fromkeys(setting.method.canonical for cell in cells for setting in cell.settings))
    if first.method == ZERO_SHOT:
        draw = draw_without_support(table, benchmark, first.task, vectors.usable)
        group = Group(cells, draw, methods)
        logits = vectors.logits[draw.test, :classes]
        allowed = allowed_classes(table.options[draw.test], classes)
        found = [np.where(allowed | (not method.restricted), logits, -np.inf).argmax(axis=1) for method in methods]
        group.predicted = np.stack(found).astype(np.int16)
    else:
        draw = draw_support(table, benchmark, first.task, vectors.usable, first.shots, first.draw, first.keep_leaks)
        group = Group(cells, draw, methods)
        support = Support(
            vectors.read(draw.support), table.label[draw.support], classes, vectors.heads.layer, first.draw
        )
        group.learnt = learn(methods, support)
        group.heads = np.unique(np.concatenate([one.heads for one in group.learnt]))
        group.centroids = support.centroids[:, group.heads]
        group.predicted = np.full((len(methods), len(draw.test)), -1, dtype=np.int16)
    group.seconds = time.perf_counter() - started
    return group


def _predict_in_one_pass(vectors: ModelVectors, groups: Sequence[Group]) -> None:
    """Fill in the predictions of all groups; every byte that any of them needs is read once."""
    options = vectors.store.samples.options
    samples = np.unique(np.concatenate([group.draw.test for group in groups]))
    union = np.unique(np.concatenate([group.heads for group in groups]))
    for block, features in vectors.blocks(samples, union.tolist()):
        for group in groups:
            started = time.perf_counter()
            tested = np.flatnonzero(np.isin(block, group.draw.test))
            at_once = max(1, SIMILARITY_BYTES // (8 * group.centroids[:, :, 0].size))
            for start in range(0, len(tested), at_once):
                rows = tested[start : start + at_once]
                places = np.searchsorted(group.draw.test, block[rows])
                all_of_it = len(rows) == len(block) and len(group.heads) == len(union)
                own = features if all_of_it else features[np.ix_(rows, np.searchsorted(union, group.heads))]
                allowed = allowed_classes(options[block[rows]], len(group.centroids))
                for method, votes in enumerate(predict(group.learnt, group.heads, own, group.centroids, allowed)):
                    group.predicted[method, places] = votes.predicted
            group.seconds += time.perf_counter() - started


def _result(vectors: ModelVectors, group: Group, cell: Cell) -> CellResult:
    table, test = vectors.store.samples, group.draw.test
    places = [group.methods.index(setting.method.canonical) for setting in cell.settings]
    arrays = {
        "predicted": group.predicted[places],
        "sample": test,
        "label": table.label[test],
        "group": table.group[test],
        "slot": table.slot[test],
        "validation": cell.validation.samples(table, vectors.store.benchmark)[test],
    }
    shared = _shared_columns(vectors, group, cell)
    result = CellResult(cell.to_json() | _facts(vectors, group, cell, places), [], arrays)
    splits = ["validation", "test"] if arrays["validation"].any() else ["test"]
    for place, setting in enumerate(cell.settings):
        described = {
            "heads": dict(setting.parameters).get("k", 0),
            "setting": setting.column(),
            "same_as": setting.same_as,
            "tied_at_cut": group.learnt[places[place]].tied if group.learnt else 0,
        }
        report = group.learnt[places[place]].report if group.learnt else {}
        for split in splits:
            units = result.units(place, split)
            for metric, value in units.values().items():
                measured = {"split": split, "metric": metric, "value": value, "n": len(units.unit)}
                result.rows.append(shared | described | measured | report)
    return result


def _shared_columns(vectors: ModelVectors, group: Group, cell: Cell) -> dict[str, Any]:
    """Return the columns that all rows of a cell have the same values in."""
    return {
        "benchmark": cell.benchmark,
        "model": cell.model,
        "task": cell.task,
        "method": cell.method,
        "shots": cell.shots,
        "draw": cell.draw,
        "split": "",
        "leaked": group.draw.leaked,
        "failed": group.draw.failed,
        "incomplete": group.draw.incomplete,
        "partial": vectors.partial,
        "keep_leaks": cell.keep_leaks,
        "seconds": round(group.seconds / len(group.cells), 4),
        "fingerprint": cell.fingerprint,
    }


def _facts(vectors: ModelVectors, group: Group, cell: Cell, places: Sequence[int]) -> dict[str, Any]:
    """Return what was found besides predictions: the support, and the heads that each setting keeps."""
    facts: dict[str, Any] = {
        "settings": [setting.to_json() for setting in cell.settings],
        "columns": [setting.column() for setting in cell.settings],
        "classes": len(vectors.store.benchmark.tasks[cell.task]),
        "class_names": list(vectors.store.benchmark.tasks[cell.task]),
        "chooses": cell.validation.chooses(vectors.store.samples, vectors.store.benchmark),
    }
    if group.learnt:
        table = vectors.heads
        learnt = [group.learnt[place] for place in places]
        kept = [(one.heads if one.ranked is None else one.ranked).tolist() for one in learnt]
        facts["kept"] = [[[int(table.layer[h]), int(table.head_in_layer[h])] for h in heads] for heads in kept]
        facts["head_table"] = [table.layer.tolist(), table.head_in_layer.tolist()]
        facts["support"] = group.draw.support.tolist()
    return facts
