"""Asking samples side by side, each until it is answered, refused, or has failed too often."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Protocol

from savs_harvest.endpoint.client import Kind, Reply
from savs_harvest.endpoint.form import LOGPROBS, MAX_TOKENS, Form
from savs_harvest.endpoint.journal import Journal
from savs_harvest.endpoint.pace import Pace
from savs_harvest.endpoint.record import Record
from savs_harvest.errors import EndpointError

# So many samples in a row that failed to the last retry, or were refused with none answered: it is the server.
IN_VAIN, REFUSED_ALL = 3, 8
TOLD = {
    LOGPROBS: "the server gives no log-probabilities: it is asked without them",
    MAX_TOKENS: "the server takes no max_tokens: it is asked with max_completion_tokens",
}
# How requests are refused whose form is wrong.
BAD_FORM = (400, 422)


class Server(Protocol):
    """Whatever is asked."""

    def ask(self, body: Mapping[str, Any]) -> Reply: ...


@dataclass(frozen=True)
class Asked:
    """A sample that is to be asked: its words, and what gives its pictures as PNG when it is its turn."""

    sample_id: str
    question: str
    pictures: Callable[[], list[bytes]]
    request: str


@dataclass
class Asker:
    """A server, the form in which it is asked, where that is written down, how often and how fast it may be asked.

    `check` raises `EndpointError` where a limit is reached; `tell` gets words for people.
    """

    server: Server
    form: Form
    journal: Journal
    pace: Pace
    retries: int
    check: Callable[[Record], None]
    tell: Callable[[str], None]
    failed: dict[str, str] = field(default_factory=dict)
    _in_vain: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def ask_all(self, samples: Iterable[Asked], concurrency: int) -> Iterator[str]:
        """Yield the id of each sample as soon as it is answered, refused, or set aside in `failed`.

        Where anything is raised, or the reader stops, requests that are under way are waited for: they may be paid.
        """
        waiting, done = _Shared(samples), SimpleQueue[str | BaseException | None]()
        with ThreadPoolExecutor(concurrency) as threads:
            try:
                for _ in range(concurrency):
                    threads.submit(self._work, waiting, done)
                left, error = concurrency, None
                while left:
                    if isinstance(found := done.get(), str):
                        yield found
                        continue
                    left -= 1
                    error = error or found
                if error:
                    raise error
            finally:
                self.pace.stop.set()

    def _work(self, waiting: _Shared, done: SimpleQueue[str | BaseException | None]) -> None:
        try:
            while not self.pace.stop.is_set() and (sample := waiting.next()) is not None:
                if self._ask(sample):
                    done.put(sample.sample_id)
            done.put(None)
        except BaseException as error:  # it is raised where all others are waited for
            self.pace.stop.set()
            done.put(error)

    def _ask(self, sample: Asked) -> bool:
        """Ask a sample until that is of no more use; return False where everything stopped before."""
        pictures, without, tried = sample.pictures(), set(self.journal.record.without), 0
        while self.pace.wait():
            attempt = self.journal.send(sample.sample_id, sample.request, self.check)
            reply = self.server.ask(self.form.body(sample.question, pictures, without))
            if reply.kind is Kind.answer:
                self._answered(sample.sample_id, attempt, reply, without)
                return True
            if reply.kind is Kind.refused:
                if what := self._too_much(reply, without):
                    without.add(what)
                    self.journal.fail(sample.sample_id, attempt, reply.why, lost=False)
                    continue
                self._refused(sample.sample_id, attempt, reply)
                return True
            self.journal.fail(sample.sample_id, attempt, reply.why, reply.lost)
            if tried == self.retries:
                self._set_aside(sample.sample_id, reply.why)
                return True
            self.pace.pause(tried, reply.after)
            tried += 1
        return False

    def _answered(self, sample_id: str, attempt: int, reply: Reply, without: Iterable[str]) -> None:
        """Write an answer down, and what the server was found not to take. Raises `EndpointError` for another model."""
        self.journal.answer(sample_id, attempt, reply.fields)
        for what in without:
            if self.journal.go_without(what):
                self.tell(TOLD[what])
        with self._lock:
            self._in_vain = 0
        if (before := self.journal.record.reported) != reply.fields["model"]:
            raise EndpointError(
                f"the server now calls its model {reply.fields['model']!r}, before {before!r}: answers of two are not "
                "mixed; ask the other under another name (--as NAME)"
            )

    def _too_much(self, reply: Reply, without: Iterable[str]) -> str | None:
        """Return what may be left out of a request that was refused, None where it is the sample that is refused."""
        if reply.code not in BAD_FORM:
            return None
        if "max_tokens" in reply.why and MAX_TOKENS not in without:
            return MAX_TOKENS
        given = self.journal.record.logprobs_given and "logprobs" not in reply.why
        return LOGPROBS if self.form.logprobs and LOGPROBS not in without and not given else None

    def _refused(self, sample_id: str, attempt: int, reply: Reply) -> None:
        self.journal.refuse(sample_id, attempt, reply.why)
        record = self.journal.record
        if not record.answers and len(record.refusals) >= REFUSED_ALL:
            raise EndpointError(refused_all(record))

    def _set_aside(self, sample_id: str, why: str) -> None:
        with self._lock:
            self.failed[sample_id] = why
            self._in_vain += 1
            if self._in_vain >= IN_VAIN:
                raise EndpointError(
                    f"the server fails: {self._in_vain} samples in a row had no answer after {self.retries} retries; "
                    f"the last: {why}"
                )


def refused_all(record: Record) -> str:
    """Return in words that a server refuses whatever it is asked, which is not the fault of samples."""
    last = list(record.refusals.values())[-1]["why"]
    return f"the server refuses every sample, {len(record.refusals)} of them; the last: {last}"


class _Shared:
    """Samples that several threads take from, each once."""

    def __init__(self, samples: Iterable[Asked]) -> None:
        self._samples, self._lock = iter(samples), threading.Lock()

    def next(self) -> Asked | None:
        with self._lock, suppress(StopIteration):
            return next(self._samples)
        return None
