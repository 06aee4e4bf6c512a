"""The sweep: plan the cells, learn each from its support, then one pass over the test samples for all of them."""

from __future__ import annotations

import os
import platform
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from savs_analyze.draws.draws import available, check_shots
from savs_analyze.draws.task import Task
from savs_analyze.draws.tuned import TUNED_ON, known_by_heart
from savs_analyze.measure.metrics import find_metric
from savs_analyze.methods.method import ANSWERS, CLASS_VECTORS, LOGITS, PAIRED
from savs_analyze.methods.recipes import ZERO_SHOT
from savs_analyze.methods.rooms import add_installed, include
from savs_analyze.methods.settings import Setting
from savs_analyze.runs.cells import Cell, cap_settings, deal, plan_cells
from savs_analyze.runs.found_heads import FoundHeads
from savs_analyze.runs.request import Ask, Data, Execution
from savs_analyze.runs.results import Results, refuse_store
from savs_analyze.runs.work import Work
from savs_analyze.votes.voting import allowed_classes
from savs_stores import ModelVectors, Store, class_vectors, find_stores, is_answered, open_store
from savs_stores.format.fingerprint import short_hash

# What the identity of a harvested model says of tasks whose answers are not told apart by their first token.
WHOLE_ANSWER = "whole answer"


def sweep(
    ask: Ask,
    data: Data,
    execution: Execution,
    *,
    command: str = "",
    on_cells: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Run every cell of every model in the stores that is not finished yet; return the file of the rows.

    While other parts of the sweep are missing, the path of the cells is returned.
    Raises ValueError for a store without models, where a class has too few samples for the shots, and where results
    would lie in a store.
    """
    refuse_store(execution.out)
    results = Results(execution.out)
    results.refuse_newer()
    files = ask.files
    add_installed()
    include(files)
    settings = ask.settings
    _check_least_shots(settings, data.fewest_shots)
    plan = _plan(data, settings, ask.found)
    keys = [cell.key for _, cells in plan for cell in cells]
    if not keys:
        needed = sorted({setting.method.needs for setting in settings})
        raise ValueError("nothing to run: no task has " + ", or ".join(LACKING[need] for need in needed))
    work = Work(results, files, len(keys), on_cells)
    work.run(_missing(plan, results, *execution.part), execution.jobs, execution.backend, execution.scheduler)
    if left := sum(not results.has(key) for key in keys):
        print(f"{left:,} of {len(keys):,} cells are left to the other parts", file=sys.stderr)
        return results.cells
    notes = [note for vectors, _ in plan for note in zero_shot_notes(vectors)] if ZERO_SHOT in ask.methods else []
    notes += [note for vectors, _ in plan for note in (*unread_notes(vectors), *tuned_notes(vectors))]
    named = [setting for setting in settings if setting.method.needs == CLASS_VECTORS]
    notes += [
        note
        for vectors, _ in plan
        for note in class_vector_notes(vectors, [one.name for one in named if data.wanted(vectors, one)])
    ]
    notes += [note for vectors, cells in plan for note in order_notes(vectors, cells)]
    notes += [note for vectors, cells in plan for note in one_support_notes(vectors, cells)]
    origins = dict.fromkeys(origin for _, cells in plan for cell in cells for origin in cell.origins)
    outside = {"origins": [origin.to_json() for origin in origins]} if origins else {}
    return results.finish({**_run_facts(command, results.folder, plan), "notes": notes, **outside})


def expand(patterns: Sequence[str]) -> list[str]:
    """Return stores named outright or by a pattern such as `stores/*.zarr`, sorted, each once.

    Raises ValueError for a pattern that names none.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        if not (matches := find_stores(pattern)):
            raise ValueError(f"no store is named like {pattern!r}")
        found |= dict.fromkeys(matches)
    return list(found)


def _check_least_shots(settings: Sequence[Setting], fewest: int) -> None:
    for setting in settings:
        if (least := setting.method.least_shots) > fewest:
            raise ValueError(f"{setting.name} needs at least {least} shots, not {fewest}")


def _plan(data: Data, settings: Sequence[Setting], heads: FoundHeads | None) -> list[tuple[ModelVectors, list[Cell]]]:
    """Return the vectors of every model in the stores with their cells; vectors that are named twice come once."""
    pattern = Cell("", "", "", "", "", "", keep_leaks=data.keep_leaks, validation=data.validation)
    found: dict[Cell, tuple[ModelVectors, list[Cell]]] = {}
    places: dict[tuple[str, str], tuple[Cell, Store]] = {}
    for store in [open_store(path, data.allow_partial) for path in data.stores]:
        if not (names := data.models or store.models):
            raise ValueError(f"{store.path} holds no model's vectors yet: harvest into it first")
        for name in names:
            vectors = store[name]
            find_metric(store.benchmark.metric)  # one that is not here is refused before anything is computed
            base = base_cell(vectors, pattern)
            other, elsewhere = places.setdefault((base.benchmark, name), (base, store))
            if other != base:
                raise ValueError(
                    f"{elsewhere.path} and {store.path} hold different vectors of {name!r} on {base.benchmark!r}: "
                    "their results would look alike, sweep them apart (--out)"
                )
            if heads:
                heads.check(vectors)
            found[base] = vectors, _cells_of(vectors, base, data, settings)
    return list(found.values())


def _cells_of(vectors: ModelVectors, base: Cell, data: Data, settings: Sequence[Setting]) -> list[Cell]:
    """Return the cells of one model's vectors; raises ValueError where a class has too few samples."""
    store = vectors.store
    settings = [setting for setting in settings if data.wanted(vectors, setting)]
    if is_answered(vectors.heads):  # it has answers, and no vectors to learn from
        settings = [setting for setting in settings if not setting.method.learns]
    within = {task: _shots_within(vectors, task, data.shots) for task in store.benchmark.tasks}
    if any(setting.method.learns for setting in settings):
        for task, few in within.items():
            check_shots(store.samples, store.benchmark, task, vectors.usable, few[0])
    capped = cap_settings(settings, len(vectors.heads), len(np.unique(vectors.heads.layer)))
    orders = {task: Task(vectors, task).order for task in store.benchmark.tasks}
    needed = {setting.method.needs for setting in settings}
    has = {need: HAVING[need](vectors) for need in needed if need}
    tasks = {task: {need for need, of in has.items() if of[task]} for task in store.benchmark.tasks}
    return plan_cells(base, tasks, within, data.draws, capped, orders)


def _missing(
    plan: Sequence[tuple[ModelVectors, list[Cell]]], results: Results, number: int, parts: int
) -> list[tuple[ModelVectors, list[Cell]]]:
    """Return what is not finished of one of several parts of the plan, or damaged since, which is said."""
    missing, damaged = [], []
    for vectors, cells in plan:
        for mine in deal(cells, parts)[number - 1 : number]:  # few draws make fewer parts
            states = {cell: results.is_intact(cell.key) if results.has(cell.key) else False for cell in mine}
            if left := [cell for cell, intact in states.items() if intact is False]:
                missing.append((vectors, left))
                damaged += [cell.key for cell in left if results.has(cell.key)]
    if damaged:
        print(f"{len(damaged):,} damaged cells are computed anew, of {damaged[0]}.json on", file=sys.stderr)
    return missing


def _shots_within(vectors: ModelVectors, task: str, shots: int | Sequence[int]) -> list[int]:
    """Return the shots that every class has samples for; where there are none, the least, which then is refused."""
    wanted = [shots] if isinstance(shots, int) else list(shots)
    counts = available(vectors.store.samples, vectors.store.benchmark, task, vectors.usable)
    return [few for few in wanted if few <= min(counts.values())] or [min(wanted)]


def base_cell(vectors: ModelVectors, pattern: Cell) -> Cell:
    """Return the pattern with the identity of these vectors."""
    benchmark = vectors.store.benchmark
    records = f"{short_hash(vectors.records.tobytes()):016x}"
    return replace(
        pattern,
        benchmark=benchmark.name,
        model=vectors.name,
        fingerprint=vectors.fingerprint,
        index_hash=vectors.store.index_hash,
        records=records,
        class_vectors=named.hash if (named := class_vectors(vectors)) else "",
        metric=benchmark.metric,
    )


def tasks_with_logits(vectors: ModelVectors) -> dict[str, bool]:
    """Tell of each task whether every usable sample has a logit for each class.

    A store made from arrays may have none, and a task whose answers begin with the same token has none.
    """
    return {task: bool(has.all()) for task, has in _have_logits(vectors).items()}


def tasks_with_class_vectors(vectors: ModelVectors) -> dict[str, bool]:
    """Tell of each task whether every class has a class vector."""
    return {task: Task(vectors, task).class_vectors([0]) is not None for task in vectors.store.benchmark.tasks}


def tasks_with_answers(vectors: ModelVectors) -> dict[str, bool]:
    """Tell of each task whether what a system says in words is kept, with the rule that reads it: of all or of none."""
    return dict.fromkeys(vectors.store.benchmark.tasks, is_answered(vectors.heads) and "reading" in vectors.identity)


def tasks_with_paired_answers(vectors: ModelVectors) -> dict[str, bool]:
    """Tell of each task whether its samples are scored in groups, and have two classes each, all with a logit."""
    table, benchmark = vectors.store.samples, vectors.store.benchmark
    grouped = find_metric(benchmark.metric).slots > 1
    found = {}
    for code, (task, classes) in enumerate(benchmark.tasks.items()):
        allowed = allowed_classes(table.options[(table.task == code) & vectors.usable], len(classes))
        found[task] = grouped and tasks_with_logits(vectors)[task] and bool((allowed.sum(axis=1) == 2).all())
    return found


# How to know which tasks have what methods need, and what is said where none has it.
HAVING = {
    LOGITS: tasks_with_logits,
    CLASS_VECTORS: tasks_with_class_vectors,
    ANSWERS: tasks_with_answers,
    PAIRED: tasks_with_paired_answers,
}
LACKING = {
    LOGITS: "a logit for each of its classes, which zero-shot needs",
    ANSWERS: "answers in words: savs-harvest generate and savs-harvest ask keep some",
    PAIRED: "samples in groups with a logit for each of two classes, which debiased answers need",
    CLASS_VECTORS: "a class vector for each of its classes: harvest once more into the same store, and where that "
    "makes none, as classes are not named by their words, with --class-prompt",
}


def class_vector_notes(vectors: ModelVectors, methods: Sequence[str]) -> Iterator[str]:
    """Yield a note on the tasks that methods are left out of, as classes there have no class vectors."""
    lacking = [task for task, has in tasks_with_class_vectors(vectors).items() if not has] if methods else []
    if lacking:
        name = f"{vectors.store.benchmark.name}, {vectors.name}"
        named = ", ".join(dict.fromkeys(methods))
        yield f"{name}: {named} left out, as classes have no class vectors: {', '.join(lacking)}."


def zero_shot_notes(vectors: ModelVectors) -> Iterator[str]:
    """Yield notes on the tasks that zero-shot is left out of, and on those where it reads more than one token."""
    if any(tasks_with_answers(vectors).values()):
        return
    name = f"{vectors.store.benchmark.name}, {vectors.name}"
    ways = vectors.identity.get("answers")
    told = ways if isinstance(ways, dict) else {}
    if whole := [task for task in vectors.store.benchmark.tasks if told.get(task) == WHOLE_ANSWER]:
        yield f"{name}: zero-shot sums the log-probabilities of all tokens of an answer in {', '.join(whole)}."
    found = {task: has for task, has in _have_logits(vectors).items() if not has.all()}
    if found:
        tasks = ", ".join(f"{task} ({(~has).sum():,} of {len(has):,} samples)" for task, has in found.items())
        yield f"{name}: zero-shot is left out, as samples lack a logit for some class: {tasks}."


def unread_notes(vectors: ModelVectors) -> Iterator[str]:
    """Yield a note on answers in words that name no class."""
    if not any(tasks_with_answers(vectors).values()) or not vectors.usable.any():
        return
    read = np.any(vectors.read(np.flatnonzero(vectors.usable)), axis=(1, 2))
    if unread := int(np.sum(~read)):
        yield (
            f"{vectors.store.benchmark.name}, {vectors.name}: {unread:,} of {len(read):,} answers name no class, and "
            "count as wrong."
        )


def tuned_notes(vectors: ModelVectors) -> Iterator[str]:
    """Yield a note on a model that was tuned, and on what of its samples it is therefore not tested on."""
    if found := vectors.identity.get(TUNED_ON):
        name, learnt = f"{vectors.store.benchmark.name}, {vectors.name}", int(known_by_heart(vectors).sum())
        left_out = f"{learnt:,} samples that it knows by heart are never tested" if learnt else "it has seen none here"
        yield f"{name}: tuned on {len(found['samples']):,} samples of {found['benchmark']}; {left_out}."


def order_notes(vectors: ModelVectors, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield a note where cells number classes by appearance, and the store does not say how they appear."""
    benchmark = vectors.store.benchmark
    if any(cell.order for cell in cells) and not benchmark.class_order:
        yield (
            f"{benchmark.name}: the store does not say how classes first appear in the training file, by which the "
            "papers' code numbers them; they are numbered as they appear among the samples that supports come from."
        )


def one_support_notes(vectors: ModelVectors, cells: Sequence[Cell]) -> Iterator[str]:
    """Yield a note where draws repeat one support, as it is all that supports come from."""
    table, benchmark = vectors.store.samples, vectors.store.benchmark
    drawn = Counter((cell.task, cell.shots) for cell in cells if cell.draw)
    for task, shots in drawn:
        if set(available(table, benchmark, task, vectors.usable).values()) == {shots}:
            of = benchmark.name if len(benchmark.tasks) == 1 else f"{benchmark.name} / {task}"
            yield (
                f"{of}, {vectors.name}: there are just {shots} labelled samples of every class to learn from, so all "
                "draws are one: intervals say nothing of other draws (--draws 1)."
            )


def _have_logits(vectors: ModelVectors) -> dict[str, np.ndarray]:
    """Return of each task which of its usable samples have a logit for each class."""
    table, benchmark = vectors.store.samples, vectors.store.benchmark
    return {
        task: np.isfinite(vectors.logits[(table.task == code) & vectors.usable, : len(classes)]).all(axis=1)
        for code, (task, classes) in enumerate(benchmark.tasks.items())
    }


def _run_facts(command: str, folder: Path, plan: Sequence[tuple[ModelVectors, list[Cell]]]) -> dict[str, Any]:
    versions = {name: version(name) for name in ("savs", "numpy", "scipy", "scikit-learn")}
    versions["python"] = platform.python_version()
    sources = [
        {
            "store": str(vectors.store.path),
            "from_here": os.path.relpath(vectors.store.path, folder),
            "model": vectors.name,
            "cells": [cell.key for cell in of],
        }
        for vectors, of in plan
    ]
    keys = [cell.key for _, cells in plan for cell in cells]
    return {"command": command, "sources": sources, "cells": keys, "versions": versions}
