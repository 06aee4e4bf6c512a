"""How alike a head's vectors are to the centroids of the classes."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

HEAD_BLOCK = 64


def class_means(
    vectors: Float[np.ndarray, "sample head dim"], labels: Int[np.ndarray, " sample"], classes: int
) -> Float[np.ndarray, "class head dim"]:
    """Return every head's mean vector of each class, in float64 (SAVs, arXiv 2412.00142: class centroids).

    Raises ValueError naming a class without a sample, and one with NaN among its vectors.
    """
    means = np.empty((classes, *vectors.shape[1:]))
    for label in range(classes):
        of_class = vectors[labels == label]
        if not len(of_class):
            raise ValueError(f"class {label} has no sample to take a mean of")
        means[label] = of_class.mean(axis=0, dtype=np.float64)
        if not np.isfinite(means[label]).all():
            raise ValueError(f"class {label} has vectors that are not finite")
    return means


def cosine(
    vectors: Float[np.ndarray, "sample head dim"], centroids: Float[np.ndarray, "class head dim"]
) -> Float[np.ndarray, "sample class head"]:
    """Return the cosine of every vector to every centroid of the same head, in float64.

    A zero vector has no direction: its cosine to anything is 0.
    """
    by_head = _unit(vectors.transpose(1, 0, 2).astype(np.float64))
    toward = _unit(centroids.transpose(1, 2, 0).astype(np.float64), axis=1)
    return np.matmul(by_head, toward).transpose(1, 2, 0)


def _unit(vectors: np.ndarray, axis: int = -1) -> np.ndarray:
    norm = np.linalg.norm(vectors, axis=axis, keepdims=True)
    return np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)
