"""How far a mean can be trusted: resampling over draws and over samples at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array
from scipy.stats import norm
from scipy.stats import t as student

REPLICATES = 2000
REPLICATES_AT_ONCE = 200
COVERAGE = 0.95


def replicates(
    draws: Sequence[csr_array],
    ids: Int[np.ndarray, " unit"],
    evaluate: Callable[[np.ndarray], np.ndarray],
    seed: int = 0,
) -> Float[np.ndarray, "replicate value"]:
    """Return bootstrap means over draws of whatever can be told from sums over units.

    Each draw is `[unit, column]`, with empty rows for the units that it did not test; `evaluate` maps sums of
    its rows `[replicate, column]` to `[replicate, value]`, NaN where they are sums of nothing. Draws and ids
    are resampled independently, with replacement; units of one id are kept together, so groups stay whole.
    What is to be averaged with other replicates needs a `seed` of its own, unless it measures the same units.
    """
    generator = np.random.default_rng(seed)
    names, place = np.unique(ids, return_inverse=True)
    means = []
    for _ in range(0, REPLICATES, REPLICATES_AT_ONCE):
        # One draw fewer than there are: as many would give too narrow intervals (Rao and Wu, 1988).
        weights = _resample(len(draws), max(1, len(draws) - 1), generator)[:, :, None]  # [replicate, draw, value]
        units = _resample(len(names), len(names), generator)[:, place]
        values = np.stack([evaluate(units @ draw) for draw in draws], axis=1)
        # A replicate may pick only draws that tested none of its units: it has no mean.
        counted = weights * np.isfinite(values)
        total, count = (counted * np.nan_to_num(values)).sum(axis=1), counted.sum(axis=1)
        means.append(np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0))
    return np.concatenate(means)


def _resample(items: int, count: int, generator: np.random.Generator) -> Float[np.ndarray, "replicate item"]:
    return generator.multinomial(count, np.full(items, 1 / items), size=REPLICATES_AT_ONCE).astype(np.float64)


def task_seed(benchmark: str, task: str) -> int:
    """Return the seed of a task's replicates: the same for all methods, another one for every task."""
    return zlib.crc32(f"{benchmark}/{task}".encode())


def interval(
    means: Float[np.ndarray, " replicate"], of_draws: Sequence[Float[np.ndarray, " _"]], least: float = 0.0
) -> tuple[float, float]:
    """Return the 95 % interval of a mean over tasks and draws: percentiles of a bootstrap, stretched by Student's t.

    `of_draws` are the values of each task that it is of. Their spread is known from few draws only, so the percentiles
    are stretched by the ratio of Student's quantile to the normal one; of its degrees of freedom there are the more,
    the less of the variance is theirs (Welch, 1947; Satterthwaite, 1946). They lie about the mean itself, from which a
    bootstrap of few samples a class is shifted. Both ends stay in [least, 1].
    """
    tail = (1 - COVERAGE) / 2
    ends = np.nanpercentile(means, [100 * tail, 100 * (1 - tail)])
    variances = np.array([np.var(of_task, ddof=1) / len(of_task) for of_task in of_draws if len(of_task) > 1])
    variances /= len(of_draws) ** 2
    freedoms = np.array([len(of_task) - 1 for of_task in of_draws if len(of_task) > 1])
    stretch, middle = 1.0, np.mean([np.mean(of_task) for of_task in of_draws])
    if variances.sum() > 0:
        freedom = max(variances.sum(), np.nanvar(means)) ** 2 / (variances**2 / freedoms).sum()
        stretch = student.ppf(1 - tail, freedom) / norm.ppf(1 - tail)
    if np.isfinite(middle):
        ends = middle + stretch * (ends - np.nanmean(means))
    low, high = np.clip(ends, least, 1)
    return float(low), float(high)
