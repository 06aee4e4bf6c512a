"""The sweep: plan the cells, learn each from its support, then one pass over the test samples for all of them."""

from __future__ import annotations

import glob
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.cells import Cell, cap_settings, plan_cells
from savs_analyze.draws import Draw, draw_support, draw_without_support
from savs_analyze.learners import Learnt, Support, learn, predict
from savs_analyze.methods import METHODS, SAVS, ZERO_SHOT, Method, Setting, expand_settings
from savs_analyze.results import CellResult, Results
from savs_analyze.voting import allowed_classes
from savs_stores import ModelVectors, Store, open_store
from savs_stores.fingerprint import short_hash

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


def sweep(
    stores: Sequence[str | Path],
    out: Path,
    *,
    shots: int = 20,
    draws: int = 5,
    heads: Sequence[int] = (20,),
    methods: Sequence[str] = (ZERO_SHOT, SAVS),
    grid: Mapping[str, Sequence[int] | Sequence[float]] | None = None,
    restricted: bool = False,
    papers_order: bool = False,
    solver: str = "",
    scaling: str = "",
    keep_leaks: bool = False,
    allow_partial: bool = False,
    models: Sequence[str] = (),
    command: str = "",
    on_cells: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Run every cell of every model in the stores that is not finished yet; return the file of the rows.

    `heads` are the values of every method's k, `grid` those of other hyperparameters. `restricted` predicts
    among the classes that a prompt prints, `papers_order` keeps, lists and votes as the papers' code does.
    `solver` and `scaling` are those of the lasso and its relatives.
    Raises ValueError for a store without models, and where a class has too few samples for the shots.
    """
    results = Results(out)
    takes_heads = any("k" in METHODS[name].defaults for name in methods if name in METHODS)
    values = {**({"k": heads} if takes_heads else {}), **(grid or {})}
    chosen = expand_settings(methods, values, restricted, papers_order, solver, scaling)
    for setting in chosen:
        if (least := setting.method.least_shots) > shots:
            raise ValueError(f"{setting.name} needs at least {least} shots, not {shots}")
    plan = _plan([open_store(path, allow_partial) for path in stores], models, shots, draws, chosen, keep_leaks)
    keys = [cell.key for _, cells in plan for cell in cells]
    done = sum(results.has(key) for key in keys)
    on_cells(done, len(keys))
    for vectors, cells in plan:
        missing = [cell for cell in cells if not results.has(cell.key)]
        for result_key, result in run_cells(vectors, missing):
            results.save(result_key, result)
            done += 1
            on_cells(done, len(keys))
    return results.finish(_run_facts(command, keys))


def expand(patterns: Sequence[str]) -> list[str]:
    """Return stores named outright or by a pattern such as `stores/*.zarr`, sorted, each once.

    Raises ValueError for a pattern that names none.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        matches = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207
        if not matches:
            raise ValueError(f"no store is named like {pattern!r}")
        found |= dict.fromkeys(matches)
    return list(found)


def _plan(
    stores: Sequence[Store],
    models: Sequence[str],
    shots: int,
    draws: int,
    settings: Sequence[Setting],
    keep_leaks: bool,
) -> list[tuple[ModelVectors, list[Cell]]]:
    """Return the vectors of every model in the stores with their cells; vectors that are named twice come once."""
    found: dict[Cell, tuple[ModelVectors, list[Cell]]] = {}
    places: dict[tuple[str, str], tuple[Cell, Store]] = {}
    for store in stores:
        if not (names := models or store.models):
            raise ValueError(f"{store.path} holds no model's vectors yet: harvest into it first")
        for name in names:
            vectors = store[name]
            base = _base_cell(vectors)
            other, elsewhere = places.setdefault((base.benchmark, name), (base, store))
            if other != base:
                raise ValueError(
                    f"{elsewhere.path} and {store.path} hold different vectors of {name!r} on {base.benchmark!r}: "
                    "their results would look alike, sweep them apart (--out)"
                )
            capped = cap_settings(settings, len(vectors.heads), len(np.unique(vectors.heads.layer)))
            found[base] = vectors, plan_cells(base, tasks_with_logits(vectors), shots, draws, capped, keep_leaks)
    return list(found.values())


def _base_cell(vectors: ModelVectors) -> Cell:
    benchmark = vectors.store.benchmark
    records = f"{short_hash(vectors.records.tobytes()):016x}"
    return Cell(benchmark.name, vectors.name, vectors.fingerprint, vectors.store.index_hash, records, benchmark.metric)


def tasks_with_logits(vectors: ModelVectors) -> dict[str, bool]:
    """Tell of each task whether every usable sample has a logit for each class.

    A store made from arrays may have none, and a task whose answers begin with the same token has none.
    """
    table, benchmark = vectors.store.samples, vectors.store.benchmark
    found = {}
    for code, (task, classes) in enumerate(benchmark.tasks.items()):
        of_task = (table.task == code) & vectors.usable
        found[task] = bool(np.isfinite(vectors.logits[of_task, : len(classes)]).all())
    return found


def run_cells(vectors: ModelVectors, cells: Sequence[Cell]) -> Iterable[tuple[str, CellResult]]:
    """Yield (key, result) of every cell, all tested in one pass over the vectors."""
    together: dict[tuple, list[Cell]] = {}
    for cell in cells:
        learns = cell.method != ZERO_SHOT
        together.setdefault((cell.task, cell.shots, cell.draw, cell.keep_leaks, learns), []).append(cell)
    voting = []
    for of_draw in sorted(together.values(), key=lambda found: found[0].method != ZERO_SHOT):
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
    }
    shared = {
        "benchmark": cell.benchmark,
        "model": cell.model,
        "task": cell.task,
        "method": cell.method,
        "shots": cell.shots,
        "draw": cell.draw,
        "split": "test",
        "leaked": group.draw.leaked,
        "failed": group.draw.failed,
        "incomplete": group.draw.incomplete,
        "partial": vectors.partial,
        "keep_leaks": cell.keep_leaks,
        "seconds": round(group.seconds / len(group.cells), 4),
        "fingerprint": cell.fingerprint,
    }
    result = CellResult(asdict(cell) | _facts(vectors, group, cell, places), [], arrays)
    for place, setting in enumerate(cell.settings):
        units = result.units(place)
        described = {
            "heads": dict(setting.parameters).get("k", 0),
            "setting": setting.column(),
            "same_as": setting.same_as,
            "tied_at_cut": group.learnt[places[place]].tied if group.learnt else 0,
        }
        report = group.learnt[places[place]].report if group.learnt else {}
        for metric, value in units.values().items():
            measured = {"metric": metric, "value": value, "n": len(units.unit)}
            result.rows.append(shared | described | measured | report)
    return result


def _facts(vectors: ModelVectors, group: Group, cell: Cell, places: Sequence[int]) -> dict[str, Any]:
    """Return what was found besides predictions: the support, and the heads that each setting keeps."""
    facts: dict[str, Any] = {
        "settings": [setting.to_json() for setting in cell.settings],
        "columns": [setting.column() for setting in cell.settings],
        "classes": len(vectors.store.benchmark.tasks[cell.task]),
    }
    if group.learnt:
        table = vectors.heads
        learnt = [group.learnt[place] for place in places]
        kept = [(one.heads if one.ranked is None else one.ranked).tolist() for one in learnt]
        facts["kept"] = [[[int(table.layer[h]), int(table.head_in_layer[h])] for h in heads] for heads in kept]
        facts["head_table"] = [table.layer.tolist(), table.head_in_layer.tolist()]
        facts["support"] = group.draw.support.tolist()
    return facts


def _run_facts(command: str, keys: list[str]) -> dict[str, Any]:
    versions = {name: version(name) for name in ("savs", "numpy", "scipy", "scikit-learn")}
    versions["python"] = platform.python_version()
    return {"command": command, "cells": keys, "versions": versions}
