"""Heads that vote: the best ones on the support, those of each class's own, or random ones, the control."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import Method
from savs_analyze.methods.protocols import Protocol
from savs_analyze.parts.selection import BY_COUNT, HeadScores, Scoring, paper_ranking, rank_heads, tied_at_cut
from savs_analyze.parts.transform import NONE
from savs_analyze.registry import Origin
from savs_analyze.votes.batch import Centroids
from savs_analyze.votes.heads import HeadVotes
from savs_analyze.votes.similarity import COSINE, Similarity
from savs_analyze.votes.vote import VOTES, Vote

SELECTIONS = ("top", "random")


@dataclass(frozen=True)
class Savs(Method):
    """One recipe: the `k` best heads by `scoring` (or of every class, under a vote that takes such) vote.

    `selection` may also keep random heads. `voting` is the similarity that heads vote by. `protocol` keeps and lists
    heads, and numbers classes, as a paper's code does.
    """

    k: int = 20
    scoring: Scoring = BY_COUNT
    selection: str = "top"
    vote: str = "majority"
    voting: Similarity = COSINE
    temperature: int | float = 0.1
    protocol: Protocol | None = None

    def __post_init__(self) -> None:
        if self.selection not in SELECTIONS or self.vote not in VOTES:
            raise ValueError(f"unknown selection or vote: {self.selection!r}, {self.vote!r}")
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
        if self._vote.per_class != bool(self.scoring.per_class):
            raise ValueError(f"vote {self.vote!r} and heads {self.scoring.per_class or 'for all classes'} do not fit")
        if not (self.ranks or self._vote.of_any):
            raise ValueError(f"the selection {self.selection!r} has no vote {self.vote!r}")

    @property
    def _vote(self) -> Vote:
        return VOTES[self.vote]

    @property
    def least_shots(self) -> int:
        return 2 if self.scoring.leave_one_out else 1

    @property
    def weighs(self) -> bool:
        return self.scoring.weighs

    @property
    def ranks(self) -> bool:
        return self.selection == "top"

    @property
    def origins(self) -> frozenset[Origin]:
        return self.scoring.origins | self.voting.origins | {VOTES.origin(self.vote)}

    @property
    def scorings(self) -> tuple[Scoring, ...]:
        return (self.scoring,) if self.ranks else ()

    @property
    def canonical(self) -> Savs:
        """The simplest recipe that provably predicts the same in a draw.

        Heads that weigh their scores need these as they are, unless only the order of classes counts in them. A
        vote that only looks at the order of similarities has the same one for a kernel and its base.
        """
        scoring = self.scoring
        if not self._vote.by_score or scoring.judged_by.by_order:
            scoring = scoring.canonical
        return replace(
            self,
            scoring=scoring if self.ranks else BY_COUNT,
            voting=self.voting.base if self._vote.by_order else self.voting,
            temperature=self.temperature if self._vote.tempered else 0.1,
        )

    @property
    def simplicity(self) -> tuple[bool, ...]:
        """No transform before one, bases before kernels, the count before others."""
        scoring = self.scoring
        return scoring.transform != NONE, scoring.similarity != scoring.similarity.base, scoring.criterion != "count"

    @property
    def by_appearance(self) -> bool:
        return self.protocol is not None and self.protocol.by_appearance

    def following(self, protocol: Protocol) -> Savs:
        """Return the method with the protocol's listing, its votes by cosine, and its arithmetic.

        Samples left out of their means are in neither paper: these are scored in double precision.
        """
        scoring = self.scoring
        if not scoring.leave_one_out:
            scoring = replace(scoring, similarity=replace(scoring.similarity, arithmetic=protocol.arithmetic))
        return replace(self, protocol=protocol, voting=replace(COSINE, arithmetic=protocol.arithmetic), scoring=scoring)

    def learn(self, context: Context) -> HeadVotes:
        """Return the heads that the recipe keeps, by the scores of all."""
        if not self.ranks:
            heads = context.vectors.shape[1]
            return self._kept(context, np.random.default_rng([context.seed, heads]).permutation(heads)[: self.k])
        found = self._scores(context)
        rank = paper_ranking if self.protocol else rank_heads
        if self.scoring.per_class:
            own = np.stack([rank(v, m)[: self.k] for v, m in zip(found.value, found.margin, strict=True)])
            tied = max(tied_at_cut(value, self.k) for value in found.value)
            return replace(self._kept(context, np.unique(own)), tied=tied, own=own)
        ranked = rank(found.value, found.margin)[: self.k]
        # The second paper's code lists the kept heads by layer and head: that decides between equal camps.
        chosen = np.sort(ranked) if self.protocol and not self.protocol.best_first else ranked
        weights = found.value[chosen] if self._vote.by_score else None
        tied = tied_at_cut(found.value, self.k)
        return replace(self._kept(context, chosen), tied=tied, weights=weights, ranked=ranked)

    def _scores(self, context: Context) -> HeadScores:
        """Return the scores of all heads; of classes that a head finds equally near, the first is its answer."""
        if not self.by_appearance or context.order is None:
            return context.scores(self.scoring)
        found = context.by_appearance.scores(self.scoring)
        if not self.scoring.per_class:
            return found
        place = np.argsort(context.order)
        return HeadScores(found.value[place], found.margin[place])

    def _kept(self, context: Context, heads: np.ndarray) -> HeadVotes:
        return HeadVotes(
            heads=heads,
            restricted=self.restricted,
            centroids=Centroids.of(heads, context.means(self.voting.arithmetic.means)),
            similarity=self.voting,
            vote=self.vote,
            temperature=self.temperature,
            papers_order=self.protocol is not None,
            order=context.order if self.by_appearance else None,
        )
