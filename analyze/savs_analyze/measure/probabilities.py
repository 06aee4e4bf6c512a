"""How good probabilities are: log loss, Brier score, and how far they are from how often they come true."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float16, Int
from scipy.special import ndtri

BINS = 10
SIMULATIONS, FEWEST_SIMULATIONS = 200, 10
MOST_DRAWN = 4_000_000  # of many answers the bias is small, and a few simulations tell it
# What a probability of 0 counts as where its logarithm is asked for: 34.5 nats.
LEAST = 1e-15
# By how much probabilities may miss 1 together.
ROUNDING = 1e-6


class Measured(NamedTuple):
    """A value, and by how much every sample moves it: to first order, so that influences sum to 0."""

    value: float
    influence: Float[np.ndarray, " sample"]


def to_scores(probabilities: Float[np.ndarray, "sample class"]) -> Float16[np.ndarray, "sample class"] | None:
    """Return probabilities as cells keep them: logarithms, less that of the likeliest class; None for what is none.

    So rounding never changes which class is likeliest, and classes that are almost alike, or almost certain, keep
    their order, which float16 probabilities lose: between 0.5 and 1 there are 1,024 of them.
    """
    if not ((probabilities >= 0).all() and (abs(probabilities.sum(axis=1) - 1) <= ROUNDING).all()):
        return None
    with np.errstate(divide="ignore"):
        logarithms = np.log(probabilities)
    return (logarithms - logarithms.max(axis=1, keepdims=True)).astype(np.float16)


def from_scores(scores: Float16[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
    """Return the probabilities that are kept so."""
    powers = np.exp(scores.astype(np.float64))
    return powers / powers.sum(axis=1, keepdims=True)


def mean_of(losses: Float[np.ndarray, " sample"]) -> Measured:
    """Return the mean, which every sample moves by its distance from it."""
    value = float(losses.mean())
    return Measured(value, (losses - value) / len(losses))


def log_losses(
    probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " sample"]:
    """Return -log p of the truth, in nats."""
    return -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], LEAST))


def log_loss(probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]) -> float:
    """Return the mean of -log p of the truth, in nats."""
    return float(log_losses(probabilities, labels).mean())


def brier_losses(
    probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " sample"]:
    """Return the squared distance to the truth, summed over classes."""
    truth = np.zeros(probabilities.shape)
    truth[np.arange(len(labels)), labels] = 1
    return ((probabilities - truth) ** 2).sum(axis=1)


def brier_score(probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]) -> float:
    """Return the mean squared distance to the truth, summed over classes: between 0 and 2 (Brier 1950)."""
    return float(brier_losses(probabilities, labels).mean())


def calibration_error(
    probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"], seed: int = 0
) -> float:
    """Return how far the probability of the answer is from how often it is right, 0 to 1, without its own bias.

    The mean over bins of equal mass of |accuracy - probability|, less what calibrated probabilities would show of it
    by chance alone: the mean of answers drawn to be right with the probability that they state.
    """
    return confidence_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == labels, seed)


def confidence_error(
    confidence: Float[np.ndarray, " sample"], right: Bool[np.ndarray, " sample"], seed: int = 0
) -> float:
    """Return the same of answers with their own probabilities."""
    shuffled, chances = _chances(len(right), seed)  # equal probabilities fall into bins whatever the samples' order
    confidence, right = confidence[shuffled], right[shuffled]
    order = np.argsort(confidence, kind="stable")
    answers = np.concatenate([right[None], chances < confidence])
    found, *by_chance = _errors(confidence[order], answers[:, order])
    return max(0.0, float(found - np.mean(by_chance)))


@lru_cache(maxsize=1)
def _chances(count: int, seed: int) -> tuple[Int[np.ndarray, " sample"], Float[np.ndarray, "answer sample"]]:
    """Return an order of samples, and what decides which of their answers are drawn to be right."""
    generator = np.random.default_rng(seed)
    simulations = int(np.clip(MOST_DRAWN // max(count, 1), FEWEST_SIMULATIONS, SIMULATIONS))
    return generator.permutation(count), generator.random((simulations, count))


def _errors(
    confidence: Float[np.ndarray, " sample"], right: Bool[np.ndarray, "answer sample"]
) -> Float[np.ndarray, " answer"]:
    """Return the mean over bins of |accuracy - probability|; samples come in the order of their confidence."""
    count = len(confidence)
    size, larger = divmod(count, BINS)  # the first bins have one sample more
    starts = np.arange(min(count, BINS)) * size + np.minimum(np.arange(min(count, BINS)), larger)
    counted = np.add.reduceat(right, starts, axis=1, dtype=np.int64)
    return np.abs(counted - np.add.reduceat(confidence, starts)).sum(axis=1) / count


@dataclass(frozen=True)
class Reliability:
    """How often answers are right against their probability, both means over bins that hold so many answers."""

    confidence: Float[np.ndarray, " bin"]
    right: Float[np.ndarray, " bin"]
    count: Int[np.ndarray, " bin"]


def reliability(confidence: Float[np.ndarray, " sample"], right: Bool[np.ndarray, " sample"]) -> Reliability:
    """Return bins of about equal mass; equal probabilities stay together, so few different ones make fewer bins."""
    first_alike = np.searchsorted(np.sort(confidence), confidence)
    _, place, count = np.unique(first_alike * BINS // len(confidence), return_inverse=True, return_counts=True)
    sums = [np.bincount(place, weights=values) for values in (confidence, right)]
    return Reliability(sums[0] / count, sums[1] / count, count)


def wilson(right: float, samples: int, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a share of `samples` independent ones (Wilson 1927)."""
    z = float(ndtri((1 + level) / 2))
    centre = (right + z**2 / (2 * samples)) / (1 + z**2 / samples)
    half = z / (1 + z**2 / samples) * np.sqrt(right * (1 - right) / samples + z**2 / (4 * samples**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
