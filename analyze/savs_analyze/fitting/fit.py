"""Choose among recipes, learn, calibrate: all on the labelled samples alone, in folds inside folds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.classifier.calibration import (
    Calibration,
    Likeness,
    distances,
    fit_temperature,
    nonconformity,
    tempered,
)
from savs_analyze.methods.context import Context
from savs_analyze.methods.crossfit import CrossFit, best, cross_fit
from savs_analyze.methods.folds import SplitError, clusters, make_folds
from savs_analyze.methods.learners import learn
from savs_analyze.methods.method import Method
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.similarity import class_means

# Numbers of all labelled vectors that may be judged, over the partitions together: 20 million of ten classes take 14 s
# on one core.
NUMBERS = 45_000_000
MOST_PARTITIONS = 3


@dataclass(frozen=True, eq=False)
class Judged:
    """One partition of the labelled samples in folds, each asked of what has not seen it.

    `chosen` is the place of the method that all samples choose, `temperature` its own; `inside` are both of every fold.
    `honest` are the probabilities of every sample by what has not seen it: to learn, to choose or to calibrate;
    `answers` are its answers.
    """

    chosen: int
    temperature: float
    inside: Sequence[tuple[int, float]]
    honest: Float[np.ndarray, "sample class"]
    answers: Int[np.ndarray, " sample"]
    cross: CrossFit

    @property
    def nested(self) -> bool:
        """Whether choice and calibration were repeated inside every fold: not where a class is in two folds only."""
        return bool(len(self.cross.within))


@dataclass(frozen=True, eq=False)
class Fit:
    """What was learnt from labelled samples, by the method that is best in the first partition.

    `folds` are the first partition's, one of each fold. Further partitions only tell how good it is.
    """

    fitted: Fitted
    folds: Sequence[Fitted]
    calibration: Calibration
    likeness: Likeness
    partitions: Sequence[Judged]

    @property
    def chosen(self) -> int:
        """The place of the method."""
        return self.partitions[0].chosen

    @property
    def chosen_by_fold(self) -> Sequence[int]:
        return [method for method, _ in self.partitions[0].inside]


def fit(methods: Sequence[Method], context: Context, partitions: int = 1) -> Fit:
    """Fit the method that is best out of sample, judged in so many partitions into folds.

    Raises `SplitError` where a class has fewer than two samples that do not belong together.
    """
    first, fold = judge(methods, context), fold_of(context)
    [fitted] = learn([methods[first.chosen]], context)
    more = [judge(methods, other) for other in _otherwise(context, partitions - 1)]
    strange = nonconformity(first.honest)[np.arange(len(fold)), context.labels]
    temperatures = np.array([temperature for _, temperature in first.inside])
    folds = [first.cross.outside[one][method].alone for one, (method, _) in enumerate(first.inside)]
    return Fit(
        fitted,
        folds,
        Calibration(first.temperature, temperatures, fold, strange, context.labels, context.cluster),
        _likeness(context, fitted, [of_fold[first.chosen] for of_fold in first.cross.outside], fold),
        [first, *more],
    )


def partitions_of(context: Context) -> int:
    """Return in how many partitions the samples are judged: fewer of many numbers, as each takes its time."""
    return int(np.clip(NUMBERS // context.vectors.size, 1, MOST_PARTITIONS))


def _otherwise(context: Context, count: int) -> Iterator[Context]:
    """Yield the context with seeds of other partitions, but for those that leave a class in one fold alone."""
    for seed in np.random.SeedSequence(context.seed).generate_state(count).tolist():
        other = replace(context, seed=seed, _known={})
        try:
            fold_of(other)
        except SplitError:
            continue
        yield other


def judge(methods: Sequence[Method], context: Context) -> Judged:
    """Let every sample be judged by what has not seen it. Raises as `fit` does."""
    labels, fold = context.labels, fold_of(context)
    in_folds = [len(set(fold[labels == label].tolist())) for label in np.unique(labels)]
    cross = cross_fit(methods, context, fold, nested=min(in_folds) > 2)
    chosen, temperature = _choice(cross.said, labels)
    inside = [_choice_inside(cross, one, labels) or (chosen, temperature) for one in range(len(cross.outside))]
    honest, answers = np.empty(cross.said.shape[1:]), np.empty(len(labels), dtype=np.int64)
    for one, (method, fold_temperature) in enumerate(inside):
        answers[fold == one] = cross.predicted[method, fold == one]
        honest[fold == one] = tempered(cross.said[method, fold == one], fold_temperature)
    return Judged(chosen, temperature, inside, honest, answers, cross)


def fold_of(context: Context) -> Int[np.ndarray, " sample"]:
    """Return the fold of every sample; what belongs together is in one."""
    cluster = clusters(len(context.labels), []) if context.cluster is None else context.cluster
    return make_folds(context.labels, cluster, context.seed)


def _choice(said: Float[np.ndarray, "method sample class"], labels: Int[np.ndarray, " sample"]) -> tuple[int, float]:
    chosen = best(said, labels)
    return chosen, fit_temperature(said[chosen], labels)


def _choice_inside(cross: CrossFit, one: int, labels: Int[np.ndarray, " sample"]) -> tuple[int, float] | None:
    """Return the method that a fold's other samples would choose, and its temperature; None where none asked them."""
    if not len(cross.within):
        return None
    others = cross.fold != one
    return _choice(cross.within[one][:, others], labels[others])


def _likeness(context: Context, fitted: Fitted, folds: Sequence[Fitted], fold: Int[np.ndarray, " sample"]) -> Likeness:
    """Return how far every sample is from the means of the other folds, in the heads that those would choose.

    Not in the heads that answer: they were chosen with the sample, which is therefore nearer there than a new one is.
    `folds` have learnt by the method that answers, also where a fold would choose another: distances in heads that
    another method chooses are others.
    """
    found = np.empty(len(fold))
    for one, without in enumerate(folds):
        vectors, rest = context.vectors[:, _used(without)].astype(np.float64), fold != one
        found[~rest] = distances(vectors[~rest], class_means(vectors[rest], context.labels[rest], context.classes))
    used = _used(fitted)
    means = class_means(context.vectors[:, used].astype(np.float64), context.labels, context.classes)
    return Likeness(used, means, found, context.cluster)


def _used(fitted: Fitted) -> Int[np.ndarray, " used"]:
    return np.unique(fitted.kept) if len(fitted.kept) else np.unique(fitted.heads)
