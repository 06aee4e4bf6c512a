"""Methods tested in one pass over the vectors, whatever draws they learnt from."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float16, Int, Shaped

from savs_analyze.measure.probabilities import to_scores
from savs_analyze.methods.learners import predict
from savs_analyze.votes.batch import Batch
from savs_analyze.votes.fitted import Fitted
from savs_analyze.votes.voting import allowed_classes
from savs_stores import ModelVectors

# Similarities that are held at a time, [sample, class, head].
SIMILARITY_BYTES = 100_000_000


@dataclass
class Tested:
    """What was learnt from one support, and what it predicts on the sorted samples `test`, filled in by a pass.

    `scoring` are the places of the methods whose scores of all classes are kept; `scores` lacks those of a method that
    gives no probabilities.
    """

    fitted: Sequence[Fitted]
    test: Int[np.ndarray, " test"]
    classes: int
    scoring: Collection[int] = ()
    predicted: Int[np.ndarray, "method test"] = field(init=False)
    scores: dict[int, Float16[np.ndarray, "test class"]] = field(init=False)
    seconds: float = 0.0
    # Of the methods that are asked of all samples at once: the vectors of their heads.
    waiting: list[tuple[Int[np.ndarray, " some"], Shaped[np.ndarray, "some head dim"]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.predicted = np.full((len(self.fitted), len(self.test)), -1, dtype=np.int16)
        self.scores = {method: np.zeros((len(self.test), self.classes), np.float16) for method in self.scoring}

    @property
    def apart(self) -> list[int]:
        """The places of the methods that answer sample by sample."""
        return [place for place, one in enumerate(self.fitted) if not one.transductive]

    @property
    def together(self) -> list[int]:
        """The places of the methods that are asked of all samples at once."""
        return [place for place, one in enumerate(self.fitted) if one.transductive]

    @property
    def heads(self) -> Int[np.ndarray, " head"]:
        """The heads that any of the methods needs, sorted."""
        return np.unique(np.concatenate([one.heads for one in self.fitted]))


def predict_in_one_pass(vectors: ModelVectors, tested: Sequence[Tested]) -> None:
    """Fill in the predictions; every byte of the vectors that anything needs is read once."""
    needed = [one.heads for one in tested]
    union = np.unique(np.concatenate(needed))
    samples = np.unique(np.concatenate([one.test for one in tested]))
    for block, features in _blocks(vectors, samples, union):
        for one, heads in zip(tested, needed, strict=True):
            started = time.perf_counter()
            rows = np.flatnonzero(np.isin(block, one.test))
            for some in _at_once(rows, one.classes, len(heads)):
                all_of_it = len(some) == len(block) and len(heads) == len(union)
                own = features if all_of_it else features[np.ix_(some, np.searchsorted(union, heads))]
                _predict(one, block[some], _batch(vectors, one, block[some], heads, own))
            one.seconds += time.perf_counter() - started
    for one in tested:
        started = time.perf_counter()
        _predict_together(vectors, one)
        one.seconds += time.perf_counter() - started


def _blocks(
    vectors: ModelVectors, samples: Int[np.ndarray, " sample"], heads: Int[np.ndarray, " head"]
) -> Iterator[tuple[Int[np.ndarray, " some"], Shaped[np.ndarray, "some head dim"]]]:
    """Yield rows of the sample table with the vectors of these heads; where none is needed, nothing is read."""
    if len(heads):
        yield from vectors.blocks(samples, heads.tolist())
    else:
        yield samples, np.empty((len(samples), 0, 1), dtype=np.float16)


def _at_once(rows: Int[np.ndarray, " row"], classes: int, heads: int) -> Iterator[Int[np.ndarray, " some"]]:
    """Yield as many rows at a time as their similarities may take."""
    count = max(1, SIMILARITY_BYTES // max(1, 8 * classes * heads))
    for start in range(0, len(rows), count):
        yield rows[start : start + count]


def _batch(
    vectors: ModelVectors,
    tested: Tested,
    samples: Int[np.ndarray, " some"],
    heads: Int[np.ndarray, " head"],
    features: Shaped[np.ndarray, "some head dim"],
) -> Batch:
    allowed = allowed_classes(vectors.store.samples.options[samples], tested.classes)
    needs_logits = any(one.needs_logits for one in tested.fitted)
    logits = vectors.logits[samples, : tested.classes] if needs_logits else None
    table = vectors.store.samples
    places = np.stack([table.group[samples], table.slot[samples]], axis=1).astype(np.int64)
    return Batch(heads, features, allowed, logits, places)


def _predict(tested: Tested, samples: Int[np.ndarray, " some"], batch: Batch) -> None:
    _ask(tested, tested.apart, samples, batch)
    if tested.together:
        heads = _heads_together(tested)
        tested.waiting.append((samples, batch.of(heads)))


def _predict_together(vectors: ModelVectors, tested: Tested) -> None:
    if tested.waiting:
        samples, features = map(np.concatenate, zip(*tested.waiting, strict=True))
        tested.waiting.clear()
        batch = _batch(vectors, tested, samples, _heads_together(tested), features)
        _ask(tested, tested.together, samples, batch)


def _heads_together(tested: Tested) -> Int[np.ndarray, " head"]:
    return np.unique(np.concatenate([tested.fitted[place].heads for place in tested.together]))


def _ask(tested: Tested, methods: Sequence[int], samples: Int[np.ndarray, " some"], batch: Batch) -> None:
    places = np.searchsorted(tested.test, samples)
    said = predict([tested.fitted[method] for method in methods], batch)
    for method, votes in zip(methods, said, strict=True):
        tested.predicted[method, places] = votes.predicted
        if method in tested.scores:
            scores = to_scores(tested.fitted[method].probabilities(votes.scores))
            if scores is None:
                del tested.scores[method]
            else:
                tested.scores[method][places] = scores
