"""Chat templates: from messages to the text of a prompt, the same on every day and machine, within bounds."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from savs_harvest import DATE
from savs_harvest.errors import ModelError
from savs_harvest.models.renderer import SETTINGS, Renderer, renderer

MOST_CHARACTERS = 1_000_000
LONGEST_TEMPLATE = 1_000_000
# How an object without a text of its own is written: its place in memory is another in every process.
PLACE_IN_MEMORY = re.compile(r" at 0x[0-9a-fA-F]+>")
CHECKED = 8


class Refusal(ValueError):
    """A conversation that a template refuses by itself."""


@dataclass(frozen=True)
class ChatTemplate:
    """A template's text, the special tokens it may name, and the date it sees (`2025-01-01`)."""

    text: str
    tokens: Mapping[str, Any] = field(default_factory=dict)
    date: str = DATE
    # What is said comes as parts, words and pictures; to language models as one text.
    parts: bool = True

    @classmethod
    def of(cls, processor: Any, text: str | None = None, date: str = DATE) -> ChatTemplate:
        """Return the template of a processor or its tokenizer, or another text in its place.

        Raises `ModelError` where there is none, or several and none of them is the default.
        """
        tokens = {name: token for name, token in processor.tokenizer.special_tokens_map.items() if _is_words(token)}
        return cls(text or template_text(processor), tokens, date, processor.image_processor is not None)

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
            if any(_ask(renderer(number), request) != expected for number in range(len(SETTINGS))):
                raise ModelError(
                    "the chat template writes another text each time it is rendered: no vector could be made again"
                )

    def _request(self, messages: Sequence[Mapping[str, Any]], begin_answer: bool) -> dict[str, Any]:
        return {
            "template": self.text,
            "messages": [_plain(message) if self.parts else _in_words(message) for message in messages],
            "tokens": dict(self.tokens),
            "date": self.date,
            "begin_answer": begin_answer,
            "seed": 0,
            "most": MOST_CHARACTERS + 8 * sum(len(text) for message in messages for text in texts_of(message)),
        }


def check_date(date: str) -> str:
    """Return a date; raises `ModelError` where it is none of the form 2025-01-01."""
    with suppress(ValueError):
        if datetime.date.fromisoformat(date).isoformat() == date:  # one day has one name in the identity
            return date
    raise ModelError(f"{date!r} is no date; write it as {DATE}")


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


def _in_words(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as templates of language models want it: its words as one text."""
    return {**message, "content": "".join(texts_of(message))}


def _is_words(token: Any) -> bool:
    return isinstance(token, str) or (isinstance(token, list) and all(isinstance(each, str) for each in token))


@lru_cache(1024)
def _rendered(request: str) -> str:
    """Return the text of a request. Most prompts of many benchmarks are the same words over and over."""
    return _ask(renderer(0), request)


def _ask(process: Renderer, request: str) -> str:
    answer = process.ask(request)
    if "refused" in answer:
        raise Refusal(f"the chat template refuses the prompt: {answer['refused']}")
    if "broken" in answer:
        raise ModelError(f"the chat template cannot be rendered: {answer['broken']}")
    if PLACE_IN_MEMORY.search(answer["text"]) and not PLACE_IN_MEMORY.search(request):
        raise ModelError("the chat template writes a place in memory, which is another one each time")
    return answer["text"]
