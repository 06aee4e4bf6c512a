"""How alike a head's vectors are to the centroids of the classes: more is more alike, whatever the similarity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial.distance import cdist

HEAD_BLOCK = 64
# A kernel orders classes as the similarity it is a function of.
BASES = {"rbf": "l2", "laplacian": "l1", "sigmoid": "dot"}
SIMILARITIES = ("cosine", "l2", "l1", "dot", *BASES)


@dataclass(frozen=True)
class Similarity:
    """A similarity of a vector x to a centroid u.

    cosine: x.u / |x||u|, 0 for a vector without direction. l2: -|x - u|. l1: -|x - u|_1. dot: x.u.
    rbf: log exp(-gamma |x - u|^2). laplacian: log exp(-gamma |x - u|_1). sigmoid: the log-odds
    2 (gamma x.u + beta) of (1 + tanh(gamma x.u + beta)) / 2. So kernels never saturate; `saturating` ones
    are exp and tanh in float32, as in the code of the second paper, where large vectors give ties.
    """

    name: str = "cosine"
    gamma: int | float = 1.0
    beta: int | float = 0.0
    saturating: bool = False

    def __post_init__(self) -> None:
        if self.name not in SIMILARITIES:
            raise ValueError(f"unknown similarity {self.name!r}; there are {', '.join(SIMILARITIES)}")
        if not self.gamma > 0:
            raise ValueError(f"gamma must be above 0, got {self.gamma}")

    @property
    def base(self) -> Similarity:
        """The similarity that orders classes alike and has no parameters; a saturating one has none."""
        return self if self.saturating else Similarity(self.of)

    @property
    def of(self) -> str:
        """Name of the similarity that this one is a function of."""
        return BASES.get(self.name, self.name)


COSINE = Similarity()


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


def similarities(
    kind: Similarity, vectors: Float[np.ndarray, "sample head dim"], centroids: Float[np.ndarray, "class head dim"]
) -> Float[np.ndarray, "sample class head"]:
    """Return the similarity of every vector to every centroid of the same head, in float64."""
    by_head = np.ascontiguousarray(vectors.transpose(1, 0, 2), dtype=np.float64)
    toward = np.ascontiguousarray(centroids.transpose(1, 0, 2), dtype=np.float64)
    return _form(kind, _compare(kind.of, by_head, toward)).transpose(1, 2, 0)


def left_out_similarities(
    kind: Similarity,
    vectors: Float[np.ndarray, "sample head dim"],
    labels: Int[np.ndarray, " sample"],
    centroids: Float[np.ndarray, "class head dim"],
) -> Float[np.ndarray, "sample class head"]:
    """Return the similarities of the support to its own centroids, each sample left out of its class's mean.

    The mean without x is u - (x - u) / (n - 1), so every similarity to it has a closed form in x and u.
    Raises ValueError for a class with one sample: without it, it has no mean.
    """
    counts = np.bincount(labels, minlength=len(centroids))
    if counts.min() < 2:
        raise ValueError(f"class {int(counts.argmin())} has one sample: leave-one-out needs two of every class")
    x = np.ascontiguousarray(vectors.transpose(1, 0, 2), dtype=np.float64)
    u = np.ascontiguousarray(centroids.transpose(1, 0, 2), dtype=np.float64)
    n = counts[labels].astype(np.float64)
    base = _compare(kind.of, x, u)  # [head, sample, class]
    own = (slice(None), np.arange(len(labels)), labels)
    if kind.of in ("l2", "l1"):
        base[own] *= n / (n - 1)
    else:
        mine = u[:, labels]
        without = mine - (x - mine) / (n - 1)[:, None]
        x, without = (_unit(x), _unit(without)) if kind.of == "cosine" else (x, without)
        base[own] = np.einsum("hsd,hsd->hs", x, without)
    return _form(kind, base).transpose(1, 2, 0)


def of_base(kind: Similarity, base: Float[np.ndarray, "sample class head"]) -> Float[np.ndarray, "sample class head"]:
    """Return the similarity from the one that is its `base`."""
    return base if kind.saturating else _form(kind, base)


def cosine(
    vectors: Float[np.ndarray, "sample head dim"], centroids: Float[np.ndarray, "class head dim"]
) -> Float[np.ndarray, "sample class head"]:
    """Return the cosine of every vector to every centroid of the same head, in float64.

    A zero vector has no direction: its cosine to anything is 0.
    """
    return similarities(COSINE, vectors, centroids)


def _compare(name: str, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the base similarity `[head, sample, class]` of x `[head, sample, dim]` to u `[head, class, dim]`."""
    if name == "l1":
        return -np.stack([cdist(of_head, toward, "cityblock") for of_head, toward in zip(x, u, strict=True)])
    if name == "l2":
        # Seen from the middle of the centroids, no digits are lost to a large common mean.
        middle = u.mean(axis=1, keepdims=True)
        x, u = x - middle, u - middle
        squares = _squares(x)[:, :, None] + _squares(u)[:, None] - 2 * np.matmul(x, u.transpose(0, 2, 1))
        return -np.sqrt(np.maximum(squares, 0))
    if name == "dot":
        return np.matmul(x, u.transpose(0, 2, 1))
    dots, norm = np.matmul(x, _unit(u).transpose(0, 2, 1)), np.sqrt(_squares(x))[:, :, None]
    return np.divide(dots, norm, out=np.zeros_like(dots), where=norm > 0)


def _form(kind: Similarity, base: np.ndarray) -> np.ndarray:
    """Return the similarity as a function of its base."""
    if kind.saturating and kind.name in BASES:
        return _saturating(kind, base.astype(np.float32)).astype(np.float64)
    if kind.name == "rbf":
        return -kind.gamma * base**2
    if kind.name == "laplacian":
        return kind.gamma * base
    return 2 * (kind.gamma * base + kind.beta) if kind.name == "sigmoid" else base


def _saturating(kind: Similarity, base: np.ndarray) -> np.ndarray:
    gamma, beta = np.float32(kind.gamma), np.float32(kind.beta)
    if kind.name == "sigmoid":
        return np.tanh(gamma * base + beta)
    return np.exp(-gamma * base**2) if kind.name == "rbf" else np.exp(gamma * base)


def _squares(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("...d,...d->...", vectors, vectors)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, norm, out=np.zeros_like(vectors), where=norm > 0)
