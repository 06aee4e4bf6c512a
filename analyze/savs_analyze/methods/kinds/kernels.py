"""Kernel ridge regression on heads that a leave-one-out score chooses: few of them, or all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.methods.context import Context
from savs_analyze.methods.kinds.discriminants import TAU, scores_of_heads
from savs_analyze.methods.method import Method
from savs_analyze.parts.discriminant import Prior
from savs_analyze.parts.kernel_ridge import (
    LeftOut,
    best_of,
    coefficients,
    kernels,
    left_out,
    sharpness,
    summed_cosines,
    targets_of,
)
from savs_analyze.parts.selection import rank_heads, tied_at_cut
from savs_analyze.votes.kernel import Kernel, KernelVotes
from savs_analyze.votes.similarity import HEAD_BLOCK, unit

SIZES = (5, 10, 20, 40, 80, 160)
BEST, EVERY, WEIGHTED = "best", "every", "weighted"
# Samples up to which heads and kernel are chosen together; of more, the heads by the linear kernel, then the kernel.
JOINTLY = 1000
# Of heads that weigh, those above this quantile of scores do.
QUANTILE = 0.8


@dataclass(frozen=True)
class KernelRidge(Method):
    """Kernel ridge regression by the mean cosine of heads; kernel and penalty by leave-one-out.

    `among` names the heads: the `best` ones by their Gaussian leave-one-out score, `k` of them or as many as
    leave-one-out chooses; `every` head; or those of high score, `weighted` by it.
    """

    k: int | None = None
    among: str = BEST

    def __post_init__(self) -> None:
        if self.k is not None and self.k < 1:
            raise ValueError(f"k must be at least 1, got {self.k}")
        if self.among not in (BEST, EVERY, WEIGHTED):
            raise ValueError(f"unknown heads: {self.among!r}; there are {BEST}, {EVERY}, {WEIGHTED}")

    def learn(self, context: Context) -> KernelVotes:
        context.check_classes(self._name)
        targets = targets_of(context.labels, context.classes)
        heads, chosen = self._chosen(context, targets)
        return KernelVotes(
            heads=heads.places,
            restricted=self.restricted,
            tied=heads.tied,
            support=unit(context.vectors[:, heads.places]) * heads.weights[:, None],
            coefficients=coefficients(heads.cosines, targets, chosen),
            linear=chosen.kernel.linear,
            gamma=chosen.kernel.gamma,
            sharpness=sharpness(chosen.scores, context.labels),
        )

    def _chosen(self, context: Context, targets: Float[np.ndarray, "sample class"]) -> tuple[Heads, LeftOut]:
        """Return the heads, and the kernel with its penalty, of least error; of many samples the heads first."""
        many = len(targets) > JOINTLY
        best: tuple[Heads, LeftOut] | None = None
        for heads in self._candidates(context):  # one at a time: of many samples the cosines are large
            found = best_of(left_out(heads.cosines, targets, [Kernel()] if many else kernels(heads.cosines)))
            if best is None or best_of([best[1], found]) is found:
                best = heads, found
        assert best is not None
        return (best[0], best_of(left_out(best[0].cosines, targets, kernels(best[0].cosines)))) if many else best

    @property
    def _name(self) -> str:
        suffixes = {EVERY: "-all", WEIGHTED: "-weighted", BEST: "-k" if self.k else ""}
        return f"kernel-ridge{suffixes[self.among]}"

    def _candidates(self, context: Context) -> Iterator[Heads]:
        """Yield the heads to choose from, fewer ones first."""
        count = context.vectors.shape[1]
        if self.among == EVERY:
            yield from _first(context, np.arange(count), [count], [0])
            return
        found = scores_of_heads(context, Prior(), TAU, leave_one_out=True)
        if self.among == WEIGHTED:
            yield _weighted(context, found.value)
            return
        sizes = [min(self.k, count)] if self.k else [*(size for size in SIZES if size < count), count]
        ranked = rank_heads(found.value, found.margin)
        yield from _first(context, ranked, sizes, [tied_at_cut(found.value, size) for size in sizes])


@dataclass(frozen=True, eq=False)
class Heads:
    """Some heads with their weights, which sum to 1, and the weighted mean of their cosines on the support."""

    places: Int[np.ndarray, " voter"]
    weights: Float[np.ndarray, " voter"]
    cosines: Float[np.ndarray, "sample sample"]
    tied: int = 0


def _first(
    context: Context, ranked: Int[np.ndarray, " head"], sizes: Sequence[int], tied: Sequence[int]
) -> Iterator[Heads]:
    """Yield the first heads of a ranking, for every size; what is added to fewer makes more."""
    summed = np.zeros((len(context.labels),) * 2)
    for start, size, at_cut in zip([0, *sizes], sizes, tied, strict=False):
        for first in range(start, size, HEAD_BLOCK):
            summed += summed_cosines(context.vectors[:, ranked[first : min(first + HEAD_BLOCK, size)]])
        yield Heads(ranked[:size], np.full(size, 1 / size), summed / size, at_cut)


def _weighted(context: Context, score: Float[np.ndarray, " head"]) -> Heads:
    above = np.maximum(score - np.quantile(score, QUANTILE), 0)
    weights = above if above.any() else np.ones(len(score))  # where all are alike
    places = np.flatnonzero(weights)
    weights = weights[places] / weights.sum()
    cosines = np.zeros((len(context.labels),) * 2)
    for first in range(0, len(places), HEAD_BLOCK):
        block = slice(first, first + HEAD_BLOCK)
        cosines += summed_cosines(context.vectors[:, places[block]], weights[block])
    return Heads(places, weights, cosines)
