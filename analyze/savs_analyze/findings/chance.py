"""What blind guessing is worth: every class of a task as likely as the others, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

import numpy as np
from jaxtyping import Int

from savs_analyze.findings.comparisons import mean_name
from savs_analyze.measure.metrics import METRICS
from savs_analyze.runs.results import CellResult
from savs_metrics import Metric

# Guesses of one unit that are gone through: classes to the power of slots.
MOST_GUESSES = 1024
Line = tuple[str, str, str, str]  # benchmark, model, task, metric


def chance_levels(cells: Iterable[CellResult]) -> dict[Line, float]:
    """Return the expected value of every line of a summary under blind guessing, where it can be told.

    Of a benchmark of several tasks also of their mean. Metrics of many classes, or of scores, have none, and neither
    has a model's line on a benchmark where a setting chooses among printed options: results do not keep how many.
    """
    cells = list(cells)
    printed = {(cell.facts.benchmark, cell.facts.model) for cell in cells if _is_restricted(cell)}
    tasks: dict[tuple[str, str], dict[str, Mapping[str, float]]] = {}
    for cell in cells:
        if (cell.facts.benchmark, cell.facts.model) in printed:
            continue
        of_model = tasks.setdefault((cell.facts.benchmark, cell.facts.model), {})
        if cell.facts.task not in of_model and cell.facts.metric in METRICS:
            of_model[cell.facts.task] = _of_cell(cell)
    levels: dict[Line, float] = {}
    for (benchmark, model), of_task in tasks.items():
        lines = {(task, metric): level for task, found in of_task.items() for metric, level in found.items()}
        levels |= {(benchmark, model, *line): level for line, level in lines.items()}
        for metric in dict.fromkeys(metric for _, metric in lines):
            every = [found[metric] for found in of_task.values() if metric in found]
            if len(of_task) > 1 and len(every) == len(of_task):
                levels[benchmark, model, mean_name(len(of_task)), metric] = float(np.mean(every))
    return levels


def _is_restricted(cell: CellResult) -> bool:
    return any(setting.get("restricted") for setting in cell.facts.settings)


def _of_cell(cell: CellResult) -> Mapping[str, float]:
    metric, tested = METRICS[cell.facts.metric], ~cell.arrays["validation"]
    label, group, slot = (cell.arrays[name][tested] for name in ("label", "group", "slot"))
    order = np.lexsort((slot, group)) if metric.slots > 1 else np.arange(len(label))
    return {
        **guessed(metric, label[order].reshape(-1, metric.slots), cell.facts.classes),
        "balanced_accuracy": 1 / cell.facts.classes,
    }


def guessed(metric: Metric, labels: Int[np.ndarray, "unit slot"], classes: int) -> dict[str, float]:
    """Return the mean of every score of a metric over all guesses of every unit; {} where they are too many."""
    if metric.name == "accuracy":
        return {"accuracy": 1 / classes}
    if classes**metric.slots > MOST_GUESSES:
        return {}
    guesses = np.array(list(product(range(classes), repeat=metric.slots)))
    units, counts = np.unique(labels, axis=0, return_counts=True)
    means = [
        {
            name: float(np.mean(values))
            for name, values in metric.score(guesses, np.tile(unit, (len(guesses), 1))).items()
        }
        for unit in units
    ]
    return {name: float(np.average([of[name] for of in means], weights=counts)) for name in (means[0] if means else ())}
