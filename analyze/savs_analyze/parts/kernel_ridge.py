"""Kernel ridge regression whose hyperparameters follow from leaving every sample out, in closed form.

The kernel is of the mean over heads of cosines. Targets are 1 for the own class and 0 for others; 1 is added to the
kernel, which stands for the intercept. With G = K + 1 + penalty I, what is said of a sample that was left out is
y - (G^-1 Y) / diag(G^-1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.optimize import minimize_scalar

from savs_analyze.measure.probabilities import log_loss
from savs_analyze.votes.kernel import Kernel
from savs_analyze.votes.similarity import unit
from savs_analyze.votes.voting import softmax

# Of the mean squared distance of the support: how far the Gaussian kernel reaches.
REACHES = (0.3, 1.0, 3.0, 10.0)
PENALTIES = tuple(float(10.0**power) for power in np.arange(-3, 1.5, 0.5))
SHARPEST = 1e3
# Mean squared distances below this are of rounding.
NEAREST = 1e-10


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What a kernel and a penalty say of the support, each sample left out, and their squared error."""

    kernel: Kernel
    penalty: float
    scores: Float[np.ndarray, "sample class"]
    error: float


def targets_of(labels: Int[np.ndarray, " sample"], classes: int) -> Float[np.ndarray, "sample class"]:
    found = np.zeros((len(labels), classes))
    found[np.arange(len(labels)), labels] = 1
    return found


def summed_cosines(
    vectors: Shaped[np.ndarray, "sample head dim"], weights: Float[np.ndarray, " head"] | None = None
) -> Float[np.ndarray, "sample sample"]:
    """Return the sum over heads of the cosines of all pairs of samples, each head as often as its weight says."""
    found = unit(vectors)
    weighted = found if weights is None else found * weights[:, None]
    return weighted.reshape(len(found), -1) @ found.reshape(len(found), -1).T


def kernels(cosines: Float[np.ndarray, "sample sample"]) -> list[Kernel]:
    """Return the kernels to choose from: linear, and Gaussian ones as wide as the support is, times the reaches."""
    distance = 2 * (1 - cosines[~np.eye(len(cosines), dtype=bool)])
    mean = float(distance.mean()) if distance.size else 0.0
    return [Kernel(), *(Kernel(False, 1 / (reach * mean)) for reach in REACHES if mean > NEAREST)]


def left_out(
    cosines: Float[np.ndarray, "sample sample"], targets: Float[np.ndarray, "sample class"], among: Sequence[Kernel]
) -> Iterator[LeftOut]:
    """Yield what each of some kernels says with every penalty; one eigendecomposition a kernel."""
    for kernel in among:
        values, vectors = np.linalg.eigh(1 + kernel(cosines))
        turned, squared = vectors.T @ targets, vectors**2
        for penalty in PENALTIES:
            inverse = 1 / (np.maximum(values, 0) + penalty)
            residual = (vectors * inverse) @ turned / (squared @ inverse)[:, None]
            yield LeftOut(kernel, penalty, targets - residual, float((residual**2).mean()))


def best_of(found: Iterable[LeftOut]) -> LeftOut:
    """Return the one of least error, to twelve digits; of equal ones the first, which is the simpler kernel."""
    return min(found, key=lambda one: float(f"{one.error:.12g}"))


def coefficients(
    cosines: Float[np.ndarray, "sample sample"], targets: Float[np.ndarray, "sample class"], chosen: LeftOut
) -> Float[np.ndarray, "sample class"]:
    kernel = 1 + chosen.kernel(cosines)
    return np.linalg.solve(kernel + chosen.penalty * np.eye(len(kernel)), targets)


def sharpness(scores: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]) -> float:
    """Return by what scores are multiplied so that their softmax has the least log loss."""
    found = minimize_scalar(
        lambda power: log_loss(softmax(scores * 10**power), labels), bounds=(-2, np.log10(SHARPEST)), method="bounded"
    )
    return float(10**found.x)
