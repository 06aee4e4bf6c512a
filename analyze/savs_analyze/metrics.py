"""What a prediction is worth: a score for every unit, whose mean is the metric."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

# The metric that a benchmark names, and what it reports: the first is the one that tables show.
METRICS = {
    "accuracy": ("accuracy",),
    "question-image-group": ("group_accuracy", "question_accuracy", "image_accuracy", "accuracy"),
}


@dataclass(frozen=True)
class Units:
    """What is scored as a whole: a sample, or a group of them.

    `unit` names each across draws, `cluster` says which ones must be resampled together.
    """

    unit: Int[np.ndarray, " unit"]
    cluster: Int[np.ndarray, " unit"]
    scores: dict[str, Float[np.ndarray, " unit"]]


def unit_scores(
    metric: str,
    correct: Bool[np.ndarray, " sample"],
    sample: Int[np.ndarray, " sample"],
    group: Int[np.ndarray, " sample"],
    slot: Int[np.ndarray, " sample"],
) -> Units:
    """Return the scores of all units under every metric that a benchmark's metric reports.

    For accuracy a unit is a sample, clustered by its group. For `question-image-group` (NaturalBench's
    Q-Acc, I-Acc and G-Acc) a unit is a whole group: with slot = 2 * question + image, a question counts
    when it is right on both images, an image when both questions are right on it, the group when all
    four are.
    Raises ValueError for an unknown metric and for a group that lacks a slot.
    """
    if metric == "accuracy":
        return Units(sample, np.where(group >= 0, group, -1 - sample), {"accuracy": correct.astype(np.float64)})
    if metric != "question-image-group":
        raise ValueError(f"unknown metric {metric!r}; there are {', '.join(METRICS)}")
    order = np.lexsort((slot, group))
    if len(order) % 4 or (slot[order].reshape(-1, 4) != np.arange(4)).any():
        raise ValueError("every group needs the slots 0, 1, 2, 3 once each")
    square = correct[order].reshape(-1, 2, 2)  # [group, question, image]
    scores = {
        "group_accuracy": square.all(axis=(1, 2)).astype(np.float64),
        "question_accuracy": square.all(axis=2).mean(axis=1),
        "image_accuracy": square.all(axis=1).mean(axis=1),
        "accuracy": square.mean(axis=(1, 2)),
    }
    groups = group[order][::4]
    return Units(groups, groups, scores)
