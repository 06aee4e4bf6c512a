"""What a vote looks at: vectors of samples, and the centroids that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int, Shaped

from savs_analyze.votes.similarity import Similarity, similarities
from savs_analyze.votes.voting import Allowed, restrict


@dataclass(frozen=True, eq=False)
class Centroids:
    """Class means of some heads, whose numbers `heads` are sorted."""

    heads: Int[np.ndarray, " head"]
    vectors: Float[np.ndarray, "class head dim"]

    @classmethod
    def of(cls, heads: Int[np.ndarray, " voter"], vectors: Float[np.ndarray, "class every_head dim"]) -> Centroids:
        """Take those of some heads, in whatever order they are named."""
        sorted_heads = np.unique(heads)
        return cls(sorted_heads, vectors[:, sorted_heads])

    def places(self, heads: Int[np.ndarray, " voter"]) -> Int[np.ndarray, " voter"]:
        return np.searchsorted(self.heads, heads)


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples that methods vote on: vectors of the sorted `heads`, all that any of the methods needs.

    `allowed` are the classes that restricted methods choose among, `logits` the model's own log-probabilities, `places`
    the group and slot of samples that are scored together.
    """

    heads: Int[np.ndarray, " head"]
    vectors: Shaped[np.ndarray, "sample head dim"]
    allowed: Allowed = None
    logits: Float[np.ndarray, "sample class"] | None = None
    places: Int[np.ndarray, "sample 2"] | None = None
    _known: dict[tuple[Similarity, int, bool], tuple[Centroids, np.ndarray]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.vectors)

    def of(self, heads: Int[np.ndarray, " needed"]) -> Shaped[np.ndarray, "sample needed dim"]:
        """Return the vectors of some heads, in the order in which they are named."""
        return self.vectors[:, np.searchsorted(self.heads, heads)]

    def among(self, restricted: bool) -> Allowed:
        return self.allowed if restricted else None

    def similarity(
        self, kind: Similarity, centroids: Centroids, restricted: bool
    ) -> Float[np.ndarray, "sample class head"]:
        """Return the similarities to centroids; computed once for all methods that compare with these."""
        key = kind, id(centroids), restricted
        if key not in self._known:
            found = restrict(similarities(kind, self.of(centroids.heads), centroids.vectors), self.among(restricted))
            self._known[key] = centroids, found  # held, so that no other centroids get their id
        return self._known[key][1]
