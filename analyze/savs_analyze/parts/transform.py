"""From similarities over classes to scores over classes: what the second paper adds to the cosine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

TRANSFORMS = ("none", "penalty", "artanh")
# Rounding takes a cosine to 1 and beyond, where artanh is infinite.
LARGEST = 1 - 1e-15


@dataclass(frozen=True)
class Transform:
    """A transform of similarities s over K classes, m being the mean of the other classes' similarities.

    none: s. penalty (second paper, 3.1): s - m. artanh (3.2): a (1 + artanh s) - b artanh m, for cosines.
    """

    name: str = "none"
    a: int | float = 1.0
    b: int | float = 1.0

    def __post_init__(self) -> None:
        if self.name not in TRANSFORMS:
            raise ValueError(f"unknown transform {self.name!r}; there are {', '.join(TRANSFORMS)}")
        if not (self.a > 0 and self.b > 0):
            raise ValueError(f"a and b must be above 0, got {self.a} and {self.b}")


NONE = Transform()


def transformed(
    kind: Transform, similarities: Float[np.ndarray, "sample class head"]
) -> Float[np.ndarray, "sample class head"]:
    """Return the scores of the classes. A single class has no others: it keeps its similarity."""
    classes = similarities.shape[1]
    if kind.name == "none" or classes == 1:
        return similarities
    others = (similarities.sum(axis=1, keepdims=True) - similarities) / (classes - 1)
    if kind.name == "penalty":
        return similarities - others
    return kind.a * (1 + _artanh(similarities)) - kind.b * _artanh(others)


def _artanh(cosines: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(cosines, -LARGEST, LARGEST))
