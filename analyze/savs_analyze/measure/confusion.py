"""Which classes are taken for which: counts of labels and predictions, and what can be read off them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def confusion(
    predicted: Int[np.ndarray, " sample"], label: Int[np.ndarray, " sample"], classes: int
) -> Int[np.ndarray, "label prediction"]:
    """Return how many samples of each class are taken for each; what is taken for none (-1) has a last column."""
    # Labels are kept in 16 bits: too few for the square of the classes.
    columns = classes + bool((predicted < 0).any())
    pairs = label.astype(np.int64) * columns + predicted % columns
    return np.bincount(pairs, minlength=classes * columns).reshape(classes, columns)


def recalls(counts: Int[np.ndarray, "label prediction"]) -> Float[np.ndarray, " label"]:
    """Return the share of each class that is right, NaN for a class without samples."""
    samples = counts.sum(axis=1)
    return np.divide(counts.diagonal(), samples, out=np.full(len(counts), np.nan), where=samples > 0)


def worst_first(counts: Int[np.ndarray, "label prediction"]) -> list[int]:
    """Return the classes that have samples, those of the least recall first."""
    order = np.argsort(recalls(counts), kind="stable")
    return [int(label) for label in order if counts[label].any()]


def confused(counts: Int[np.ndarray, "label prediction"]) -> list[tuple[int, int]]:
    """Return the pairs (class, what it is wrongly taken for) that occur, the most frequent first."""
    wrong = np.where(np.eye(*counts.shape) > 0, 0, counts)
    order = np.argsort(-wrong, axis=None, kind="stable")[: np.count_nonzero(wrong)]
    return [(int(pair) // counts.shape[1], int(pair) % counts.shape[1]) for pair in order]
