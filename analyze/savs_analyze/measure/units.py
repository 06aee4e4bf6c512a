"""What is scored as a whole, and what counts of classes say."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.measure.probabilities import Measured, mean_of
from savs_analyze.measure.scored import Scored
from savs_metrics import OF_CLASSES, OF_SCORES

# What any benchmark's own metrics stand beside.
FURTHER = OF_CLASSES + OF_SCORES


@dataclass(frozen=True, eq=False)
class Units:
    """What is scored as a whole: a sample, or a group of them.

    `unit` names each across draws, `cluster` says which ones must be resampled together. `answers` are what their
    samples are and were taken for, `scored` the same with scores of all classes, where there are any.
    """

    unit: Int[np.ndarray, " unit"]
    cluster: Int[np.ndarray, " unit"]
    scores: dict[str, Float[np.ndarray, " unit"]]
    answers: Answers
    scored: Scored | None = None

    def values(self) -> dict[str, float]:
        """Return every metric."""
        return {name: found.value for name, found in self.measured().items()}

    def influences(self) -> dict[str, Float[np.ndarray, " unit"]]:
        """Return by how much every unit moves every metric: to first order, so that they sum to 0.

        NaN for a metric whose variance is not known.
        """
        return {name: found.influence for name, found in self.measured().items()}

    def measured(self, further: Collection[str] = FURTHER) -> dict[str, Measured]:
        """Return the benchmark's own metrics and the `further` ones that there are, with the influences of units."""
        of_samples = self.answers.measured if any(name in further for name in OF_CLASSES) else {}
        if self.scored and any(name in further for name in OF_SCORES):
            of_samples = of_samples | self.scored.measured
        own = {name: mean_of(scores) for name, scores in self.scores.items()}
        return own | {name: self._of_units(found) for name, found in of_samples.items() if name in further}

    def _of_units(self, found: Measured) -> Measured:
        return Measured(found.value, np.bincount(self.answers.unit, found.influence, len(self.unit)))


@dataclass(frozen=True, eq=False)
class Answers:
    """What samples are and were taken for, -1 for nothing; `unit` is the place of each one's unit."""

    label: Int[np.ndarray, " sample"]
    predicted: Int[np.ndarray, " sample"]
    unit: Int[np.ndarray, " sample"]
    classes: int

    @cached_property
    def counts(self) -> Float[np.ndarray, " counted"]:
        return class_counts(self.label, self.predicted, self.classes)

    @property
    def measured(self) -> dict[str, Measured]:
        """Balanced accuracy and macro-F1, with the influences of samples."""
        values, slopes = class_metrics(self.counts), class_slopes(self.counts)
        return {name: Measured(float(values[name]), self._moved(slopes[name])) for name in values}

    def _moved(self, slopes: Float[np.ndarray, " counted"]) -> Float[np.ndarray, " sample"]:
        of_label, of_prediction, of_hit = slopes.reshape(3, -1)
        hits = np.where(self.predicted == self.label, of_hit[self.label], 0)
        return of_label[self.label] + np.where(self.predicted < 0, 0, of_prediction[self.predicted]) + hits

    @cached_property
    def half_sample_a_class(self) -> float:
        """Return the variance of a mean over classes if half a sample more of each had been right or wrong.

        Where all of a class's few samples are right, nothing else tells how well its recall is known.
        """
        labels = self.counts[: self.classes]
        return float((0.5 / labels[labels > 0] ** 2).sum() / max(int((labels > 0).sum()), 1) ** 2)


def class_counts(
    label: Int[np.ndarray, " sample"], predicted: Int[np.ndarray, " sample"], classes: int
) -> Float[np.ndarray, " counted"]:
    """Return how many samples have each class as label, as prediction, and as both; -1 is a prediction of none."""
    parts = label, predicted[predicted >= 0], label[predicted == label]
    counted = [np.bincount(of, minlength=classes) for of in parts]
    return np.concatenate(counted).astype(np.float64)


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
