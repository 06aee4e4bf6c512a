"""Heads that vote by the nearest samples of the support."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.votes.batch import Batch
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.similarity import COSINE, Similarity, similarities
from savs_analyze.votes.voting import Allowed, Votes, count_votes, shares, winner


@dataclass(frozen=True, kw_only=True, eq=False)
class NeighbourVotes(Fitted):
    """Each head votes for the class of most of its `count` nearest neighbours; their vectors are per head."""

    neighbours: Float[np.ndarray, "voter neighbour dim"]
    labels: Int[np.ndarray, " neighbour"]
    count: int

    def votes(self, batch: Batch) -> Votes:
        by_head = batch.of(self.heads).transpose(1, 0, 2).astype(np.float64)
        predictions = nearest_neighbours(
            self.neighbours, self.labels, self.count, by_head, batch.among(self.restricted)
        )
        scores = count_votes(predictions, int(self.labels.max()) + 1)
        return Votes(winner(scores, predictions), scores)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return shares of the heads' votes."""
        return shares(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class LargestVotes(NeighbourVotes):
    """Each head votes for the largest class, in `order` if there is one, among its nearest neighbours."""

    order: Int[np.ndarray, " class"] | None = None
    similarity: Similarity = COSINE

    def votes(self, batch: Batch) -> Votes:
        by_head = batch.of(self.heads).transpose(1, 0, 2).astype(np.float64)
        classes = int(self.labels.max()) + 1
        order = np.arange(classes) if self.order is None else self.order
        place = np.argsort(order)[self.labels]
        among = batch.among(self.restricted)
        largest = [
            place[near].max(axis=1, initial=-1, where=np.isfinite(found))
            for near, found in nearest(self.neighbours, self.labels, self.count, by_head, among, self.similarity)
        ]
        predictions = order[np.stack(largest, axis=1)]
        scores = count_votes(predictions, classes)
        return Votes(winner(scores, predictions), scores)


def nearest(
    support: Float[np.ndarray, "head neighbour dim"],
    labels: Int[np.ndarray, " neighbour"],
    count: int,
    vectors: Float[np.ndarray, "head sample dim"],
    allowed: Allowed = None,
    kind: Similarity = COSINE,
) -> Iterator[tuple[Int[np.ndarray, "sample near"], Float[np.ndarray, "sample near"]]]:
    """Yield of every head the `count` nearest support vectors, of equal ones the first, and their cosines.

    Those of classes that are not allowed come last, with minus infinity.
    """
    for known, asked in zip(support, vectors, strict=True):
        found = similarities(kind, asked[:, None], known[:, None])[:, :, 0]
        found = found if allowed is None else np.where(allowed[:, labels], found, -np.inf)
        places = np.argsort(-found, axis=1, kind="stable")[:, :count]
        yield places, np.take_along_axis(found, places, axis=1)


def nearest_neighbours(
    support: Float[np.ndarray, "head neighbour dim"],
    labels: Int[np.ndarray, " neighbour"],
    count: int,
    vectors: Float[np.ndarray, "head sample dim"],
    allowed: Allowed = None,
) -> Int[np.ndarray, "sample head"]:
    """Return the class of most of the `count` nearest support vectors by cosine, of equal ones the nearer.

    Only support of the allowed classes is looked at.
    """
    classes = int(labels.max()) + 1
    predictions = np.empty((vectors.shape[1], len(support)), dtype=np.int64)
    for head, (places, near) in enumerate(nearest(support, labels, count, vectors, allowed)):
        votes, nearness = np.zeros((2, len(near), classes))
        rows = np.arange(len(near))
        for place in range(near.shape[1]):
            counted = np.isfinite(near[:, place])
            votes[rows, labels[places[:, place]]] += counted
            nearness[rows, labels[places[:, place]]] += np.where(counted, near[:, place] + 1, 0)
        most = votes == votes.max(axis=1, keepdims=True)
        predictions[:, head] = np.where(most, nearness, -1).argmax(axis=1)
    return predictions
