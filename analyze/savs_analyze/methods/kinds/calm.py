"""Heads that vote with a weight for every class: how far each is to be trusted when it says it (CALM)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import Method
from savs_analyze.parts.reliability import BRIER, MARGIN, PROBABILITY, class_weights, posteriors, reliability, shrunk
from savs_analyze.votes.batch import Centroids
from savs_analyze.votes.heads import ReliableVotes
from savs_analyze.votes.similarity import COSINE, left_out_similarities

BLOCK_BYTES = 100_000_000


@dataclass(frozen=True)
class Calm(Method):
    """The posteriors of heads, each weighing for a class as it is reliable; the `k` most reliable heads of each class.

    `shrinkage` draws reliabilities to their mean, as so many further samples of each class would.
    """

    k: int = 20
    temperature: int | float = 0.07
    shrinkage: int | float = 0.0
    by: str = MARGIN

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if self.by not in (MARGIN, PROBABILITY, BRIER):
            raise ValueError(f"unknown reliability: {self.by!r}; there are {MARGIN}, {PROBABILITY}, {BRIER}")
        if not (self.temperature > 0 and self.shrinkage >= 0):
            raise ValueError(
                f"temperature must be above 0 and shrinkage not below, got {self.temperature}, {self.shrinkage}"
            )

    @property
    def least_shots(self) -> int:
        return 2

    def learn(self, context: Context) -> ReliableVotes:
        found = context.shared(("calm", self.by, self.temperature), lambda: self._reliability(context))
        drawn = shrunk(found, np.bincount(context.labels, minlength=context.classes), self.shrinkage)
        weights = class_weights(drawn, self.k)
        heads = np.flatnonzero(weights.any(axis=0))
        best_first = np.argsort(-np.round(weights[:, heads].sum(axis=0), 12), kind="stable")
        return ReliableVotes(
            heads=heads,
            restricted=self.restricted,
            ranked=heads[best_first],
            centroids=Centroids.of(heads, context.centroids),
            weights=weights[:, heads],
            temperature=float(self.temperature),
        )

    def _reliability(self, context: Context) -> Float[np.ndarray, "class head"]:
        return np.concatenate(list(self._of_blocks(context)), axis=1)

    def _of_blocks(self, context: Context) -> Iterator[Float[np.ndarray, "class block"]]:
        step = max(1, BLOCK_BYTES // (32 * len(context.labels) * max(context.classes, context.vectors.shape[2])))
        for start in range(0, context.vectors.shape[1], step):
            block = slice(start, start + step)
            found = left_out_similarities(
                COSINE, context.vectors[:, block], context.labels, context.centroids[:, block]
            )
            yield reliability(posteriors(found, self.temperature), context.labels, self.by)
