"""How good a head is alone: its scores over classes on the support, as one number, or one a class."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

CRITERIA = ("count", "balanced", "margin", "score")
CLASS_CRITERIA = ("recall", "one-vs-rest")


def head_criterion(
    name: str, scores: Float[np.ndarray, "sample class head"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " head"]:
    """Return how good every head is.

    count (SAVs: head selection): samples whose highest score is that of their class. balanced: the mean of
    the classes' shares of such samples. margin: the mean score of the true class less the best other one.
    score: the mean score of the true class, for transforms that compare it with the others (3.1, 3.2).
    """
    if name == "count":
        return (scores.argmax(axis=1) == labels[:, None]).sum(axis=0).astype(np.float64)
    if name == "balanced":
        return class_criterion("recall", scores, labels).mean(axis=0)
    if name == "margin":
        return true_class_margins(scores, labels).mean(axis=0)
    if name == "score":
        return scores[np.arange(len(labels)), labels].mean(axis=0)
    raise ValueError(f"unknown criterion {name!r}; there are {', '.join(CRITERIA)}")


def class_criterion(
    name: str, scores: Float[np.ndarray, "sample class head"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "class head"]:
    """Return how good every head is at every class.

    recall (second paper, 3.4): the share of the class's samples that the head gives to it; a head that gives
    it everything is perfect. one-vs-rest: the mean of that share and of the share of other samples that it
    does not give to it; such a head has one half.
    """
    classes = scores.shape[1]
    predicted = scores.argmax(axis=1)
    given = np.stack([predicted == label for label in range(classes)])  # [class, sample, head]
    own = np.stack([labels == label for label in range(classes)])
    counts = own.sum(axis=1)
    recall = (given & own[:, :, None]).sum(axis=1) / counts[:, None]
    if name == "recall":
        return recall
    if name == "one-vs-rest":
        rest = np.maximum(len(labels) - counts, 1)
        return (recall + 1 - (given & ~own[:, :, None]).sum(axis=1) / rest[:, None]) / 2
    raise ValueError(f"unknown criterion of a class {name!r}; there are {', '.join(CLASS_CRITERIA)}")


def true_class_margins(
    scores: Float[np.ndarray, "sample class head"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "sample head"]:
    """Return the score of the true class less the largest of any other class; 0 where there is no other."""
    if scores.shape[1] == 1:
        return np.zeros((scores.shape[0], scores.shape[2]))
    rows = np.arange(len(labels))
    others = scores.copy()
    others[rows, labels] = -np.inf
    return scores[rows, labels] - others.max(axis=1)


def class_margins(
    margins: Float[np.ndarray, "sample head"], labels: Int[np.ndarray, " sample"], classes: int
) -> Float[np.ndarray, "class head"]:
    """Return the mean margin over each class's samples."""
    return np.stack([margins[labels == label].mean(axis=0) for label in range(classes)])
