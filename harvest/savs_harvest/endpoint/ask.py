"""Asking a server about a benchmark: answers into a journal one by one, from it into a store shard by shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from savs_benchmarks.errors import Fault
from savs_harvest.asking.said import UNREAD
from savs_harvest.endpoint.asker import Asker
from savs_harvest.endpoint.keeping import Known, Place, open_writer, write_shard
from savs_harvest.endpoint.plan import Plan
from savs_harvest.endpoint.record import Record
from savs_harvest.errors import EndpointError
from savs_stores import ModelWriter, Status
from savs_stores.terminal import counted


@dataclass
class Report:
    """What came of asking: samples by status, why some failed, how many answers name no class, and were cut short."""

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    unread: int = 0
    cut: int = 0

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != Status.OK.name)


def ask_plan(plan: Plan, asker: Asker, place: Place, concurrency: int, on_sample: Callable[[], None]) -> Report:
    """Ask all that is to be asked, and write every shard as soon as its samples are answered.

    Raises `EndpointError` where the server fails, where a limit is reached, and where samples are left without an
    answer; what is answered is kept, and the same plan, made again, goes on.
    """
    shards = _Shards(plan, asker.journal.record, place)
    for sample_id in asker.ask_all(plan.asked(), concurrency):
        on_sample()
        if sample_id not in asker.failed:
            shards.done(sample_id)
    record = asker.journal.record
    if record.refusals and not record.answers:
        last = list(record.refusals.values())[-1]["why"]
        raise EndpointError(f"the server refuses every sample, {len(record.refusals)} of them; the last: {last}")
    shards.write()
    if asker.failed:
        sample_id, why = next(iter(asker.failed.items()))
        raise EndpointError(
            f"{counted(len(asker.failed), 'sample')} had no answer after {counted(asker.retries, 'retry', 'retries')}, "
            f"the first: {sample_id}: {why}; the same command asks again"
        )
    return _report(shards.known)


class _Shards:
    """The shards that are missing, each with the samples that it waits for; written when it waits for none.

    Nothing is written before the first answer, which says what the server calls its model.
    """

    def __init__(self, plan: Plan, record: Record, place: Place) -> None:
        questions = plan.questions
        self.known = Known(questions.benchmark, questions.samples, record, questions.unreadable)
        self._plan, self._place = plan, place
        self._writer: ModelWriter | None = None
        self._shard_of = {questions.samples[row].sample_id: plan.layout.shard_of(row) for row in plan.rows}
        counts = Counter(self._shard_of.values())
        self._waits = {shard: counts[shard] for shard in plan.shards}
        if record.answers:
            self.write()

    def done(self, sample_id: str) -> None:
        self._waits[self._shard_of[sample_id]] -= 1
        if self.known.record.answers:
            self.write()

    def write(self) -> None:
        for shard in [shard for shard, waits in self._waits.items() if waits == 0]:
            if self._writer is None:
                classes = self._plan.questions.index.info.most_classes
                self._writer = open_writer(self._place, self._plan.form, self.known.record, classes)
            write_shard(self._writer, shard, self.known)
            del self._waits[shard]


def _report(known: Known) -> Report:
    """Return what came of all samples, also of those that were asked before."""
    report = Report()
    for sample in known.samples:
        if not known.has_outcome(sample.sample_id):  # its shard is there, the journal is not
            continue
        status, why = known.status(sample.sample_id)
        report.statuses[status.name] += 1
        if status != Status.OK:
            report.failures.append(Fault(sample.sample_id, why))
            continue
        report.unread += known.said(sample) == UNREAD
        report.cut += known.record.answers[sample.sample_id]["finish_reason"] == "length"
    return report
