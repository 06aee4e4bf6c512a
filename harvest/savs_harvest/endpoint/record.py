"""What is known of a sample's requests: folded from the lines of a journal, and from those that are added to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SENT, ANSWER, REFUSED, FAILED, WITHOUT = "sent", "answer", "refused", "failed", "without"
KINDS = (SENT, ANSWER, REFUSED, FAILED, WITHOUT)
Line = Mapping[str, Any]


@dataclass
class Usage:
    """The tokens of all answers, read and written, the most of one, and of how many answers the server told none."""

    read: int = 0
    written: int = 0
    most_read: int = 0
    most_written: int = 0
    told: int = 0
    untold: int = 0

    def take(self, usage: Mapping[str, Any]) -> None:
        read, written = (usage.get(name) for name in ("prompt_tokens", "completion_tokens"))
        if not (isinstance(read, int) and isinstance(written, int)):
            self.untold += 1
            return
        self.told += 1
        self.read, self.written = self.read + read, self.written + written
        self.most_read, self.most_written = max(self.most_read, read), max(self.most_written, written)


@dataclass
class Record:
    """All that was asked and said: `answers` and `refusals` by sample, requests that are `open`, what the server takes.

    `lost` are requests that failed in a way that leaves open whether they were paid; `logprobs_given` says that a
    request for log-probabilities was once answered; `reported` is what the server called its model when it first
    answered.
    """

    answers: dict[str, Line] = field(default_factory=dict)
    refusals: dict[str, Line] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    open: set[tuple[str, int]] = field(default_factory=set)
    lost: int = 0
    without: set[str] = field(default_factory=set)
    usage: Usage = field(default_factory=lambda: Usage())
    logprobs_given: bool = False
    reported: str | None = None

    @property
    def sent(self) -> int:
        return self.attempts.total()

    def is_done(self, sample_id: str) -> bool:
        """Tell whether a sample is not asked again: where nothing was ever answered, a refusal was not its fault."""
        return sample_id in self.answers or (sample_id in self.refusals and bool(self.answers))

    def take(self, line: Line) -> None:
        """Add a line. Raises KeyError, TypeError or ValueError where it is none."""
        kind = line["kind"]
        if kind not in KINDS:
            raise ValueError(kind)
        if kind == WITHOUT:
            self.without.add(str(line["what"]))
            return
        sample_id, attempt = str(line["sample"]), int(line["attempt"])
        if kind == SENT:
            self.attempts[sample_id] += 1
            self.open.add((sample_id, attempt))
            return
        self.open.discard((sample_id, attempt))
        if kind == ANSWER:
            _check_answer(line)
            self.usage.take(line["usage"])
            if self.reported is None:
                self.reported = line["model"]
            if self.reported == line["model"]:  # else it is paid, and of no use: the sample is asked again
                self.answers[sample_id] = line
            self.logprobs_given |= line["logprobs"]
        elif kind == REFUSED:
            self.refusals[sample_id] = line
        else:
            self.lost += bool(line["lost"])


def _check_answer(line: Line) -> None:
    if not all(isinstance(line[name], str) for name in ("text", "finish_reason", "model", "at")):
        raise ValueError("an answer")
    if not isinstance(line["usage"], dict) or not isinstance(line["logprobs"], bool):
        raise ValueError("an answer")
    for token, value in line["first"]:
        if not isinstance(token, str) or not isinstance(value, float):
            raise ValueError("an answer")
