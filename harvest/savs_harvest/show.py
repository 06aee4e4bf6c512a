"""A benchmark as a person wants to see it before spending a GPU on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any

from savs_benchmarks import Benchmark, PictureError, Sample, check, load_picture
from savs_harvest.prompts import render


def describe(benchmark: Benchmark, processor: Any, samples_shown: int) -> Iterator[str]:
    """Yield the header, the counts, and some samples of each task with their rendered prompts."""
    samples = check(benchmark)
    yield f"{benchmark.name}: {benchmark.summary}"
    yield f"source     {benchmark.source}, {benchmark.revision}"
    yield f"licence    {benchmark.licence}"
    yield f"metric     {benchmark.metric}"
    for task, classes in benchmark.tasks.items():
        of_task = [sample for sample in samples if sample.task == task]
        splits = Counter(sample.split for sample in of_task)
        yield f"task       {task}: {', '.join(f'{split} {count:,}' for split, count in splits.items())}"
        labels = Counter(sample.label for sample in of_task)
        yield "classes    " + ", ".join(f"{label} ({labels[label]:,})" for label in classes)
        for sample in islice(of_task, samples_shown):
            yield ""
            yield from _sample_lines(sample, processor)
        yield ""


def _sample_lines(sample: Sample, processor: Any) -> Iterator[str]:
    yield f"sample     {sample.sample_id} ({sample.split}), label {sample.label!r}"
    yield f"pictures   {', '.join(_picture_size(image) for image in sample.images)}"
    yield "prompt"
    for line in render(processor, len(sample.images), sample.question).splitlines():
        yield f"  | {line}"


def _picture_size(image: Any) -> str:
    try:
        return "{} x {} pixels".format(*load_picture(image).size)
    except PictureError as error:
        return f"{error.code}: {error}"
