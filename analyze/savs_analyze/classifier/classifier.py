"""A fitted classifier: what it knows of itself, and its answers for new vectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from savs_analyze.classifier.calibration import Calibration, Likeness, proven_coverage, sets_of, tempered
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.voting import decided

COVERAGE, FALSE_ALARMS = 0.9, 0.05


@dataclass(frozen=True)
class About:
    """What a classifier says of itself; all of it is plain JSON.

    `question` is None where every sample was asked its own. `model` holds name, fingerprint and the fields behind it,
    `data` the benchmark, its licence, the index hash of the store and the samples of each class, `recipe` the method's
    name and parameters, those of the folds and of what it was chosen from, `estimate` what was measured out of sample.
    """

    classes: Sequence[str]
    task: str
    question: str | None
    model: Mapping[str, Any]
    data: Mapping[str, Any]
    recipe: Mapping[str, Any]
    estimate: Mapping[str, Any] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Doubt:
    """When an answer counts as doubtful.

    `coverage` is that of the sets, `by_class` keeps it for every class. An answer is doubtful where its set is not one
    class, where its probability is below `least`, and where it is unlike all training samples at a rate of
    `false_alarms`.
    """

    coverage: float = COVERAGE
    least: float = 0.0
    false_alarms: float = FALSE_ALARMS
    by_class: bool = False

    def __post_init__(self) -> None:
        for name, value, top in (("coverage", self.coverage, 1), ("false_alarms", self.false_alarms, 1)):
            if not 0 < value < top:
                raise ValueError(f"{name} must be between 0 and 1, got {value}")
        if not 0 <= self.least <= 1:
            raise ValueError(f"the least probability must be between 0 and 1, got {self.least}")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a classifier says of new samples.

    `sets` are the classes that each sample's set holds, `likeness` the share of training samples that are as unlike
    the class means, `unlike` and `doubtful` what follows from them.
    """

    predicted: Int[np.ndarray, " sample"]
    probabilities: Float[np.ndarray, "sample class"]
    sets: Bool[np.ndarray, "sample class"]
    likeness: Float[np.ndarray, " sample"]
    unlike: Bool[np.ndarray, " sample"]
    doubtful: Bool[np.ndarray, " sample"]

    def __len__(self) -> int:
        return len(self.predicted)

    @property
    def second(self) -> Int[np.ndarray, " sample"]:
        """The class that is next most probable."""
        others = self.probabilities.copy()
        others[np.arange(len(self)), self.predicted] = -1
        return others.argmax(axis=1)


@dataclass(frozen=True, eq=False)
class Classifier:
    """Answers for new vectors of the `heads`, (layer, place in the layer), and how sure they may be.

    `fitted` has learnt from all labelled samples, `folds` each from all but those of its fold; all of them vote by
    places on the axis of `heads`.
    """

    about: About
    heads: Int[np.ndarray, "head 2"]
    dim: int
    fitted: Fitted
    folds: Sequence[Fitted]
    calibration: Calibration
    likeness: Likeness

    @property
    def classes(self) -> Sequence[str]:
        return self.about.classes

    @property
    def last_layer(self) -> int:
        """The last layer that answers need; the model need not be run any further."""
        return int(self.heads[:, 0].max())

    @property
    def samples(self) -> int:
        """How many labelled samples it has learnt from."""
        return len(self.calibration.fold)

    @property
    def clusters(self) -> int:
        """How many of them stand for themselves: samples that belong together count as one."""
        return self.calibration.clusters

    def proven_coverage(self, coverage: float = COVERAGE) -> float:
        """Return what sets of that coverage provably hold; samples that belong together count as one."""
        return proven_coverage(coverage, len(self.folds), self.calibration.clusters)

    def answer(self, vectors: Shaped[np.ndarray, "sample head dim"], doubt: Doubt = Doubt()) -> Answers:
        """Return what it says of samples. Raises ValueError for vectors of other heads, or that are not finite."""
        predicted, probabilities = self.classify(vectors)
        batch = Batch(np.arange(len(self.heads)), vectors)
        by_fold = [
            tempered(_probabilities(fold, batch), temperature)
            for fold, temperature in zip(self.folds, self.calibration.fold_temperature.tolist(), strict=True)
        ]
        sets = sets_of(self.calibration.set_probabilities(np.stack(by_fold), doubt.by_class), doubt.coverage)
        sets[np.arange(len(sets)), predicted] = True  # none is empty: who is right more often than promised may say so
        likeness = self.likeness.likeness(vectors.astype(np.float64))
        unlike = likeness <= doubt.false_alarms
        unsure = (sets.sum(axis=1) != 1) | (probabilities.max(axis=1) < doubt.least)
        return Answers(predicted, probabilities, sets, likeness, unlike, unsure | unlike)

    def classify(
        self, vectors: Shaped[np.ndarray, "sample head dim"]
    ) -> tuple[Int[np.ndarray, " sample"], Float[np.ndarray, "sample class"]]:
        """Return class and probabilities alone, those of `answer`, in a fraction of its time. Raises as it does.

        The class is the most probable one.
        """
        self._check(vectors)
        votes = self.fitted.votes(Batch(np.arange(len(self.heads)), vectors))
        found = tempered(self.fitted.probabilities(votes.scores), self.calibration.temperature)
        return votes.predicted, decided(found, votes.predicted)

    def _check(self, vectors: np.ndarray) -> None:
        if vectors.shape[1:] != (len(self.heads), self.dim):
            raise ValueError(
                f"vectors must be [sample, {len(self.heads)} heads, {self.dim}] in the order of `heads`, "
                f"got {list(vectors.shape)}"
            )
        if not np.isfinite(vectors).all():
            raise ValueError("vectors hold numbers that are not finite: leave the samples that failed out")


def _probabilities(fitted: Fitted, batch: Batch) -> Float[np.ndarray, "sample class"]:
    return fitted.probabilities(fitted.votes(batch).scores)
