"""From a benchmark to the sample table of a store: codes instead of words, hashes of pictures and prompts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from savs_benchmarks import Benchmark, PictureError, Sample, load_picture
from savs_stores import BenchmarkInfo, SampleTable
from savs_stores.fingerprint import short_hash


def benchmark_info(benchmark: Benchmark) -> BenchmarkInfo:
    """Return what a store keeps of a benchmark."""
    return BenchmarkInfo(
        name=benchmark.name,
        tasks={task: list(classes) for task, classes in benchmark.tasks.items()},
        metric=benchmark.metric,
        source=benchmark.source,
        revision=benchmark.revision,
        licence=benchmark.licence,
        prompt=benchmark.prompt,
        answers=dict(benchmark.answers),
    )


def sample_table(benchmark: Benchmark, samples: Sequence[Sample]) -> SampleTable:
    """Return the sample table; every picture is decoded once for its hash, an unreadable one hashes to 0."""
    return SampleTable.from_columns(
        benchmark.tasks,
        {
            "sample_id": [s.sample_id for s in samples],
            "task": [s.task for s in samples],
            "label": [s.label for s in samples],
            "split": [s.split for s in samples],
            "group": [s.group for s in samples],
            "slot": [s.slot for s in samples],
            "options": [s.options for s in samples],
            "image_hash": [[picture_hash(picture) for picture in s.images] for s in samples],
            "prompt_hash": [short_hash(s.question.encode()) for s in samples],
        },
    )


def picture_hash(source: Path | Image.Image) -> int:
    """Return a hash of a picture's size and pixels, equal for equal pictures in different files."""
    try:
        picture = load_picture(source)
    except PictureError:
        return 0
    return short_hash(repr(picture.size).encode(), picture.tobytes())
