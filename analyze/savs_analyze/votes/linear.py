"""Classifiers on the features of heads: linear ones, a Gaussian a head, a perceptron; and the model's own answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import expit, log_expit, log_softmax

from savs_analyze.votes.batch import Batch
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.similarity import HEAD_BLOCK, unit
from savs_analyze.votes.voting import Votes, first_best, restrict, shares, softmax


@dataclass(frozen=True, eq=False)
class Standard:
    """Features less their mean, over their scale."""

    mean: Float[np.ndarray, " feature"]
    scale: Float[np.ndarray, " feature"]

    def __call__(self, features: Float[np.ndarray, "sample feature"]) -> Float[np.ndarray, "sample feature"]:
        return (features - self.mean) / self.scale


def posterior(decision: Float[np.ndarray, "sample output"]) -> Float[np.ndarray, "sample class"]:
    """Return probabilities of classes from scores, of two classes from the one score of the second."""
    if decision.shape[1] > 1:
        return softmax(decision)
    second = expit(decision[:, 0])
    return np.column_stack([1 - second, second])


def log_posterior(decision: Float[np.ndarray, "sample output"]) -> Float[np.ndarray, "sample class"]:
    """Return the logarithms of the same, which tell classes apart that are both all but impossible."""
    if decision.shape[1] > 1:
        return log_softmax(decision, axis=1)
    return np.column_stack([log_expit(-decision[:, 0]), log_expit(decision[:, 0])])


def mean_posterior(
    vectors: Shaped[np.ndarray, "sample head dim"],
    weights: Float[np.ndarray, "head class dim"],
    intercept: Float[np.ndarray, "head class"],
) -> Float[np.ndarray, "sample class"]:
    """Return the mean over heads of softmax(weights x + intercept), x being a head's vector of unit length."""
    logits = np.einsum("nhd,hcd->nch", unit(vectors), weights, optimize=True) + intercept.T
    posteriors = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (posteriors / posteriors.sum(axis=1, keepdims=True)).mean(axis=2)


def both_sides(decision: Float[np.ndarray, "sample output"]) -> Float[np.ndarray, "sample class"]:
    """Return a score for every class; of two classes there is only the second's."""
    return np.hstack([-decision, decision]) if decision.shape[1] == 1 else decision


def _voted(scores: Float[np.ndarray, "sample class"], fitted: Fitted, batch: Batch) -> Votes:
    scores = restrict(scores, batch.among(fitted.restricted))
    return Votes(first_best(scores), scores)


def _features(batch: Batch, heads: Int[np.ndarray, " voter"]) -> Float[np.ndarray, "sample feature"]:
    return batch.of(heads).reshape(len(batch), -1).astype(np.float64)


@dataclass(frozen=True, kw_only=True, eq=False)
class LinearVotes(Fitted):
    """Weights `[output, feature]` of standardised features; `logistic` ones vote by log-probabilities."""

    standard: Standard
    weights: Float[np.ndarray, "output feature"]
    intercept: Float[np.ndarray, " output"]
    logistic: bool

    def votes(self, batch: Batch) -> Votes:
        decision = np.tile(self.intercept, (len(batch), 1))
        dim = batch.vectors.shape[2]
        for start in range(0, len(self.heads), HEAD_BLOCK):  # of all heads at once they would be a gigabyte
            block = slice(start * dim, (start + HEAD_BLOCK) * dim)
            features = _features(batch, self.heads[start : start + HEAD_BLOCK])
            features -= self.standard.mean[block]
            features /= self.standard.scale[block]
            decision += features @ self.weights[:, block].T
        return _voted(log_posterior(decision) if self.logistic else both_sides(decision), self, batch)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the posterior of a logistic regression, over the allowed classes; the softmax of other scores."""
        return softmax(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class GaussianVotes(Fitted):
    """The mean over heads of the posteriors of Gaussian discriminants, which are linear in a head's vector."""

    weights: Float[np.ndarray, "voter output dim"]
    intercept: Float[np.ndarray, "voter output"]

    def votes(self, batch: Batch) -> Votes:
        by_head = batch.of(self.heads).transpose(1, 0, 2).astype(np.float64)
        each = [
            posterior(x @ weights.T + intercept)
            for x, weights, intercept in zip(by_head, self.weights, self.intercept, strict=True)
        ]
        scores = restrict(np.stack(each, axis=2), batch.among(self.restricted)).mean(axis=2)
        return Votes(first_best(scores), scores)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the mean posterior, over the allowed classes."""
        return shares(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class DiscriminantVotes(Fitted):
    """The mean over heads of softmax(weights x + intercept), x being a head's vector of unit length."""

    weights: Float[np.ndarray, "voter class dim"]
    intercept: Float[np.ndarray, "voter class"]

    def votes(self, batch: Batch) -> Votes:
        return _voted(mean_posterior(batch.of(self.heads), self.weights, self.intercept), self, batch)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the mean posterior, over the allowed classes."""
        return shares(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class TextVotes(Fitted):
    """The mean posterior of some heads by class vectors, and `alpha` times that of some by class means of pictures.

    `text_heads` and `picture_heads` are places among the heads; weights and intercepts as of `DiscriminantVotes`.
    """

    text_heads: Int[np.ndarray, " text"]
    text_weights: Float[np.ndarray, "text class dim"]
    text_intercept: Float[np.ndarray, "text class"]
    picture_heads: Int[np.ndarray, " picture"]
    picture_weights: Float[np.ndarray, "picture class dim"]
    picture_intercept: Float[np.ndarray, "picture class"]
    alpha: float

    def votes(self, batch: Batch) -> Votes:
        vectors = batch.of(self.heads)
        by_text = mean_posterior(vectors[:, self.text_heads], self.text_weights, self.text_intercept)
        by_picture = mean_posterior(vectors[:, self.picture_heads], self.picture_weights, self.picture_intercept)
        return _voted(by_text + self.alpha * by_picture, self, batch)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the weighted mean posterior, over the allowed classes."""
        return shares(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class PerceptronVotes(Fitted):
    """One hidden layer of rectified units on standardised features."""

    standard: Standard
    hidden_weights: Float[np.ndarray, "feature unit"]
    hidden_intercept: Float[np.ndarray, " unit"]
    weights: Float[np.ndarray, "unit output"]
    intercept: Float[np.ndarray, " output"]

    def votes(self, batch: Batch) -> Votes:
        features = self.standard(_features(batch, self.heads))
        units = np.maximum(features @ self.hidden_weights + self.hidden_intercept, 0)
        return _voted(posterior(units @ self.weights + self.intercept), self, batch)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the posterior, over the allowed classes."""
        return shares(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseVotes(Fitted):
    """Weights of few features: each is dimension `dim` of the head at place `head` among `heads`.

    Of two classes, the scores are half of those of the second and their negatives. `apart` says that each class was
    fitted against all others.
    """

    head: Int[np.ndarray, " feature"]
    dim: Int[np.ndarray, " feature"]
    weights: Float[np.ndarray, "output feature"]
    intercept: Float[np.ndarray, " output"]
    apart: bool = False

    def votes(self, batch: Batch) -> Votes:
        places = np.searchsorted(batch.heads, self.heads)
        scores = batch.vectors[:, places[self.head], self.dim].astype(np.float64) @ self.weights.T + self.intercept
        return _voted(np.hstack([-scores, scores]) / 2 if scores.shape[1] == 1 else scores, self, batch)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the softmax of the scores, or of the log-odds of classes that were fitted apart."""
        return softmax(log_expit(scores) if self.apart and scores.shape[1] > 2 else scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnAnswer(Fitted):
    """The model's own answer: the class whose answer is most probable."""

    needs_logits: ClassVar[bool] = True

    def votes(self, batch: Batch) -> Votes:
        if batch.logits is None:
            raise ValueError("zero-shot needs the logits of the model, not its heads")
        scores = restrict(batch.logits, batch.among(self.restricted))
        return Votes(scores.argmax(axis=1), scores)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the share of each class's answer among the allowed ones."""
        return softmax(scores)
