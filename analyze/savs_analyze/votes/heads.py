"""Heads that vote, each by the nearest class centroid; and whole layers that do."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.votes.batch import Batch, Centroids
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.similarity import COSINE, Similarity, similarities
from savs_analyze.votes.vote import VOTES, Ballot
from savs_analyze.votes.voting import Votes, count_votes, first_best, restrict, shares, softmax, winner


@dataclass(frozen=True, kw_only=True, eq=False)
class HeadVotes(Fitted):
    """The kept heads vote by `vote`. `own` are the heads of each class's own, `weights` the scores of the heads.

    The centroids may be of further heads, which other methods of a draw vote by. Of equal classes the first wins, or
    the first in `order`.
    """

    centroids: Centroids
    similarity: Similarity = COSINE
    vote: str = "majority"
    weights: Float[np.ndarray, " voter"] | None = None
    own: Int[np.ndarray, "class k"] | None = None
    temperature: float = 0.1
    papers_order: bool = False
    order: Int[np.ndarray, " class"] | None = None

    @property
    def compares_by(self) -> Similarity:
        return self.similarity

    def sharing(self, centroids: Centroids) -> HeadVotes:
        return replace(self, centroids=centroids)

    @property
    def alone(self) -> HeadVotes:
        heads = np.unique(self.heads)
        return self.sharing(Centroids(heads, self.centroids.vectors[:, self.centroids.places(heads)]))

    def votes(self, batch: Batch) -> Votes:
        found = batch.similarity(self.similarity, self.centroids, self.restricted)
        ballot = Ballot(
            found[:, :, self.centroids.places(self.heads)],
            self.weights,
            None if self.own is None else np.searchsorted(self.heads, self.own),
            self.temperature,
            batch.among(self.restricted),
            self.papers_order,
        )
        decide = VOTES[self.vote].decide
        return decide(ballot) if self.order is None else decide(ballot.under(self.order)).under(self.order)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return shares of the votes, or the softmax of mean similarities."""
        return softmax(scores) if VOTES[self.vote].of_similarities else shares(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class ReliableVotes(Fitted):
    """Posteriors of heads, softmax_c(cosine / temperature), each weighing for a class as far as it is trusted there."""

    centroids: Centroids
    weights: Float[np.ndarray, "class voter"]
    temperature: float

    @property
    def compares_by(self) -> Similarity:
        return COSINE

    def sharing(self, centroids: Centroids) -> ReliableVotes:
        return replace(self, centroids=centroids)

    @property
    def alone(self) -> ReliableVotes:
        return self.sharing(Centroids(self.heads, self.centroids.vectors[:, self.centroids.places(self.heads)]))

    def votes(self, batch: Batch) -> Votes:
        found = batch.similarity(COSINE, self.centroids, self.restricted)[:, :, self.centroids.places(self.heads)]
        powers = np.exp((found - found.max(axis=1, keepdims=True)) / self.temperature)
        powers /= powers.sum(axis=1, keepdims=True)
        scores = restrict(np.einsum("ncv,cv->nc", powers, self.weights), batch.among(self.restricted))
        return Votes(first_best(scores), scores)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the weighted posteriors as shares: each class has weights of its own, so they need not sum to 1."""
        return shares(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerVotes(Fitted):
    """Layers vote by the centroid nearest to their concatenated heads: `layers` are (heads, centroids)."""

    layers: tuple[tuple[Int[np.ndarray, " _"], Float[np.ndarray, "class 1 _"]], ...]
    similarity: Similarity = COSINE

    def votes(self, batch: Batch) -> Votes:
        predictions = []
        for heads, centroids in self.layers:
            vectors = batch.of(heads).reshape(len(batch), 1, -1)
            found = restrict(similarities(self.similarity, vectors, centroids), batch.among(self.restricted))
            predictions.append(found[:, :, 0].argmax(axis=1))
        stacked = np.stack(predictions, axis=1)
        scores = count_votes(stacked, len(self.layers[0][1]))
        return Votes(winner(scores, stacked), scores)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return shares of the layers' votes."""
        return shares(scores)
