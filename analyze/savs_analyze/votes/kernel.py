"""Classifiers by how alike a sample's heads and those of the support are, all heads together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from savs_analyze.votes.batch import Batch
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.similarity import HEAD_BLOCK, unit
from savs_analyze.votes.voting import Votes, first_best, restrict, softmax


@dataclass(frozen=True)
class Kernel:
    """A kernel of mean cosines c of heads: c itself, or a Gaussian of unit vectors, exp(-2 gamma (1 - c))."""

    linear: bool = True
    gamma: float = 1.0

    def __call__(self, cosines: Float[np.ndarray, "*axis"]) -> Float[np.ndarray, "*axis"]:
        return cosines if self.linear else np.exp(2 * self.gamma * (cosines - 1))


@dataclass(frozen=True, kw_only=True, eq=False)
class KernelVotes(Fitted):
    """Scores are sums over the support of coefficients times (1 + kernel of the weighted mean cosine of the heads).

    `support` are unit vectors, each times its head's weight. Probabilities are the
    softmax of scores times `sharpness`.
    """

    support: Float[np.ndarray, "neighbour voter dim"]
    coefficients: Float[np.ndarray, "neighbour class"]
    linear: bool
    gamma: float
    sharpness: float

    def votes(self, batch: Batch) -> Votes:
        cosines = np.zeros((len(batch), len(self.support)))
        for start in range(0, len(self.heads), HEAD_BLOCK):
            block = slice(start, start + HEAD_BLOCK)
            asked, known = unit(batch.of(self.heads[block])), self.support[:, block]
            cosines += asked.reshape(len(asked), -1) @ known.reshape(len(known), -1).T
        found = (1 + Kernel(self.linear, self.gamma)(cosines)) @ self.coefficients
        scores = restrict(found, batch.among(self.restricted))
        return Votes(first_best(scores), scores)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the softmax of the scores, over the allowed classes."""
        return softmax(scores * self.sharpness)


@dataclass(frozen=True, kw_only=True, eq=False)
class CacheVotes(Fitted):
    """Scores are products with texts, and values of the support by exp(-decay (1 - product with it)) (Tip-Adapter).

    Unit vectors of heads are multiplied by `texts` and `support`, and summed over heads.
    """

    texts: Float[np.ndarray, "class voter dim"]
    support: Float[np.ndarray, "neighbour voter dim"]
    values: Float[np.ndarray, "neighbour class"]
    decay: float

    def votes(self, batch: Batch) -> Votes:
        asked = unit(batch.of(self.heads)).reshape(len(batch), -1)
        by_text, near = (asked @ rows.reshape(len(rows), -1).T for rows in (self.texts, self.support))
        scores = restrict(by_text + np.exp(self.decay * (near - 1)) @ self.values, batch.among(self.restricted))
        return Votes(first_best(scores), scores)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the softmax of the scores, over the allowed classes."""
        return softmax(scores)
