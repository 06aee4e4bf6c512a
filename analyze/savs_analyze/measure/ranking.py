"""How well scores tell two classes apart, whatever the cut: each value, and by how much every sample moves it.

Influences are the derivatives of the value by a sample's weight, so they sum to 0. Of equal scores none is before
another.
"""

from __future__ import annotations

from typing import NamedTuple

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
    """Return the share of positives that are taken where such a share of the negatives is, those of high scores first.

    Of equal scores at the cut as large a part is taken as there is room for: the point of the ROC curve, with straight
    lines between thresholds. A weightier negative above the cut moves it along the curve, whose slope there is that
    between one standard error of the rate to either side.
    """
    curve = _Curve.of(score, positive)
    taken = curve.taken(score, rate)
    value, negatives = float(taken[positive].mean()), int((~positive).sum())
    step = float(np.sqrt(rate * (1 - rate) / negatives))
    near = [curve.taken(score, at)[positive].mean() for at in (max(rate - step, 0.0), rate + step)]
    slope = (near[1] - near[0]) / (step + min(step, rate))
    of_negatives = -slope * (taken - taken[~positive].mean()) / negatives
    return Measured(value, np.where(positive, (taken - value) / positive.sum(), of_negatives))


class _Curve(NamedTuple):
    """The share of negatives at every threshold or above, the highest threshold first."""

    thresholds: Float[np.ndarray, " threshold"]
    false: Float[np.ndarray, " threshold"]

    @classmethod
    def of(cls, score: Float[np.ndarray, " sample"], positive: Bool[np.ndarray, " sample"]) -> _Curve:
        thresholds, negatives = np.unique(score)[::-1], np.sort(score[~positive])
        return cls(thresholds, 1 - np.searchsorted(negatives, thresholds) / len(negatives))

    def taken(self, score: Float[np.ndarray, " sample"], rate: float) -> Float[np.ndarray, " sample"]:
        """Return what part of each sample is taken where so large a share of the negatives is."""
        cut = min(int(np.searchsorted(self.false, rate * (1 + 1e-12), "right")), len(self.false) - 1)
        before = self.false[cut - 1] if cut else 0.0
        part = min(max((rate - before) / (self.false[cut] - before), 0.0), 1.0)
        return (score > self.thresholds[cut]) + part * (score == self.thresholds[cut])
