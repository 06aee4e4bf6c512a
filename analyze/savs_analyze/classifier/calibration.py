"""From scores to probabilities that mean something, sets that hold the truth, and pictures unlike all others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar

from savs_analyze.votes.similarity import COSINE, similarities
from savs_analyze.votes.voting import softmax

# What a share of votes of 0 stands for: nobody is that sure.
LEAST_PROBABILITY = 1e-6
TEMPERATURES = (0.02, 50.0)


def tempered(probabilities: Float[np.ndarray, "sample class"], temperature: float) -> Float[np.ndarray, "sample class"]:
    """Return probabilities raised to 1 / temperature, summing to 1: above 1 they are less sure, below 1 surer."""
    return softmax(np.log(np.maximum(probabilities, LEAST_PROBABILITY)) / temperature)


def fit_temperature(probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]) -> float:
    """Return the temperature under which out-of-sample answers have the least log loss (Guo et al. 2017, 4.2).

    As Platt (1999) has it, the truth counts (n + 1) / (n + 2), so that few samples, all right, make nobody certain.
    """
    samples, classes = probabilities.shape
    truth = np.full(probabilities.shape, 1 / (samples + 2) / max(1, classes - 1))
    truth[np.arange(samples), labels] = (samples + 1) / (samples + 2)

    def loss(log_temperature: float) -> float:
        found = tempered(probabilities, float(np.exp(log_temperature)))
        return -float((truth * np.log(np.maximum(found, 1e-300))).sum())

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(TEMPERATURES)), method="bounded").x))


@dataclass(frozen=True, eq=False)
class Calibration:
    """What the labelled samples said out of sample: `nonconformity` is -log p of the true class, `fold` who asked.

    Every fold's classifier has seen none of its own fold. `temperature` is that of all samples' classifier.
    """

    temperature: float
    fold_temperature: Float[np.ndarray, " fold"]
    fold: Int[np.ndarray, " sample"]
    nonconformity: Float[np.ndarray, " sample"]
    label: Int[np.ndarray, " sample"]

    def set_probabilities(
        self, by_fold: Float[np.ndarray, "fold new class"], by_class: bool = False
    ) -> Float[np.ndarray, "new class"]:
        """Return for each class how ordinary it would be as the truth, between 1 / (n + 1) and 1.

        The class is in the set of coverage 1 - alpha where that is above alpha: K-fold cross-conformal prediction
        (Vovk 2015, eq. 5). `by_class` compares with labelled samples of that class only. Ties count as less ordinary.
        """
        as_strange = np.ones(by_fold.shape[1:])
        compared = np.ones(by_fold.shape[2])
        asked = nonconformity(by_fold)
        for fold, strange in enumerate(asked):
            for label in range(by_fold.shape[2]):
                known = np.sort(self._known(fold, label if by_class else None))
                compared[label] += len(known)
                # What is equal but for rounding is equal.
                as_strange[:, label] += len(known) - np.searchsorted(known, strange[:, label] - 1e-9)
        return as_strange / compared

    def _known(self, fold: int, label: int | None) -> Float[np.ndarray, " known"]:
        return self.nonconformity[(self.fold == fold) & (True if label is None else self.label == label)]


def nonconformity(probabilities: Float[np.ndarray, "*any class"]) -> Float[np.ndarray, "*any class"]:
    """Return how strange each class would be as the truth: -log p."""
    return -np.log(np.maximum(probabilities, LEAST_PROBABILITY))


def proven_coverage(coverage: float, folds: int, samples: int) -> float:
    """Return what K-fold cross-conformal sets provably cover on average over draws of the labelled samples.

    1 - 2a - 2 (1 - a) (K - 1) / (n + K) with a = 1 - coverage, for exchangeable samples (Barber et al. 2021, theorem
    4, whose bound is for folds of equal size).
    """
    alpha = 1 - coverage
    return max(0.0, 1 - 2 * alpha - 2 * (1 - alpha) * (folds - 1) / (samples + folds))


@dataclass(frozen=True, eq=False)
class Likeness:
    """How far the labelled samples, each left out once, are from the class means in the heads that answer.

    `heads` are places on the classifier's head axis, `means` the class means there, `distances` sorted.
    """

    heads: Int[np.ndarray, " used"]
    means: Float[np.ndarray, "class used dim"]
    distances: Float[np.ndarray, " sample"]

    def on(self, axis: Int[np.ndarray, " head"]) -> Likeness:
        """Return the same with heads as places on a sorted axis of them."""
        return replace(self, heads=np.searchsorted(axis, self.heads))

    def likeness(self, vectors: Float[np.ndarray, "new head dim"]) -> Float[np.ndarray, " new"]:
        """Return the share of labelled samples that are at least as far from all classes, counting the new one itself.

        A sample of the same kind is at or below `rate` with that probability at most: the rate of false alarms.
        """
        return share_as_far(self.distances, distances(vectors[:, self.heads], self.means))


def distances(
    vectors: Float[np.ndarray, "sample head dim"], means: Float[np.ndarray, "class head dim"]
) -> Float[np.ndarray, " sample"]:
    """Return 1 less the mean cosine over heads to the nearest class mean."""
    return 1 - similarities(COSINE, vectors, means).mean(axis=2).max(axis=1)


def share_as_far(known: Float[np.ndarray, " sample"], found: Float[np.ndarray, " new"]) -> Float[np.ndarray, " new"]:
    return (1 + len(known) - np.searchsorted(np.sort(known), found - 1e-9)) / (len(known) + 1)


def sets_of(probabilities: Float[np.ndarray, "new class"], coverage: float) -> Bool[np.ndarray, "new class"]:
    """Return which classes a set of that coverage holds, from `Calibration.set_probabilities`."""
    return probabilities > 1 - coverage + 1e-12
