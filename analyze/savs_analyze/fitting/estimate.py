"""How good a fitted classifier is, told by samples that its choice, its fit and its calibration have not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from savs_analyze.fitting.fit import Fit
from savs_analyze.measure.probabilities import brier_score, calibration_error, log_loss, wilson

MORE = 50


@dataclass(frozen=True)
class Estimate:
    """Accuracy in shares of 1 with its 95 % interval, by class, and what stands beside it.

    `accuracy` counts every sample the same, `balanced` every class. `chance` always names the largest class,
    `zero_shot` is the model's own answer, None where its logits are not known. `nested` says that choice and
    calibration were repeated inside every fold. `curve` are (labelled samples, balanced accuracy) of the chosen
    recipe, `gain` what 50 more samples may add to it, None where the curve does not rise. `recipes` are the balanced
    accuracies of all that was chosen from. `answered` are (share of samples, accuracy on them), the surest first.
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
    """Return the estimate of a fit; the interval counts clusters, a large one for less than its samples (Kish 1965)."""
    right = found.answers == labels
    counts = np.bincount(labels, minlength=found.honest.shape[1])
    sizes = np.unique(cluster, return_counts=True)[1]
    independent = max(1, round(sizes.sum() ** 2 / (sizes**2).sum()))
    curve = _curve(found, labels)
    own = None if logits is None or not np.isfinite(logits).all() else float((logits.argmax(axis=1) == labels).mean())
    return Estimate(
        accuracy=float(right.mean()),
        interval=wilson(float(right.mean()), independent),
        balanced=balanced_accuracy(right, labels),
        by_class=_by_class(right, labels),
        counts=counts.tolist(),
        chance=float(counts.max() / counts.sum()),
        zero_shot=own,
        log_loss=log_loss(found.honest, labels),
        brier=brier_score(found.honest, labels),
        calibration_error=calibration_error(found.honest, labels),
        nested=found.nested,
        folds=len(found.folds),
        clusters=independent,
        curve=curve,
        gain=_gain(curve, len(labels)),
        answered=_answered(found.honest, right),
        recipes=[balanced_accuracy(predicted == labels, labels) for predicted in found.cross.predicted],
    )


def _by_class(right: np.ndarray, labels: Int[np.ndarray, " sample"]) -> list[float]:
    return [float(right[labels == label].mean()) for label in np.unique(labels)]


def balanced_accuracy(right: np.ndarray, labels: Int[np.ndarray, " sample"]) -> float:
    return float(np.mean(_by_class(right, labels)))


def _answered(honest: Float[np.ndarray, "sample class"], right: np.ndarray) -> list[tuple[float, float]]:
    surest = np.argsort(-honest.max(axis=1), kind="stable")
    counts = np.unique(np.ceil(np.linspace(0.1, 1, 10) * len(right)).astype(int)).tolist()
    return [(count / len(right), float(right[surest[:count]].mean())) for count in counts]


def _curve(found: Fit, labels: Int[np.ndarray, " sample"]) -> list[tuple[int, float]]:
    """Return accuracies of the chosen recipe after learning from all but two folds, and from all but one."""
    cross, points = found.cross, []
    sizes = np.bincount(cross.fold)
    if len(cross.within):
        asked = [(said[found.chosen], cross.fold != one) for one, said in enumerate(cross.within)]
        shares = [balanced_accuracy(said[some].argmax(axis=1) == labels[some], labels[some]) for said, some in asked]
        points.append((round(len(labels) - 2 * float(sizes.mean())), float(np.mean(shares))))
    right = cross.predicted[found.chosen] == labels
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
