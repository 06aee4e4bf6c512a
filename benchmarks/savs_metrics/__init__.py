"""The metrics that a benchmark may name: known alike where samples are checked and where predictions are scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

# Beside every metric: the mean of the classes' recalls, and the mean of their F1 scores.
OF_CLASSES = ("balanced_accuracy", "macro_f1")
# Where the scores of all classes are kept; the first four of two classes.
OF_SCORES = (
    "auroc",
    "average_precision",
    "recall_at_1_percent",
    "recall_at_5_percent",
    "log_loss",
    "brier_score",
    "calibration_error",
)

# As many slots as a sample may name.
MOST_SLOTS = 4

Scores = Mapping[str, Float[np.ndarray, " unit"]]


@dataclass(frozen=True)
class Metric:
    """What is scored as a whole: one sample, or a group of as many as there are `slots`.

    `score` takes predictions and labels, classes [unit, slot], and returns scores of the units from 0 to 1 by their
    names, the one to look at first. Their means over units are reported.
    """

    name: str
    score: Callable[[Int[np.ndarray, "unit slot"], Int[np.ndarray, "unit slot"]], Scores]
    slots: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.slots <= MOST_SLOTS:
            raise ValueError(f"a metric scores 1 to {MOST_SLOTS} samples at a time, not {self.slots}")

    @property
    def reports(self) -> tuple[str, ...]:
        """The names of all that is reported; the first is the one to look at."""
        one = np.zeros((1, self.slots), dtype=np.int64)
        return (*self.score(one, one), *OF_CLASSES)

    @property
    def first(self) -> str:
        return self.reports[0]

    def check(self) -> None:
        """Raise ValueError where scores of some predictions are not one number from 0 to 1 a unit."""
        predicted, label = np.random.default_rng(0).integers(2, size=(2, 64, self.slots))
        scores = self.score(predicted, label)
        if not scores:
            raise ValueError("it gives no scores")
        if taken := [name for name in scores if name in OF_CLASSES + OF_SCORES]:
            raise ValueError(f"{taken[0]} is reported beside every metric: give its scores another name")
        for name, values in scores.items():
            found = np.asarray(values, dtype=np.float64)
            if found.shape != (64,) or not ((found >= 0) & (found <= 1)).all():
                raise ValueError(f"its {name} are not one number from 0 to 1 for each of 64 units")


def _accuracy(predicted: np.ndarray, label: np.ndarray) -> Scores:
    return {"accuracy": (predicted == label)[:, 0]}


def _pair(predicted: np.ndarray, label: np.ndarray) -> Scores:
    correct = predicted == label
    return {"pair_accuracy": correct.all(axis=1), "accuracy": correct.mean(axis=1)}


def _naturalbench(predicted: np.ndarray, label: np.ndarray) -> Scores:
    """NaturalBench's G-Acc, Q-Acc and I-Acc, with slot = 2 * question + image.

    A question counts when it is right on both images, an image when both questions are right on it, the group when
    all four are.
    """
    square = (predicted == label).reshape(-1, 2, 2)  # [group, question, image]
    return {
        "group_accuracy": square.all(axis=(1, 2)),
        "question_accuracy": square.all(axis=2).mean(axis=1),
        "image_accuracy": square.all(axis=1).mean(axis=1),
        "accuracy": square.mean(axis=(1, 2)),
    }


METRICS = (
    Metric("accuracy", _accuracy),
    Metric("question-image-group", _naturalbench, slots=4),
    Metric("pair", _pair, slots=2),
)
