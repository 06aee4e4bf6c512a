"""In what numbers class means and similarities are computed: double precision, or rounded as the papers' code has it.

Half precision is simulated: numbers are float32 whose values are those of the narrower type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Shaped


def _to_float16(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what is too large is infinite, as everywhere in this type
        return values.astype(np.float16).astype(np.float32)


def _to_bfloat16(values: np.ndarray) -> np.ndarray:
    """Return the nearest numbers of eight binary digits, of two as near the even one."""
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    nearest = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(values), np.float32(np.nan), nearest.view(np.float32))


ROUNDINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "float16": _to_float16,
    "bfloat16": _to_bfloat16,
    "float32": lambda values: values,
}


@dataclass(frozen=True)
class Arithmetic:
    """The type of class means, and of similarities to them: a name of `ROUNDINGS`, "" for double precision."""

    means: str = ""
    similarities: str = ""

    def __post_init__(self) -> None:
        for name in (self.means, self.similarities):
            if name and name not in ROUNDINGS:
                raise ValueError(f"unknown arithmetic {name!r}; there is {', '.join(ROUNDINGS)}")


DOUBLE = Arithmetic()


def rounded(values: Shaped[np.ndarray, "*any"], name: str) -> Float[np.ndarray, "*any"]:
    """Return numbers as a type has them, in float32."""
    return ROUNDINGS[name](values.astype(np.float32))


def rounded_mean(vectors: Shaped[np.ndarray, "sample head dim"], name: str) -> Float[np.ndarray, "head dim"]:
    """Return the mean of vectors whose sum is rounded after each of them, as a tensor of that type sums in place."""
    total = np.zeros(vectors.shape[1:], dtype=np.float32)
    for vector in rounded(vectors, name):
        total = rounded(total + vector, name)
    return rounded(total / np.float32(len(vectors)), name)


def rounded_cosine(
    x: Float[np.ndarray, "head sample dim"], u: Float[np.ndarray, "head class dim"], name: str
) -> Float[np.ndarray, "head sample class"]:
    """Return cosines whose every step is rounded: lengths, vectors of length 1, products, sums.

    A vector without direction has the cosine 0 to anything, as in double precision.
    """
    x, u = _unit(rounded(x, name), name), _unit(rounded(u, name), name)
    of_classes = [rounded((rounded(x * one[:, None], name)).sum(axis=-1), name) for one in u.transpose(1, 0, 2)]
    return np.stack(of_classes, axis=-1)


def _unit(vectors: np.ndarray, name: str) -> np.ndarray:
    length = rounded(np.sqrt(np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64)), name)[..., None]
    return rounded(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0), name)
