"""Votes on samples that are seen together: neighbours among them are to be of one class (Laplacian-shot, ICML 2020)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_array
from sklearn.neighbors import kneighbors_graph

from savs_analyze.votes.batch import Batch
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.similarity import unit
from savs_analyze.votes.voting import Votes, first_best, restrict, shares, softmax

# Some settle slowly: each round may take away one hundredth of what is left.
MOST_ROUNDS, NEAR = 2000, 1e-8


@dataclass(frozen=True, kw_only=True, eq=False)
class LaplacianVotes(Fitted):
    """Assignments y of all samples of a batch, at a fixed point of y = softmax(cosine / temperature + strength W y).

    The cosine is the mean over heads of that to the class means, and W has 1 for the `neighbours` nearest samples by
    the mean cosine. What is said of a sample depends on those beside it.
    """

    transductive: ClassVar[bool] = True

    means: Float[np.ndarray, "class voter dim"]
    neighbours: int
    temperature: float
    strength: float

    def votes(self, batch: Batch) -> Votes:
        vectors, means = (unit(each).reshape(len(each), -1) for each in (batch.of(self.heads), self.means))
        logits = vectors @ means.T / len(self.heads) / self.temperature
        scores = _settled(restrict(logits, batch.among(self.restricted)), self._graph(vectors), self.strength)
        return Votes(first_best(scores), scores)

    def _graph(self, vectors: Float[np.ndarray, "sample feature"]) -> csr_array:
        """Return which samples are the nearest of which; of few samples all others are."""
        nearest = min(self.neighbours, len(vectors) - 1)
        return csr_array(kneighbors_graph(vectors, nearest)) if nearest > 0 else csr_array((len(vectors),) * 2)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the assignments, over the allowed classes."""
        return shares(scores)


def _settled(
    logits: Float[np.ndarray, "sample class"], graph: csr_array, strength: float
) -> Float[np.ndarray, "sample class"]:
    found = softmax(logits)
    for _ in range(MOST_ROUNDS):
        before, found = found, softmax(logits + strength * (graph @ found))
        if np.abs(found - before).max(initial=0.0) < NEAR:
            break
    return found
