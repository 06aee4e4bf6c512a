"""Out-of-sample answers of several recipes: in every fold all is learnt anew, heads are chosen anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from jaxtyping import Bool, Float, Int

from savs_analyze.classifier.calibration import fit_temperature, tempered
from savs_analyze.measure.probabilities import log_loss
from savs_analyze.methods.context import Context
from savs_analyze.methods.learners import learn, predict
from savs_analyze.methods.method import Method
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.fitted import Fitted


@dataclass(frozen=True, eq=False)
class CrossFit:
    """What methods say of samples that they have not seen.

    `outside[fold][method]` has learnt from all samples but those of the fold. `said` is what it says of these,
    `[method, sample, class]`, and `predicted` its answer, which of equal probabilities need not be the first. Where
    wanted, `within[fold]` is the same as `said` of the other folds' samples, each asked of what
    has seen neither its own fold nor this one: all that a choice inside the fold may look at.
    """

    fold: Int[np.ndarray, " sample"]
    outside: Sequence[Sequence[Fitted]]
    said: Float[np.ndarray, "method sample class"]
    predicted: Int[np.ndarray, "method sample"]
    within: Sequence[Float[np.ndarray, "method sample class"]] = ()


def cross_fit(methods: Sequence[Method], context: Context, fold: Int[np.ndarray, " sample"], nested: bool) -> CrossFit:
    """Let methods learn without each fold, and if `nested` without each pair of folds too."""
    folds = int(fold.max()) + 1
    outside = [learn(methods, context.of(fold != one)) for one in range(folds)]
    shape = len(methods), len(fold), context.classes
    said, predicted = np.zeros(shape), np.zeros(shape[:2], dtype=np.int64)
    for one, fitted in enumerate(outside):
        predicted[:, fold == one] = _ask(fitted, context, fold == one, said)
    within = np.zeros((folds if nested else 0, *shape))
    for one, other in combinations(range(folds), 2) if nested else ():
        fitted = learn(methods, context.of((fold != one) & (fold != other)))
        _ask(fitted, context, fold == other, within[one])
        _ask(fitted, context, fold == one, within[other])
    return CrossFit(fold, outside, said, predicted, list(within))


def _ask(
    fitted: Sequence[Fitted],
    context: Context,
    samples: Bool[np.ndarray, " sample"],
    said: Float[np.ndarray, "method sample class"],
) -> Int[np.ndarray, "method some"]:
    """Write what methods say of some samples into `said`; return their answers."""
    heads = np.unique(np.concatenate([one.heads for one in fitted]))
    batch = Batch(heads, context.vectors[samples][:, heads])
    answers = predict(fitted, batch)
    for place, (one, votes) in enumerate(zip(fitted, answers, strict=True)):
        said[place, samples] = one.probabilities(votes.scores)
    return np.stack([votes.predicted for votes in answers])


def best(said: Float[np.ndarray, "method sample class"], labels: Int[np.ndarray, " sample"]) -> int:
    """Return the place of the method whose calibrated answers have the least log loss; of equal ones the first.

    Every class counts the same, however many samples it has. Accuracy tells less: of forty samples, one is 2.5 points.
    """
    losses = []
    for of_method in said:
        found = tempered(of_method, fit_temperature(of_method, labels))
        losses.append(
            np.mean([log_loss(found[labels == label], labels[labels == label]) for label in np.unique(labels)])
        )
    return int(np.round(losses, 12).argmin())
