"""Gaussian discriminants of many more features than samples: what they need of a covariance, without forming it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int, Shaped

BLOCK_BYTES = 100_000_000
# Of a feature's own variance: what is left of it at least.
LEAST = 1e-9


def ledoit_wolf(gram: Float[np.ndarray, "sample sample"], features: int) -> float:
    """Return how much of the covariance is replaced by a multiple of the identity (Ledoit and Wolf 2004).

    As scikit-learn's `ledoit_wolf_shrinkage`, of products of centred samples instead of features. Two samples do not
    tell how much: there it is all.
    """
    samples, squares = len(gram), np.diag(gram)
    if samples < 3:
        return 1.0
    mean = squares.sum() / samples / features
    norm = (gram**2).sum() / samples**2
    spread = (squares**2).sum() / samples - norm
    distance = norm - features * mean**2
    beta = min(spread / samples, distance)
    return float(beta / distance) if distance > 0 and beta > 0 else 0.0


def shrunk_discriminant(
    vectors: Shaped[np.ndarray, "sample head dim"], labels: Int[np.ndarray, " sample"], classes: int
) -> tuple[Float[np.ndarray, "class feature"], Float[np.ndarray, " class"]]:
    """Return weights and intercepts of the linear discriminant whose covariance is shrunk by Ledoit and Wolf.

    The covariance is the mean over classes, each shrunk on features of unit variance, as scikit-learn's
    `LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")` has it from three samples of a class on: a diagonal
    plus a product of as many vectors as there are samples, so that it is solved in their number (Woodbury). Features
    come in blocks, thrice: for the shrinkage of every class, for what samples have in common, and for the weights.
    """
    shrinkage, level = _shrinkage(vectors, labels, classes)
    small, side = np.eye(len(labels)), np.zeros((len(labels), classes))
    for block in _blocks(vectors, labels, classes):
        rows, diagonal, means, _ = block.covariance(shrinkage, level)
        small += (rows / diagonal) @ rows.T
        side += (rows / diagonal) @ means.T
    solved = np.linalg.solve(small, side)
    weights, intercept = [], np.log(np.bincount(labels, minlength=classes) / len(labels))
    for block in _blocks(vectors, labels, classes):
        rows, diagonal, means, scale = block.covariance(shrinkage, level)
        found = (means - solved.T @ rows) / diagonal
        intercept -= (means * found).sum(axis=1) / 2
        weights.append(found / scale)
    return np.concatenate(weights, axis=1), intercept


class _Block:
    """Some features of the support, each sample less the mean of its class."""

    def __init__(
        self, features: Float[np.ndarray, "sample feature"], labels: Int[np.ndarray, " sample"], classes: int
    ) -> None:
        self.of_class = [labels == label for label in range(classes)]
        self.means = np.stack([features[of_class].mean(axis=0) for of_class in self.of_class])
        self.centred = features - self.means[labels]

    def scaled(self, label: int) -> tuple[Float[np.ndarray, "sample feature"], Float[np.ndarray, " feature"]]:
        """Return the samples of a class at unit variance, and the deviations of its features."""
        centred = self.centred[self.of_class[label]]
        deviation = np.sqrt((centred**2).mean(axis=0))
        deviation[deviation == 0] = 1
        return centred / deviation, deviation

    def covariance(
        self, shrinkage: Float[np.ndarray, " class"], level: Float[np.ndarray, " class"]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return rows, diagonal, class means, all of features at unit deviation, and the deviations.

        The covariance is rows^T rows + diagonal. So no feature is lost beside one of larger numbers.
        """
        scale = np.sqrt((self.centred**2).mean(axis=0))
        scale[scale == 0] = 1
        diagonal, rows = np.zeros(len(scale)), np.empty_like(self.centred)
        for label, of_class in enumerate(self.of_class):
            _, deviation = self.scaled(label)
            share = of_class.mean()
            diagonal += share * shrinkage[label] * level[label] * (deviation / scale) ** 2
            rows[of_class] = self.centred[of_class] / scale * np.sqrt((1 - shrinkage[label]) / len(of_class))
        return rows, np.maximum(diagonal, LEAST), self.means / scale, scale


def _blocks(
    vectors: Shaped[np.ndarray, "sample head dim"], labels: Int[np.ndarray, " sample"], classes: int
) -> Iterator[_Block]:
    """Yield the features of so many heads that what is computed of them stays small."""
    samples, heads, dim = vectors.shape
    step = max(1, BLOCK_BYTES // (8 * 6 * samples * dim))
    for start in range(0, heads, step):
        features = vectors[:, start : start + step].astype(np.float64).reshape(samples, -1)
        yield _Block(features, labels, classes)


def _shrinkage(
    vectors: Shaped[np.ndarray, "sample head dim"], labels: Int[np.ndarray, " sample"], classes: int
) -> tuple[Float[np.ndarray, " class"], Float[np.ndarray, " class"]]:
    """Return how far each class is shrunk, and its mean variance, on features of unit variance."""
    counts = np.bincount(labels, minlength=classes)
    grams = [np.zeros((count, count)) for count in counts]
    for block in _blocks(vectors, labels, classes):
        for label, gram in enumerate(grams):
            scaled, _ = block.scaled(label)
            gram += scaled @ scaled.T
    features = vectors.shape[1] * vectors.shape[2]
    level = np.array([np.trace(gram) / len(gram) / features for gram in grams])
    return np.array([ledoit_wolf(gram, features) for gram in grams]), level


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
