"""A benchmark as a person wants to see it before spending a GPU on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from savs_benchmarks import BENCHMARKS, Benchmark, PictureError, Published, Sample, check, load_picture
from savs_benchmarks.rooms import ORIGINS
from savs_benchmarks.wordings import DEFAULT_WORDING
from savs_harvest.asking.checks import Concern
from savs_harvest.asking.index import index_samples
from savs_harvest.models.prompts import render


def overview(data_root: Path) -> list[dict[str, Any]]:
    """Return one row a benchmark: what it asks, how much, of whom, and whether it is here or what brings it."""
    return [
        _published_row(benchmark, data_root) if isinstance(benchmark, Published) else _embedded_row(benchmark)
        for benchmark in BENCHMARKS.values()
    ]


def _published_row(benchmark: Published, data_root: Path) -> dict[str, Any]:
    place = benchmark.source.locate(benchmark.folder(data_root))
    return {
        "name": benchmark.name,
        "asks": benchmark.summary,
        "samples": _counts(benchmark.counts),
        "tasks": 1 if callable(benchmark.tasks) else len(benchmark.tasks),
        "classes": benchmark.classes,
        "metric": benchmark.metric,
        "wordings": [DEFAULT_WORDING, *benchmark.wordings],
        "licence": benchmark.licence,
        "source": benchmark.source.page,
        "revision": benchmark.source.revision,
        "size": benchmark.source.size,
        "here": str(place or ""),
        "get": [] if place else list(benchmark.source.steps(benchmark.name, data_root)),
    }


def _embedded_row(benchmark: Benchmark) -> dict[str, Any]:
    classes = sorted({len(classes) for classes in benchmark.tasks.values()})
    return {
        "name": benchmark.name,
        "asks": benchmark.summary,
        "samples": _counts(Counter(sample.split for sample in benchmark.samples())),
        "tasks": len(benchmark.tasks),
        "classes": " to ".join(map(str, classes)),
        "metric": benchmark.metric,
        "wordings": [DEFAULT_WORDING, *benchmark.wordings],
        "licence": benchmark.licence,
        "source": benchmark.source,
        "revision": benchmark.revision,
        "size": "",
        "here": f"from {ORIGINS[benchmark.name]}" if benchmark.name in ORIGINS else "in the package",
        "get": [],
    }


def _counts(counts: Mapping[Any, int]) -> str:
    return ", ".join(f"{split} {count:,}" for split, count in counts.items())


def overview_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the overview for people: a few lines a benchmark."""
    for row in rows:
        tasks = f"{row['tasks']} tasks, " if row["tasks"] > 1 else ""
        here = f"here: {row['here']}" if row["here"] else f"not here ({row['size']}); get it with:"
        yield f"{row['name']:<23} {row['asks']}"
        yield f"{'':<23} {row['samples']}; {tasks}{row['classes']} classes; {row['metric']}; {row['licence']}"
        yield f"{'':<23} {row['source']}, {row['revision']}"
        if len(row["wordings"]) > 1:
            yield f"{'':<23} --wording {', '.join(row['wordings'])}"
        yield f"{'':<23} {here}"
        for step in row["get"]:
            yield f"{'':<25} {step}"
        yield ""


def describe(
    benchmark: Benchmark, processor: Any, samples_shown: int, on_pictures: Callable[[int, int], None] | None = None
) -> Iterator[str]:
    """Yield the header, the counts, and some samples of each task with their rendered prompts.

    With `on_pictures`, all pictures are read and what was found wrong with the samples comes last.
    """
    samples = check(benchmark)
    yield from header_lines(benchmark)
    for task in benchmark.tasks:
        of_task = [sample for sample in samples if sample.task == task]
        yield from _task_lines(benchmark, task, of_task)
        for sample in islice(of_task, samples_shown):
            yield ""
            yield from _sample_lines(sample, processor)
        yield ""
    if on_pictures:
        yield from _check_lines(benchmark, samples, on_pictures)


def what_is_wrong(benchmark: Benchmark, on_pictures: Callable[[int, int], None]) -> Iterator[str]:
    """Yield the counts of every task, and what was found wrong with the samples; all pictures are read."""
    samples = check(benchmark)
    for task in benchmark.tasks:
        yield from _task_lines(benchmark, task, [sample for sample in samples if sample.task == task])
    yield from _check_lines(benchmark, samples, on_pictures)


def header_lines(benchmark: Benchmark) -> Iterator[str]:
    """Yield what a benchmark says of itself."""
    yield f"{benchmark.name}: {benchmark.summary}"
    yield f"source     {benchmark.source}, {benchmark.revision}"
    yield f"licence    {benchmark.licence}"
    yield f"metric     {benchmark.metric}"
    if benchmark.split:
        yield f"split      {benchmark.split}"
    if benchmark.wordings:
        there = ", ".join([DEFAULT_WORDING, *benchmark.wordings])
        yield f"wording    {benchmark.wording or DEFAULT_WORDING}, of {there}"


def _task_lines(benchmark: Benchmark, task: str, samples: Sequence[Sample]) -> Iterator[str]:
    """Yield how many samples a task has, of each split and class."""
    yield f"task       {task}: {_counts(Counter(sample.split for sample in samples))}"
    labels = Counter(sample.label for sample in samples)
    classes = [f"{label} ({labels[label]:,})" for label in benchmark.tasks[task]]
    yield "classes    " + ", ".join([*classes, *([f"without a label ({labels['']:,})"] if labels[""] else [])])


def _check_lines(
    benchmark: Benchmark, samples: Sequence[Sample], on_pictures: Callable[[int, int], None]
) -> Iterator[str]:
    info = index_samples(benchmark, samples, on_pictures).info
    for found in info.checks:
        yield f"check      {Concern(**found)}"
    if not info.checks:
        yield "checks     nothing found: ids, pictures, prompts, classes"


def _sample_lines(sample: Sample, processor: Any) -> Iterator[str]:
    yield f"sample     {sample.sample_id} ({sample.split}), {f'label {sample.label!r}' if sample.label else 'no label'}"
    yield f"pictures   {', '.join(_picture_size(image) for image in sample.images) or 'none'}"
    yield "prompt"
    for line in render(processor, len(sample.images), sample.question).splitlines():
        yield f"  | {line}"


def _picture_size(image: Any) -> str:
    try:
        return "{} x {} pixels".format(*load_picture(image).size)
    except PictureError as error:
        return f"{error.code}: {error}"
