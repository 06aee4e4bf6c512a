"""Heads as Gaussian classifiers: class means and one regularised covariance a head, on vectors of unit length.

For every head: class means u_c, scatter S = sum_i (x_i - u_y)(x_i - u_y)^T, t = trace(S) / (samples - 1), precision
P = dim pinv(S + regularisation t I), and the logit of a class -(x - u_c)^T P (x - u_c) / 2 + log(share of the class)
(HEC-V, arXiv 2603.24181, and its code: the scatter is not divided by the number of samples).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from savs_analyze.parts.selection import HeadScores
from savs_analyze.votes.similarity import unit
from savs_analyze.votes.voting import softmax

BLOCK_BYTES = 10_000_000


@dataclass(frozen=True)
class Prior:
    """What is assumed of a head's covariance.

    The identity is added `regularisation` times. Where no class has two different samples the scatter is 0: then all
    directions count alike, or `as_published` none does, and only the sizes of the classes answer.
    """

    regularisation: int | float = 1.0
    as_published: bool = False

    def __post_init__(self) -> None:
        if not self.regularisation > 0:
            raise ValueError(f"regularisation must be above 0, got {self.regularisation}")


@dataclass(frozen=True, eq=False)
class Discriminants:
    """Logits of classes that are linear in a head's unit vector, less what all classes share: -x^T P x / 2."""

    weights: Float[np.ndarray, "head class dim"]
    intercept: Float[np.ndarray, "head class"]


def discriminants(
    vectors: Shaped[np.ndarray, "sample head dim"], labels: Int[np.ndarray, " sample"], classes: int, prior: Prior
) -> Discriminants:
    """Return the discriminants of heads; every class has samples."""
    parts = [_Block(block, labels, classes, prior) for block in _blocks(vectors, classes)]
    return Discriminants(
        np.concatenate([part.precision_of_means for part in parts]), np.concatenate([part.intercept for part in parts])
    )


def posterior_scores(
    vectors: Shaped[np.ndarray, "sample head dim"],
    labels: Int[np.ndarray, " sample"],
    classes: int,
    prior: Prior,
    temperature: int | float,
    leave_one_out: bool,
) -> HeadScores:
    """Return the mean posterior of the true class of every head, softmax(logit / temperature), over the support.

    `leave_one_out` takes each sample out of its class's mean: (x - mean without x) = (x - mean) n / (n - 1). Its part
    of the scatter stays, and so does a sample that is the only one of its class. The margin is the mean logit of the
    true class less the best other one.
    """
    logits = class_logits(vectors, labels, classes, prior, leave_one_out)
    return joined([true_class_scores(block, labels, temperature) for block in logits])


def class_logits(
    vectors: Shaped[np.ndarray, "sample head dim"],
    labels: Int[np.ndarray, " sample"],
    classes: int,
    prior: Prior,
    leave_one_out: bool,
) -> Iterator[Float[np.ndarray, "some sample class"]]:
    """Yield the logits of the support by some heads at a time, in their order."""
    for block in _blocks(vectors, classes):
        yield _Block(block, labels, classes, prior).logits(leave_one_out)


def true_class_scores(
    logits: Float[np.ndarray, "head sample class"], labels: Int[np.ndarray, " sample"], temperature: int | float
) -> HeadScores:
    """Return the mean posterior of the true class of every head, and its mean margin in logits."""
    rows, others = np.arange(len(labels)), logits.copy()
    own = logits[:, rows, labels]
    others[:, rows, labels] = -np.inf
    margin = np.where(np.isfinite(best := others.max(axis=2)), own - best, 0.0).mean(axis=1)
    posterior = softmax(logits.reshape(-1, logits.shape[2]) / temperature).reshape(logits.shape)
    return HeadScores(posterior[:, rows, labels].mean(axis=1), margin)


def joined(scores: Sequence[HeadScores]) -> HeadScores:
    """Return the scores of some heads after those of others."""
    return HeadScores(np.concatenate([one.value for one in scores]), np.concatenate([one.margin for one in scores]))


def _blocks(
    vectors: Shaped[np.ndarray, "sample head dim"], classes: int
) -> Iterator[Float[np.ndarray, "block sample dim"]]:
    """Yield unit vectors of so many heads that what is computed of them stays small."""
    samples, heads, dim = vectors.shape
    step = max(1, BLOCK_BYTES // (8 * (4 * samples * dim + 3 * samples * classes + dim * dim)))
    for start in range(0, heads, step):
        yield unit(vectors[:, start : start + step].transpose(1, 0, 2))


class _Block:
    """Some heads on the support."""

    def __init__(
        self,
        vectors: Float[np.ndarray, "head sample dim"],
        labels: Int[np.ndarray, " sample"],
        classes: int,
        prior: Prior,
    ) -> None:
        self.vectors, self.labels, self.prior = vectors, labels, prior
        self.count = np.bincount(labels, minlength=classes)
        of_class = np.zeros((classes, len(labels)))
        of_class[labels, np.arange(len(labels))] = 1 / self.count[labels]
        self.means = of_class @ vectors
        self.residuals = vectors - self.means[:, labels]
        trace = (self.residuals**2).sum(axis=(1, 2)) / max(len(labels) - 1, 1)
        # What is left by rounding where all samples of a class are alike is no scatter.
        self.flat = trace <= 1e-24
        self.ridge = np.where(self.flat, 1.0, prior.regularisation * trace)[:, None, None]
        self.in_samples = len(labels) < vectors.shape[2]
        self.inverse = self._inverse()
        self.precision_of_means = self._times_precision(self.means.transpose(0, 2, 1)).transpose(0, 2, 1)
        log_share = np.log(self.count / self.count.sum())
        self.intercept = log_share - np.einsum("hcd,hcd->hc", self.means, self.precision_of_means) / 2

    def _inverse(self) -> Float[np.ndarray, "head side side"]:
        """Return the inverse of the smaller of two systems: dim x dim, or samples x samples (Woodbury)."""
        turned = self.residuals.transpose(0, 2, 1)
        scatter = self.residuals @ turned if self.in_samples else turned @ self.residuals
        return np.linalg.inv(scatter + self.ridge * np.eye(scatter.shape[1]))

    def _times_precision(self, columns: Float[np.ndarray, "head dim column"]) -> Float[np.ndarray, "head dim column"]:
        """Return P times columns."""
        dim = self.vectors.shape[2]
        if self.in_samples:
            inner = self.residuals.transpose(0, 2, 1) @ (self.inverse @ (self.residuals @ columns))
            found = dim * (columns - inner) / self.ridge
        else:
            found = dim * (self.inverse @ columns)
        found[self.flat] = 0 if self.prior.as_published else columns[self.flat]
        return found

    def _distances(self) -> Float[np.ndarray, "head sample"]:
        """Return r^T P r of every residual; where there is no scatter, all of them are 0."""
        dim = self.vectors.shape[2]
        if self.in_samples:  # with G of their products: G - G (G + ridge)^-1 G = ridge (1 - ridge (G + ridge)^-1)
            found = dim * (1 - self.ridge[:, 0] * np.diagonal(self.inverse, axis1=1, axis2=2))
        else:
            found = dim * ((self.residuals @ self.inverse) * self.residuals).sum(axis=2)
        found[self.flat] = 0
        return found

    def logits(self, leave_one_out: bool) -> Float[np.ndarray, "head sample class"]:
        """Return the logits of the support, each sample left out of its own class's mean if that is asked for."""
        found = self.vectors @ self.precision_of_means.transpose(0, 2, 1) + self.intercept[:, None]
        if leave_one_out:
            distance = self._distances()
            own = self.count[self.labels]
            farther = np.where(own > 1, (own / np.maximum(own - 1, 1)) ** 2, 1.0) - 1
            found[:, np.arange(len(self.labels)), self.labels] -= farther * distance / 2
        return found
