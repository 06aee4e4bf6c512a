"""NaturalBench: two pictures, two questions, each answer right for one picture only; scored in groups of four.

Li et al. 2024, arXiv 2410.14669; https://huggingface.co/datasets/BaiqiL/NaturalBench, Apache-2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.rows import Row, parquet_rows, read_samples
from savs_benchmarks.files.source import Source
from savs_benchmarks.sample import DEFAULT_TASK, Sample

SUFFIXES = {
    "yes_no": "Please answer Yes or No.",
    "multiple_choice": "Please output the letter corresponding to the correct option.",
}
OPTIONS = {"yes_no": ("No", "Yes"), "multiple_choice": ("A", "B")}


# The first paper's two classes: its code takes Yes for A, and No for B.
MERGED = {"A": "Yes or A", "Yes": "Yes or A", "B": "No or B", "No": "No or B"}


def samples(folder: Path) -> Iterator[Sample]:
    answers = [f"Image_{image}_Question_{question}" for question in (0, 1) for image in (0, 1)]
    columns = ["Index", "Question_0", "Question_1", *answers, "Question_Type"]
    rows = parquet_rows(sorted(folder.glob("data/train-*.parquet")), columns, ["Image_0", "Image_1"])
    yield from read_samples(rows, _samples)


def _samples(row: Row) -> Iterator[Sample]:
    kind = row.one_of("Question_Type", SUFFIXES)
    for slot in range(4):
        question, image = divmod(slot, 2)
        yield Sample(
            sample_id=f"{row['Index']}-{slot}",
            images=(row[f"Image_{image}"],),
            question=f"{row.text(f'Question_{question}')} {SUFFIXES[kind]}",
            label=row.one_of(f"Image_{image}_Question_{question}", OPTIONS[kind]),
            split="either",
            group=str(row["Index"]),
            slot=slot,
            options=OPTIONS[kind],
        )


def _of_two_classes(folder: Path) -> Iterator[Sample]:
    for sample in samples(folder):
        yield replace(sample, label=MERGED[sample.label], options=())


BENCHMARK = Published(
    name="naturalbench",
    summary="two pictures x two questions, yes or no, A or B; scored in groups of four",
    source=Source(
        page="https://huggingface.co/datasets/BaiqiL/NaturalBench",
        revision="b6a84a18ba24544169681d4b15543dd103d4d3bb",
        size="1.3 GB",
        needs=("data/train-*.parquet",),
        hub="BaiqiL/NaturalBench",
        hub_files=("data/train-*.parquet",),
    ),
    licence="Apache-2.0",
    metric="question-image-group",
    prompt="{question} {Please answer Yes or No. | Please output the letter corresponding to the correct option.}",
    counts={"either": 7600},
    classes="4",
    tasks={DEFAULT_TASK: ("A", "B", "No", "Yes")},
    samples=samples,
    paper=PaperSplit(
        samples=_of_two_classes,
        tasks={DEFAULT_TASK: tuple(sorted(set(MERGED.values())))},
        answers=dict.fromkeys(MERGED.values(), ""),  # which of two words answers depends on the question
        lost="its code for this benchmark, so the wording is the benchmark's own; no list of the support was published",
    ),
)
