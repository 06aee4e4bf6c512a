"""How well scores tell two classes apart, whatever the cut: each value, and by how much every sample moves it.

Influences are the derivatives of the value by a sample's weight, so they sum to 0. Of equal scores none is before
another.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float

from savs_analyze.measure.probabilities import Measured

# Fewer negatives than these leave fewer than five false positives at the cut, by rate.
LEAST_NEGATIVES = {0.01: 500, 0.05: 100}


def auroc(score: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"]) -> Measured:
    """Return how often a positive scores above a negative, equal ones half (DeLong 1988).

    A sample's influence is how much its own share of won pairs differs, over the samples of its class.
    """
    above, below = score[positive], score[~positive]
    won = np.empty(len(score))
    won[positive] = _rank_among(above, below) / len(below)
    won[~positive] = 1 - _rank_among(below, above) / len(above)
    value = float(won[positive].mean())
    return Measured(value, (won - value) / np.where(positive, len(above), len(below)))


def _rank_among(scores: Float[np.ndarray, " one"], others: Float[np.ndarray, " other"]) -> Float[np.ndarray, " one"]:
    """Return how many of the others each score is above, equal ones half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / 2


def average_precision(score: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"]) -> Measured:
    """Return the mean over positives of the precision at their score, without interpolation, as scikit-learn has it.

    A sample moves its own precision where it is positive, and that of every positive which does not score above it.
    """
    ordered, place = np.unique(score, return_inverse=True)  # ascending; a threshold is one of these
    hits = np.bincount(place, weights=positive, minlength=len(ordered))
    taken = _from_here(np.bincount(place, minlength=len(ordered)).astype(np.float64))
    precision, total = _from_here(hits) / taken, hits.sum()
    value = float(hits @ precision / total)
    if_positive = np.cumsum(hits / taken)
    by_any = np.cumsum(hits * precision / taken)
    own = positive * (precision[place] - value)
    return Measured(value, (own + positive * if_positive[place] - by_any[place]) / total)


def _from_here(counts: Float[np.ndarray, " threshold"]) -> Float[np.ndarray, " threshold"]:
    """Return how many are at each threshold or above."""
    return np.cumsum(counts[::-1])[::-1]


def recall_at(score: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"], rate: float) -> Measured:
    """Return the share of positives above the lowest threshold that takes at most such a share of the negatives.

    One more negative above the threshold raises it along the ROC curve, whose slope there is that between one standard
    error of the rate to either side.
    """
    curve = _Curve(score, positive)
    threshold, value = curve.at(rate)
    step = np.sqrt(rate * (1 - rate) / curve.negatives)
    slope = (curve.at(rate + step)[1] - curve.at(max(rate - step, 0.0))[1]) / (step + min(step, rate))
    taken = score >= threshold
    of_positives = (taken - value) / positive.sum()
    of_negatives = -slope * (taken - taken[~positive].mean()) / curve.negatives
    return Measured(value, np.where(positive, of_positives, of_negatives))


class _Curve:
    """The ROC curve: rates of both classes at every threshold, the highest first; before them nothing is taken."""

    def __init__(self, score: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"]) -> None:
        self.negatives = int((~positive).sum())
        self._thresholds = np.unique(score)[::-1]
        by_class = np.sort(score[positive]), np.sort(score[~positive])
        self._hits, self._false = (1 - np.searchsorted(of, self._thresholds) / len(of) for of in by_class)

    def at(self, rate: float) -> tuple[float, float]:
        """Return the lowest threshold of at most such a rate of false positives, and the recall there."""
        count = int(np.searchsorted(self._false, rate * (1 + 1e-12), "right"))
        return (float(self._thresholds[count - 1]), float(self._hits[count - 1])) if count else (np.inf, 0.0)
