"""What can be wrong with a benchmark or a picture, said so that a user can mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

SHOWN_FAULTS = 20
SHOWN_PLACES = 5


class Fault(str):
    """What is wrong at one place, `place: reason`. Faults of one `kind` are told as one."""

    place: str
    reason: str
    kind: str
    between: str

    def __new__(cls, place: str, reason: str, kind: str = "", between: str = ": ") -> Fault:
        """Make the text; `kind` is the reason without what only this place has, such as what was got instead."""
        fault = super().__new__(cls, f"{place}{between}{reason}")
        fault.place, fault.reason, fault.between = place, reason, between
        fault.kind = kind or reason.partition(", got ")[0]
        return fault

    def __reduce__(self) -> tuple[Any, ...]:
        return Fault, (self.place, self.reason, self.kind, self.between)


def grouped(faults: Iterable[str]) -> list[tuple[str, int]]:
    """Return one line for every kind of fault, and of how many it tells: the first in full, a count, a few places."""
    groups: dict[str, list[str]] = {}
    for fault in faults:
        groups.setdefault(fault.kind if isinstance(fault, Fault) else fault, []).append(fault)
    return [(_in_one_line(group), len(group)) for group in groups.values()]


def _in_one_line(group: Sequence[str]) -> str:
    if len(group) == 1:
        return group[0]
    others = [fault.place for fault in group[1:SHOWN_PLACES] if isinstance(fault, Fault)]
    also = f", also {', '.join(others)}{' ...' if len(group) > SHOWN_PLACES else ''}" if others else ""
    return f"{group[0]} ({len(group):,} times{also})"


class BenchmarkError(ValueError):
    """A benchmark that cannot be used: one sentence, then one line for each kind of fault; `faults` are all of them."""

    def __init__(self, summary: str, faults: Sequence[str] = ()) -> None:
        groups = grouped(faults)
        lines = [f"{summary}:" if faults else summary]
        lines += [f"  {line}" for line, _ in groups[:SHOWN_FAULTS]]
        if len(groups) > SHOWN_FAULTS:
            lines.append(f"  ... and {sum(count for _, count in groups[SHOWN_FAULTS:])} more")
        super().__init__("\n".join(lines))
        self.faults = list(faults)


class KindError(ValueError):
    """What is wrong with a line; `kind` is the same words for all lines of the same fault."""

    def __init__(self, reason: str, kind: str) -> None:
        super().__init__(reason)
        self.kind = kind


class PictureError(ValueError):
    """A picture that cannot be read; `code` is the status that the store records for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
