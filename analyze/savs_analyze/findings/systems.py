"""Systems side by side: every one measured on the samples that all were tested on, and tested against the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int

from savs_analyze.findings.comparisons import CLOSE, Line, Paired, line_of, mean_name, side_by_side, tests
from savs_analyze.findings.groups import DRAWS, SEEDS, Group, System, cost_of, systems_of, words_of
from savs_analyze.findings.summary import Measurement, mean_of_tasks, numbers
from savs_analyze.measure.crossed import noise
from savs_analyze.measure.metrics import METRICS
from savs_analyze.methods.recipes import ZERO_SHOT
from savs_analyze.runs.results import CellResult

KEYS = ["benchmark", "metric", "task"]
COLUMNS = [*KEYS, "system", "model", "asked", "method", "setting", "shots", "in_context", "tuned", "repeats", "of"]
COLUMNS += ["draws", "n", "value", "low", "high", "best", "close", "seconds", "memory", "memory_of", "devices"]
COMPARED = [*KEYS, "system", "other", "difference", "low", "high", "level", "draws", "n", "p", "holm", "verdict"]


@dataclass(frozen=True)
class _Row:
    """What is known of a system on one benchmark: its results, a cell and a place in it each, by task."""

    system: str
    model: str
    method: str
    setting: str
    shots: int
    groups: list[Group] = field(default_factory=list)
    repeats: str = ""
    told: dict[str, list[tuple[CellResult, int]]] = field(default_factory=dict)

    @property
    def by_itself(self) -> bool:
        return self.method == ZERO_SHOT and self.groups[0].plain


def summarize_systems(cells: Iterable[CellResult], groups: Sequence[Group], compared: pd.DataFrame) -> pd.DataFrame:
    """Return a row a benchmark and system: the first metric on the samples that all systems of it were tested on.

    `value` is the mean over draws, or over the repeats of a system, `low` and `high` are of other samples and, where
    there are several, other draws or repeats; of several tasks it is their unweighted mean. `close` is what `compared`
    does not distinguish from the best. Costs are those of the model's run. Raises ValueError where no sample is common.
    """
    found = []
    for (benchmark, metric), rows in _by_benchmark(cells, groups).items():
        rows = [row for row in rows if len(row.told) == max(len(one.told) for one in rows)]
        task = _task_of(rows)
        close = _close(compared[compared["benchmark"] == benchmark], _best(rows, metric))
        of_benchmark = [_summarized(row, _common(rows), metric) for row in rows]
        best = max(row["value"] for row in of_benchmark)
        keys = {"benchmark": benchmark, "metric": metric, "task": task}
        found += [keys | row | {"best": row["value"] == best, "close": row["system"] in close} for row in of_benchmark]
    return pd.DataFrame(found, columns=COLUMNS)


def compare_systems(cells: Iterable[CellResult], groups: Sequence[Group], reference: str = "") -> pd.DataFrame:
    """Return tested differences between systems on the same samples: of the best, and of the reference, and all others.

    Numbers and verdicts are as in `findings.comparisons`, holm is of all pairs of systems of a benchmark. What learns,
    and what is repeated, varies over draws, of which those count that all systems of a test have; a model that answers
    by itself, and a system of one repeat, stays. The reference is the first model's own zero-shot answer where none is
    named. Raises ValueError for a reference that there is not.
    """
    found = []
    by_benchmark = _by_benchmark(cells, groups)
    names = [row.system for rows in by_benchmark.values() for row in rows]
    if reference and reference not in names:
        raise ValueError(
            f"there is no system {reference!r} to compare with; there are: {'; '.join(sorted(set(names)))}"
        )
    for (benchmark, metric), rows in by_benchmark.items():
        against = reference or next((row.system for row in rows if row.by_itself), rows[0].system)
        rows = [row for row in rows if len(row.told) == max(len(one.told) for one in rows)]
        keys = {"benchmark": benchmark, "metric": metric, "task": _task_of(rows)}
        kept = {_best(rows, metric), against}
        seeded = {row.system for row in rows if row.repeats == SEEDS and len(row.groups) > 1}
        # Seeds are of other draws than supports: few of them say nothing of how methods vary that learn.
        for some in ([row for row in rows if row.system not in seeded], rows if seeded else []):
            for row in _tested(some, metric, kept, len(rows)):
                pair = {row["setting"], row["other"]}
                if kept & pair and bool(seeded & pair) == (some is rows):
                    found.append(keys | row)
    return pd.DataFrame(found).rename(columns={"setting": "system"}).reindex(columns=COMPARED)


def _tested(rows: Sequence[_Row], metric: str, kept: Iterable[str], among: int) -> list[dict[str, Any]]:
    """Return tested pairs of these systems, those of the `kept` among them, corrected for all pairs `among` so many."""
    if len(rows) < 2:
        return []
    lines = [_line(rows, task, metric) for task in rows[0].told]
    known = [line for line in lines if line is not None]
    if len(known) < len(lines):
        return []
    draws = {"draws": min(len(line.values) for line in known)}
    return [draws | row for row in tests(known, list(kept), among)]


def _best(rows: Sequence[_Row], metric: str) -> str:
    """Return the system of the largest value, as the table has it."""
    common = _common(rows)
    values = [np.mean([_measured(row, task, units, metric).value for task, units in common.items()]) for row in rows]
    return rows[int(np.argmax(values))].system


def _close(compared: pd.DataFrame, best: str) -> set[str]:
    """Return what is not distinguishable from the best."""
    near = compared[compared["verdict"].isin(CLOSE)]
    pairs = [{system, other} for system, other in zip(near["system"], near["other"], strict=True)]
    return {name for pair in pairs if best in pair for name in pair - {best}}


def _task_of(rows: Sequence[_Row]) -> str:
    tasks = list(rows[0].told)
    return tasks[0] if len(tasks) == 1 else mean_name(len(tasks))


def _by_benchmark(cells: Iterable[CellResult], groups: Sequence[Group]) -> dict[tuple[str, str], list[_Row]]:
    """Return the systems of every (benchmark, first metric), by name, whatever the order of stores and cells."""
    systems = systems_of(groups)
    of = {(group.benchmark, group.name): group for group in groups}
    found: dict[tuple[str, str], dict[str, _Row]] = {}
    cells = [cell for cell in cells if (cell.facts.benchmark, cell.facts.model) in of]
    several = len({cell.facts.shots for cell in cells if cell.facts.shots}) > 1
    for cell in cells:
        facts = cell.facts
        key = facts.benchmark, facts.model
        system, group = systems[key], of[key]
        for place, column in enumerate(facts.columns):
            name = words_of(system, group, facts.method, column)
            name += f", {facts.shots} shots" if several and facts.shots else ""
            rows = found.setdefault((facts.benchmark, METRICS[facts.metric].first), {})
            repeats = system.repeats or (DRAWS if facts.shots else "")
            row = rows.setdefault(name, _Row(name, system.model, facts.method, column, facts.shots, repeats=repeats))
            row.groups.extend([group] if group not in row.groups else [])
            row.told.setdefault(facts.task, []).append((_as_repeat(cell, system), place))
    return {key: [rows[name] for name in sorted(rows)] for key, rows in sorted(found.items())}


def _as_repeat(cell: CellResult, system: System) -> CellResult:
    """Return the cell as the draw that its group is a repeat of; of one repeat nothing is drawn."""
    if cell.facts.shots or system.of == 1:
        return cell
    return replace(cell, facts=replace(cell.facts, shots=1, draw=system.repeat))


def _line(rows: Sequence[_Row], task: str, metric: str) -> Line | None:
    """Return systems side by side, None where there are fewer than two or no draw is of all of them."""
    told = [(row.system, cell, place) for row in rows for cell, place in row.told[task]]
    settings, draws = side_by_side(told, metric)
    if len(settings) < 2 or not draws:
        return None
    return line_of(settings, draws, {system for system, cell, _ in told if not cell.facts.shots})


def _common(rows: Sequence[_Row]) -> dict[str, Int[np.ndarray, " unit"]]:
    """Return of every task the units that each system tested in any of its draws."""
    found = {}
    for task in rows[0].told:
        tested = [
            reduce(np.union1d, [cell.units(place).unit for cell, place in row.told[task]])
            for row in rows
            if task in row.told
        ]
        found[task] = reduce(np.intersect1d, tested)
        if not len(found[task]):
            names = ", ".join(row.system for row in rows)
            raise ValueError(f"{task}: no sample was tested by all of {names}: leave systems out with --model")
    return found


def _summarized(row: _Row, common: Mapping[str, Int[np.ndarray, " unit"]], metric: str) -> dict[str, Any]:
    """Return the row of a system: its value on common units, and what it cost."""
    measured = [_measured(row, task, units, metric) for task, units in common.items()]
    found = measured[0] if len(measured) == 1 else mean_of_tasks(measured)
    cost = cost_of([shard for group in row.groups for shard in group.shards])
    first = row.groups[0]
    told = {
        "system": row.system,
        "model": row.model,
        "asked": first.asked,
        "method": row.method,
        "setting": row.setting,
        "shots": row.shots,
        "in_context": int(first.in_context.get("shots", 0)),
        "tuned": str(first.tuned_on.get("benchmark", "")),
        "repeats": row.repeats,
        "of": len(row.groups),
        "draws": min(len(one.values) for one in measured),
    }
    costs = {"seconds": np.nan, "memory": None, "memory_of": "", "devices": ""}
    if cost:
        devices = ", ".join(cost.devices)
        costs = {"seconds": cost.seconds, "memory": cost.memory, "memory_of": cost.memory_of, "devices": devices}
    return told | numbers(found, metric) | costs


def _measured(row: _Row, task: str, units: Int[np.ndarray, " unit"], metric: str) -> Measurement:
    """Return what a system is worth on these units of a task, with its noise over samples and draws."""
    draws = []
    for cell, place in row.told[task]:
        tested = cell.units(place)
        kept = np.isin(tested.unit, units)
        draws.append(Paired(tested.unit[kept], tested.cluster[kept], tested.scores[metric][kept, None]))
    line = line_of([row.system], draws)
    return Measurement(line.values[:, 0], noise(line.values, line.influences), line.n)
