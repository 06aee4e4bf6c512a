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
LEVEL = 0.95


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
    means: Float[np.ndarray, " replicate"], of_draws: Float[np.ndarray, " draw"], least: float = 0.0
) -> tuple[float, float]:
    """Return the 95 % interval of a mean over draws: percentiles of its bootstrap means, stretched where draws are few.

    `of_draws` are the values that the mean is of. Their spread is known from few of them only, so the percentiles are
    stretched about the mean by the ratio of Student's quantile to the normal one; of its degrees of freedom there are
    the more, the less of the variance is theirs (Welch, 1947; Satterthwaite, 1946). Both ends stay in [least, 1].
    """
    tail = (1 - LEVEL) / 2
    low, high = np.nanpercentile(means, [100 * tail, 100 * (1 - tail)])
    if len(of_draws) > 1 and (of_mean := np.var(of_draws, ddof=1) / len(of_draws)) > 0:
        freedom = (len(of_draws) - 1) * max(1.0, np.nanvar(means) / of_mean) ** 2
        stretch, middle = student.ppf(1 - tail, freedom) / norm.ppf(1 - tail), np.mean(of_draws)
        low, high = (max(least, min(1.0, middle + stretch * (end - middle))) for end in (low, high))
    return float(low), float(high)
