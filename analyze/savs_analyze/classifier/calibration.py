"""From scores to probabilities that mean something, sets that hold the truth, and pictures unlike all others."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.optimize import minimize_scalar

from savs_analyze.votes.similarity import COSINE, similarities
from savs_analyze.votes.voting import softmax

# What a share of votes of 0 stands for: nobody is that sure.
LEAST_PROBABILITY = 1e-6
# Posteriors that were made flat, as by HEC with its tau of 10, are raised to powers of hundreds.
TEMPERATURES = (1e-5, 50.0)


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

    Every fold's classifier has seen none of its own fold. `temperature` is that of all samples' classifier. Samples of
    one `cluster` belong together and are in one fold; by default each is alone.
    """

    temperature: float
    fold_temperature: Float[np.ndarray, " fold"]
    fold: Int[np.ndarray, " sample"]
    nonconformity: Float[np.ndarray, " sample"]
    label: Int[np.ndarray, " sample"]
    cluster: Int[np.ndarray, " sample"] | None = None

    @property
    def clusters(self) -> int:
        """How many samples, or groups of those that belong together, there are."""
        return len(self.fold) if self.cluster is None else len(np.unique(self.cluster))

    def clusters_of(self, label: int) -> int:
        """Return how many there are of a class."""
        of_class = self.label == label
        return int(of_class.sum()) if self.cluster is None else len(np.unique(self.cluster[of_class]))

    def set_probabilities(
        self, by_fold: Float[np.ndarray, "fold new class"], by_class: bool = False
    ) -> Float[np.ndarray, "new class"]:
        """Return for each class how ordinary it would be as the truth, between 1 / (n + 1) and 1.

        The class is in the set of coverage 1 - alpha where that is above alpha: K-fold cross-conformal prediction
        (Vovk 2015, eq. 5). `by_class` compares with labelled samples of that class only. Ties count as less ordinary.
        A cluster has one vote, so n counts clusters, and the promise is for a new sample of a new one (Lee, Barber and
        Willett 2023, hierarchical conformal prediction).
        """
        found = np.ones(by_fold.shape[1:])
        asked = nonconformity(by_fold)
        for label in range(by_fold.shape[2]):
            chosen = np.flatnonzero(self.label == label) if by_class else np.arange(len(self.label))
            votes = one_vote_each(len(chosen), None if self.cluster is None else self.cluster[chosen])
            for fold, strange in enumerate(asked[:, :, label]):
                of_fold = self.fold[chosen] == fold
                found[:, label] += votes_from(self.nonconformity[chosen[of_fold]], votes[of_fold], strange)
            found[:, label] /= 1 + votes.sum()
        return found


def one_vote_each(samples: int, cluster: Int[np.ndarray, " sample"] | None) -> Float[np.ndarray, " sample"]:
    """Return the votes of samples: those of one cluster have one together."""
    if cluster is None:
        return np.ones(samples)
    _, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    return 1 / sizes[place]


def least_compared(rate: float) -> int:
    """Return of how many samples, or clusters, the new one can be the strangest at this rate: 1 / (n + 1) <= rate."""
    return math.ceil(1 / rate - 1e-9) - 1


def votes_from(
    known: Float[np.ndarray, " sample"], votes: Float[np.ndarray, " sample"], found: Float[np.ndarray, " new"]
) -> Float[np.ndarray, " new"]:
    """Return the votes of what is known from each found number on; what is equal but for rounding is equal."""
    order = np.argsort(known, kind="stable")
    above = np.append(np.cumsum(votes[order][::-1])[::-1], 0.0)
    return above[np.searchsorted(known[order], found - 1e-9)]


def nonconformity(probabilities: Float[np.ndarray, "*any class"]) -> Float[np.ndarray, "*any class"]:
    """Return how strange each class would be as the truth: -log p."""
    return -np.log(np.maximum(probabilities, LEAST_PROBABILITY))


def proven_coverage(coverage: float, folds: int, samples: int) -> float:
    """Return what K-fold cross-conformal sets provably cover on average over draws of the labelled samples.

    1 - 2a - 2 (1 - a) (K - 1) / (n + K) with a = 1 - coverage, for exchangeable samples (Barber et al. 2021, theorem
    4, whose bound is for folds of equal size). Where samples belong together, n are their clusters.
    """
    alpha = 1 - coverage
    return max(0.0, 1 - 2 * alpha - 2 * (1 - alpha) * (folds - 1) / (samples + folds))


@dataclass(frozen=True, eq=False)
class Likeness:
    """How far the labelled samples, each left out of choice and means once, are from the class means.

    `heads` are places on the classifier's head axis, `means` the class means there. Samples of one `cluster` are left
    out together and have one vote; by default each is alone.
    """

    heads: Int[np.ndarray, " used"]
    means: Float[np.ndarray, "class used dim"]
    distances: Float[np.ndarray, " sample"]
    cluster: Int[np.ndarray, " sample"] | None = None

    def on(self, axis: Int[np.ndarray, " head"]) -> Likeness:
        """Return the same with heads as places on a sorted axis of them."""
        return replace(self, heads=np.searchsorted(axis, self.heads))

    def likeness(self, vectors: Float[np.ndarray, "new head dim"]) -> Float[np.ndarray, " new"]:
        """Return the share of labelled samples that are at least as far from all classes, counting the new one itself.

        A sample of the same kind, of a new cluster, is at or below `rate` about that often at most, the rate of false
        alarms: it is measured, not proven, as the samples' distances are in the heads that each fold would choose.
        """
        votes = one_vote_each(len(self.distances), self.cluster)
        return share_as_far(self.distances, votes, distances(vectors[:, self.heads], self.means))


def distances(
    vectors: Float[np.ndarray, "sample head dim"], means: Float[np.ndarray, "class head dim"]
) -> Float[np.ndarray, " sample"]:
    """Return 1 less the mean cosine over heads to the nearest class mean."""
    return 1 - similarities(COSINE, vectors, means).mean(axis=2).max(axis=1)


def share_as_far(
    known: Float[np.ndarray, " sample"], votes: Float[np.ndarray, " sample"], found: Float[np.ndarray, " new"]
) -> Float[np.ndarray, " new"]:
    """Return the share of votes for being as far or farther, counting that of the new one itself."""
    return (1 + votes_from(known, votes, found)) / (1 + votes.sum())


def sets_of(probabilities: Float[np.ndarray, "new class"], coverage: float) -> Bool[np.ndarray, "new class"]:
    """Return which classes a set of that coverage holds, from `Calibration.set_probabilities`."""
    return probabilities > 1 - coverage + 1e-12
