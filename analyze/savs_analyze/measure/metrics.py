"""What predictions are worth, by a benchmark's metric."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float16, Int

from savs_analyze.measure.scored import Scored
from savs_analyze.measure.units import Answers, Units
from savs_analyze.registry import HERE, Origin, Registry
from savs_metrics import METRICS as OURS
from savs_metrics import Metric

METRICS: Registry[Metric] = Registry("metric", OURS)


def origins_of(metric: str) -> list[Origin]:
    """Return where a metric is from, as far as that is outside and it is known here."""
    return [METRICS.origin(metric)] if metric in METRICS and METRICS.origin(metric) != HERE else []


def find_metric(name: str) -> Metric:
    """Raises ValueError for one that is not here."""
    if name not in METRICS:
        raise ValueError(f"unknown metric {name!r}; there are {', '.join(METRICS)}: --include it, or install it")
    return METRICS[name]


def unit_scores(
    metric: str,
    predicted: Int[np.ndarray, " sample"],
    label: Int[np.ndarray, " sample"],
    sample: Int[np.ndarray, " sample"],
    group: Int[np.ndarray, " sample"],
    slot: Int[np.ndarray, " sample"],
    classes: int,
    scores: Float16[np.ndarray, "sample class"] | None = None,
) -> Units:
    """Return the units that a benchmark's metric scores, with their scores; `scores` are those of all classes.

    Of one slot a unit is a sample, clustered by its group; otherwise it is a whole group.
    Raises ValueError for an unknown metric and for a group that lacks a slot.
    """
    scoring, order = find_metric(metric), np.arange(len(label))
    size = scoring.slots
    unit = sample
    clusters = np.where(group >= 0, group, -1 - sample)
    if size > 1:
        order = np.lexsort((slot, group))
        if len(order) % size or (slot[order].reshape(-1, size) != np.arange(size)).any():
            raise ValueError(f"every group needs the slots {', '.join(map(str, range(size)))} once each")
        unit = clusters = group[order][::size]
    predicted, label = predicted[order], label[order]
    found = scoring.score(predicted.reshape(-1, size), label.reshape(-1, size))
    floats = {name: np.asarray(values, dtype=np.float64) for name, values in found.items()}
    place = np.repeat(np.arange(len(unit)), size)
    scored = None if scores is None else Scored(scores[order], predicted, label, place)
    return Units(unit, clusters, floats, Answers(label, predicted, place, classes), scored)
