"""A classifier and the model it was fitted on, together: from pictures to answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, tee
from typing import Any

import numpy as np

from savs_analyze.classifier.classifier import Answers, Classifier, Doubt
from savs_harvest.cli.asked import Asked
from savs_harvest.run.encoding import Block, Encoder
from savs_harvest.run.expected import Expected, widened
from savs_stores import Status

# Pictures that run between two lines of the partial file: what a kill costs.
BLOCK = 64


def expected_of(classifier: Classifier) -> Expected:
    """Return what a classifier needs of a model, as its file says it."""
    model = classifier.about.model
    heads = [(int(layer), int(head)) for layer, head in classifier.heads]
    known, hashes = (found if isinstance(found := model.get(name), Mapping) else {} for name in ("identity", "files"))
    return Expected(str(model.get("name")), known, heads, classifier.dim, hashes)


@dataclass(frozen=True)
class Deployed:
    """A classifier with what gives it the vectors of pictures; `doubt` says which answers are doubtful.

    With `abstain`, a doubtful answer names no class.
    """

    classifier: Classifier
    encoder: Encoder
    doubt: Doubt = field(default_factory=Doubt)
    abstain: bool = False

    def rows(self, asked: Iterable[Asked], size: int = BLOCK) -> Iterator[list[tuple[Asked, dict[str, Any]]]]:
        """Yield so many samples with their rows at a time, in order and in bounded memory."""
        named, run = tee(_blocks(asked, size))
        found = self.encoder.stream([one.question for one in block] for block in run)
        for block, of_it in zip(named, found, strict=True):
            yield list(zip(block, self._rows(block, of_it), strict=True))

    def _rows(self, asked: Sequence[Asked], block: Block) -> list[dict[str, Any]]:
        good = np.flatnonzero(block.status == Status.OK)
        rows = [_failed(one, block, place) for place, one in enumerate(asked)]
        if len(good):
            answers = self.answers(block.vectors[good])
            for number, place in enumerate(good.tolist()):
                rows[place] = self._row(asked[place], answers, number)
        return rows

    def answers(self, vectors: np.ndarray) -> Answers:
        return self.classifier.answer(widened(vectors, self.classifier.dim), self.doubt)

    def _row(self, asked: Asked, answers: Answers, number: int) -> dict[str, Any]:
        classes, predicted = self.classifier.classes, int(answers.predicted[number])
        doubtful = bool(answers.doubtful[number])
        return _named(asked) | {
            "class": None if doubtful and self.abstain else classes[predicted],
            "probability": round(float(answers.probabilities[number, predicted]), 6),
            "set": [classes[place] for place in np.flatnonzero(answers.sets[number]).tolist()],
            "doubtful": doubtful,
            "second": classes[int(answers.second[number])],
            "likeness": round(float(answers.likeness[number]), 6),
            "status": "ok",
        }


def _named(asked: Asked) -> dict[str, Any]:
    return {"file": asked.name, "question": asked.question.words, "stamp": asked.stamp()}


def _failed(asked: Asked, block: Block, place: int) -> dict[str, Any]:
    status = Status(block.status[place]).name.lower()
    answer: dict[str, Any] = {
        "class": None,
        "probability": None,
        "set": [],
        "doubtful": None,
        "second": None,
        "likeness": None,
    }
    return _named(asked) | answer | {"status": status, "reason": block.reason(place)}


def _blocks(asked: Iterable[Asked], size: int) -> Iterator[list[Asked]]:
    left = iter(asked)
    while block := list(islice(left, size)):
        yield block
