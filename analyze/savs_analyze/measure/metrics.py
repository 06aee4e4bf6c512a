"""What predictions are worth: scores of units, whose mean is a metric, and metrics of classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array, csr_array

# Beside every metric: the mean of the classes' recalls, and the mean of their F1 scores.
OF_CLASSES = ("balanced_accuracy", "macro_f1")
# The metric that a benchmark names, and what it reports: the first is the one to look at.
METRICS = {
    "accuracy": ("accuracy", *OF_CLASSES),
    "question-image-group": ("group_accuracy", "question_accuracy", "image_accuracy", "accuracy", *OF_CLASSES),
    "pair": ("pair_accuracy", "accuracy", *OF_CLASSES),
}
GROUP_SIZES = {"question-image-group": 4, "pair": 2}


@dataclass(frozen=True)
class Units:
    """What is scored as a whole: a sample, or a group of them.

    `unit` names each across draws, `cluster` says which ones must be resampled together. `counts` is
    `[unit, 3 * class]`: how many samples of the unit have the class as label, as prediction, as both.
    """

    unit: Int[np.ndarray, " unit"]
    cluster: Int[np.ndarray, " unit"]
    scores: dict[str, Float[np.ndarray, " unit"]]
    counts: csr_array

    def values(self) -> dict[str, float]:
        """Return every metric."""
        means = {name: float(scores.mean()) for name, scores in self.scores.items()}
        return means | {name: float(value) for name, value in class_metrics(self.counts.sum(axis=0)).items()}


def unit_scores(
    metric: str,
    predicted: Int[np.ndarray, " sample"],
    label: Int[np.ndarray, " sample"],
    sample: Int[np.ndarray, " sample"],
    group: Int[np.ndarray, " sample"],
    slot: Int[np.ndarray, " sample"],
    classes: int,
) -> Units:
    """Return the units that a benchmark's metric scores, with their scores.

    For accuracy a unit is a sample, clustered by its group; otherwise it is a whole group. For
    `question-image-group` (NaturalBench's Q-Acc, I-Acc and G-Acc), slot = 2 * question + image: a question
    counts when it is right on both images, an image when both questions are right on it, the group when all
    four are. For `pair`, both of slots 0 and 1 must be right.
    Raises ValueError for an unknown metric and for a group that lacks a slot.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}; there are {', '.join(METRICS)}")
    correct = predicted == label
    if metric == "accuracy":
        clusters = np.where(group >= 0, group, -1 - sample)
        counts = _counts(predicted, label, np.arange(len(label)), classes)
        return Units(sample, clusters, {"accuracy": correct.astype(np.float64)}, counts)
    size = GROUP_SIZES[metric]
    order = np.lexsort((slot, group))
    if len(order) % size or (slot[order].reshape(-1, size) != np.arange(size)).any():
        raise ValueError(f"every group needs the slots {', '.join(map(str, range(size)))} once each")
    groups = group[order][::size]
    counts = _counts(predicted[order], label[order], np.repeat(np.arange(len(groups)), size), classes)
    return Units(groups, groups, _group_scores(metric, correct[order].reshape(-1, size)), counts)


def _group_scores(metric: str, correct: np.ndarray) -> dict[str, Float[np.ndarray, " group"]]:
    """Return the scores of groups from `[group, slot]`."""
    if metric == "pair":
        return {"pair_accuracy": correct.all(axis=1).astype(np.float64), "accuracy": correct.mean(axis=1)}
    square = correct.reshape(-1, 2, 2)  # [group, question, image]
    return {
        "group_accuracy": square.all(axis=(1, 2)).astype(np.float64),
        "question_accuracy": square.all(axis=2).mean(axis=1),
        "image_accuracy": square.all(axis=1).mean(axis=1),
        "accuracy": square.mean(axis=(1, 2)),
    }


def _counts(
    predicted: Int[np.ndarray, " sample"], label: Int[np.ndarray, " sample"], unit: np.ndarray, classes: int
) -> csr_array:
    hits = predicted == label
    rows = np.concatenate([unit, unit, unit[hits]])
    # Labels are kept in 16 bits: too few for three times the classes.
    columns = np.concatenate(
        [label.astype(np.int64), predicted + np.int64(classes), label[hits] + np.int64(2 * classes)]
    )
    shape = (int(unit.max(initial=-1)) + 1, 3 * classes)
    return coo_array((np.ones(len(rows)), (rows, columns)), shape=shape).tocsr()


def class_metrics(counts: Float[np.ndarray, "*many counted"]) -> dict[str, Float[np.ndarray, "*many"]]:
    """Return balanced accuracy and macro-F1 from `[..., 3 * class]` counts of labels, predictions and hits.

    As scikit-learn has them: recalls are averaged over the classes that occur as labels, F1 scores over those
    that occur as labels or predictions. NaN where nothing was counted.
    """
    labels, predictions, hits = np.moveaxis(counts.reshape(*counts.shape[:-1], 3, -1), -2, 0)
    return {
        "balanced_accuracy": _mean_ratio(hits, labels),
        "macro_f1": _mean_ratio(2 * hits, labels + predictions),
    }


def _mean_ratio(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    """Return the mean of parts / wholes over the last axis, where the whole is not 0."""
    ratios = np.divide(parts, wholes, out=np.zeros_like(parts), where=wholes > 0)
    count = (wholes > 0).sum(axis=-1)
    return np.divide(ratios.sum(axis=-1), count, out=np.full(count.shape, np.nan), where=count > 0)
