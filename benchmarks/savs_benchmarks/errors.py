"""What can be wrong with a benchmark or a picture, said so that a user can mend it."""

from __future__ import annotations

from collections.abc import Sequence

SHOWN_FAULTS = 20


class BenchmarkError(ValueError):
    """A benchmark that cannot be used: one sentence, then one line a fault."""

    def __init__(self, summary: str, faults: Sequence[str] = ()) -> None:
        lines = [f"{summary}:" if faults else summary]
        lines += [f"  {fault}" for fault in faults[:SHOWN_FAULTS]]
        if len(faults) > SHOWN_FAULTS:
            lines.append(f"  ... and {len(faults) - SHOWN_FAULTS} more")
        super().__init__("\n".join(lines))
        self.faults = list(faults)


class PictureError(ValueError):
    """A picture that cannot be read; `code` is the status that the store records for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
