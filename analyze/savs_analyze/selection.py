"""Which heads stay: every head is scored as a nearest-centroid classifier on the support."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.similarity import HEAD_BLOCK, class_means, cosine


@dataclass(frozen=True)
class HeadScores:
    """How well each head alone classifies the support, and the centroids it does it with."""

    count: Int[np.ndarray, " head"]
    margin: Float[np.ndarray, " head"]
    centroids: Float[np.ndarray, "class head dim"]


def score_heads(
    vectors: Float[np.ndarray, "sample head dim"], labels: Int[np.ndarray, " sample"], classes: int
) -> HeadScores:
    """Score every head by the support samples it classifies right (SAVs, arXiv 2412.00142: head selection).

    The margin, similarity to the own class less the best other one, averaged over the support,
    breaks ties between counts. With one class every sample is right and every margin is 0.
    """
    heads = vectors.shape[1]
    count, margin = np.empty(heads, dtype=np.int64), np.empty(heads)
    centroids = class_means(vectors, labels, classes)
    for start in range(0, heads, HEAD_BLOCK):
        block = slice(start, start + HEAD_BLOCK)
        similarities = cosine(vectors[:, block], centroids[:, block])
        count[block] = (similarities.argmax(axis=1) == labels[:, None]).sum(axis=0)
        margin[block] = true_class_margins(similarities, labels).mean(axis=0)
    return HeadScores(count, margin, centroids)


def true_class_margins(
    similarities: Float[np.ndarray, "sample class head"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "sample head"]:
    """Return the similarity to the true class less the largest to any other class."""
    if similarities.shape[1] == 1:
        return np.zeros((similarities.shape[0], similarities.shape[2]))
    rows = np.arange(len(labels))
    others = similarities.copy()
    others[rows, labels] = -np.inf
    return similarities[rows, labels] - others.max(axis=1)


def rank_heads(count: Int[np.ndarray, " head"], margin: Float[np.ndarray, " head"]) -> Int[np.ndarray, " head"]:
    """Return all heads, best first, by a total order: count, then margin, then layer and head.

    Margins are compared to twelve digits, so that the last bit of a sum, which depends on the
    processor, does not decide.
    """
    place = np.arange(len(count))
    return np.lexsort((place, -np.round(margin, 12), -count))


def tied_at_cut(count: Int[np.ndarray, " head"], heads: int) -> int:
    """Return how many heads share the count of the last one kept, on both sides of the cut; 0 if it is clean."""
    ordered = np.sort(count)[::-1]
    if heads >= len(ordered) or ordered[heads] < ordered[heads - 1]:
        return 0
    return int((count == ordered[heads - 1]).sum())
