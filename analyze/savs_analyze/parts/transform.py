"""From similarities over classes to scores over classes: what the second paper adds to the cosine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from savs_analyze.registry import Registry

# Rounding takes a cosine to 1 and beyond, where artanh is infinite.
LARGEST = 1 - 1e-15
Formula = Callable[[np.ndarray, np.ndarray, float, float], np.ndarray]


@dataclass(frozen=True)
class TransformRule:
    """A transform by name: `formula` takes similarities s, the mean m of the other classes' ones, a and b to scores.

    What the algebra says of it: `increasing`, where no transform changes which class is best; `affine`, where
    differences between classes stay but for a positive factor; `of_cosines`, where it takes nothing else.
    """

    name: str
    formula: Formula
    increasing: bool = False
    affine: bool = False
    of_cosines: bool = False


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

    @property
    def rule(self) -> TransformRule:
        return TRANSFORMS[self.name]


def transformed(
    kind: Transform, similarities: Float[np.ndarray, "sample class head"]
) -> Float[np.ndarray, "sample class head"]:
    """Return the scores of the classes. A single class has no others: it keeps its similarity."""
    classes = similarities.shape[1]
    if kind == NONE or classes == 1:
        return similarities
    others = (similarities.sum(axis=1, keepdims=True) - similarities) / (classes - 1)
    return kind.rule.formula(similarities, others, kind.a, kind.b)


def _artanh(cosines: np.ndarray) -> np.ndarray:
    return np.arctanh(np.clip(cosines, -LARGEST, LARGEST))


TRANSFORMS = Registry(
    "transform",
    (
        TransformRule("none", lambda s, m, a, b: s, increasing=True, affine=True),
        TransformRule("penalty", lambda s, m, a, b: s - m, increasing=True, affine=True),
        TransformRule(
            "artanh", lambda s, m, a, b: a * (1 + _artanh(s)) - b * _artanh(m), increasing=True, of_cosines=True
        ),
    ),
)
NONE = Transform()
