"""How fast a server is asked: so many requests a minute, pauses that it asks for, longer ones as it goes on failing."""

from __future__ import annotations

import random
import threading
import time
from dataclasses import dataclass, field

FIRST, LONGEST = 0.5, 120.0


@dataclass
class Pace:
    """What all threads wait for before a request; `stop` ends every wait at once."""

    rate: float | None = None
    stop: threading.Event = field(default_factory=threading.Event)
    _next: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self) -> bool:
        """Wait for this request's turn; return whether it may be sent."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + (60 / self.rate if self.rate else 0)
        return not self.stop.wait(max(0.0, turn - time.monotonic()))

    def pause(self, tried: int, asked: float | None) -> None:
        """Wait after a failure: as long as the server asks, but two minutes; else twice as long each time, by chance.

        What the server asks for holds for all threads.
        """
        if asked is None:
            self.stop.wait(min(LONGEST, FIRST * 2**tried) * random.uniform(0.5, 1.0))  # two clients part ways
            return
        seconds = min(LONGEST, max(0.0, asked))
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)
        self.stop.wait(seconds)
