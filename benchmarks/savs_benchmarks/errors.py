"""What can be wrong with a benchmark or a picture, said so that a user can mend it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SHOWN_FAULTS = 20
SHOWN_PLACES = 5


@dataclass(frozen=True)
class Fault:
    """What is wrong at one place. Faults of one `kind` are told as one: the reason without what only this place has."""

    place: str
    reason: str
    kind: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"


def grouped(faults: Iterable[Fault | str]) -> list[tuple[str, int]]:
    """Return one line for every kind of fault, and of how many it tells: the first in full, a count, a few places."""
    groups: dict[str, list[Fault | str]] = {}
    for fault in faults:
        # What was got instead is another thing at every place.
        kind = (fault.kind or fault.reason.partition(", got ")[0]) if isinstance(fault, Fault) else fault
        groups.setdefault(kind, []).append(fault)
    return [(_in_one_line(group), len(group)) for group in groups.values()]


def _in_one_line(group: Sequence[Fault | str]) -> str:
    if len(group) == 1:
        return str(group[0])
    others = [fault.place for fault in group[1:SHOWN_PLACES] if isinstance(fault, Fault)]
    also = f", also {', '.join(others)}{' ...' if len(group) > SHOWN_PLACES else ''}" if others else ""
    return f"{group[0]} ({len(group):,} times{also})"


class BenchmarkError(ValueError):
    """A benchmark that cannot be used: one sentence, then one line for each kind of fault; `faults` are all of them."""

    def __init__(self, summary: str, faults: Sequence[Fault | str] = ()) -> None:
        groups = grouped(faults)
        lines = [f"{summary}:" if faults else summary]
        lines += [f"  {line}" for line, _ in groups[:SHOWN_FAULTS]]
        if len(groups) > SHOWN_FAULTS:
            lines.append(f"  ... and {sum(count for _, count in groups[SHOWN_FAULTS:])} more")
        super().__init__("\n".join(lines))
        self.faults = [str(fault) for fault in faults]


class PictureError(ValueError):
    """A picture that cannot be read; `code` is the status that the store records for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
