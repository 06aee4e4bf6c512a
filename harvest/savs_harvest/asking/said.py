"""Which class a model's own words name: one stated rule, for generated answers and for endpoints alike."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

# Part of a fingerprint: it changes when the rule does.
RULE = "1: the whole text, else the only answer in it as whole words, the longest of those inside each other"
UNREAD = -1
# What a text may begin and end with besides words; signs that may belong to a class (+, -, #, %) are not among them.
AROUND = " \t\n\r\"'`´“”„‘’«»‹›()[]{}<>.,:;!?*_~。、！？，：；（）"  # noqa: RUF001
BEFORE = re.compile(r"(?:the )?(?:correct |right |final )?answer(?: is\b ?:?| ?:)")
THOUGHT, THOUGHT_ENDS = "<think>", "</think>"
# An option, as capital letter: in brackets, in front of punctuation, the end or another one, or called one.
LETTER = (
    r"(?<![\w'-])(?:\(({0})\)|({0})(?=\s*(?:[).,:;!?\]*]|$)|\s+(?:or|and)\b)|(?:[Oo]ption|[Cc]hoice|[Aa]nswer) ({0}))"
    r"(?![\w'-])"
)


def read_answer(text: str, answers: Sequence[str]) -> int:
    """Return the place of the class whose answer a text says, -1 where it says none, or more than one.

    Case, quotes, brackets and punctuation around, "answer:" in front, and what stands before "</think>" say nothing.
    1) The whole text is one class's answer. 2) Else exactly one of the answers stands in it as whole words; of answers
    inside each other the longest counts. Where all answers are letters, 2) asks more: "A. a cat", "(A)", "option A"
    and "it is A." are A, "A cat" is not. A number in words is not the number. A class without words is never read.
    """
    said = _after_thought(text)
    names = [bare(answer) for answer in answers]
    whole = {place for place, name in enumerate(names) if name and name in (bare(said), _without_opening(said))}
    if whole:
        return _only(whole)
    letters = [name for name in names if name]
    if letters and all(len(name) == 1 and name.isalpha() for name in letters):
        return _only({place for letter in _letters(said, letters) for place in _places(names, letter)})
    return _only({place for name in _occurring(_plain(said), names) for place in _places(names, name)})


def _only(places: set[int]) -> int:
    return places.pop() if len(places) == 1 else UNREAD


def _places(names: Sequence[str], wanted: str) -> list[int]:
    return [place for place, name in enumerate(names) if name == wanted]


def _after_thought(text: str) -> str:
    """Return what is said; thoughts that did not come to an end say nothing."""
    _, ends, said = text.rpartition(THOUGHT_ENDS)
    return said if ends else "" if text.lstrip().startswith(THOUGHT) else text


def _plain(text: str) -> str:
    """Return a text in one case and one spelling, with single spaces for white space and underscores."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().replace("_", " ").split())


def bare(text: str) -> str:
    """Return a text in one case and one spelling, without what says nothing around it."""
    return _plain(text).strip(AROUND)


def _without_opening(text: str) -> str:
    """Return a text without "the answer is" in front; "" where nothing else is said."""
    said = bare(text)
    found = BEFORE.match(said)
    return said[found.end() :].strip(AROUND) if found else said


def _letters(text: str, letters: Sequence[str]) -> set[str]:
    """Return the options that a text names: the one it begins with, in any case, and those written as capitals."""
    opening = _without_opening(" ".join(text.split()))
    first = {opening[0]} & set(letters) if re.match(r"\w\s*[).:]", opening) else set()
    capitals = "|".join(re.escape(letter.upper()) for letter in letters)
    named = re.finditer(LETTER.format(capitals), text.strip())
    return first | {group.casefold() for found in named for group in found.groups() if group}


def _occurring(text: str, names: Sequence[str]) -> set[str]:
    """Return the names that stand in a text as whole words, but for those that are inside a longer one there."""
    spans = [(start, start + len(name), name) for name in set(names) if name for start in _starts(text, name)]
    return {
        name
        for start, end, name in spans
        if not any(first <= start and end <= last and (first, last) != (start, end) for first, last, _ in spans)
    }


def _starts(text: str, name: str) -> Iterator[int]:
    start = text.find(name)
    while start >= 0:
        before, after = text[max(0, start - 2) : start][::-1], text[start + len(name) :][:2]
        if not (before.startswith("-") or _joined(before) or _joined(after)):
            yield start
        start = text.find(name, start + 1)


def _joined(beside: str) -> bool:
    """Tell whether the characters next to a word, nearest first, go on with it: 3.5 is not 3, a t-shirt no shirt."""
    if not beside:
        return False
    near, far = beside[0], beside[1:]
    if near in "-.,":
        return far.isdigit() or (near == "-" and far.isalpha())
    return near.isalnum() or unicodedata.category(near).startswith("M")
