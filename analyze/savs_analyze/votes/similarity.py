"""How alike a head's vectors are to the centroids of the classes: more is more alike, whatever the similarity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.spatial.distance import cdist

from savs_analyze.registry import Origin, Registry
from savs_analyze.votes.arithmetic import DOUBLE, Arithmetic, MeanError, in_range, rounded, rounded_cosine, rounded_mean

HEAD_BLOCK = 64
Compare = Callable[[np.ndarray, np.ndarray], np.ndarray]
Form = Callable[[np.ndarray, float | np.float32, float | np.float32], np.ndarray]


@dataclass(frozen=True)
class Kernel:
    """A similarity by name: a comparison of vectors with centroids, or a form of another that has one.

    `compare` takes x `[head, sample, dim]` and u `[head, class, dim]` to `[head, sample, class]`. `form` takes the
    similarity that it is `of`, gamma and beta. `increasing` says that it grows with it, so that both order classes
    alike, `linear` that it is that but for a positive factor and a constant. `saturated` is what the second paper's
    code computes of it, in float32.

    How a sample compares with a class mean that it is left out of: `distance` says that all of it is stretched by
    n / (n - 1), else `paired` takes x and u, both `[head, sample, dim]`, to `[head, sample]`; without either, by
    `compare`.
    """

    name: str
    compare: Compare | None = None
    of: str = ""
    form: Form | None = None
    increasing: bool = False
    linear: bool = False
    saturated: Form | None = None
    distance: bool = False
    paired: Compare | None = None

    def __post_init__(self) -> None:
        if (self.compare is None) == (self.form is None) or bool(self.of) != bool(self.form):
            raise ValueError(f"the similarity {self.name!r} needs either `compare`, or `form` and what it is `of`")


@dataclass(frozen=True)
class Similarity:
    """A similarity of a vector x to a centroid u.

    cosine: x.u / |x||u|, 0 for a vector without direction. l2: -|x - u|. l1: -|x - u|_1. dot: x.u.
    rbf: log exp(-gamma |x - u|^2). laplacian: log exp(-gamma |x - u|_1). sigmoid: the log-odds
    2 (gamma x.u + beta) of (1 + tanh(gamma x.u + beta)) / 2. So kernels never saturate; `saturating` ones
    are exp and tanh in float32, as in the code of the second paper, where large vectors give ties. `arithmetic`
    is that of the means and of the comparison with them.
    """

    name: str = "cosine"
    gamma: int | float = 1.0
    beta: int | float = 0.0
    saturating: bool = False
    arithmetic: Arithmetic = DOUBLE

    def __post_init__(self) -> None:
        if self.name not in KERNELS:
            raise ValueError(f"unknown similarity {self.name!r}; there are {', '.join(KERNELS)}")
        if (of := self.kernel.of) and not (of in KERNELS and KERNELS[of].compare):
            raise ValueError(f"the similarity {self.name!r} is a form of {of!r}, which compares no vectors")
        if not self.gamma > 0:
            raise ValueError(f"gamma must be above 0, got {self.gamma}")

    @property
    def base(self) -> Similarity:
        """The similarity that orders classes alike and has no parameters; a saturating one has none."""
        kernel = self.kernel
        as_itself = self.saturating or (kernel.form and not kernel.increasing)
        return self if as_itself else Similarity(kernel.of or self.name, arithmetic=self.arithmetic)

    @property
    def origins(self) -> frozenset[Origin]:
        """Where the kernel, and the one that it is a form of, are from."""
        return frozenset({KERNELS.origin(self.name), KERNELS.origin(self.compared.name)})

    @property
    def kernel(self) -> Kernel:
        return KERNELS[self.name]

    @property
    def compared(self) -> Kernel:
        """The kernel that compares vectors: this one's, or that of which it is a form."""
        return KERNELS[self.kernel.of or self.name]


def class_means(
    vectors: Float[np.ndarray, "sample head dim"],
    labels: Int[np.ndarray, " sample"],
    classes: int,
    weights: Float[np.ndarray, " sample"] | None = None,
    arithmetic: str = "",
) -> Float[np.ndarray, "class head dim"]:
    """Return every head's mean vector of each class, in float64 (SAVs, arXiv 2412.00142: class centroids).

    Means are weighted where samples have weights, but in another `arithmetic`. Raises ValueError naming a class without
    a sample, and one with NaN among its vectors; `MeanError` where its mean is too large for the arithmetic.
    """
    means = np.empty((classes, *vectors.shape[1:]))
    for label in range(classes):
        of_class = vectors[labels == label]
        if not len(of_class):
            raise ValueError(f"class {label} has no sample to take a mean of")
        if arithmetic:
            means[label] = rounded_mean(of_class, arithmetic)
        elif weights is None:
            means[label] = of_class.mean(axis=0, dtype=np.float64)
        else:
            means[label] = np.average(of_class.astype(np.float64), axis=0, weights=weights[labels == label])
        if arithmetic and np.isfinite(of_class).all() and not np.isfinite(means[label]).all():
            raise MeanError(label, arithmetic)
        if not np.isfinite(means[label]).all():
            raise ValueError(f"class {label} has vectors that are not finite")
    return means


def similarities(
    kind: Similarity, vectors: Float[np.ndarray, "sample head dim"], centroids: Float[np.ndarray, "class head dim"]
) -> Float[np.ndarray, "sample class head"]:
    """Return the similarity of every vector to every centroid of the same head, in float64.

    Another arithmetic rounds every step of a cosine, and of others, which the papers do not have in it, the end. Raises
    ValueError for vectors that are too large for it.
    """
    by_head = np.ascontiguousarray(vectors.transpose(1, 0, 2), dtype=np.float64)
    toward = np.ascontiguousarray(centroids.transpose(1, 0, 2), dtype=np.float64)
    return _form(kind, _compare_in(kind, by_head, toward)).transpose(1, 2, 0)


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
    kernel = kind.compared
    base = _compare(kernel, x, u)  # [head, sample, class]
    own = (slice(None), np.arange(len(labels)), labels)
    if kernel.distance:
        base[own] *= n / (n - 1)
    else:
        mine = u[:, labels]
        base[own] = _paired(kernel, x, mine - (x - mine) / (n - 1)[:, None])
    return _form(kind, base).transpose(1, 2, 0)


def of_base(kind: Similarity, base: Float[np.ndarray, "sample class head"]) -> Float[np.ndarray, "sample class head"]:
    """Return the similarity from the one that is its `base`."""
    return base if kind.base == kind else _form(kind, base)


def cosine(
    vectors: Float[np.ndarray, "sample head dim"], centroids: Float[np.ndarray, "class head dim"]
) -> Float[np.ndarray, "sample class head"]:
    """Return the cosine of every vector to every centroid of the same head, in float64.

    A zero vector has no direction: its cosine to anything is 0.
    """
    return similarities(COSINE, vectors, centroids)


def _compare(kernel: Kernel, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    assert kernel.compare is not None  # a form is of a kernel that compares
    return kernel.compare(x, u)


def _compare_in(kind: Similarity, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return how vectors compare with centroids, in the arithmetic of the similarity."""
    name, kernel = kind.arithmetic.similarities, kind.compared
    if not name:
        return _compare(kernel, x, u)
    means = kind.arithmetic.means
    x = in_range(rounded(x, means), means)  # the model gave them in that type
    if kernel.name == COSINE.name:
        return rounded_cosine(x, u, name).astype(np.float64)
    compared = rounded(_compare(kernel, x.astype(np.float32), u.astype(np.float32)), name)
    return in_range(compared, name).astype(np.float64)


def _paired(kernel: Kernel, x: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Return the similarity `[head, sample]` of every x `[head, sample, dim]` to the u at its place."""
    if kernel.paired:
        return kernel.paired(x, u)
    single = (x.shape[0] * x.shape[1], 1, x.shape[2])
    return _compare(kernel, x.reshape(single), u.reshape(single)).reshape(x.shape[:2])


def _form(kind: Similarity, base: np.ndarray) -> np.ndarray:
    """Return the similarity as a function of its base."""
    kernel = kind.kernel
    if kind.saturating and kernel.saturated:
        gamma, beta = np.float32(kind.gamma), np.float32(kind.beta)
        return kernel.saturated(base.astype(np.float32), gamma, beta).astype(np.float64)
    return kernel.form(base, kind.gamma, kind.beta) if kernel.form else base


def _cosine(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    dots, norm = np.matmul(x, unit(u).transpose(0, 2, 1)), np.sqrt(_squares(x))[:, :, None]
    return np.divide(dots, norm, out=np.zeros_like(dots), where=norm > 0)


def _paired_cosine(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    return _paired_dot(unit(x), unit(u))


def _l2(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    # Seen from the middle of the centroids, no digits are lost to a large common mean.
    middle = u.mean(axis=1, keepdims=True)
    x, u = x - middle, u - middle
    squares = _squares(x)[:, :, None] + _squares(u)[:, None] - 2 * np.matmul(x, u.transpose(0, 2, 1))
    return -np.sqrt(np.maximum(squares, 0))


def _l1(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    return -np.stack([cdist(of_head, toward, "cityblock") for of_head, toward in zip(x, u, strict=True)])


def _dot(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.matmul(x, u.transpose(0, 2, 1))


def _paired_dot(x: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.einsum("hsd,hsd->hs", x, u)


def _squares(vectors: np.ndarray) -> np.ndarray:
    return np.einsum("...d,...d->...", vectors, vectors)


def unit(vectors: Shaped[np.ndarray, "*axis dim"]) -> Float[np.ndarray, "*axis dim"]:
    """Return vectors of unit length, in float64; one without direction stays 0."""
    found = vectors.astype(np.float64, copy=False)
    norm = np.linalg.norm(found, axis=-1, keepdims=True)
    return np.divide(found, norm, out=np.zeros_like(found), where=norm > 0)


KERNELS = Registry(
    "similarity",
    (
        Kernel("cosine", _cosine, paired=_paired_cosine),
        Kernel("l2", _l2, distance=True),
        Kernel("l1", _l1, distance=True),
        Kernel("dot", _dot, paired=_paired_dot),
        Kernel(
            "rbf",
            of="l2",
            increasing=True,
            form=lambda base, gamma, beta: -gamma * base**2,
            saturated=lambda base, gamma, beta: np.exp(-gamma * base**2),
        ),
        Kernel(
            "laplacian",
            of="l1",
            increasing=True,
            form=lambda base, gamma, beta: gamma * base,
            linear=True,
            saturated=lambda base, gamma, beta: np.exp(gamma * base),
        ),
        Kernel(
            "sigmoid",
            of="dot",
            increasing=True,
            form=lambda base, gamma, beta: 2 * (gamma * base + beta),
            linear=True,
            saturated=lambda base, gamma, beta: np.tanh(gamma * base + beta),
        ),
    ),
)
COSINE = Similarity()
