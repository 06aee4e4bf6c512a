"""Chat templates: from messages to the text of a prompt, the same on every day and machine, within bounds."""

from __future__ import annotations

import atexit
import json
import os
import re
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from savs_harvest.errors import ModelError

# What every template takes for today, whenever and wherever it is rendered.
DATE = "2025-01-01"
SECONDS = 10.0
STARTING_SECONDS = 120.0
MOST_CHARACTERS = 1_000_000
LONGEST_TEMPLATE = 1_000_000
# How an object without a text of its own is written: its place in memory is another in every process.
PLACE_IN_MEMORY = re.compile(r" at 0x[0-9a-fA-F]+>")
# Settings in which two processes differ, apart from their clocks, which say nothing: `DATE` stands in their place.
SETTINGS = ({"PYTHONHASHSEED": "0"}, {"PYTHONHASHSEED": "1"})
CHECKED = 8


class Refusal(ValueError):
    """A conversation that a template refuses by itself."""


@dataclass(frozen=True)
class ChatTemplate:
    """A template's text, the special tokens it may name, and the date it sees (`2025-01-01`)."""

    text: str
    tokens: Mapping[str, Any] = field(default_factory=dict)
    date: str = DATE

    @classmethod
    def of(cls, processor: Any, text: str | None = None, date: str = DATE) -> ChatTemplate:
        """Return the template of a processor or its tokenizer, or another text in its place.

        Raises `ModelError` where there is none, or several and none of them is the default.
        """
        tokens = {name: token for name, token in processor.tokenizer.special_tokens_map.items() if _is_words(token)}
        return cls(text or template_text(processor), tokens, date)

    def render(self, messages: Sequence[Mapping[str, Any]], begin_answer: bool = True) -> str:
        """Return the text of a conversation, with the beginning of the answer's turn where it is asked for.

        Raises `Refusal` where the template refuses these messages, `ModelError` where it takes too long, needs too
        much memory, writes too much, or cannot be rendered at all.
        """
        return _rendered(json.dumps(self._request(messages, begin_answer)))

    def check(self, messages: Sequence[Mapping[str, Any]]) -> None:
        """Raise `ModelError` where the messages give other texts in another process, or with other random numbers."""
        expected = self.render(messages)
        for seed in range(CHECKED):
            request = json.dumps(self._request(messages, True) | {"seed": seed})
            if any(_ask(_process(number), request) != expected for number in range(len(SETTINGS))):
                raise ModelError(
                    "the chat template writes another text each time it is rendered: no vector could be made again"
                )

    def _request(self, messages: Sequence[Mapping[str, Any]], begin_answer: bool) -> dict[str, Any]:
        return {
            "template": self.text,
            "messages": [_plain(message) for message in messages],
            "tokens": dict(self.tokens),
            "date": self.date,
            "begin_answer": begin_answer,
            "seed": 0,
            "most": MOST_CHARACTERS + 8 * sum(len(text) for message in messages for text in texts_of(message)),
        }


def check_date(date: str) -> str:
    """Return a date; raises `ModelError` where it is none of the form 2025-01-01."""
    try:
        time.strptime(date, "%Y-%m-%d")
    except ValueError:
        raise ModelError(f"{date!r} is no date; write it as {DATE}") from None
    return date


def template_text(processor: Any) -> str:
    """Return the text of a processor's chat template, of its tokenizer's where it has none itself.

    Raises `ModelError` where there is none, or several and none of them is the default.
    """
    found = getattr(processor, "chat_template", None) or processor.tokenizer.chat_template
    if isinstance(found, Mapping):
        if "default" not in found:
            raise ModelError(f"there are several chat templates, none of them the default: {', '.join(sorted(found))}")
        found = found["default"]
    if not isinstance(found, str) or not found:
        raise ModelError("there is no chat template: it is no instruct model, or a file is missing")
    if len(found) > LONGEST_TEMPLATE:
        raise ModelError(f"the chat template has {len(found):,} characters, more than {LONGEST_TEMPLATE:,}")
    return found


def texts_of(message: Mapping[str, Any]) -> list[str]:
    """Return the words of a message."""
    return [part["text"] for part in message["content"] if part["type"] == "text"]


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message in which every picture is a word: templates ask whether it is there, never what it shows."""
    parts = [part if part["type"] == "text" else part | {part["type"]: "<picture>"} for part in message["content"]]
    return {**message, "content": parts}


def _is_words(token: Any) -> bool:
    return isinstance(token, str) or (isinstance(token, list) and all(isinstance(each, str) for each in token))


@lru_cache(1024)
def _rendered(request: str) -> str:
    """Return the text of a request. Most prompts of many benchmarks are the same words over and over."""
    return _ask(_process(0), request)


def _ask(process: _Process, request: str) -> str:
    answer = process.ask(request)
    if "refused" in answer:
        raise Refusal(f"the chat template refuses the prompt: {answer['refused']}")
    if "broken" in answer:
        raise ModelError(f"the chat template cannot be rendered: {answer['broken']}")
    if PLACE_IN_MEMORY.search(answer["text"]) and not PLACE_IN_MEMORY.search(request):
        raise ModelError("the chat template writes a place in memory, which is another one each time")
    return answer["text"]


@cache
def _process(number: int) -> _Process:
    return _Process(SETTINGS[number])


class _Process:
    """A process that renders, begun when it is first asked and ended when it does not answer."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self.settings = settings
        self.lock = threading.Lock()
        self.running: subprocess.Popen[bytes] | None = None
        atexit.register(self._end)

    def ask(self, request: str) -> dict[str, str]:
        """Return the answer to a request, or that it took too long, or that the process has died of it."""
        with self.lock:
            try:
                running = self._begun()
                line = _exchange(running, request.encode() + b"\n", SECONDS)
            except BrokenPipeError:
                line = b""
            except BaseException:  # the answer that is on its way would be taken for that of the next request
                self._end()
                raise
            if line is None:
                self._end()
                return {"broken": f"it takes more than {SECONDS:.0f} seconds"}
            if not line:
                self._end()
                return {"broken": "the process that renders it has died of it"}
            return json.loads(line)

    def _begun(self) -> subprocess.Popen[bytes]:
        """Return the process, in which nothing but the request decides what is written: no language, no time zone."""
        if self.running is None or self.running.poll() is not None:
            fixed = {"TZ": "UTC", "LC_ALL": "C.UTF-8", "TRANSFORMERS_VERBOSITY": "error"}
            self.running = subprocess.Popen(
                [sys.executable, "-P", str(Path(__file__).with_name("rendering.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | fixed | self.settings,
                start_new_session=True,  # an interruption is for this process, which ends the other
            )
            if not _exchange(self.running, b"", STARTING_SECONDS):
                self._end()
                raise ModelError(
                    "the process that renders chat templates does not start: is transformers installed as savs[harvest] asks?"
                )
            self._check_clock()
        return self.running

    def _check_clock(self) -> None:
        """Raise `ModelError` where templates would see the clock: this transformers tells them the time in a new way."""
        asked = {"template": "{{ strftime_now('%Y-%m-%d') }}", "messages": [], "tokens": {}, "date": DATE}
        request = json.dumps(asked | {"begin_answer": False, "seed": 0, "most": 100})
        if json.loads(_exchange(self.running, request.encode() + b"\n", SECONDS) or b"{}").get("text") != DATE:
            self._end()
            raise ModelError("this version of transformers shows chat templates the clock: prompts would change by day")

    def _end(self) -> None:
        if self.running is not None:
            self.running.kill()
            self.running.communicate()
            self.running = None


def _exchange(process: subprocess.Popen[bytes], request: bytes, seconds: float) -> bytes | None:
    """Return the line that answers a request: b"" where the process has ended, None where there is none in time."""
    assert process.stdin is not None and process.stdout is not None
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
