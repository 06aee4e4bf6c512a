"""BLINK: fourteen tasks of visual perception, up to four pictures a question, letters as answers.

Fu et al. 2024, arXiv 2404.12390; https://huggingface.co/datasets/BLINK-Benchmark/BLINK, Apache-2.0.
The answers of its test split are hidden: `val` gives supports and results. Heads are chosen per task.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.rows import Row, parquet_rows, read_samples
from savs_benchmarks.files.source import Source
from savs_benchmarks.sample import Sample

TWO, THREE, FOUR = ("(A)", "(B)"), ("(A)", "(B)", "(C)"), ("(A)", "(B)", "(C)", "(D)")
TASKS = {
    "Art_Style": TWO,
    "Counting": FOUR,
    "Forensic_Detection": FOUR,
    "Functional_Correspondence": FOUR,
    "IQ_Test": FOUR,
    "Jigsaw": TWO,
    "Multi-view_Reasoning": TWO,
    "Object_Localization": TWO,
    "Relative_Depth": TWO,
    "Relative_Reflectance": THREE,
    "Semantic_Correspondence": FOUR,
    "Spatial_Relation": TWO,
    "Visual_Correspondence": FOUR,
    "Visual_Similarity": TWO,
}
OPTIONS = ("Multi-view_Reasoning", "Object_Localization", "Visual_Correspondence")


def samples(folder: Path, paper: bool = False) -> Iterator[Sample]:
    for task in TASKS:
        files = sorted(folder.glob(f"{task}/val-*.parquet"))
        columns = ["idx", "question", "choices", "prompt", "answer"]
        rows = parquet_rows(files, columns, ["image_1"], optional=["image_2", "image_3", "image_4"])
        yield from read_samples(rows, partial(_sample, task, paper))


def _sample(task: str, paper: bool, row: Row) -> Iterator[Sample]:
    images = [row[f"image_{place}"] for place in range(1, 5)]
    yield Sample(
        sample_id=row.text("idx"),
        images=tuple(image for image in images if image is not None),
        question=_paper_question(task, row) if paper else row.text("prompt"),
        label=row.one_of("answer", TASKS[task]),
        split="either",
        task=task,
    )


def _paper_question(task: str, row: Row) -> str:
    choices = " ".join(f"{letter} {choice}" for letter, choice in zip(FOUR, row.texts("choices"), strict=False))
    return f"{row.text('question')} Select from the following {'options' if task in OPTIONS else 'choices'}. {choices}"


BENCHMARK = Published(
    name="blink",
    summary="fourteen tasks of visual perception, one to four pictures a question",
    source=Source(
        page="https://huggingface.co/datasets/BLINK-Benchmark/BLINK",
        revision="a3666eb249237ba3d5eca8db21176cc47967e040",
        size="about 1 GB",
        needs=tuple(f"{task}/val-*.parquet" for task in TASKS),
        hub="BLINK-Benchmark/BLINK",
        hub_files=("*/val-*.parquet",),
    ),
    licence="Apache-2.0",
    metric="accuracy",
    prompt="{prompt of the hub: the question and its lettered choices}",
    counts={"either": 1901},
    classes="2 to 4",
    tasks=TASKS,
    samples=samples,
    paper=PaperSplit(
        samples=partial(samples, paper=True),
        lost="which 20 a class were the support; their Counting asked one question of all pictures, here each its own",
    ),
    answers={letter: letter.strip("()") for letter in FOUR},
    varying=("Counting", "Object_Localization", "Spatial_Relation"),
)
