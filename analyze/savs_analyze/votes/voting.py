"""How the kept heads decide together: scores over classes from their similarities, and the class that wins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

Allowed = Bool[np.ndarray, "sample class"] | None
HAIR = 1e-9  # that the winner of equal classes is more probable: more than rounding errors, less than any evidence


@dataclass(frozen=True)
class Votes:
    """What a method says of samples: the class, and a score for every class."""

    predicted: Int[np.ndarray, " sample"]
    scores: Float[np.ndarray, "sample class"]

    def under(self, order: Int[np.ndarray, " class"]) -> Votes:
        """Return the votes under other numbers: what is the i-th class here is the class `order[i]`."""
        return Votes(order[self.predicted], self.scores[:, np.argsort(order)])


def allowed_classes(options: Int[np.ndarray, "sample option"], classes: int) -> Bool[np.ndarray, "sample class"]:
    """Return which classes each sample's prompt allows: the printed ones, all where it prints none (-1)."""
    allowed = np.zeros((len(options), classes), dtype=bool)
    rows, places = np.nonzero(options >= 0)
    allowed[rows, options[rows, places]] = True
    return allowed | ~allowed.any(axis=1, keepdims=True)


def restrict(
    scores: Float[np.ndarray, "sample class *head"], allowed: Allowed
) -> Float[np.ndarray, "sample class *head"]:
    """Return the scores, or similarities, with those of classes that are not allowed at minus infinity."""
    if allowed is None:
        return scores
    return np.where(allowed if scores.ndim == 2 else allowed[:, :, None], scores, -np.inf)


def count_votes(
    predictions: Int[np.ndarray, "sample head"], classes: int, weights: Float[np.ndarray, " head"] | None = None
) -> Float[np.ndarray, "sample class"]:
    """Return the votes for each class, each head's weighing 1 or its weight."""
    votes = np.zeros((len(predictions), classes))
    rows = np.arange(len(predictions))
    for head in range(predictions.shape[1]):
        votes[rows, predictions[:, head]] += 1.0 if weights is None else weights[head]
    return votes


def winner(
    votes: Float[np.ndarray, "sample class"], predictions: Int[np.ndarray, "sample head"]
) -> Int[np.ndarray, " sample"]:
    """Return the class with most votes; between equal ones, what the first head among their voters predicts."""
    of_voters = np.take_along_axis(votes, predictions, axis=1)
    # Sums of the same weights in another order differ in their last bits.
    leader = np.round(of_voters, 9).argmax(axis=1)
    return predictions[np.arange(len(predictions)), leader]


def first_best(scores: np.ndarray) -> np.ndarray:
    """Return the class of the highest score, of equal ones the first; compared to twelve digits."""
    finite = np.where(np.isfinite(scores), scores, np.nan)
    largest = np.nanmax(np.abs(finite), axis=1, keepdims=True)
    scale = np.where(largest > 0, largest, 1.0)
    return np.round(scores / scale, 12).argmax(axis=1)


def majority_vote(predictions: Int[np.ndarray, "sample head"], classes: int) -> Int[np.ndarray, " sample"]:
    """Return the class that most heads predict (SAVs, arXiv 2412.00142: majority vote). Heads come best first.

    Between classes with equally many votes, the one that the best head among their voters predicts wins.
    """
    return winner(count_votes(predictions, classes), predictions)


def soft_votes(
    similarities: Float[np.ndarray, "sample class head"], temperature: int | float
) -> Float[np.ndarray, "sample class"]:
    """Return the mean over heads of the softmax of similarity / temperature over classes."""
    scaled = np.exp((similarities - similarities.max(axis=1, keepdims=True)) / temperature)
    return (scaled / scaled.sum(axis=1, keepdims=True)).mean(axis=2)


def class_favoured_votes(
    similarities: Float[np.ndarray, "sample class head"], heads: Int[np.ndarray, "class k"]
) -> Float[np.ndarray, "sample class"]:
    """Return for each class how many of its own heads predict it (second paper, 3.4)."""
    predictions = similarities.argmax(axis=1)
    return (
        np.stack([(predictions[:, of_class] == label).sum(axis=1) for label, of_class in enumerate(heads)], axis=1)
        * 1.0
    )


def class_similarities(
    similarities: Float[np.ndarray, "sample class head"], heads: Int[np.ndarray, "class k"], normalise: bool
) -> Float[np.ndarray, "sample class"]:
    """Return for each class the mean similarity of its own heads to it (second paper, 3.4: max-similarity).

    `normalise` makes the heads of different classes comparable: a head's similarities are taken as
    standard scores over the classes.
    """
    if normalise:
        finite = np.isfinite(similarities)
        count = finite.sum(axis=1, keepdims=True)
        known = np.where(finite, similarities, 0.0)
        centred = np.where(finite, similarities - known.sum(axis=1, keepdims=True) / count, 0.0)
        spread = np.sqrt((centred**2).sum(axis=1, keepdims=True) / count)
        # What is left by rounding where all classes are alike is no spread.
        alike = spread <= 1e-12 * np.abs(known).max(axis=1, keepdims=True)
        scores = np.divide(centred, spread, out=np.zeros_like(centred), where=~alike)
        # Of two classes they are 1 and -1, whose sums tie: the last bit must not decide.
        similarities = np.where(finite, np.round(scores, 12), -np.inf)
    return np.stack([similarities[:, label, of_class].mean(axis=1) for label, of_class in enumerate(heads)], axis=1)


def shares(votes: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
    """Return votes as probabilities: their shares, evenly where nobody voted; minus infinity is no choice at all."""
    possible = np.isfinite(votes)
    known = np.where(possible, votes, 0.0)
    total = known.sum(axis=1, keepdims=True)
    return np.divide(known, total, out=possible / possible.sum(axis=1, keepdims=True), where=total > 0)


def softmax(scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def decided(
    probabilities: Float[np.ndarray, "sample class"], predicted: Int[np.ndarray, " sample"]
) -> Float[np.ndarray, "sample class"]:
    """Return probabilities whose one largest is that of the class that wins, a hair above any that is as large."""
    rows = np.arange(len(predicted))
    won = probabilities[rows, predicted]
    others = probabilities.copy()
    others[rows, predicted] = -np.inf
    lead = won - others.max(axis=1)
    share = np.where(lead > 0, 0.0, np.minimum(HAIR - lead, 1.0))
    found = probabilities * (1 - share)[:, None]
    found[rows, predicted] += share
    return found
