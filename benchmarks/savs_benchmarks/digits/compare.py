"""Comparing pictures of digits: which one is larger, which one is different? (The shape of BLINK.)

Source and licence: see `digits`. Several pictures a prompt, letters as classes, tasks with heads of
their own, and one labelled split: every draw takes its support there and is tested on the rest.
"""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from savs_benchmarks.digits.digits import LICENCE, REVISION, SOURCE, digit_orders, picture_rows
from savs_benchmarks.sample import Benchmark, Sample

QUESTIONS = {
    "larger": "Which picture contains the larger number? Select from the following choices. (A) first (B) second",
    "odd-one-out": "Two of these images contain the same number, the other one does not. "
    "Which image is it? Select from the following choices. (A) first (B) second (C) third",
}
TASKS = {"larger": ("(A)", "(B)"), "odd-one-out": ("(A)", "(B)", "(C)")}
ANSWERS = {"(A)": "A", "(B)": "B", "(C)": "C"}


def _larger() -> Iterator[tuple[list[Image.Image], int]]:
    """Yield two pictures and the place of the larger digit; every picture is used once."""
    rows = picture_rows("pool") + picture_rows("test")
    for row, order in zip(rows, digit_orders(len(rows)), strict=True):
        for first, second in zip(order[::2], order[1::2], strict=True):
            yield [row[first], row[second]], int(second > first)


def _odd_one_out() -> Iterator[tuple[list[Image.Image], int]]:
    """Yield three pictures and the place of the one that differs; every picture is used once."""
    rows = picture_rows("pool") + picture_rows("test")
    triples = list(zip(rows[::3], rows[1::3], rows[2::3], strict=False))
    for (one, other, odd), order in zip(triples, digit_orders(len(triples)), strict=True):
        for index, (common, different) in enumerate(zip(order, [*order[1:], order[0]], strict=True)):
            images = [one[common], other[common]]
            images.insert(index % 3, odd[different])
            yield images, index % 3


def samples() -> Iterator[Sample]:
    for task, items in (("larger", _larger()), ("odd-one-out", _odd_one_out())):
        for index, (images, place) in enumerate(items):
            label = TASKS[task][place]
            yield Sample(f"{task}-{index}", tuple(images), QUESTIONS[task], label, split="either", task=task)


BENCHMARK = Benchmark(
    name="digits-compare",
    summary="which of two digits is larger, which of three is different",
    source=SOURCE,
    revision=REVISION,
    licence=LICENCE,
    metric="accuracy",
    tasks=TASKS,
    prompt=" | ".join(QUESTIONS.values()),
    samples=samples,
    answers=ANSWERS,
)
