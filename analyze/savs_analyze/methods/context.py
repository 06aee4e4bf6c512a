"""What methods learn from: the support of one draw, with what several of them need, computed once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from savs_analyze.parts.selection import HeadScores, Scoring, layer_vectors, score_heads
from savs_analyze.votes.similarity import class_means

if TYPE_CHECKING:
    from savs_analyze.methods.method import Method

Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Context:
    """The labelled samples of one draw: vectors of all heads, labels 0, 1 ..., each head's layer, the draw's seed.

    `methods` are all that learn from it. Samples of one `cluster` belong together, by default each is alone. Those
    with `weights` are for methods that weigh. `order` are the classes as they first appear in the training file, for
    methods that number them so. `class_vectors` are those of texts that name the classes, None where there are none.
    """

    vectors: Shaped[np.ndarray, "sample head dim"]
    labels: Int[np.ndarray, " sample"]
    classes: int
    layer: Int[np.ndarray, " head"]
    seed: int = 0
    methods: Sequence[Method] = ()
    cluster: Int[np.ndarray, " sample"] | None = None
    weights: Float[np.ndarray, " sample"] | None = None
    order: Int[np.ndarray, " class"] | None = None
    class_vectors: Shaped[np.ndarray, "class head dim"] | None = None
    _known: dict[Hashable, object] = field(default_factory=dict, repr=False)

    @cached_property
    def centroids(self) -> Float[np.ndarray, "class head dim"]:
        return class_means(self.vectors, self.labels, self.classes, self.weights)

    def means(self, arithmetic: str = "") -> Float[np.ndarray, "class head dim"]:
        """Return the centroids in another arithmetic, "" for double precision."""
        if not arithmetic:
            return self.centroids
        key = "means", arithmetic
        return self.shared(key, lambda: class_means(self.vectors, self.labels, self.classes, arithmetic=arithmetic))

    @cached_property
    def by_appearance(self) -> Context:
        """The same samples with their classes numbered by first appearance, for the methods that number them so."""
        if self.order is None:
            return self
        methods = tuple(method for method in self.methods if method.by_appearance)
        named = None if self.class_vectors is None else self.class_vectors[self.order]
        labels = np.argsort(self.order)[self.labels]
        return replace(self, labels=labels, order=None, methods=methods, class_vectors=named, _known={})

    @property
    def size(self) -> int | float:
        """The number of samples, or the sum of their weights."""
        return len(self.labels) if self.weights is None else float(self.weights.sum())

    @cached_property
    def layers(self) -> list[Context]:
        """Each layer as one head."""
        return [
            replace(self, vectors=vectors, layer=np.zeros(1, dtype=np.int64), methods=(), class_vectors=None, _known={})
            for vectors in layer_vectors(self.vectors, self.layer)
        ]

    @cached_property
    def _scores(self) -> dict[Scoring, HeadScores]:
        wanted = [scoring for method in self.methods for scoring in method.scorings]
        return self._score(wanted)

    def scores(self, scoring: Scoring) -> HeadScores:
        """Return the scores of all heads; those that any method wants are computed together."""
        if scoring not in self._scores:
            self._scores.update(self._score([scoring]))
        return self._scores[scoring]

    def _score(self, scorings: Sequence[Scoring]) -> dict[Scoring, HeadScores]:
        # Of weights only the proportions count.
        weights = None if self.weights is None else self.weights / self.weights.mean()
        found: dict[Scoring, HeadScores] = {}
        for means in dict.fromkeys(scoring.similarity.arithmetic.means for scoring in scorings):
            of_means = [scoring for scoring in scorings if scoring.similarity.arithmetic.means == means]
            found |= score_heads(self.vectors, self.labels, self.means(means), of_means, weights)
        return found

    def shared(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return what several methods compute once under a key of theirs."""
        if key not in self._known:
            self._known[key] = make()
        return cast(Value, self._known[key])

    def of(self, samples: Bool[np.ndarray, " sample"]) -> Context:
        """Return the context of some of its samples."""
        cluster = None if self.cluster is None else self.cluster[samples]
        weights = None if self.weights is None else self.weights[samples]
        vectors, labels = self.vectors[samples], self.labels[samples]
        return replace(self, vectors=vectors, labels=labels, cluster=cluster, weights=weights, _known={})

    def named(self, name: str) -> Shaped[np.ndarray, "class head dim"]:
        """Return the class vectors. Raises ValueError where there are none, naming the method that needs them."""
        if self.class_vectors is None:
            raise ValueError(
                f"{name} compares with class vectors, of texts that name classes: there are none; harvest once more "
                "into the same store (--class-prompt, where classes have no names), or give fit(..., class_vectors=...)"
            )
        return self.class_vectors

    def on(self, heads: Int[np.ndarray, " some"]) -> Context:
        """Return the context of some of its heads."""
        named = None if self.class_vectors is None else self.class_vectors[:, heads]
        vectors, layer = self.vectors[:, heads], self.layer[heads]
        return replace(self, vectors=vectors, layer=layer, class_vectors=named, _known={})

    def check_classes(self, name: str) -> None:
        """Raise ValueError where all samples are of one class, naming the method that cannot learn from them."""
        if len(np.unique(self.labels)) < 2:
            raise ValueError(f"{name} tells classes apart: samples of one class teach it nothing")
