"""Classifiers that begin at class vectors: features [sample, feature] beside texts [class, feature], all of length 1.

A feature vector is that of several heads, each of length 1, one behind the other, over the root of their number: the
products of two are the mean of the heads' cosines.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from savs_analyze.votes.similarity import unit
from savs_analyze.votes.voting import softmax

# Of a head that gives every sample the same, as an encoder's text head does where all are asked one question.
SAME = 1e-3
# CLAP's optimiser: steepest descent with momentum over all samples at once, the rate falling along a half cosine.
STEPS, RATE, MOMENTUM = 300, 0.1, 0.9


def telling(vectors: Shaped[np.ndarray, "sample head dim"]) -> Bool[np.ndarray, " head"]:
    """Return which heads do not give every sample the same vector; all of them where all do."""
    spread, largest = np.ptp(vectors, axis=0).max(axis=1), np.abs(vectors).max(axis=(0, 2))
    found = spread > SAME * largest
    return found if found.any() else np.ones(len(found), dtype=bool)


def joint(vectors: Shaped[np.ndarray, "row head dim"]) -> Float[np.ndarray, "row feature"]:
    """Return the heads of each row as one vector of length 1."""
    return (unit(vectors) / np.sqrt(vectors.shape[1])).reshape(len(vectors), -1)


def text_weights(
    features: Float[np.ndarray, "sample feature"],
    labels: Int[np.ndarray, " sample"],
    texts: Float[np.ndarray, "class feature"],
    scale: float,
) -> Float[np.ndarray, " class"]:
    """Return how far zero-shot is right about each class: the mean probability of its samples (CLAP, equation 9)."""
    right = softmax(scale * features @ texts.T)[np.arange(len(labels)), labels]
    counts = np.bincount(labels, minlength=len(texts))
    return np.bincount(labels, right, len(texts)) / np.maximum(counts, 1)


def clap_prototypes(
    features: Float[np.ndarray, "sample feature"],
    labels: Int[np.ndarray, " sample"],
    texts: Float[np.ndarray, "class feature"],
    scale: float,
    weights: Float[np.ndarray, " class"],
) -> Float[np.ndarray, "class feature"]:
    """Return prototypes w of length 1, begun at the texts t, that lower the mean cross-entropy of scale x.w + penalty.

    The penalty is the sum over classes of weight |w - t|^2 (CLAP, arXiv 2312.12730, equation 7).
    """
    targets = np.eye(len(texts))[labels]
    found, speed = texts.astype(np.float64), np.zeros(texts.shape)
    for step in range(STEPS):
        error = (softmax(scale * features @ found.T) - targets) / len(labels)
        slope = scale * error.T @ features + 2 * weights[:, None] * (found - texts)
        speed = MOMENTUM * speed + slope
        found = unit(found - RATE * (1 + np.cos(np.pi * step / STEPS)) / 2 * speed)
    return found


def cross_modal_weights(
    features: Float[np.ndarray, "sample feature"],
    labels: Int[np.ndarray, " sample"],
    texts: Float[np.ndarray, "class feature"],
    share: float,
    strength: float,
) -> Float[np.ndarray, "class feature"]:
    """Return the weights of a logistic regression, without intercept, on samples and on texts as samples of theirs.

    All texts together weigh `share` of the whole, classes alike; the whole weighs as many as there are samples.
    """
    from sklearn.linear_model import LogisticRegression

    classes, count = len(texts), len(labels)
    of_samples, of_texts = (1 - share), share * count / classes
    weights = np.concatenate([np.full(count, of_samples), np.full(classes, of_texts)])
    model = LogisticRegression(C=strength, fit_intercept=False, tol=1e-8, max_iter=10_000)
    model.fit(np.concatenate([features, texts]), np.concatenate([labels, np.arange(classes)]), weights)
    return np.concatenate([np.zeros_like(model.coef_), model.coef_]) if classes == 2 else model.coef_
