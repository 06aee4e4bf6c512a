"""What happens to the cells of one draw: methods learn from the support, then all are tested in one pass."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from savs_analyze.draws.draws import Draw
from savs_analyze.draws.task import Task
from savs_analyze.draws.testing import Tested, predict_in_one_pass
from savs_analyze.methods.folds import SplitError, naming
from savs_analyze.methods.learners import learn
from savs_analyze.methods.method import CLASS_VECTORS, Method
from savs_analyze.methods.settings import Setting
from savs_analyze.runs.cells import Cell, of_one_draw
from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.results import CellResult
from savs_analyze.runs.saved import MOST_SCORES
from savs_analyze.votes.fitted import Fitted
from savs_stores import ModelVectors


@dataclass
class Group:
    """The cells of one draw between their support and their test: what each different method learnt and predicts.

    Methods that provably predict the same share a place in `methods` and in `tested`.
    """

    cells: list[Cell]
    draw: Draw
    methods: list[Method]
    tested: Tested

    @property
    def learns(self) -> bool:
        return any(method.learns for method in self.methods)

    def fitted(self, setting: Setting) -> Fitted:
        return self.tested.fitted[self.methods.index(setting.method.canonical)]


def run_cells(vectors: ModelVectors, cells: Sequence[Cell]) -> Iterable[tuple[str, CellResult]]:
    """Yield (key, result) of every cell, all that learn tested in one pass over the vectors.

    The result of a cell whose support cannot be split as its method needs is the fault in words.
    """
    groups: list[Group] = []
    for of_draw in of_one_draw(cells):
        faults = {} if (group := _learnt(vectors, of_draw)) else _faults(vectors, of_draw)
        left = [cell for cell in of_draw if cell not in faults]
        groups += [group or learn_group(vectors, left)] if left else []
        yield from ((cell.key, _without_result(vectors, cell, fault)) for cell, fault in faults.items())
    for together in ([group for group in groups if not group.learns], [group for group in groups if group.learns]):
        if together:
            predict_in_one_pass(vectors, [group.tested for group in together])
        for group in together:
            yield from ((cell.key, _result(vectors, group, cell)) for cell in group.cells)


def learn_group(vectors: ModelVectors, cells: list[Cell]) -> Group:
    """Return the cells of one draw with their methods learnt."""
    started = time.perf_counter()
    first, task = cells[0], Task(vectors, cells[0].task)
    methods = list(dict.fromkeys(setting.method.canonical for cell in cells for setting in cell.settings))
    learns = any(method.learns for method in methods)
    draw = task.draw(first.shots, first.draw, first.keep_leaks) if learns else task.draw_nothing()
    named = any(method.needs == CLASS_VECTORS for method in methods)
    context = task.context(draw, next((cell.order for cell in cells if cell.order), ()), named)
    with naming(task.classes):
        fitted = learn(methods, context)
    scoring = {
        methods.index(setting.method.canonical)
        for cell in cells
        for setting in cell.settings
        if len(cell.settings) * len(draw.test) * len(task.classes) <= MOST_SCORES
    }
    tested = Tested(fitted, draw.test, len(task.classes), scoring, time.perf_counter() - started)
    return Group(cells, draw, methods, tested)


def _learnt(vectors: ModelVectors, cells: list[Cell]) -> Group | None:
    try:
        return learn_group(vectors, cells)
    except SplitError:
        return None


def _faults(vectors: ModelVectors, cells: list[Cell]) -> dict[Cell, str]:
    """Return of every cell that cannot be learnt alone why."""
    faults = {}
    for cell in cells:
        try:
            learn_group(vectors, [cell])
        except SplitError as error:
            faults[cell] = str(error)
    return faults


def _without_result(vectors: ModelVectors, cell: Cell, fault: str) -> CellResult:
    nothing = np.empty(0, dtype=np.int64)
    arrays = dict.fromkeys(("sample", "label", "group", "slot"), nothing)
    predicted = np.empty((len(cell.settings), 0), dtype=np.int64)
    facts = CellFacts.from_json(cell.to_json() | _described(vectors, cell) | {"fault": fault})
    return CellResult(facts, [], arrays | {"predicted": predicted, "validation": nothing.astype(bool)})


def _result(vectors: ModelVectors, group: Group, cell: Cell) -> CellResult:
    table, test = vectors.store.samples, group.draw.test
    places = [group.methods.index(setting.method.canonical) for setting in cell.settings]
    arrays = {
        "predicted": group.tested.predicted[places],
        "sample": test,
        "label": table.label[test],
        "group": table.group[test],
        "slot": table.slot[test],
        "validation": cell.validation.samples(table, vectors.store.benchmark)[test],
    }
    facts = _facts(vectors, group, cell)
    if why := _without_scores(vectors, group, cell, places):
        facts["without_scores"] = why
    else:
        arrays["scores"] = np.stack([group.tested.scores[place] for place in places])
    shared = _shared_columns(vectors, group, cell)
    result = CellResult(CellFacts.from_json(cell.to_json() | facts), [], arrays)
    splits = ["validation", "test"] if arrays["validation"].any() else ["test"]
    for place, setting in enumerate(cell.settings):
        described = {
            "heads": dict(setting.parameters).get("k", 0),
            "setting": setting.column(),
            "same_as": setting.same_as,
            "tied_at_cut": group.fitted(setting).tied,
        }
        report = group.fitted(setting).report
        for split in splits:
            units = result.units(place, split)
            for metric, value in units.values().items():
                measured = {"split": split, "metric": metric, "value": value, "n": len(units.unit)}
                result.rows.append(shared | described | measured | dict(report))
    return result


def _without_scores(vectors: ModelVectors, group: Group, cell: Cell, places: list[int]) -> str:
    """Return why a cell keeps no scores, "" where it does: whatever runs beside it makes no difference."""
    classes = len(vectors.store.benchmark.tasks[cell.task])
    count = len(places) * len(group.draw.test) * classes
    if count > MOST_SCORES:
        return (
            f"{len(places):,} settings, {len(group.draw.test):,} samples and {classes:,} classes make {count:,} "
            f"scores, and a cell keeps at most {MOST_SCORES:,}"
        )
    return "" if set(places) <= set(group.tested.scores) else "the method's scores make no probabilities"


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
        "seconds": round(group.tested.seconds / len(group.cells), 4),
        "fingerprint": cell.fingerprint,
    }


def _facts(vectors: ModelVectors, group: Group, cell: Cell) -> dict[str, Any]:
    """Return what was found besides predictions: the support, and the heads that each setting keeps."""
    facts = _described(vectors, cell)
    if group.learns:
        table = vectors.heads
        kept = [group.fitted(setting).kept.tolist() for setting in cell.settings]
        facts["kept"] = [[[int(table.layer[h]), int(table.head_in_layer[h])] for h in heads] for heads in kept]
        facts["head_table"] = [table.layer.tolist(), table.head_in_layer.tolist()]
        facts["support"] = group.draw.support.tolist()
    return facts


def _described(vectors: ModelVectors, cell: Cell) -> dict[str, Any]:
    """Return what is known of a cell before anything is learnt."""
    return {
        "settings": [setting.to_json() for setting in cell.settings],
        "columns": [setting.column() for setting in cell.settings],
        "classes": len(vectors.store.benchmark.tasks[cell.task]),
        "class_names": list(vectors.store.benchmark.tasks[cell.task]),
        "chooses": cell.validation.chooses(vectors.store.samples, vectors.store.benchmark),
    }
