"""Handwritten digits: which of ten digits is in the picture?

Source: scikit-learn's bundled copy of the UCI "Optical Recognition of Handwritten Digits" test set,
1,797 pictures of 8x8 grey values. Licence: CC BY 4.0 (UCI Machine Learning Repository).
Half of the pictures train the embedded model `tiny`; the benchmarks use the other half only.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from PIL import Image

from savs_benchmarks.sample import DEFAULT_TASK, SPLITS, Benchmark, Sample, Split
from savs_benchmarks.wordings import hec_wordings

DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SOURCE = "scikit-learn load_digits (UCI Optical Recognition of Handwritten Digits, test set)"
REVISION = "1998-07-01"
LICENCE = "CC BY 4.0"
PICTURE_SIDE = 32
TRAINING_PER_DIGIT = 85
POOL_PER_DIGIT = 40

PROMPT = "What number is written here?"


@cache
def pictures() -> tuple[tuple[Image.Image, ...], ...]:
    """Return the pictures of each digit 0..9 as 32x32 RGB, black on white, in the source's order."""
    from sklearn.datasets import load_digits

    data = load_digits()
    grey = np.round(255 * (1 - data.images / 16)).astype(np.uint8)
    enlarged = [Image.fromarray(g).resize((PICTURE_SIDE, PICTURE_SIDE), Image.Resampling.BICUBIC) for g in grey]
    return tuple(tuple(enlarged[i].convert("RGB") for i in np.flatnonzero(data.target == digit)) for digit in range(10))


def training_pictures(digit: int) -> tuple[Image.Image, ...]:
    """Return the pictures that `tiny` is trained on; no benchmark uses them."""
    return pictures()[digit][:TRAINING_PER_DIGIT]


def benchmark_pictures(split: Split, digit: int) -> tuple[Image.Image, ...]:
    """Return the pictures of a digit that supports are drawn from (pool) or results measured on (test)."""
    unseen = pictures()[digit][TRAINING_PER_DIGIT:]
    return unseen[:POOL_PER_DIGIT] if split == "pool" else unseen[POOL_PER_DIGIT:]


def benchmark_digits() -> Iterator[tuple[Split, int, int, Image.Image]]:
    """Yield (split, digit, index within that digit and split, picture), pool first."""
    for split in SPLITS[:2]:
        for digit in range(10):
            for index, picture in enumerate(benchmark_pictures(split, digit)):
                yield split, digit, index, picture


def picture_rows(split: Split) -> list[tuple[Image.Image, ...]]:
    """Return rows of ten pictures, one of each digit, no picture twice."""
    return list(zip(*(benchmark_pictures(split, digit) for digit in range(10)), strict=False))


def digit_orders(count: int) -> list[list[int]]:
    """Return so many orders of the ten digits, each digit once an order, always the same ones."""
    generator = np.random.default_rng(0)
    return [generator.permutation(10).tolist() for _ in range(count)]


def samples() -> Iterator[Sample]:
    for split, digit, index, picture in benchmark_digits():
        yield Sample(
            sample_id=f"{split}-{DIGIT_WORDS[digit]}-{index}",
            images=(picture,),
            question=PROMPT,
            label=DIGIT_WORDS[digit],
            split=split,
        )


BENCHMARK = Benchmark(
    name="digits",
    summary="which of ten handwritten digits is in the picture",
    source=SOURCE,
    revision=REVISION,
    licence=LICENCE,
    metric="accuracy",
    tasks={DEFAULT_TASK: tuple(sorted(DIGIT_WORDS))},
    prompt=PROMPT,
    samples=samples,
    wordings=hec_wordings(PROMPT),
)
