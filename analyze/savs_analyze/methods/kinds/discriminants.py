"""Heads that classify as Gaussians: the posteriors of the best ones, averaged (HEC-V, arXiv 2603.24181)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from savs_analyze.methods.context import Context
from savs_analyze.methods.method import Method
from savs_analyze.parts.discriminant import Prior, discriminants, posterior_scores
from savs_analyze.parts.selection import HeadScores, rank_heads, tied_at_cut
from savs_analyze.votes.linear import DiscriminantVotes

TAU = 10.0
# Of so small a temperature a posterior is a vote.
HARD = 1e-9
PUBLISHED = Prior(as_published=True)


@dataclass(frozen=True)
class Discriminant(Method):
    """The mean posterior of the `k` heads whose posterior of the true class is highest on the support.

    `leave_one_out` scores a head by class means that the sample is left out of.
    """

    k: int = 20
    tau: int | float = TAU
    prior: Prior = PUBLISHED
    leave_one_out: bool = False

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if not self.tau > 0:
            raise ValueError(f"tau must be above 0, got {self.tau}")

    def learn(self, context: Context) -> DiscriminantVotes:
        heads, tied = self.choose_heads(context)
        found = discriminants(context.vectors[:, heads], context.labels, context.classes, self.prior)
        return DiscriminantVotes(
            heads=heads,
            restricted=self.restricted,
            tied=tied,
            weights=found.weights / self.tau,
            intercept=found.intercept / self.tau,
        )

    def choose_heads(self, context: Context) -> tuple[Int[np.ndarray, " voter"], int]:
        """Return the heads, and how many share the score at the cut."""
        found = scores_of_heads(context, self.prior, self.tau, self.leave_one_out)
        return rank_heads(found.value, found.margin)[: self.k], tied_at_cut(found.value, self.k)


def scores_of_heads(context: Context, prior: Prior, tau: int | float, leave_one_out: bool) -> HeadScores:
    """Return the mean posterior of the true class of every head; computed once a draw."""
    key = "discriminant", prior, tau, leave_one_out
    support = context.vectors, context.labels, context.classes
    return context.shared(key, lambda: posterior_scores(*support, prior, tau, leave_one_out))
