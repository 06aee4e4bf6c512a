"""Pairs of digits: two pictures, two questions, each true of one picture. (The shape of NaturalBench.)

Source and licence: see `digits`. A group is scored as a whole: question accuracy wants both pictures
of a question right, image accuracy both questions of a picture, group accuracy all four.
"""

from __future__ import annotations

from collections.abc import Iterator

from savs_benchmarks.digits.digits import DIGIT_WORDS, LICENCE, REVISION, SOURCE, digit_orders, picture_rows
from savs_benchmarks.sample import DEFAULT_TASK, Benchmark, Sample

PROMPT = "Does the photo show number {named}? Please answer yes or no."


def samples() -> Iterator[Sample]:
    for split in ("pool", "test"):
        rows = picture_rows(split)
        for index, order in enumerate(digit_orders(len(rows))):
            for digits in zip(order[::2], order[1::2], strict=True):
                group = f"{split}-{index}-{DIGIT_WORDS[digits[0]]}-{DIGIT_WORDS[digits[1]]}"
                for slot in range(4):
                    question, image = divmod(slot, 2)
                    yield Sample(
                        sample_id=f"{group}-{slot}",
                        images=(rows[index][digits[image]],),
                        question=PROMPT.format(named=DIGIT_WORDS[digits[question]]),
                        label="yes" if question == image else "no",
                        split=split,
                        group=group,
                        slot=slot,
                    )


BENCHMARK = Benchmark(
    name="digits-pairs",
    summary="two pictures of digits x two questions, scored in groups of four",
    source=SOURCE,
    revision=REVISION,
    licence=LICENCE,
    metric="question-image-group",
    tasks={DEFAULT_TASK: ("no", "yes")},
    prompt=PROMPT,
    samples=samples,
    varying=(DEFAULT_TASK,),
)
