"""Intervals and tests of what is known with its noise: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit

from savs_analyze.measure.crossed import EXACT, Noise

COVERAGE = 0.95
SMALLEST = 1e-300
HALVINGS = 60


@dataclass(frozen=True)
class Scores:
    """How well a variance is known: degrees of freedom of its parts by samples and by draws, and the share of draws."""

    samples: Float[np.ndarray, " value"]
    draws: Float[np.ndarray, " value"]
    share: Float[np.ndarray, " value"]

    @classmethod
    def of(cls, noise: Noise, draws_known: bool = False) -> Scores:
        """Return how well the variance of each value is known, or would be if it were known how draws vary."""
        of_samples, of_draws = noise.of_samples(), noise.of_draws()
        freedom = np.full(of_draws.shape, EXACT) if draws_known else noise.freedom_of_draws()
        return cls(noise.freedom_of_samples(), freedom, of_draws / np.maximum(of_samples + of_draws, SMALLEST))

    def exceeded(self, chance: float | np.ndarray) -> Float[np.ndarray, " value"]:
        """Return the score that is exceeded by such a chance, on both sides.

        The mean of Student's for both freedoms, each weighing as its part of the variance (Cochran and Cox 1950):
        Satterthwaite's single freedom is too large where draws agree by chance.
        """
        lower = np.asarray(chance) / 2
        return -(1 - self.share) * stdtrit(self.samples, lower) - self.share * stdtrit(self.draws, lower)

    def chance(self, scores: Float[np.ndarray, " value"]) -> Float[np.ndarray, " value"]:
        """Return the chance by which each score is exceeded: between those of the two freedoms, so by halving."""
        least, most = np.sort([np.maximum(2 * stdtr(one, -scores), SMALLEST) for one in (self.samples, self.draws)], 0)
        for _ in range(HALVINGS):
            middle = np.sqrt(least) * np.sqrt(most)  # their product may be too small for a number
            above = self.exceeded(middle) > scores
            least, most = np.where(above, middle, least), np.where(above, most, middle)
        return np.minimum(1, most)


def interval_of_share(
    values: Float[np.ndarray, " value"], noise: Noise, coverage: float = COVERAGE
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    """Return the interval of shares between 0 and 1: Wilson's (1927), of as many samples as the noise leaves.

    That many independent samples would have the same variance. It is not known where all are right or all wrong,
    so it is drawn to the number of clusters, as if half a sample more had been tested; and its score is Student's.
    """
    half_sample, variance = 0.5 / noise.independent**2, noise.variance()
    of_clusters = values * (1 - values) / noise.independent
    count = noise.independent * (of_clusters + half_sample) / (variance + half_sample)
    shift = Scores.of(noise).exceeded(1 - coverage) ** 2 / count
    centre = (values + shift / 2) / (1 + shift)
    half = np.sqrt(shift * np.maximum(0, values * (1 - values)) + shift**2 / 4) / (1 + shift)
    return np.clip(centre - half, 0, values), np.clip(centre + half, values, 1)


def interval_of_mean(
    values: Float[np.ndarray, " value"], noise: Noise, coverage: float | Float[np.ndarray, " value"] = COVERAGE
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    half = Scores.of(noise).exceeded(1 - np.asarray(coverage)) * np.sqrt(noise.variance())
    return values - half, values + half


def chances(
    values: Float[np.ndarray, " value"], noise: Noise, draws_known: bool = False
) -> Float[np.ndarray, " value"]:
    """Return the two-sided p of each value if the truth were 0; `draws_known` as if it were known how draws vary."""
    return Scores.of(noise, draws_known).chance(np.abs(values) / np.sqrt(np.maximum(noise.variance(), SMALLEST)))


def holm(chances: Sequence[float] | np.ndarray, total: int = 0) -> list[float]:
    """Return p values corrected for their number (Holm, 1979): the k-th smallest of m is multiplied by m - k + 1.

    Where these are some of a `total` of tests, m is the total: the others may have been smaller or larger.
    """
    order = np.argsort(chances, kind="stable")
    factors = max(total, len(chances)) - np.arange(len(chances))
    corrected = np.empty(len(chances))
    corrected[order] = np.minimum(1, np.maximum.accumulate(np.array(chances)[order] * factors))
    return corrected.tolist()
