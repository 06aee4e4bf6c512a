"""How good a fitted classifier is, told by samples that its choice, its fit and its calibration have not seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.fitting.fit import Fit, Judged
from savs_analyze.measure.probabilities import brier_score, calibration_error, log_loss, wilson

MORE = 50
Place = TypeVar("Place", int, float)


@dataclass(frozen=True)
class Estimate:
    """Accuracy in shares of 1 with its 95 % interval, by class, and what stands beside it.

    `accuracy` counts every sample the same, `balanced` every class. `chance` always names the largest class,
    `zero_shot` is the model's own answer, None where its logits are not known. `nested` says that choice and
    calibration were repeated inside every fold. All are means over `partitions` of the samples into folds. `curve` are
    (labelled samples, balanced accuracy) of the chosen recipe, `gain` what 50 more samples may add to it, None where
    the curve does not rise. `recipes` are the balanced accuracies of all that was chosen from. `answered` are (share of
    samples, accuracy on them), the surest first.
    """

    accuracy: float
    interval: tuple[float, float]
    balanced: float
    by_class: Sequence[float]
    counts: Sequence[int]
    chance: float
    zero_shot: float | None
    log_loss: float
    brier: float
    calibration_error: float
    nested: bool
    folds: int
    partitions: int
    clusters: int
    curve: Sequence[tuple[int, float]]
    gain: float | None
    recipes: Sequence[float]
    answered: Sequence[tuple[float, float]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def estimate(
    found: Fit,
    labels: Int[np.ndarray, " sample"],
    cluster: Int[np.ndarray, " sample"],
    logits: Float[np.ndarray, "sample class"] | None = None,
) -> Estimate:
    """Return the estimate of a fit, each sample's share of right answers over the partitions.

    The interval counts clusters, a large one for less than its samples (Kish 1965). However many partitions there are,
    the samples are the same: they do not narrow it.
    """
    right = np.mean([one.answers == labels for one in found.partitions], axis=0)
    counts = np.bincount(labels, minlength=found.partitions[0].honest.shape[1])
    sizes = np.unique(cluster, return_counts=True)[1]
    independent = max(1, round(sizes.sum() ** 2 / (sizes**2).sum()))
    curve = _averaged([_curve(one, found.chosen, labels) for one in found.partitions])
    own = None if logits is None or not np.isfinite(logits).all() else float((logits.argmax(axis=1) == labels).mean())
    return Estimate(
        accuracy=float(right.mean()),
        interval=wilson(float(right.mean()), independent),
        balanced=balanced_accuracy(right, labels),
        by_class=_by_class(right, labels),
        counts=counts.tolist(),
        chance=float(counts.max() / counts.sum()),
        zero_shot=own,
        log_loss=_mean(log_loss(one.honest, labels) for one in found.partitions),
        brier=_mean(brier_score(one.honest, labels) for one in found.partitions),
        calibration_error=_mean(calibration_error(one.honest, labels) for one in found.partitions),
        nested=all(one.nested for one in found.partitions),
        folds=len(found.folds),
        partitions=len(found.partitions),
        clusters=independent,
        curve=curve,
        gain=_gain(curve, len(labels)),
        answered=_averaged([_answered(one.honest, one.answers == labels) for one in found.partitions]),
        recipes=[_mean(shares) for shares in zip(*(_recipes(one, labels) for one in found.partitions), strict=True)],
    )


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _averaged(curves: Sequence[Sequence[tuple[Place, float]]]) -> list[tuple[Place, float]]:
    """Return the mean of curves over the places that all of them have, the last ones first in doubt."""
    common = min(map(len, curves))
    points = zip(*(curve[-common:] for curve in curves), strict=True)
    return [(one[0][0], _mean(share for _, share in one)) for one in points]


def _recipes(judged: Judged, labels: Int[np.ndarray, " sample"]) -> list[float]:
    return [balanced_accuracy(predicted == labels, labels) for predicted in judged.cross.predicted]


def _by_class(right: np.ndarray, labels: Int[np.ndarray, " sample"]) -> list[float]:
    return [float(right[labels == label].mean()) for label in np.unique(labels)]


def balanced_accuracy(right: np.ndarray, labels: Int[np.ndarray, " sample"]) -> float:
    return float(np.mean(_by_class(right, labels)))


def _answered(honest: Float[np.ndarray, "sample class"], right: np.ndarray) -> list[tuple[float, float]]:
    surest = np.argsort(-honest.max(axis=1), kind="stable")
    counts = np.unique(np.ceil(np.linspace(0.1, 1, 10) * len(right)).astype(int)).tolist()
    return [(count / len(right), float(right[surest[:count]].mean())) for count in counts]


def _curve(judged: Judged, chosen: int, labels: Int[np.ndarray, " sample"]) -> list[tuple[int, float]]:
    """Return accuracies of the chosen recipe after learning from all but two folds, and from all but one."""
    cross, points = judged.cross, []
    sizes = np.bincount(cross.fold)
    if len(cross.within):
        asked = [(said[chosen], cross.fold != one) for one, said in enumerate(cross.within)]
        shares = [balanced_accuracy(said[some].argmax(axis=1) == labels[some], labels[some]) for said, some in asked]
        points.append((round(len(labels) - 2 * float(sizes.mean())), float(np.mean(shares))))
    right = cross.predicted[chosen] == labels
    return [*points, (round(len(labels) - float(sizes.mean())), balanced_accuracy(right, labels))]


def _gain(curve: Sequence[tuple[int, float]], samples: int) -> float | None:
    """Return what more samples may add if errors go on to fall as a power of their number; None if they do not."""
    if len(curve) < 2:
        return None
    (few, before), (many, after) = curve[0], curve[-1]
    if not 0 < 1 - after < 1 - before:
        return None
    power = np.log((1 - before) / (1 - after)) / np.log(many / few)
    now, later = ((1 - after) * (size / many) ** -power for size in (samples, samples + MORE))
    return float(now - later)
