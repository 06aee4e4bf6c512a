"""How good probabilities are: log loss, Brier score, and how far they are from how often they come true."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

BINS = 10
SIMULATIONS = 200


def log_loss(probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]) -> float:
    """Return the mean of -log p of the truth, in nats."""
    return float(-np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-15)).mean())


def brier_score(probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]) -> float:
    """Return the mean squared distance to the truth, summed over classes: between 0 and 2 (Brier 1950)."""
    truth = np.zeros(probabilities.shape)
    truth[np.arange(len(labels)), labels] = 1
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())


def calibration_error(
    probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"], seed: int = 0
) -> float:
    """Return how far the probability of the answer is from how often it is right, 0 to 1, without its own bias.

    The mean over bins of equal mass of |accuracy - probability|, less what calibrated probabilities would show of it
    by chance alone: the mean of answers drawn to be right with the probability that they state.
    """
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))  # equal probabilities fall into bins whatever the samples' order
    probabilities, labels = probabilities[shuffled], labels[shuffled]
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    found = _error(confidence, right[None])[0]
    drawn = generator.random((SIMULATIONS, len(labels))) < confidence
    return max(0.0, float(found - _error(confidence, drawn).mean()))


def _error(
    confidence: Float[np.ndarray, " sample"], right: Bool[np.ndarray, "answer sample"]
) -> Float[np.ndarray, " answer"]:
    order = np.argsort(confidence, kind="stable")
    gaps = (right - confidence)[:, order]
    bins = [part for part in np.array_split(np.arange(len(order)), BINS) if len(part)]
    return np.sum([np.abs(gaps[:, part].sum(axis=1)) for part in bins], axis=0) / len(order)


def wilson(right: float, samples: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share of `samples` independent ones (Wilson 1927)."""
    from scipy.stats import norm

    z = float(norm.ppf((1 + level) / 2))
    centre = (right + z**2 / (2 * samples)) / (1 + z**2 / samples)
    half = z / (1 + z**2 / samples) * np.sqrt(right * (1 - right) / samples + z**2 / (4 * samples**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
