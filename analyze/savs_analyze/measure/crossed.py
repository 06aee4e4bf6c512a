"""Samples crossed with draws: how much each of them adds to the variance of a mean, and how well that is known.

A value (a metric, or a difference of two) is a mean over draws, each tested on about the same samples. It stands for
another draw from the same pool and other samples like these, so its variance is that of the two-way layout. What a
sample adds is its influence: by how much it moves the value of its draw. Influences of a draw sum to 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

EXACT = 1e9  # degrees of freedom of what is known
UNKNOWN = 1.0  # the variance of a share of which one cluster is all that is known: anything may be


@dataclass(frozen=True)
class Noise:
    """Where the variance of values comes from, `[task, value]` each; of several tasks the values are means over them.

    `samples` is by other samples, `own` by other draws as the value's own draws show it, `pooled` as all methods show
    it (0 without them), with the degrees of `freedom` of the better known; `residual` is in samples and draws alike.
    Where nothing is known of draws, `own` is NaN. `clusters` are independent samples or groups of them.
    """

    samples: Float[np.ndarray, "task value"]
    own: Float[np.ndarray, "task value"]
    pooled: Float[np.ndarray, "task value"]
    residual: Float[np.ndarray, "task value"]
    freedom: Float[np.ndarray, "task value"]
    clusters: Float[np.ndarray, "task 1"]

    @classmethod
    def over_tasks(cls, noises: Sequence[Noise]) -> Noise:
        """Return the noise of means over tasks, whose samples and draws are independent."""
        return cls(*(np.concatenate([getattr(one, field.name) for one in noises]) for field in fields(cls)))

    def of(self, place: int) -> Noise:
        """Return the noise of one of the values."""
        one = [place]
        samples, own, pooled = self.samples[:, one], self.own[:, one], self.pooled[:, one]
        return Noise(samples, own, pooled, self.residual[:, one], self.freedom[:, one], self.clusters)

    @property
    def judged(self) -> np.ndarray:
        """Whether it is known, for each value, how much draws vary."""
        return np.isfinite(self.own).all(axis=0)

    @property
    def independent(self) -> float:
        """How many clusters of one task would carry as much."""
        return len(self.clusters) ** 2 / float((1 / self.clusters).sum())

    def with_pool(self, per_samples: Float[np.ndarray, " value"], freedom: Float[np.ndarray, " value"]) -> Noise:
        """Return the noise where draws add at least so much for each that samples add, which is known so well."""
        return replace(self, pooled=per_samples * self.samples, freedom=freedom[None])

    def without_draws(self, fixed: Bool[np.ndarray, " value"]) -> Noise:
        """Return the noise where some values are of what learns nothing, so that draws add nothing."""
        own, pooled = np.where(fixed, self.residual, self.own), np.where(fixed, 0.0, self.pooled)
        return replace(self, own=own, pooled=pooled, freedom=np.where(fixed, EXACT, self.freedom))

    def with_more(self, variance: Float[np.ndarray, " value"]) -> Noise:
        """Return the noise with so much more variance by samples."""
        return replace(self, samples=self.samples + variance)

    def with_two_samples_more(self, count: int) -> Noise:
        """Return the noise as if each side had won one more of so many: of few that differ little is known.

        Bonett and Price (2012), for differences of shares.
        """
        return replace(self, samples=(count**2 * self.samples + 2) / (count + 2) ** 2)

    def variance(self) -> Float[np.ndarray, " value"]:
        """Return the variance of each value; what is not known of draws is left out."""
        return self.of_samples() + self.of_draws() - _mean(self.residual)

    def of_samples(self) -> Float[np.ndarray, " value"]:
        return _mean(self.samples)

    def of_draws(self) -> Float[np.ndarray, " value"]:
        """Return the part of draws: the largest of what own draws show, what all methods show, and the residual.

        It holds the residual, and its own mean square alone is too often too small by chance.
        """
        return np.maximum.reduce([_mean(np.nan_to_num(part)) for part in (self.own, self.pooled, self.residual)])

    def freedom_of_samples(self) -> Float[np.ndarray, " value"]:
        return _satterthwaite(self.samples, self.clusters - 1)

    def freedom_of_draws(self) -> Float[np.ndarray, " value"]:
        return _satterthwaite(np.fmax(np.fmax(self.own, self.pooled), self.residual), self.freedom)


def _mean(part: Float[np.ndarray, "task value"]) -> Float[np.ndarray, " value"]:
    """Return the variance of a mean over tasks."""
    return part.sum(axis=0) / len(part) ** 2


def _satterthwaite(
    part: Float[np.ndarray, "task value"], freedom: Float[np.ndarray, "task _"]
) -> Float[np.ndarray, " value"]:
    """Return the degrees of freedom of a sum of variances over tasks (Satterthwaite 1946)."""
    squares = (part**2 / freedom).sum(axis=0)
    least = np.broadcast_to(freedom, part.shape).min(axis=0)
    return np.divide(part.sum(axis=0) ** 2, squares, out=least.copy(), where=squares > 0)


@dataclass(frozen=True)
class Influences:
    """What clusters of samples add to values: `[cluster, value]` of every draw, and their shares of the units."""

    draws: Sequence[Float[np.ndarray, "cluster value"]]
    shares: Float[np.ndarray, " cluster"]

    def of(self, one: Int[np.ndarray, " _"], other: Int[np.ndarray, " _"]) -> Influences:
        """Return those of differences of values."""
        return Influences([of_draw[:, one] - of_draw[:, other] for of_draw in self.draws], self.shares)

    @property
    def clusters(self) -> float:
        """How many clusters of equal size would vary as much; 1 where there is one."""
        return 1 / float((self.shares**2).sum())

    @property
    def larger(self) -> Float[np.ndarray, "cluster 1"]:
        """What squares of influences are multiplied by: a cluster's own share of the samples hides some of it."""
        return ((1 - 1 / self.clusters) / np.maximum(1 - self.shares, 1e-9) ** 2)[:, None]

    @property
    def deviations(self) -> Float[np.ndarray, "cluster value"]:
        """The mean over draws, of which the sum of squares is the variance by samples."""
        return np.sqrt(self.larger) * np.mean(self.draws, axis=0)


def on_clusters(draws: Sequence[tuple[Int[np.ndarray, " _"], Float[np.ndarray, "_ value"]]]) -> Influences:
    """Return each draw's influences summed over clusters, in one order of clusters; 0 for what it did not test.

    Each draw is (cluster of every unit, influences of every unit).
    """
    first, _ = draws[0]
    if all(np.array_equal(cluster, first) for cluster, _ in draws):  # as where every draw tests the same samples
        names, place = np.unique(first, return_inverse=True)
        places = [place] * len(draws)
    else:
        names = np.unique(np.concatenate([cluster for cluster, _ in draws]))
        places = [np.searchsorted(names, cluster) for cluster, _ in draws]
    found, shares = [], np.zeros(len(names))
    for place, (cluster, influences) in zip(places, draws, strict=True):
        shape = len(names), len(cluster)
        found.append(csr_array((np.ones(len(cluster)), (place, np.arange(len(cluster)))), shape=shape) @ influences)
        shares += np.bincount(place, minlength=len(names)) / len(cluster) / len(draws)
    return Influences(found, shares)


def noise(values: Float[np.ndarray, "draw value"], influences: Influences) -> Noise:
    """Return the noise of means over draws.

    The variance by samples is that of clusters' mean influences. Of one cluster nothing is known. The residual is what
    a draw's own variance by samples exceeds the covariance of two draws by, which in a full table is its residual mean
    square.
    """
    draws, clusters, larger = len(values), influences.clusters, influences.larger
    several = clusters > 1 + 1e-9
    squares = np.mean([(larger * of_draw**2).sum(axis=0) for of_draw in influences.draws], axis=0)
    samples = (influences.deviations**2).sum(axis=0) if several else np.full(values.shape[1], UNKNOWN)
    residual = np.maximum(0, squares - samples) / max(draws - 1, 1) if several else np.zeros(values.shape[1])
    own = values.var(axis=0, ddof=1) / draws if draws > 1 else np.full(values.shape[1], np.nan)
    freedom = np.full(values.shape[1], float(max(draws - 1, 1)))
    return Noise(
        samples=samples[None],
        own=own[None],
        pooled=np.zeros((1, values.shape[1])),
        residual=residual[None],
        freedom=freedom[None],
        clusters=np.array([[max(2.0, clusters)]]),
    )


def draws_per_samples(
    values: Float[np.ndarray, "draw column"], influence: Float[np.ndarray, "cluster column"]
) -> tuple[float, float]:
    """Return how much variance draws add for each that samples add, over several columns, and its degrees of freedom.

    `influence` are `Influences.deviations`. Columns that move together count for less than as many: the freedom of the
    draws' mean square is (draws - 1) tr(S)^2 / tr(S^2), S being the covariance of the columns over draws, both traces
    without bias (Bai and Saranadasa 1996). They are taken to move together over draws at least as much as over samples.
    Two draws do not show S: then all columns count for one.
    """
    freedom = len(values) - 1
    centred = values - values.mean(axis=0)
    over_draws = centred @ centred.T / freedom  # its traces are those of the covariance [column, column]
    over_samples = influence.T @ influence
    of_samples = np.trace(over_samples)
    if of_samples <= 0:
        return 0.0, float(freedom)
    trace, square = np.trace(over_draws), (over_draws**2).sum()
    different = of_samples**2 / (over_samples**2).sum() if freedom > 1 else 1.0
    if freedom > 1 and trace > 0:
        unbiased = freedom**2 / ((freedom - 1) * (freedom + 2)) * (square - trace**2 / freedom)
        different = min(different, (trace**2 - 2 * unbiased / freedom) / max(unbiased, 1e-12 * trace**2))
    per_samples = trace / len(values) / of_samples
    return float(per_samples), float(freedom * max(1.0, different))
