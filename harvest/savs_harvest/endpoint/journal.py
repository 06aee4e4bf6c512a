"""Where requests and answers are written down: a line before each request, a line as soon as its answer is there."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from savs_harvest.endpoint.record import ANSWER, FAILED, REFUSED, SENT, WITHOUT, Record
from savs_stores.format.fingerprint import differences

FORMAT = "savs asked 1"


class JournalError(ValueError):
    """A journal that does not belong to this command, or that another process is writing."""


@dataclass
class Journal:
    """The file of all that was asked: a header that says what is asked of which model, then lines; see `Record`.

    Whatever is written goes through `hide`, which takes the key out. Lines are on the disk when a method returns.
    """

    path: Path
    header: Mapping[str, Any]
    hide: Callable[[str], str] = str
    record: Record = field(default_factory=Record)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from the file inside the block. Raises `JournalError` where one is at it."""
        from filelock import FileLock, Timeout

        self.path.parent.mkdir(parents=True, exist_ok=True)
        path = self.path.with_name(f".{self.path.name}.lock")
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise JournalError(f"{self.path} is being written by another process: wait until it is done") from None
        try:
            yield
        finally:
            path.unlink(missing_ok=True)  # while it is held: nobody else's is removed
            lock.release()

    def read(self) -> None:
        """Take what is there into the record; a torn last line counts for nothing. Raises `JournalError`."""
        self.record = Record()
        for number, line in enumerate(self._whole_lines(), 1):
            try:
                found = json.loads(line)
                if number > 1:
                    self.record.take(found)
            except (ValueError, KeyError, TypeError):
                raise JournalError(f"{self.path}, line {number}: no line of a journal; {self._advice()}") from None
            if number == 1:
                self._check_header(found)

    def begin(self) -> None:
        """Make the file ready to be added to: a torn end is cut off, a new file gets its header."""
        whole = b"".join(self._whole_lines())
        if not whole:
            self.path.write_bytes(self._line({"format": FORMAT, **self.header}))
        elif self.path.stat().st_size > len(whole):
            os.truncate(self.path, len(whole))
        self._flush(self.path)
        self._flush(self.path.parent)

    def send(self, sample_id: str, request: str, check: Callable[[Record], None]) -> int:
        """Write down that a sample is about to be asked, after a last `check`; return which attempt it is."""
        with self._lock:
            check(self.record)
            attempt = self.record.attempts[sample_id] + 1
            self._add({"kind": SENT, "sample": sample_id, "attempt": attempt, "request": request})
            return attempt

    def answer(self, sample_id: str, attempt: int, fields: Mapping[str, Any]) -> None:
        self._add({"kind": ANSWER, "sample": sample_id, "attempt": attempt, **fields})

    def refuse(self, sample_id: str, attempt: int, why: str) -> None:
        self._add({"kind": REFUSED, "sample": sample_id, "attempt": attempt, "why": why})

    def fail(self, sample_id: str, attempt: int, why: str, lost: bool) -> None:
        self._add({"kind": FAILED, "sample": sample_id, "attempt": attempt, "why": why, "lost": lost})

    def go_without(self, what: str) -> bool:
        """Write down what the server does not take; return False where that is known."""
        with self._lock:
            known = what in self.record.without
            if not known:
                self._add({"kind": WITHOUT, "what": what})
            return not known

    def _add(self, line: Mapping[str, Any]) -> None:
        written = self._line(line)
        with self._lock:
            with self.path.open("ab") as file:
                file.write(written)
                file.flush()
                os.fsync(file.fileno())
            self.record.take(json.loads(written))

    def _line(self, line: Mapping[str, Any]) -> bytes:
        return self.hide(json.dumps(line)).encode() + b"\n"

    def _whole_lines(self) -> list[bytes]:
        lines = self.path.read_bytes().splitlines(keepends=True) if self.path.exists() else []
        return lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines

    def _check_header(self, found: Any) -> None:
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise JournalError(f"{self.path} is no journal of requests; {self._advice()}")
        wanted = json.loads(self._line({"format": FORMAT, **self.header}))
        if lines := differences(found, wanted):
            listed = "".join(f"\n  {line.replace(' in the store, ', ' there, ')}" for line in lines)
            raise JournalError(f"{self.path} was begun otherwise: go on as it was begun, or say --as NAME{listed}")

    def _advice(self) -> str:
        return "move it away, or name another with --journal"

    @staticmethod
    def _flush(path: Path) -> None:
        if os.name == "nt" and path.is_dir():  # where folders cannot be opened
            return
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
