"""How far a mean can be trusted: resampling over draws and over samples at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

REPLICATES = 2000
REPLICATES_AT_ONCE = 200
LEVEL = 0.95


def replicates(
    scores: Float[np.ndarray, "draw unit"], ids: Int[np.ndarray, " unit"], seed: int = 0
) -> Float[np.ndarray, " replicate"]:
    """Return bootstrap means over draws of mean scores, resampling draws and ids independently.

    Both with replacement. NaN marks a unit that a draw did not test. Units of one id are kept together, so
    groups stay whole. What is to be averaged with other replicates needs a `seed` of its own, unless it
    measures the same units.
    """
    generator = np.random.default_rng(seed)
    tested = np.isfinite(scores)
    values = np.where(tested, scores, 0.0)
    names, place = np.unique(ids, return_inverse=True)
    means = []
    for _ in range(0, REPLICATES, REPLICATES_AT_ONCE):
        draws = _resample(len(scores), generator)
        units = _resample(len(names), generator)[:, place]
        weight = units @ tested.T.astype(np.float64)
        of_draw = np.divide(units @ values.T, weight, out=np.zeros_like(weight), where=weight > 0)
        # A replicate may pick only draws that tested none of its units: it has no mean.
        counted = (draws * (weight > 0)).sum(axis=1)
        total = (draws * of_draw).sum(axis=1)
        means.append(np.divide(total, counted, out=np.full_like(total, np.nan), where=counted > 0))
    return np.concatenate(means)


def _resample(count: int, generator: np.random.Generator) -> Float[np.ndarray, "replicate item"]:
    return generator.multinomial(count, np.full(count, 1 / count), size=REPLICATES_AT_ONCE).astype(np.float64)


def interval(means: Float[np.ndarray, " replicate"]) -> tuple[float, float]:
    """Return the 95 % percentile interval of bootstrap means."""
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(means, [tail, 100 - tail])
    return float(low), float(high)
