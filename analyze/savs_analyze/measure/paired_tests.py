"""Tests of paired differences, and of many of them: arrays in, chances out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.fft import irfft, next_fast_len

LATTICE = 4  # scores of units are whole quarters
LEAST = 1e-20  # of a transform, what is below changes no p
# Into how many steps the smallest of other differences is divided, and their sum at the least and at the most.
OF_SMALLEST, COARSEST, FINEST = 64, 2**17, 2**22
LEAST_P = 1e-12


def sign_flip_test(differences: Float[np.ndarray, " cluster"]) -> float:
    """Return the two-sided p of a mean difference if the sign of each cluster's were a coin's toss.

    Exact: the distribution of the sum is the inverse Fourier transform of its characteristic function, a product of
    cosines. Where clusters are single samples of one draw this is McNemar's exact test. Differences that are not
    multiples of 1 / LATTICE are rounded to 1 / OF_SMALLEST of the smallest, where that is no less than 1 / FINEST of
    their sum, and p is that of a slightly smaller mean. What is below LEAST_P cannot be told from rounding.
    """
    steps, slack = differences * LATTICE, 0
    if not np.allclose(steps, np.round(steps), atol=1e-9):
        sizes = np.abs(differences[differences != 0])
        steps = differences / sizes.sum() * min(FINEST, max(COARSEST, OF_SMALLEST * sizes.sum() / sizes.min()))
        slack = int(np.ceil(np.sqrt(np.count_nonzero(steps))))  # some three standard errors of what rounding adds
    steps = np.round(steps).astype(np.int64)
    sizes, counts = np.unique(np.abs(steps), return_counts=True)
    observed = abs(int(steps.sum())) - slack
    if observed <= 0:
        return 1.0
    length = next_fast_len(2 * int(sizes @ counts) + 1, real=True)
    turns = 2 * np.pi * np.arange(length // 2 + 1) / length
    transform, felt = np.ones(len(turns)), np.arange(len(turns))
    for place in np.argsort(-counts):
        transform[felt] *= np.cos(sizes[place] * turns[felt]) ** counts[place]
        felt = felt[np.abs(transform[felt]) > LEAST]
    chances = irfft(transform, length)[: length // 2 + 1]  # of the sums 0, 1 ...
    return float(np.clip(2 * chances[observed:].sum(), LEAST_P, 1))


def holm(chances: Sequence[float], total: int = 0) -> list[float]:
    """Return p values corrected for their number (Holm, 1979): the k-th smallest of m is multiplied by m - k + 1.

    Where these are some of a `total` of tests, m is the total: the others may have been smaller or larger.
    """
    order = np.argsort(chances, kind="stable")
    factors = max(total, len(chances)) - np.arange(len(chances))
    corrected = np.empty(len(chances))
    corrected[order] = np.minimum(1, np.maximum.accumulate(np.array(chances)[order] * factors))
    return corrected.tolist()
