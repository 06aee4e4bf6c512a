"""What is scored as a whole, and what counts of classes say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array

from savs_analyze.measure.scored import Scored


@dataclass(frozen=True)
class Units:
    """What is scored as a whole: a sample, or a group of them.

    `unit` names each across draws, `cluster` says which ones must be resampled together. `counts` is
    `[unit, 3 * class]`: how many samples of the unit have the class as label, as prediction, as both. `scored` are
    the samples with scores of all classes, where there are any.
    """

    unit: Int[np.ndarray, " unit"]
    cluster: Int[np.ndarray, " unit"]
    scores: dict[str, Float[np.ndarray, " unit"]]
    counts: csr_array
    scored: Scored | None = None

    def values(self) -> dict[str, float]:
        """Return every metric."""
        means = {name: float(scores.mean()) for name, scores in self.scores.items()}
        of_classes = {name: float(value) for name, value in class_metrics(self.counts.sum(axis=0)).items()}
        return means | of_classes | (self.scored.values() if self.scored else {})

    def half_sample_a_class(self) -> float:
        """Return the variance of a mean over classes if half a sample more of each had been right or wrong.

        Where all of a class's few samples are right, nothing else tells how well its recall is known.
        """
        labels = self.counts.sum(axis=0)[: self.counts.shape[1] // 3]
        return float((0.5 / labels[labels > 0] ** 2).sum() / max((labels > 0).sum(), 1) ** 2)

    def influences(self) -> dict[str, Float[np.ndarray, " unit"]]:
        """Return by how much every unit moves every metric: to first order, so that they sum to 0.

        NaN for a metric whose variance is not known.
        """
        found = {name: (scores - scores.mean()) / len(scores) for name, scores in self.scores.items()}
        found |= {name: self.counts @ slopes for name, slopes in class_slopes(self.counts.sum(axis=0)).items()}
        return found | (self.scored.influences() if self.scored else {})


def class_slopes(counts: Float[np.ndarray, " counted"]) -> dict[str, Float[np.ndarray, " counted"]]:
    """Return the derivatives of `class_metrics` by the counts of labels, predictions and hits.

    The metrics do not change when all counts grow alike, so slopes times counts are 0.
    """
    labels, predictions, hits = counts.reshape(3, -1)
    none = np.zeros(len(labels))
    recall = _ratio_slopes(hits, labels)
    f1 = _ratio_slopes(2 * hits, labels + predictions)
    return {
        "balanced_accuracy": np.concatenate([recall[1], none, recall[0]]),
        "macro_f1": np.concatenate([f1[1], f1[1], 2 * f1[0]]),
    }


def _ratio_slopes(parts: np.ndarray, wholes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the derivatives of the mean of parts / wholes by parts and by wholes, 0 where the whole is 0."""
    there = wholes > 0
    inverse = np.divide(1, wholes, out=np.zeros_like(parts), where=there) / max(there.sum(), 1)
    by_wholes = -np.divide(parts, wholes, out=np.zeros_like(parts), where=there) * inverse
    return inverse, by_wholes


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
