"""Intervals and tests of what is known with its noise: arrays in, arrays out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize.elementwise import find_root
from scipy.stats import norm
from scipy.stats import t as student

from savs_analyze.measure.crossed import Noise

COVERAGE = 0.95
SMALLEST = 1e-300


def interval_of_share(
    values: Float[np.ndarray, " value"], noise: Noise, coverage: float = COVERAGE
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    """Return the interval of shares between 0 and 1: Wilson's (1927), of as many samples as the noise leaves.

    That many independent samples would have the same variance. It is not known where all are right or all wrong,
    so it is drawn to the number of clusters, as if half a sample more had been tested; and its score is Student's.
    """
    clusters, variance = noise.independent, noise.variance()
    half_sample = 0.5 / clusters**2
    count = clusters * (values * (1 - values) / clusters + half_sample) / (variance + half_sample)
    score = critical(noise, 1 - coverage)
    centre = (values + score**2 / (2 * count)) / (1 + score**2 / count)
    half = (
        score
        / (1 + score**2 / count)
        * np.sqrt(np.maximum(0, values * (1 - values)) / count + score**2 / (4 * count**2))
    )
    return np.clip(centre - half, 0, values), np.clip(centre + half, values, 1)


def interval_of_mean(
    values: Float[np.ndarray, " value"], noise: Noise, coverage: float | Float[np.ndarray, " value"] = COVERAGE
) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    half = critical(noise, 1 - np.asarray(coverage)) * np.sqrt(noise.variance())
    return values - half, values + half


def chances(
    values: Float[np.ndarray, " value"], noise: Noise, draws_known: bool = False
) -> Float[np.ndarray, " value"]:
    """Return the two-sided p of each value if the truth were 0; `draws_known` as if it were known how draws vary.

    It is the chance whose `critical` score the value has: between those of the samples' freedom and of the draws'.
    """
    scores = np.abs(values) / np.sqrt(np.maximum(noise.variance(), SMALLEST))
    surest, least = (np.log(np.maximum(2 * student.sf(scores, freedom), SMALLEST)) for freedom in _freedoms(noise))

    def above(logarithm: np.ndarray, place: np.ndarray) -> np.ndarray:
        return critical(noise, np.exp(logarithm), draws_known, place) - scores[place]

    if draws_known:
        least = np.log(np.maximum(2 * norm.sf(scores), SMALLEST))
    ends = np.minimum(surest, least) - 1e-6, np.maximum(surest, least) + 1e-6
    return np.minimum(1, np.exp(find_root(above, ends, args=(np.arange(len(values)),)).x))


def critical(
    noise: Noise, chance: float | np.ndarray, draws_known: bool = False, place: np.ndarray | slice = slice(None)
) -> Float[np.ndarray, " value"]:
    """Return the score that is exceeded by such a chance, on both sides.

    The mean of Student's for the freedom of samples and of draws, each weighing as its part of the variance (Cochran
    and Cox 1950): Satterthwaite's single freedom is too large where draws agree by chance.
    """
    of_samples, of_draws = np.maximum(noise.of_samples(), SMALLEST)[place], noise.of_draws()[place]
    freedoms = [freedom[place] for freedom in _freedoms(noise)]
    known = norm.isf(chance / 2) if draws_known else student.isf(chance / 2, freedoms[1])
    weight = of_draws / (of_samples + of_draws)
    return (1 - weight) * student.isf(chance / 2, freedoms[0]) + weight * known


def holm(chances: Sequence[float] | np.ndarray, total: int = 0) -> list[float]:
    """Return p values corrected for their number (Holm, 1979): the k-th smallest of m is multiplied by m - k + 1.

    Where these are some of a `total` of tests, m is the total: the others may have been smaller or larger.
    """
    order = np.argsort(chances, kind="stable")
    factors = max(total, len(chances)) - np.arange(len(chances))
    corrected = np.empty(len(chances))
    corrected[order] = np.minimum(1, np.maximum.accumulate(np.array(chances)[order] * factors))
    return corrected.tolist()


def _freedoms(noise: Noise) -> tuple[Float[np.ndarray, " value"], Float[np.ndarray, " value"]]:
    return noise.freedom_of_samples(), noise.freedom_of_draws()
