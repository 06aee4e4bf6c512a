"""The votes by name: how the kept heads decide together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.registry import Registry
from savs_analyze.votes.voting import (
    Allowed,
    Votes,
    class_favoured_votes,
    class_similarities,
    count_votes,
    first_best,
    restrict,
    soft_votes,
    winner,
)


@dataclass(frozen=True, eq=False)
class Ballot:
    """What a vote decides from: similarities of the kept heads, best head first, minus infinity where not allowed.

    `weights` are the heads' scores, `own` the places among them of each class's own heads; which a vote has both
    depends on the vote. `papers_order` decides between equal camps as the papers' code does.
    """

    similarities: Float[np.ndarray, "sample class voter"]
    weights: Float[np.ndarray, " voter"] | None = None
    own: Int[np.ndarray, "class k"] | None = None
    temperature: float = 0.1
    allowed: Allowed = None
    papers_order: bool = False

    def under(self, order: Int[np.ndarray, " class"]) -> Ballot:
        """Return the ballot with the classes in another order."""
        return replace(
            self,
            similarities=self.similarities[:, order],
            own=None if self.own is None else self.own[order],
            allowed=None if self.allowed is None else self.allowed[:, order],
        )


@dataclass(frozen=True)
class Vote:
    """A vote by name. `per_class`: of heads of each class's own. `by_score`: heads weigh their scores.

    `tempered`: it has a temperature. `of_any`: heads need no ranking, so random ones can take it. `by_order`: only the
    order of a head's similarities counts. `of_similarities`: its scores are mean similarities, else shares.
    """

    name: str
    decide: Callable[[Ballot], Votes]
    per_class: bool = False
    by_score: bool = False
    tempered: bool = False
    of_any: bool = False
    by_order: bool = False
    of_similarities: bool = False


def _count(ballot: Ballot) -> Votes:
    predictions = ballot.similarities.argmax(axis=1)
    scores = count_votes(predictions, ballot.similarities.shape[1], ballot.weights)
    return Votes(winner(scores, predictions), scores)


def _soft(ballot: Ballot) -> Votes:
    scores = soft_votes(ballot.similarities, ballot.temperature)
    return Votes(first_best(scores), scores)


def _class_favoured(ballot: Ballot) -> Votes:
    own = _own(ballot)
    scores = class_favoured_votes(ballot.similarities, own)
    # Between equal counts, the class decides whose own heads are most similar to it.
    best = (scores == scores.max(axis=1, keepdims=True)) & (True if ballot.allowed is None else ballot.allowed)
    near = np.where(best, class_similarities(ballot.similarities, own, normalise=False), -np.inf)
    scores = restrict(scores, ballot.allowed)
    return Votes(first_best(scores if ballot.papers_order else near), scores)


def _similar(normalise: bool) -> Callable[[Ballot], Votes]:
    def decide(ballot: Ballot) -> Votes:
        scores = restrict(class_similarities(ballot.similarities, _own(ballot), normalise), ballot.allowed)
        return Votes(first_best(scores), scores)

    return decide


def _own(ballot: Ballot) -> Int[np.ndarray, "class k"]:
    assert ballot.own is not None  # a method refuses such a vote without them
    return ballot.own


VOTES = Registry(
    "vote",
    (
        Vote("majority", _count, of_any=True, by_order=True),
        Vote("weighted", _count, by_score=True, by_order=True),
        Vote("soft", _soft, tempered=True, of_any=True),
        Vote("class-favoured", _class_favoured, per_class=True),
        Vote("max-similarity", _similar(normalise=False), per_class=True, of_similarities=True),
        Vote("max-similarity-normalised", _similar(normalise=True), per_class=True, of_similarities=True),
    ),
)
