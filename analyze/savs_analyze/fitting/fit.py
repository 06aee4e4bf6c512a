"""Choose among recipes, learn, calibrate: all on the labelled samples alone, in folds inside folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from savs_analyze.methods.folds import clusters, make_folds
from savs_analyze.methods.learners import learn
from savs_analyze.methods.method import Method
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.similarity import class_means


@dataclass(frozen=True, eq=False)
class Fit:
    """What was learnt from labelled samples; `chosen` is the place of a method, of all samples and of every fold.

    `honest` are the probabilities of every sample by what has not seen it: to learn, to choose or to calibrate;
    `answers` are its answers.
    """

    fitted: Fitted
    folds: Sequence[Fitted]
    chosen: int
    chosen_by_fold: Sequence[int]
    calibration: Calibration
    likeness: Likeness
    honest: Float[np.ndarray, "sample class"]
    answers: Int[np.ndarray, " sample"]
    cross: CrossFit

    @property
    def nested(self) -> bool:
        """Whether choice and calibration were repeated inside every fold: not where a class is in two folds only."""
        return bool(len(self.cross.within))


def fit(methods: Sequence[Method], context: Context) -> Fit:
    """Fit the method that is best out of sample.

    Raises ValueError where a class has fewer than two samples that do not belong together.
    """
    labels, fold = context.labels, fold_of(context)
    in_folds = [len(set(fold[labels == label].tolist())) for label in np.unique(labels)]
    cross = cross_fit(methods, context, fold, nested=min(in_folds) > 2)
    chosen, temperature = _choice(cross.said, labels)
    [fitted] = learn([methods[chosen]], context)
    inside = [_choice_inside(cross, one, labels) or (chosen, temperature) for one in range(len(cross.outside))]
    honest, answers = np.empty(cross.said.shape[1:]), np.empty(len(labels), dtype=np.int64)
    for one, (method, fold_temperature) in enumerate(inside):
        answers[fold == one] = cross.predicted[method, fold == one]
        honest[fold == one] = tempered(cross.said[method, fold == one], fold_temperature)
    temperatures = np.array([fold_temperature for _, fold_temperature in inside])
    strange = nonconformity(honest)[np.arange(len(labels)), labels]
    return Fit(
        fitted,
        [cross.outside[one][method].alone for one, (method, _) in enumerate(inside)],
        chosen,
        [method for method, _ in inside],
        Calibration(temperature, temperatures, fold, strange, labels),
        _likeness(context, fitted, fold),
        honest,
        answers,
        cross,
    )


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


def _likeness(context: Context, fitted: Fitted, fold: Int[np.ndarray, " sample"]) -> Likeness:
    """Return how far every sample is from the means of the other folds, in the heads that answer."""
    used = np.unique(fitted.kept) if len(fitted.kept) else np.unique(fitted.heads)
    vectors = context.vectors[:, used].astype(np.float64)
    found = np.empty(len(fold))
    for one in range(int(fold.max()) + 1):
        rest = fold != one
        found[~rest] = distances(vectors[~rest], class_means(vectors[rest], context.labels[rest], context.classes))
    return Likeness(used, class_means(vectors, context.labels, context.classes), np.sort(found))
