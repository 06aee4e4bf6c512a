"""Answers that are there before anything is learnt: read from words, or made fair over a group by their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from savs_analyze.votes.batch import Batch
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.voting import Votes, softmax

UNREAD = -1
# Which of four slots (2 * question + image) are told apart together.
TOGETHER = {"question": ((0, 1), (2, 3)), "image": ((0, 2), (1, 3)), "group": ((0, 1, 2, 3),)}


@dataclass(frozen=True, kw_only=True, eq=False)
class SaidAnswer(Fitted):
    """The class that a system said, -1 where what it said names none; `heads` is the place that holds it."""

    classes: int

    def votes(self, batch: Batch) -> Votes:
        scores = batch.of(self.heads)[:, 0, : self.classes].astype(np.float64)
        return Votes(np.where(scores.any(axis=1), scores.argmax(axis=1), UNREAD), scores)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return none: words have no probability."""
        return np.zeros_like(scores)


@dataclass(frozen=True, kw_only=True, eq=False)
class DebiasedAnswer(Fitted):
    """The model's own answers, half of those that belong together each way: by the odds of the first of two answers.

    `by` says which belong together: both images of a question, both questions of an image, or all four of a group
    (NaturalBench, arXiv 2410.14669, Table 2).
    """

    needs_logits: ClassVar[bool] = True
    transductive: ClassVar[bool] = True

    by: str

    def votes(self, batch: Batch) -> Votes:
        if batch.logits is None or batch.allowed is None or batch.places is None:
            raise ValueError("debiased answers need logits, the printed classes and the groups of samples")
        two = np.argsort(~batch.allowed, axis=1, kind="stable")[:, :2]
        of_two = np.take_along_axis(batch.logits.astype(np.float64), two, axis=1)
        first = _first_half(of_two[:, 0] - of_two[:, 1], batch.places, self.by)
        scores = np.where(batch.allowed, batch.logits, -np.inf)
        return Votes(np.where(first, two[:, 0], two[:, 1]), scores)

    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the shares of the model's own answers: the threshold moves, they do not."""
        return softmax(scores)


def _first_half(
    odds: Float[np.ndarray, " sample"], places: Int[np.ndarray, "sample 2"], by: str
) -> Bool[np.ndarray, " sample"]:
    """Return which samples get the first answer: the half with the highest odds of those that belong together.

    `places` are each sample's group and slot. Where a benchmark pairs two samples, they are the two.
    """
    group, slot = places.T
    sets = TOGETHER[by] if slot.max(initial=0) > 1 else ((0, 1),)
    part = np.array([next(number for number, slots in enumerate(sets) if one in slots) for one in slot.tolist()])
    frame = pd.DataFrame({"odds": odds, "group": group, "part": part}).iloc[np.argsort(slot, kind="stable")]
    together = frame.groupby(["group", "part"])["odds"]
    first = 2 * together.rank(method="first", ascending=False) <= together.transform("size")
    return first.sort_index().to_numpy()
