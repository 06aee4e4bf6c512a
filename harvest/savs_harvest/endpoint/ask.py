"""Asking a server about a benchmark: answers into a journal one by one, from it into a store shard by shard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from savs_benchmarks import Benchmark
from savs_benchmarks.errors import Fault
from savs_harvest.asking.said import UNREAD
from savs_harvest.endpoint.asker import Asker, refused_all
from savs_harvest.endpoint.client import Client
from savs_harvest.endpoint.form import Form
from savs_harvest.endpoint.journal import Journal
from savs_harvest.endpoint.keeping import Known, Place, begin_store, open_writer, planned, write_shard
from savs_harvest.endpoint.key import Key
from savs_harvest.endpoint.limits import Limits
from savs_harvest.endpoint.pace import Pace
from savs_harvest.endpoint.plan import Plan, find_questions, plan_lines, plan_requests
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


@dataclass(frozen=True)
class Server:
    """Where a server is, its key, the proxy on the way, and how many seconds an answer may take."""

    address: str
    key: Key
    proxy: str | None = None
    timeout: float = 120.0


@dataclass(frozen=True)
class Terms:
    """How much and how fast is asked: limits, requests at a time and a minute, how often a failed one is sent again."""

    limits: Limits
    concurrency: int = 4
    rate: float | None = None
    retries: int = 5

    def words(self) -> list[str]:
        pace = f"{self.rate:g} a minute" if self.rate else "no --rate"
        return [*self.limits.words(), f"{self.concurrency} at a time", pace]


class Shown(Protocol):
    """What a user sees while samples are asked."""

    def advance(self, samples: int) -> None: ...

    def say(self, words: str) -> None: ...


def ask_benchmark(
    benchmark: Benchmark,
    server: Server,
    form: Form,
    place: Place,
    journal_path: Path,
    terms: Terms,
    tell: Callable[[str], None],
    showing: Callable[[int, int], AbstractContextManager[Shown]],
    dry_run: bool = False,
) -> Report | None:
    """Tell what will be asked, ask it, and write it into a store; where it is a `dry_run`, only tell, and return None.

    `tell` gets words, `showing` (all samples, those that need not be asked). Raises `EndpointError` where the server
    fails, where a limit is reached, and where samples are left without an answer: what is answered is kept, and the
    same call goes on. Raises `JournalError` and `MismatchError` where journal or store are of something else.
    """
    questions = find_questions(benchmark)
    header = {"index_hash": questions.index.table.index_hash(questions.index.info), "benchmark": benchmark.name}
    journal = Journal(journal_path, header | form.describe(), server.key.hide)
    with nullcontext() if dry_run else journal.held():
        journal.read()
        plan = plan_requests(questions, form, *planned(place, questions.index, form), journal.record)
        for words in plan_lines(plan, journal.record, terms.words(), terms.limits.prices):
            tell(words)
        return None if dry_run else _ask(plan, server, place, journal, terms, showing)


def _ask(
    plan: Plan,
    server: Server,
    place: Place,
    journal: Journal,
    terms: Terms,
    showing: Callable[[int, int], AbstractContextManager[Shown]],
) -> Report:
    prices, total = terms.limits.prices, len(plan.questions.samples)
    limits = replace(terms.limits, assumed=plan.assumed_cost(prices) if prices else 0.0)
    with closing(Client(server.address, server.key, server.timeout, server.proxy)) as client:
        begin_store(place, plan.questions.index, plan.form)
        journal.begin()
        with showing(total, total - len(plan.rows)) as shown:
            asker = Asker(client, plan.form, journal, Pace(terms.rate), terms.retries, limits.check, shown.say)
            return _ask_plan(plan, asker, place, terms.concurrency, lambda: shown.advance(1))


def _ask_plan(plan: Plan, asker: Asker, place: Place, concurrency: int, on_sample: Callable[[], None]) -> Report:
    """Ask all that is to be asked, and write every shard as soon as its samples are answered."""
    shards, record = _Shards(plan, asker.journal.record, place), asker.journal.record
    for sample_id in asker.ask_all(plan.asked(), concurrency):
        on_sample()
        if sample_id not in asker.failed:
            shards.done(sample_id)
    if record.refusals and not record.answers:
        raise EndpointError(refused_all(record))
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
