"""Which heads stay: every head is scored alone on the support, the best are kept."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.parts.criterion import (
    CRITERIA,
    Criterion,
    Weights,
    class_margins,
    find_criterion,
    true_class_margins,
)
from savs_analyze.parts.transform import NONE, TRANSFORMS, Transform, transformed
from savs_analyze.registry import Origin
from savs_analyze.votes.similarity import (
    COSINE,
    HEAD_BLOCK,
    Similarity,
    left_out_similarities,
    of_base,
    similarities,
)

BLOCK_BYTES = 100_000_000


@dataclass(frozen=True)
class Scoring:
    """How heads are scored on the support; `per_class` is the criterion where every class has heads of its own."""

    similarity: Similarity = COSINE
    transform: Transform = NONE
    criterion: str = "count"
    leave_one_out: bool = False
    per_class: str = ""

    def __post_init__(self) -> None:
        criterion = find_criterion(self.criterion, per_class=False)
        if self.per_class:
            criterion = find_criterion(self.per_class, per_class=True)
        if self.transform.rule.of_cosines and self.similarity.name != "cosine":
            raise ValueError(f"{self.transform.name} takes cosines, not {self.similarity.name}")
        if criterion.of_the_others and self.transform == NONE:
            raise ValueError("the mean score of the true class says nothing without the others: use penalty or artanh")

    @property
    def judged_by(self) -> Criterion:
        return find_criterion(self.per_class or self.criterion, bool(self.per_class))

    @property
    def weighs(self) -> bool:
        """Whether samples may have weights: left out of its own centroid, one of weight 2 is still there once."""
        return self.judged_by.weighs and not self.leave_one_out

    @property
    def origins(self) -> frozenset[Origin]:
        """Where its parts are from."""
        judged = CRITERIA.origin(self.judged_by.name)
        return self.similarity.origins | {TRANSFORMS.origin(self.transform.name), judged}

    @property
    def canonical(self) -> Scoring:
        """The simplest scoring that provably ranks heads alike in a draw.

        Where only the order of classes counts, penalty and artanh change nothing (both grow with the class's own
        similarity), and kernels are their bases. A positive factor changes no ranking of heads either. A draw has
        equally many samples of every class, so the mean of the classes' shares is the count, but for a factor.
        """
        criterion, kernel = self.judged_by, self.similarity.kernel
        # Margins of similarities break ties: a base and its kernel may break them differently, but for a factor.
        scaled = self.similarity.base if kernel.linear else self.similarity
        if criterion.by_order and self.transform.rule.increasing:
            same = criterion.same_as or self.criterion
            return replace(self, similarity=self.similarity.base, transform=NONE, criterion=same)
        if criterion.of_differences and self.transform.rule.affine:
            return replace(self, similarity=scaled, transform=NONE)
        return replace(self, similarity=scaled)


BY_COUNT = Scoring()


@dataclass(frozen=True)
class HeadScores:
    """The score of every head `[head]`, or of every head for every class `[class, head]`, and what breaks ties.

    The margin is the similarity to the own class less the best other one, averaged over the support; of a
    kernel it is that of its base, so that both rank heads alike.
    """

    value: Float[np.ndarray, "*class head"]
    margin: Float[np.ndarray, "*class head"]


def score_heads(
    vectors: Float[np.ndarray, "sample head dim"],
    labels: Int[np.ndarray, " sample"],
    centroids: Float[np.ndarray, "class head dim"],
    scorings: Iterable[Scoring] = (BY_COUNT,),
    weights: Weights = None,
) -> dict[Scoring, HeadScores]:
    """Score every head as a nearest-centroid classifier on the support, in blocks of heads.

    Similarities that several scorings need are computed once a block. They are compared to twelve digits: of
    a head that is constant, but for rounding, all classes are equally near, and the first is its answer.
    Weights of samples are for scorings that weigh. Raises ValueError for leave-one-out on a class with one sample.
    """
    wanted = sorted(dict.fromkeys(scorings), key=lambda scoring: (repr(scoring.similarity.base), scoring.leave_one_out))
    samples, heads = vectors.shape[:2]
    step = max(1, min(HEAD_BLOCK, BLOCK_BYTES // (8 * samples * len(centroids))))
    parts: dict[Scoring, list[HeadScores]] = {scoring: [] for scoring in wanted}
    for start in range(0, heads, step):
        block = slice(start, start + step)
        key, found = None, np.empty(0)
        for scoring in wanted:
            if key != (key := (scoring.similarity.base, scoring.leave_one_out)):
                found = _base_similarities(scoring, vectors[:, block], labels, centroids[:, block])
            parts[scoring].append(_block_scores(scoring, found, labels, weights))
    return {
        scoring: HeadScores(
            np.concatenate([part.value for part in of_blocks], axis=-1),
            np.concatenate([part.margin for part in of_blocks], axis=-1),
        )
        for scoring, of_blocks in parts.items()
    }


def _base_similarities(
    scoring: Scoring, vectors: np.ndarray, labels: np.ndarray, centroids: np.ndarray
) -> Float[np.ndarray, "sample class head"]:
    base = scoring.similarity.base
    if scoring.leave_one_out:
        found = left_out_similarities(base, vectors, labels, centroids)
    else:
        found = similarities(base, vectors, centroids)
    largest = np.abs(found).max(axis=1, keepdims=True)
    largest[largest == 0] = 1
    return np.round(found / largest, 12) * largest


def _block_scores(scoring: Scoring, found: np.ndarray, labels: np.ndarray, weights: Weights) -> HeadScores:
    scores = transformed(scoring.transform, of_base(scoring.similarity, found))
    margins = true_class_margins(found, labels)
    value = scoring.judged_by.judge(scores, labels, *([] if weights is None else [weights]))
    if scoring.per_class:
        return HeadScores(value, class_margins(margins, labels, found.shape[1], weights))
    return HeadScores(value, np.average(margins, axis=0, weights=weights))


def rank_heads(value: Float[np.ndarray, " head"], margin: Float[np.ndarray, " head"]) -> Int[np.ndarray, " head"]:
    """Return all heads, best first, by a total order: score, then margin, then layer and head.

    Both are compared to twelve digits, so that the last bit of a sum, which depends on the processor, does
    not decide.
    """
    place = np.arange(len(value))
    return np.lexsort((place, -_digits(margin), -_digits(value)))


def _digits(values: np.ndarray) -> np.ndarray:
    """Round to twelve significant digits of the largest."""
    largest = np.abs(values).max(initial=0)
    return np.round(values / largest, 12) if largest > 0 else values


def paper_ranking(value: Float[np.ndarray, " head"], margin: Float[np.ndarray, " head"]) -> Int[np.ndarray, " head"]:
    """Return the heads in the papers' order: by score alone, of equal ones the later head first.

    The papers' code sorts unstably (`argsort(counts)`), so which of equal heads stay, and in which order, depends on
    its processor; a stable sort, read from its end, is what it would do with a stable one.
    """
    return np.argsort(_digits(value), kind="stable")[::-1]


def tied_at_cut(value: Float[np.ndarray, " head"], heads: int) -> int:
    """Return how many heads share the score of the last one kept, on both sides of the cut; 0 if it is clean."""
    value = _digits(value)
    ordered = np.sort(value)[::-1]
    if heads >= len(ordered) or ordered[heads] < ordered[heads - 1]:
        return 0
    return int((value == ordered[heads - 1]).sum())


def layer_vectors(
    vectors: Float[np.ndarray, "sample head dim"], layer: Int[np.ndarray, " head"]
) -> list[Float[np.ndarray, "sample 1 width"]]:
    """Return the concatenated vectors of each layer's heads, as one head of all their width."""
    return [vectors[:, layer == number].reshape(len(vectors), 1, -1) for number in np.unique(layer)]
