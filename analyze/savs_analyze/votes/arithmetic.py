"""In what numbers class means and similarities are computed: double precision, or rounded as the papers' code has it.

Half precision is simulated: numbers are float32 whose values are those of the narrower type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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


# The largest number of each type.
LARGEST = {"float16": 65504.0, "bfloat16": (2 - 2**-7) * 2.0**127, "float32": (2 - 2**-23) * 2.0**127}


class MeanError(ValueError):
    """A class, by its number or name, whose mean a type cannot hold."""

    def __init__(self, label: int, arithmetic: str, name: str = "") -> None:
        super().__init__(label, arithmetic, name)  # what it is made of, so that it comes whole from another process

    def __str__(self) -> str:
        label, arithmetic, name = self.args
        return f"class {repr(name) if name else label}: its vectors, or their sum, are {_too_large(arithmetic)}"

    def of(self, classes: Sequence[str]) -> MeanError:
        """Return the same with the class's own name."""
        label, arithmetic, _ = self.args
        return MeanError(label, arithmetic, classes[label])


def _too_large(name: str) -> str:
    words = f"too large for {name}, whose largest number is {LARGEST[name]:.6g}"
    return f"{words}: compute in --arithmetic bfloat16" if name == "float16" else words


def in_range(values: np.ndarray, name: str) -> np.ndarray:
    """Return numbers of a type. Raises ValueError where one was too large for it: what follows would be no number."""
    if np.isinf(values).any():
        raise ValueError(f"a vector, its length or its similarity is {_too_large(name)}")
    return values


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
    with np.errstate(over="ignore", invalid="ignore"):  # who asks looks whether it is finite
        for vector in rounded(vectors, name):
            total = rounded(total + vector, name)
    return rounded(total / np.float32(len(vectors)), name)


def rounded_cosine(
    x: Float[np.ndarray, "head sample dim"], u: Float[np.ndarray, "head class dim"], name: str
) -> Float[np.ndarray, "head sample class"]:
    """Return cosines whose every step is rounded: lengths, vectors of length 1, products, sums.

    A vector without direction has the cosine 0 to anything, as in double precision. Raises ValueError for one that is
    too long for the type.
    """
    x, u = _unit(rounded(x, name), name), _unit(rounded(u, name), name)
    of_classes = [rounded((rounded(x * one[:, None], name)).sum(axis=-1), name) for one in u.transpose(1, 0, 2)]
    return np.stack(of_classes, axis=-1)


def _unit(vectors: np.ndarray, name: str) -> np.ndarray:
    exact = np.sqrt(np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64))
    length = in_range(rounded(exact, name), name)[..., None]
    return rounded(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0), name)
