"""What methods learn from, and what they have learnt."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from savs_analyze.methods.recipes import Method
from savs_analyze.parts.selection import HeadScores, layer_vectors
from savs_analyze.votes.similarity import class_means


@dataclass(frozen=True)
class Support:
    """The labelled samples of one draw: vectors of all heads, labels 0, 1 ..., each head's layer, the draw's seed."""

    vectors: Shaped[np.ndarray, "sample head dim"]
    labels: Int[np.ndarray, " sample"]
    classes: int
    layer: Int[np.ndarray, " head"]
    seed: int = 0

    @cached_property
    def centroids(self) -> Float[np.ndarray, "class head dim"]:
        return class_means(self.vectors, self.labels, self.classes)

    @cached_property
    def layers(self) -> list[Support]:
        """Each layer as one head."""
        return [
            Support(vectors, self.labels, self.classes, np.zeros(1, dtype=np.int64), self.seed)
            for vectors in layer_vectors(self.vectors, self.layer)
        ]

    def check_classes(self, name: str) -> None:
        """Raise ValueError where all samples are of one class, naming the method that cannot learn from them."""
        if len(np.unique(self.labels)) < 2:
            raise ValueError(f"{name} tells classes apart: samples of one class teach it nothing")


@dataclass
class Learnt:
    """A method that has seen its support. `heads` are what it needs of a sample, in the order in which they vote.

    `ranked` are those that it uses, best first, where that can differ. `report` are further columns of its rows.
    """

    method: Method
    heads: Int[np.ndarray, " head"]
    tied: int = 0
    scores: HeadScores | None = None
    # Heads of each class's own [class, k], or weights of the heads, or layers.
    of_class: np.ndarray = field(default_factory=lambda: np.empty((0, 0), dtype=np.int64))
    weights: np.ndarray | None = None
    layers: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    model: Any = None
    ranked: np.ndarray | None = None
    report: dict[str, Any] = field(default_factory=dict)
