"""Laplacian-shot: class means of the best heads, and neighbours among the tested samples, which it sees all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import Method
from savs_analyze.parts.selection import BY_COUNT, Scoring, rank_heads, tied_at_cut
from savs_analyze.votes.similarity import unit
from savs_analyze.votes.transductive import LaplacianVotes


@dataclass(frozen=True)
class Laplacian(Method):
    """Nearest class means in the `k` best heads of SAVs, smoothed over `neighbours` among the tested samples."""

    k: int = 20
    neighbours: int = 3
    temperature: float = 0.1
    strength: float = 1.0

    transductive: ClassVar[bool] = True
    # Its answers depend on the samples beside: there is nothing to keep for a single new one.
    deploys: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("k", "neighbours"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("temperature", "strength"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")

    @property
    def weighs(self) -> bool:
        return True

    @property
    def scorings(self) -> Sequence[Scoring]:
        return (BY_COUNT,)

    def learn(self, context: Context) -> LaplacianVotes:
        found = context.scores(BY_COUNT)
        heads = rank_heads(found.value, found.margin)[: self.k]
        return LaplacianVotes(
            heads=heads,
            restricted=self.restricted,
            tied=tied_at_cut(found.value, self.k),
            means=unit(context.centroids[:, heads]),
            neighbours=self.neighbours,
            temperature=float(self.temperature),
            strength=float(self.strength),
        )
