"""What the scores of all classes are worth, beside the classes that are predicted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Float16, Int

from savs_analyze.measure.probabilities import (
    LEAST,
    Measured,
    brier_losses,
    confidence_error,
    from_scores,
    log_losses,
    mean_of,
)
from savs_analyze.measure.ranking import LEAST_NEGATIVES, auroc, average_precision, recall_at

# Those of two classes: of which the second is the positive one.
POSITIVE = 1
OF_RANKS = ("auroc", "average_precision", "recall_at_1_percent", "recall_at_5_percent")
# What is no share of 1 and has no percent; what is better when it is lower; what has no interval.
PLAIN = ("log_loss", "brier_score")
LOWER_IS_BETTER = (*PLAIN, "calibration_error")
WITHOUT_INTERVAL = ("calibration_error",)


@dataclass(frozen=True, eq=False)
class Scored:
    """Samples with the kept scores of all classes; `unit` is the place of each one's unit."""

    scores: Float16[np.ndarray, "sample class"]
    predicted: Int[np.ndarray, " sample"]
    label: Int[np.ndarray, " sample"]
    unit: Int[np.ndarray, " sample"]

    @cached_property
    def measured(self) -> dict[str, Measured]:
        """Every metric by name, with the influences of samples; those of ranks only where they can be told."""
        if not len(self.label):
            return {}
        probabilities = self.probabilities
        error = confidence_error(self.confidence, self.predicted == self.label)
        return self._of_ranks() | {
            "log_loss": _with_tail(mean_of(log_losses(probabilities, self.label)), probabilities, self.label),
            "brier_score": mean_of(brier_losses(probabilities, self.label)),
            # It is the mean of what is not below 0: no derivative tells how it varies where it is small.
            "calibration_error": Measured(error, np.full(len(self.label), np.nan)),
        }

    def _of_ranks(self) -> dict[str, Measured]:
        positive = self.label == POSITIVE
        negatives = int((~positive).sum())
        if self.scores.shape[1] != 2 or not 0 < negatives < len(positive):
            return {}
        odds = self.scores[:, 1].astype(np.float64) - self.scores[:, 0]
        found = {"auroc": auroc(odds, positive), "average_precision": average_precision(odds, positive)}
        for rate, least in LEAST_NEGATIVES.items():
            if negatives >= least:
                found[f"recall_at_{100 * rate:.0f}_percent"] = recall_at(odds, positive, rate)
        return found

    @cached_property
    def probabilities(self) -> Float[np.ndarray, "sample class"]:
        return from_scores(self.scores)

    @property
    def confidence(self) -> Float[np.ndarray, " sample"]:
        """The probability of the answer, which of classes of equal scores need not be the first."""
        return self.probabilities[np.arange(len(self.predicted)), self.predicted]

    def clusters(self, metric: str, cluster: Int[np.ndarray, " unit"]) -> int:
        """Return how many clusters a metric of ranks is a mean over: those of positives, of AUROC of the rarer class.

        Ten positives that all score above a thousand negatives are not known as well as a thousand.
        """
        of_sample = cluster[self.unit]
        positives, negatives = (len(np.unique(of_sample[self.label == side])) for side in (POSITIVE, 1 - POSITIVE))
        return min(positives, negatives) if metric == "auroc" else positives


def _with_tail(
    found: Measured, probabilities: Float[np.ndarray, "sample class"], labels: Int[np.ndarray, " sample"]
) -> Measured:
    """Return a log loss without influences where a truth had no probability at all, as classes that no head votes for.

    Each such sample costs 34.5 nats, and a few of them decide the mean: how few there are is known too badly.
    """
    impossible = (probabilities[np.arange(len(labels)), labels] <= LEAST).any()
    return Measured(found.value, np.full(len(labels), np.nan)) if impossible else found
