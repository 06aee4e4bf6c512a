"""How good a head is alone: its scores over classes on the support, as one number, or one a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from savs_analyze.registry import Registry

Judge = Callable[..., np.ndarray]
Weights = Float[np.ndarray, " sample"] | None


@dataclass(frozen=True)
class Criterion:
    """A criterion by name: `judge` takes scores `[sample, class, head]` and labels `[sample]` to `[head]`.

    One that is `per_class` takes them to `[class, head]`. What the algebra says of it: `by_order`, where only the
    order of a sample's scores counts, and `same_as`, which criterion then ranks heads alike in a draw, whose classes
    have equally many samples; `of_differences`, where only differences between classes count; `of_the_others`, where
    it says nothing unless the scores compare a class with the others. `weighs` says that `judge` takes the weights of
    samples as well, None for equal ones.
    """

    name: str
    judge: Judge
    per_class: bool = False
    by_order: bool = False
    same_as: str = ""
    of_differences: bool = False
    of_the_others: bool = False
    weighs: bool = False


def head_criterion(
    name: str, scores: Float[np.ndarray, "sample class head"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, " head"]:
    """Return how good every head is.

    count (SAVs: head selection): samples whose highest score is that of their class. balanced: the mean of
    the classes' shares of such samples. margin: the mean score of the true class less the best other one.
    score: the mean score of the true class, for transforms that compare it with the others (3.1, 3.2).
    """
    return find_criterion(name, per_class=False).judge(scores, labels)


def class_criterion(
    name: str, scores: Float[np.ndarray, "sample class head"], labels: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "class head"]:
    """Return how good every head is at every class.

    recall (second paper, 3.4): the share of the class's samples that the head gives to it; a head that gives
    it everything is perfect. one-vs-rest: the mean of that share and of the share of other samples that it
    does not give to it; such a head has one half.
    """
    return find_criterion(name, per_class=True).judge(scores, labels)


def find_criterion(name: str, per_class: bool) -> Criterion:
    """Return a criterion of heads, or of heads for each class. Raises ValueError naming those there are."""
    there = [known for known in CRITERIA.values() if known.per_class == per_class]
    if found := [known for known in there if known.name == name]:
        return found[0]
    of = "criterion of a class" if per_class else "criterion"
    raise ValueError(f"unknown {of} {name!r}; there are {', '.join(known.name for known in there)}")


def _count(scores: np.ndarray, labels: np.ndarray, weights: Weights = None) -> Float[np.ndarray, " head"]:
    return _counted(scores.argmax(axis=1) == labels[:, None], weights).astype(np.float64)


def _balanced(scores: np.ndarray, labels: np.ndarray, weights: Weights = None) -> Float[np.ndarray, " head"]:
    return _recall(scores, labels, weights).mean(axis=0)


def _margin(scores: np.ndarray, labels: np.ndarray, weights: Weights = None) -> Float[np.ndarray, " head"]:
    return np.average(true_class_margins(scores, labels), axis=0, weights=weights)


def _score(scores: np.ndarray, labels: np.ndarray, weights: Weights = None) -> Float[np.ndarray, " head"]:
    return np.average(scores[np.arange(len(labels)), labels], axis=0, weights=weights)


def _counted(flags: Bool[np.ndarray, "*class sample head"], weights: Weights) -> np.ndarray:
    """Return how many samples have a flag, each counted with its weight."""
    return flags.sum(axis=-2) if weights is None else np.einsum("...sh,s->...h", flags, weights)


def _given(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which samples heads give to each class [class, sample, head], and which are its own [class, sample]."""
    predicted, classes = scores.argmax(axis=1), range(scores.shape[1])
    return np.stack([predicted == label for label in classes]), np.stack([labels == label for label in classes])


def _recall(scores: np.ndarray, labels: np.ndarray, weights: Weights = None) -> Float[np.ndarray, "class head"]:
    given, own = _given(scores, labels)
    return _counted(given & own[:, :, None], weights) / _counted(own[:, :, None], weights)


def _one_vs_rest(scores: np.ndarray, labels: np.ndarray, weights: Weights = None) -> Float[np.ndarray, "class head"]:
    given, own = _given(scores, labels)
    rest = _counted(~own[:, :, None], weights)
    taken = _counted(given & ~own[:, :, None], weights) / np.where(rest > 0, rest, 1)
    return (_recall(scores, labels, weights) + 1 - taken) / 2


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
    margins: Float[np.ndarray, "sample head"],
    labels: Int[np.ndarray, " sample"],
    classes: int,
    weights: Weights = None,
) -> Float[np.ndarray, "class head"]:
    """Return the mean margin over each class's samples."""
    own = [labels == label for label in range(classes)]
    return np.stack([np.average(margins[of], axis=0, weights=None if weights is None else weights[of]) for of in own])


CRITERIA = Registry(
    "criterion",
    (
        Criterion("count", _count, by_order=True, same_as="count", weighs=True),
        Criterion("balanced", _balanced, by_order=True, same_as="count", weighs=True),
        Criterion("margin", _margin, of_differences=True, weighs=True),
        Criterion("score", _score, of_the_others=True, weighs=True),
        Criterion("recall", _recall, per_class=True, by_order=True, weighs=True),
        Criterion("one-vs-rest", _one_vs_rest, per_class=True, by_order=True, weighs=True),
    ),
)
