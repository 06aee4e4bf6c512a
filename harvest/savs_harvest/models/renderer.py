"""The process that renders chat templates, seen from outside: begun, asked, bounded in time, ended."""

from __future__ import annotations

import atexit
import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from savs_harvest.errors import ModelError

SECONDS = 10.0
STARTING_SECONDS = 120.0
# In what two processes differ, and a template must not.
SETTINGS = ({"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "1"})
LONG_AGO = "1999-12-31"


@cache
def renderer(number: int = 0) -> Renderer:
    """Return one of the processes that render, each in settings of its own: what they all write is no chance."""
    return Renderer(SETTINGS[number])


class Renderer:
    """A process that renders, begun when it is first asked and ended when it does not answer."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = dict(settings)
        self.lock = threading.Lock()
        self.owner = os.getpid()
        self.running: subprocess.Popen[bytes] | None = None
        atexit.register(self._end)

    def ask(self, request: str) -> dict[str, str]:
        """Return the answer to a request, or that it took too long, or that the process has died of it.

        A process that ends once may have been killed from outside: another is asked before it is held against a
        template.
        """
        with self.lock:
            for _ in range(2):
                try:
                    line = _exchange(self._begun(), request.encode() + b"\n", SECONDS)
                except BrokenPipeError:
                    line = b""
                except BaseException:  # the answer that is on its way would be taken for that of the next request
                    self._end()
                    raise
                if line:
                    return json.loads(line)
                self._end()
                if line is None:
                    return {"broken": f"it takes more than {SECONDS:.0f} seconds"}
            return {"broken": "the process that renders it has died of it"}

    def _begun(self) -> subprocess.Popen[bytes]:
        """Return the process, in which nothing but the request decides what is written: no language, no time zone."""
        if self.owner != os.getpid():  # a fork of ours: answers to both would get mixed up
            self.running, self.owner = None, os.getpid()
        if self.running is not None and self.running.poll() is not None:
            self._end()
        if self.running is None:
            fixed = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "TRANSFORMERS_VERBOSITY": "error"}
            self.running = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("rendering.py")), str(2 * SECONDS)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | fixed | self.settings,
                start_new_session=True,  # an interruption is for this process, which ends the other
            )
            if not _exchange(self.running, b"", STARTING_SECONDS):
                self._end()
                raise ModelError("the process that renders chat templates does not start: is savs[harvest] installed?")
            self._check_clock(self.running)
        return self.running

    def _check_clock(self, process: subprocess.Popen[bytes]) -> None:
        """Raise `ModelError` where this transformers tells templates the time in a way that is not known here."""
        asked = {"template": "{{ strftime_now('%Y-%m-%d') }}", "messages": [], "tokens": {}, "date": LONG_AGO}
        request = json.dumps(asked | {"begin_answer": False, "seed": 0, "most": 100})
        if json.loads(_exchange(process, request.encode() + b"\n", STARTING_SECONDS) or b"{}").get("text") != LONG_AGO:
            self._end()
            raise ModelError("this version of transformers shows chat templates the clock: prompts would change by day")

    def _end(self) -> None:
        if self.running is not None and self.owner == os.getpid():
            self.running.kill()
            self.running.communicate()
            self.running = None


def _exchange(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> bytes | None:
    """Return the line that answers a request: b"" where the process has ended, None where there is none in time."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(request)
    process.stdin.flush()
    line, until = b"", time.monotonic() + seconds
    while not line.endswith(b"\n"):
        ready, _, _ = select.select([process.stdout], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            return None
        if not (part := os.read(process.stdout.fileno(), 2**20)):
            return b""
        line += part
    return line
