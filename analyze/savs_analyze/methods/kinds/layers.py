"""Whole layers that vote, each by its heads' concatenated vectors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import Method
from savs_analyze.parts.selection import BY_COUNT, Scoring, rank_heads, tied_at_cut
from savs_analyze.parts.transform import NONE
from savs_analyze.registry import Origin
from savs_analyze.votes.heads import LayerVotes
from savs_analyze.votes.similarity import COSINE, Similarity


@dataclass(frozen=True)
class Layers(Method):
    """The `k` best layers by `scoring` vote by the similarity `voting`, the majority of them wins."""

    k: int = 2
    scoring: Scoring = BY_COUNT
    voting: Similarity = COSINE

    deploys: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")

    @property
    def least_shots(self) -> int:
        return 2 if self.scoring.leave_one_out else 1

    @property
    def weighs(self) -> bool:
        return self.scoring.weighs

    @property
    def origins(self) -> frozenset[Origin]:
        return self.scoring.origins | self.voting.origins

    @property
    def canonical(self) -> Layers:
        return replace(self, scoring=self.scoring.canonical, voting=self.voting.base)

    @property
    def simplicity(self) -> tuple[bool, ...]:
        """As of heads that vote."""
        scoring = self.scoring
        return scoring.transform != NONE, scoring.similarity != scoring.similarity.base, scoring.criterion != "count"

    def learn(self, context: Context) -> LayerVotes:
        found = [one.scores(self.scoring) for one in context.layers]
        value = np.concatenate([scores.value for scores in found])
        best = rank_heads(value, np.concatenate([scores.margin for scores in found]))[: self.k]
        numbers = np.unique(context.layer)
        layers = tuple(
            (np.flatnonzero(context.layer == numbers[place]), context.layers[place].centroids) for place in best
        )
        return LayerVotes(
            heads=np.concatenate([heads for heads, _ in layers]),
            restricted=self.restricted,
            tied=tied_at_cut(value, self.k),
            layers=layers,
            similarity=self.voting,
        )
