"""How far a head is to be trusted when it says a class (CALM, arXiv 2602.07077).

A head's posterior is the softmax of its cosines to class means over a temperature. Its reliability for a class is how
sure it is, on the mean, of that class on samples of it; here each sample is left out of its own class mean, as a draw
has no validation samples to give away.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

MARGIN, PROBABILITY, BRIER = "margin", "probability", "brier"


def posteriors(
    similarities: Float[np.ndarray, "sample class head"], temperature: int | float
) -> Float[np.ndarray, "sample class head"]:
    """Return softmax_c(similarity / temperature) of every head."""
    powers = np.exp((similarities - similarities.max(axis=1, keepdims=True)) / temperature)
    return powers / powers.sum(axis=1, keepdims=True)


def reliability(
    posterior: Float[np.ndarray, "sample class head"], labels: Int[np.ndarray, " sample"], by: str
) -> Float[np.ndarray, "class head"]:
    """Return how sure each head is of the class that samples have: the mean over the samples of every class.

    By `margin`: max(0, p of the true class - the largest other p); by `probability`: p of the true class; by `brier`:
    1 - half the squared distance of p to the truth. Every class has samples.
    """
    rows = np.arange(len(labels))
    own = posterior[rows, labels]
    if by == PROBABILITY:
        sure = own
    elif by == BRIER:
        sure = 1 - ((posterior**2).sum(axis=1) - 2 * own + 1) / 2
    else:
        others = posterior.copy()
        others[rows, labels] = -np.inf
        sure = np.maximum(own - others.max(axis=1), 0) if posterior.shape[1] > 1 else own
    return np.stack([sure[labels == label].mean(axis=0) for label in range(posterior.shape[1])])


def shrunk(
    found: Float[np.ndarray, "class head"], counts: Int[np.ndarray, " class"], strength: int | float
) -> np.ndarray:
    """Return reliabilities drawn to the mean of all as if it were that of so many further samples of each class."""
    own = (counts / (counts + strength))[:, None] if strength else 1.0
    return own * found + (1 - own) * found.mean()


def class_weights(found: Float[np.ndarray, "class head"], top: int) -> Float[np.ndarray, "class head"]:
    """Return the weights of heads for every class, which sum to 1: reliabilities of its `top` heads, 0 of others.

    A class of which no head is sure has equal weights among them.
    """
    order = np.argsort(-np.round(found, 12), axis=1, kind="stable")
    kept = np.zeros(found.shape, dtype=bool)
    np.put_along_axis(kept, order[:, :top], True, axis=1)
    weights = np.where(kept, found, 0.0)
    weights = np.where(weights.sum(axis=1, keepdims=True) > 0, weights, kept)
    return weights / weights.sum(axis=1, keepdims=True)
