"""What a harvest did, and what went wrong with its samples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch

from savs_benchmarks import Sample
from savs_benchmarks.errors import Fault
from savs_harvest.errors import ModelError
from savs_stores import Status


class Failed(Protocol):
    """What became of the samples of a shard: their statuses, and why those failed that did."""

    @property
    def status(self) -> np.ndarray: ...
    @property
    def reasons(self) -> dict[int, str]: ...


@dataclass
class Report:
    """What a harvest did: samples by status, why the failed ones failed, what else is worth knowing.

    `answers` says of every task what zero-shot log-probabilities are read from, `remarks` what was changed of the
    model's own files or is not done with it.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    halved: int = 0

    def add(self, samples: Sequence[Sample], rows: range, ran: Failed) -> None:
        """Note what became of the samples of a shard."""
        self.failures += failures_of(rows, samples, ran)
        self.statuses.update(Status(status).name for status in ran.status.tolist())

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != Status.OK.name)


def check_first(number: int, buffers: Failed, report: Report, device: torch.device, begins: bool) -> None:
    """Raise `ModelError` where nothing of the first shard could be run, for what is not its samples' fault.

    One refused sample is its own fault; nothing but refused samples from the start is the model's. Of several
    processes, or after a resume, none knows what was found before.
    """
    if begins and (buffers.status == Status.REJECTED).all():
        raise ModelError(f"the model refuses every sample of shard {number}:\n  {report.failures[-1]}")
    if (buffers.status == Status.OUT_OF_MEMORY).all():
        raise ModelError(
            f"no sample of shard {number} fits into the memory of {device}, not even alone: "
            "is another process using it?"
        )


def failures_of(rows: range, samples: Sequence[Sample], buffers: Failed) -> list[str]:
    return [_failure(samples[rows[place]], why) for place, why in sorted(buffers.reasons.items())]


def _failure(sample: Sample, why: str) -> Fault:
    """Return why a sample failed; samples whose pictures have the same fault failed for the same reason."""
    kind = why
    for picture in sample.images:
        kind = kind.replace(str(picture), "...")
    return Fault(sample.sample_id, why, kind)
