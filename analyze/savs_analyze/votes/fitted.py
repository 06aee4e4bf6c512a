"""What a method has learnt, as arrays and plain numbers: enough to vote, here and in a deployed classifier."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.votes.batch import Batch, Centroids
from savs_analyze.votes.similarity import Similarity
from savs_analyze.votes.voting import Votes


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitted(ABC):
    """A method that has seen its support. `heads` are what it needs of a sample, in the order in which they vote.

    A `restricted` one chooses among the allowed classes. `tied` heads share the score at the cut. `ranked` are the
    heads that it uses, best first, where that is not `heads`. `report` are further numbers of its fit.
    """

    heads: Int[np.ndarray, " voter"]
    restricted: bool = False
    tied: int = 0
    ranked: Int[np.ndarray, " used"] | None = None
    report: Mapping[str, float | bool] = field(default_factory=dict)

    # Whether it votes by the model's own log-probabilities.
    needs_logits: ClassVar[bool] = False
    # Whether what it says of a sample depends on those beside it: then it is asked of all at once.
    transductive: ClassVar[bool] = False

    @property
    def kept(self) -> Int[np.ndarray, " used"]:
        """The heads that it uses, best first."""
        return self.heads if self.ranked is None else self.ranked

    @property
    def compares_by(self) -> Similarity | None:
        """The similarity to class means that it votes by, None where it has no class means."""
        return None

    def sharing(self, centroids: Centroids) -> Fitted:
        """Return the same method with centroids of these and further heads in place of its own."""
        return self

    @property
    def alone(self) -> Fitted:
        """The same method with centroids of its own heads only."""
        return self

    @abstractmethod
    def votes(self, batch: Batch) -> Votes:
        """Return the class of every sample, and a score for every class."""

    @abstractmethod
    def probabilities(self, scores: Float[np.ndarray, "sample class"]) -> Float[np.ndarray, "sample class"]:
        """Return the scores of votes as numbers that sum to 1 over the allowed classes; they are not calibrated."""


def share_centroids(
    fitted: Sequence[Fitted], centroids: Callable[[str], Float[np.ndarray, "class every_head dim"]]
) -> list[Fitted]:
    """Let methods that vote by the same similarity share centroids, so that a batch is compared once with them.

    `centroids` gives those of all heads in the arithmetic of a similarity's means.
    """
    heads: dict[Similarity, list[np.ndarray]] = {}
    for one in fitted:
        if one.compares_by:
            heads.setdefault(one.compares_by, []).append(one.heads)
    shared = {
        kind: Centroids.of(np.concatenate(of_kind), centroids(kind.arithmetic.means)) for kind, of_kind in heads.items()
    }
    return [one.sharing(shared[one.compares_by]) if one.compares_by else one for one in fitted]
