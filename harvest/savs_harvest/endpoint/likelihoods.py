"""From the most likely first tokens of an answer to the log-probability of every class."""

from __future__ import annotations

import math
from collections.abc import Sequence

from savs_harvest.asking.said import bare


def class_logits(first: Sequence[tuple[str, float]], answers: Sequence[str]) -> list[float] | None:
    """Return the log-probability of every class, from (first token, log-probability); None where one is not given.

    A token stands for the class whose answer begins with it, in any case and without space in front, and for none
    where several do. Tokens of one class ("Yes", " yes") are added up.
    """
    names = [bare(answer) for answer in answers]
    found: list[list[float]] = [[] for _ in names]
    for token, value in first:
        begun = [place for place, name in enumerate(names) if bare(token) and name.startswith(bare(token))]
        if len(begun) == 1:
            found[begun[0]].append(value)
    return [_added(values) for values in found] if all(found) else None


def _added(values: Sequence[float]) -> float:
    largest = max(values)
    return min(0.0, largest + math.log(sum(math.exp(value - largest) for value in values)))
