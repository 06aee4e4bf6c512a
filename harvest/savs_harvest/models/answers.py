"""From classes to the tokens that a model would answer with: what its own answer, zero-shot, is read from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

from transformers.utils.chat_template_utils import encode_marked_chat

from savs_benchmarks import Benchmark
from savs_harvest.errors import ModelError
from savs_harvest.models.prompts import QUESTION, conversation, sample_pictures, write
from savs_harvest.models.templates import DATE

# An answer that no template writes by itself.
LIKE_NO_OTHER = "qzxjvk"
FIRST, WHOLE, NONE = "first token", "whole answer", "none"


class Answered(Protocol):
    """Whatever gives the log-probabilities of a task's classes."""

    @property
    def way(self) -> str:
        """What the log-probability of a class is read from."""


@dataclass(frozen=True)
class Answers:
    """How the classes of a task are answered: `tokens` of each class, as the chat template writes them.

    One token a class where the first tells all classes apart, else those of the whole answer; no class has any where
    nothing tells two classes apart, or one has no answer in words.
    """

    tokens: tuple[tuple[int, ...], ...]

    @property
    def way(self) -> str:
        """What the log-probability of a class is read from."""
        if not all(self.tokens):
            return NONE
        return FIRST if all(len(each) == 1 for each in self.tokens) else WHOLE

    @property
    def behind(self) -> int:
        """How many tokens a prompt is read with behind its own: those of the longest answer but its last."""
        return max(map(len, self.tokens), default=1) - 1 if self.way == WHOLE else 0

    @property
    def first(self) -> list[int] | None:
        """The only token of each class, None where there are more or none."""
        return [token for (token,) in self.tokens] if self.way == FIRST else None


def find_answers(
    processor: Any, benchmark: Benchmark, parity: Sequence[str] = (), date: str = DATE
) -> dict[str, Answers]:
    """Return how the classes of every task are answered.

    An answer is what the chat template writes in an answered turn behind what it writes where a turn begins: with the
    space in front that some write, and with the word sign that some tokenizers put there. Where one answer is the
    beginning of another, whole answers of that task end with the token that ends the turn.
    """
    turn = _AnsweredTurn(processor, tuple(parity), date)
    return {
        task: Answers(_telling([turn.tokens(benchmark.answer(label)) for label in classes]))
        for task, classes in benchmark.tasks.items()
        if classes
    }


def answer_tokens(
    processor: Any, benchmark: Benchmark, task: str, parity: Sequence[str] = (), date: str = DATE
) -> dict[str, tuple[int, ...]]:
    """Return the tokens that a model is to answer each class of a task with, the one that ends the turn behind them.

    Raises `ModelError` naming a class without words.
    """
    turn, found = _AnsweredTurn(processor, tuple(parity), date), {}
    for label in benchmark.tasks[task]:
        tokens, end = turn.tokens(benchmark.answer(label))
        if not tokens:
            raise ModelError(f"{benchmark.name}: class {label!r} of task {task!r} has no words to answer it with")
        found[label] = tokens if end is None else (*tokens, end)
    return found


def first_words(processor: Any, words: Sequence[str], parity: Sequence[str] = (), date: str = DATE) -> list[int]:
    """Return the first token of each word where an answer begins. Raises `ModelError` where two have the same."""
    turn = _AnsweredTurn(processor, tuple(parity), date)
    found = [tokens[0] for tokens, _ in map(turn.tokens, words) if tokens]
    if len(set(found)) < len(words):
        raise ModelError(f"no first token tells the answers {', '.join(words)} apart")
    return found


def ways(answers: Mapping[str, Answered]) -> dict[str, str]:
    """Return of every task what the log-probability of a class is read from."""
    return {task: found.way for task, found in answers.items()}


def _telling(answers: Sequence[tuple[tuple[int, ...], int | None]]) -> tuple[tuple[int, ...], ...]:
    """Return the tokens of each class from (the tokens of its answer, the one that ends the turn)."""
    whole = [tokens for tokens, _ in answers]
    if not all(whole) or len(set(whole)) < len(whole):
        return tuple(() for _ in whole)
    first = [tokens[:1] for tokens in whole]
    if len(set(first)) == len(first):
        return tuple(first)
    if not any(longer[: len(tokens)] == tokens for tokens, longer in pairwise(sorted(whole))):
        return tuple(whole)
    ended = tuple((*tokens, end) for tokens, end in answers if end is not None)
    # Without an end, an answer would always be as likely as all that begin with it, or more.
    return ended if len(ended) == len(whole) else tuple(() for _ in whole)


class _AnsweredTurn:
    """A question that is asked, and the same with its answer: what stands between is how a model answers."""

    def __init__(self, processor: Any, parity: tuple[str, ...], date: str) -> None:
        self.processor, self.parity, self.date = processor, parity, date
        self.asked = conversation(sample_pictures(processor), QUESTION)
        self.begun = self._text(self.asked, begin_answer=True)
        before, found, after = self._answered(LIKE_NO_OTHER).partition(LIKE_NO_OTHER)
        self.opening, self.closing = "", ""
        if found and self.begun and before.startswith(self.begun):
            self.opening, self.closing = before[len(self.begun) :], after

    def tokens(self, answer: str) -> tuple[tuple[int, ...], int | None]:
        """Return the tokens of an answer, and the one that ends the turn behind them.

        Where the template tells nothing of answered turns, or begins them in another way, they are those of the words
        as they are, behind a colon with a space.
        """
        words = answer.strip()
        if not words:
            return (), None
        written = self.opening + words
        if self._answered(answer) != self.begun + written + self.closing:
            written = f" {words}" if self.begun.endswith(":") else words
        return self._continuation(self.begun, written), self._end(self.begun + written)

    def _end(self, answered: str) -> int | None:
        """Return the token that ends a turn: the first behind an answer, the tokenizer's own where that is blank.

        Some templates write nothing but a space there, and leave the end to the model.
        """
        own = self.processor.tokenizer.eos_token_id
        if own is not None and not self.closing.strip():
            return own
        return next(iter(self._continuation(answered, self.closing)), None)

    def _answered(self, answer: str) -> str:
        said = {"role": "assistant", "content": [{"type": "text", "text": answer}]}
        return self._text([*self.asked, said], begin_answer=False)

    def _text(self, messages: Sequence[Mapping[str, Any]], begin_answer: bool) -> str:
        """Return the text of a conversation, "" where the template refuses it: some know no answered turn."""
        try:
            return write(self.processor, messages, self.parity, self.date, begin_answer).text
        except ModelError:
            raise
        except ValueError:
            return ""

    def _continuation(self, before: str, words: str) -> tuple[int, ...]:
        """Return the tokens of words where others stand before them."""
        begun, whole = self._encoded(before), self._encoded(before + words)
        if whole[: len(begun)] == begun:
            return whole[len(begun) :]
        # The last token of a prompt grows together with the first word: it is asked for what would follow as it is.
        line, behind = self._encoded("\n"), self._encoded("\n" + words)
        return behind[len(line) :] if line and behind[: len(line)] == line else self._encoded(words)

    def _encoded(self, text: str) -> tuple[int, ...]:
        return tuple(encode_marked_chat(self.processor.tokenizer, text))
