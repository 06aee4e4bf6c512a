"""Draws test different samples: their units over each other, so that sums and means over draws can be taken."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_array


@dataclass(frozen=True)
class Overlay:
    """All units that any draw tested, sorted, and what cluster each is of."""

    names: Int[np.ndarray, " name"]
    clusters: Int[np.ndarray, " name"]

    @classmethod
    def of(cls, draws: Iterable[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]]) -> Overlay:
        """Return the overlay of draws, each the (unit, cluster) of what it tested."""
        tested = list(draws)
        names = np.unique(np.concatenate([unit for unit, _ in tested]))
        clusters = np.zeros(len(names), dtype=np.int64)
        for unit, cluster in tested:
            clusters[np.searchsorted(names, unit)] = cluster
        return cls(names, clusters)

    def spread(self, unit: Int[np.ndarray, " unit"], columns: csr_array) -> csr_array:
        """Return `[name, column]` of a draw's `[unit, column]`, empty rows for what it did not test."""
        place = np.searchsorted(self.names, unit), np.arange(len(unit))
        return csr_array((np.ones(len(unit)), place), shape=(len(self.names), len(unit))) @ columns


def with_tested(scores: Float[np.ndarray, "unit score"]) -> csr_array:
    """Return `[unit, score + 1]`: the scores, and 1 for being tested."""
    return csr_array(np.column_stack([scores, np.ones(len(scores))]))


def means_of_sums(sums: Float[np.ndarray, "replicate column"]) -> Float[np.ndarray, "replicate score"]:
    """Return the means from sums of what `with_tested` lists, NaN where nothing was tested."""
    tested = sums[:, -1:]
    return np.divide(sums[:, :-1], tested, out=np.full(sums[:, :-1].shape, np.nan), where=tested > 0)
