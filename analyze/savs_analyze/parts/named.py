"""Class vectors as centroids: a head's posterior of the classes whose texts it has seen (HEC-T, arXiv 2603.24181).

With vectors x and class vectors t_c of unit length, the logit of a class is -|x - t_c|^2 / 2.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Int, Shaped

from savs_analyze.parts.discriminant import BLOCK_BYTES, Discriminants, joined, true_class_scores
from savs_analyze.parts.selection import HeadScores
from savs_analyze.votes.similarity import unit


def named_discriminants(class_vectors: Shaped[np.ndarray, "class head dim"]) -> Discriminants:
    """Return the logits of classes, less what they share: -|x|^2 / 2."""
    weights = unit(class_vectors).transpose(1, 0, 2)
    return Discriminants(weights, -(weights**2).sum(axis=2) / 2)


def named_scores(
    vectors: Shaped[np.ndarray, "sample head dim"],
    labels: Int[np.ndarray, " sample"],
    class_vectors: Shaped[np.ndarray, "class head dim"],
    temperature: int | float,
) -> HeadScores:
    """Return the mean posterior of the true class of every head over the support, which the class vectors never saw."""
    samples, heads, dim = vectors.shape
    step = max(1, BLOCK_BYTES // (8 * samples * (dim + 3 * len(class_vectors))))
    found = []
    for start in range(0, heads, step):
        block = slice(start, start + step)
        of = named_discriminants(class_vectors[:, block])
        logits = unit(vectors[:, block].transpose(1, 0, 2)) @ of.weights.transpose(0, 2, 1) + of.intercept[:, None]
        found.append(true_class_scores(logits, labels, temperature))
    return joined(found)
