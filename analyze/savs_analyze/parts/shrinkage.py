"""Gaussian discriminants of many more features than samples: what they need of a covariance, without forming it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int


def ledoit_wolf(centred: Float[np.ndarray, "sample feature"]) -> float:
    """Return how much of the covariance is replaced by a multiple of the identity (Ledoit and Wolf 2004).

    As scikit-learn's `ledoit_wolf_shrinkage`, in samples x samples instead of features x features.
    """
    samples, features = centred.shape
    gram = centred @ centred.T
    squares = np.diag(gram)
    mean = squares.sum() / samples / features
    norm = (gram**2).sum() / samples**2
    spread = (squares**2).sum() / samples - norm
    distance = norm - features * mean**2
    beta = min(spread / samples, distance)
    return float(beta / distance) if distance > 0 and beta > 0 else 0.0


def shrunk_discriminant(
    features: Float[np.ndarray, "sample feature"], labels: Int[np.ndarray, " sample"], classes: int
) -> tuple[Float[np.ndarray, "class feature"], Float[np.ndarray, " class"]]:
    """Return weights and intercepts of the linear discriminant whose covariance is shrunk by Ledoit and Wolf.

    The covariance is the mean over classes, each shrunk on features of unit variance, as scikit-learn's
    `LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")` has it: a diagonal plus a product of as many vectors
    as there are samples, so that it is solved in their number (Woodbury).
    """
    shares = np.bincount(labels, minlength=classes) / len(labels)
    means = np.stack([features[labels == label].mean(axis=0) for label in range(classes)])
    diagonal, rows = np.zeros(features.shape[1]), []
    for label, share in enumerate(shares):
        centred = features[labels == label] - means[label]
        variance = (centred**2).mean(axis=0)
        scale = np.where(variance > 0, np.sqrt(variance), 1.0)
        scaled = centred / scale
        shrinkage = ledoit_wolf(scaled)
        diagonal += share * shrinkage * (scaled**2).mean() * scale**2
        rows.append(centred * np.sqrt(share * (1 - shrinkage) / len(centred)))
    weights = _solve(diagonal, np.concatenate(rows), means.T).T
    return weights, np.log(shares) - (means * weights).sum(axis=1) / 2


def _solve(
    diagonal: Float[np.ndarray, " feature"],
    rows: Float[np.ndarray, "row feature"],
    columns: Float[np.ndarray, "feature column"],
) -> Float[np.ndarray, "feature column"]:
    """Return (diagonal + rows^T rows)^-1 columns; a feature without variance counts for almost none, not for all."""
    largest = diagonal.max()
    diagonal = np.maximum(diagonal, 1e-9 * largest) if largest > 0 else np.ones_like(diagonal)
    divided, scaled = columns / diagonal[:, None], rows / diagonal
    small = np.eye(len(rows)) + scaled @ rows.T
    return divided - scaled.T @ np.linalg.solve(small, rows @ divided)


def in_samples(
    features: Float[np.ndarray, "sample feature"],
) -> tuple[Float[np.ndarray, "sample axis"], Float[np.ndarray, "axis feature"]]:
    """Return the samples on as many axes as they span, and the axes: features = found @ axes.

    What a penalty on the length of weights finds there is what it would find among all features.
    """
    values, vectors = np.linalg.eigh(features @ features.T)
    kept = values >= 1e-12 * values.max()  # all, where nothing differs
    lengths = np.sqrt(np.maximum(values[kept], 1e-300))
    return vectors[:, kept] * lengths, (vectors[:, kept] / lengths).T @ features
