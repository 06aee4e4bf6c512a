"""From a benchmark to the sample table of a store: codes instead of words, hashes of pictures and prompts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain

from savs_benchmarks import Benchmark, PictureError, Sample
from savs_benchmarks.pictures.pictures import Picture, read_picture
from savs_harvest.asking.checks import find_concerns
from savs_stores import BenchmarkInfo, SampleTable
from savs_stores.format.fingerprint import short_hash

# More would ask for pictures that lie too far apart in their files.
THREADS = 8
# Samples that wait for a thread: a few, however many there are.
AT_ONCE = 1024


@dataclass(frozen=True)
class Index:
    """What a store keeps of a benchmark, its sample table, and the (width, height) of every sample's pictures."""

    info: BenchmarkInfo
    table: SampleTable
    sizes: list[list[tuple[int, int]]]


def index_samples(
    benchmark: Benchmark, samples: Sequence[Sample], on_samples: Callable[[int, int], None] = lambda done, total: None
) -> Index:
    """Return the index of a benchmark.

    Every picture is decoded once, in threads, for its hash; an unreadable one hashes to 0, has no size, and is
    among the checks, as is one whose metadata is damaged.
    """
    hashes, sizes = [], []
    unreadable: list[tuple[str, str]] = []
    damaged: list[tuple[str, str]] = []
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as threads:
        parts = (samples[start : start + AT_ONCE] for start in range(0, len(samples), AT_ONCE))
        each = chain.from_iterable(threads.map(_picture_hashes, part) for part in parts)
        for number, (sample, read) in enumerate(zip(samples, each, strict=True), 1):
            hashes.append([picture.hash for picture in read])
            sizes.append([picture.size for picture in read])
            unreadable += [(sample.sample_id, picture.code) for picture in read if picture.code]
            damaged += [(sample.sample_id, picture.faults[0]) for picture in read if picture.faults]
            on_samples(number, len(samples))
    table = _sample_table(benchmark, samples, hashes)
    info = BenchmarkInfo(
        name=benchmark.name,
        tasks={task: list(classes) for task, classes in benchmark.tasks.items()},
        metric=benchmark.metric,
        source=benchmark.source,
        revision=benchmark.revision,
        licence=benchmark.licence,
        prompt=benchmark.prompt,
        answers=dict(benchmark.answers),
        split=benchmark.split,
        checks=[asdict(concern) for concern in find_concerns(benchmark, table, unreadable, damaged)],
    )
    return Index(info, table, sizes)


def _sample_table(benchmark: Benchmark, samples: Sequence[Sample], hashes: Sequence[Sequence[int]]) -> SampleTable:
    return SampleTable.from_columns(
        benchmark.tasks,
        {
            "sample_id": [s.sample_id for s in samples],
            "task": [s.task for s in samples],
            "label": [s.label or None for s in samples],
            "split": [s.split for s in samples],
            "group": [s.group for s in samples],
            "slot": [s.slot for s in samples],
            "options": [s.options for s in samples],
            "image_hash": hashes,
            "prompt_hash": [short_hash(s.question.encode()) for s in samples],
        },
    )


@dataclass(frozen=True)
class HashedPicture:
    """A hash of a picture's size and pixels, equal for equal pictures in different files, and its size.

    One that cannot be read has hash 0, no size, and a `code`. `faults` are those beside the pixels.
    """

    hash: int
    size: tuple[int, int]
    code: str = ""
    faults: tuple[str, ...] = ()


def _picture_hashes(sample: Sample) -> list[HashedPicture]:
    return [hash_picture(image) for image in sample.images]


def hash_picture(source: Picture) -> HashedPicture:
    """Hash a picture's pixels, and say what is wrong with one that cannot be read."""
    try:
        read = read_picture(source)
    except PictureError as error:
        return HashedPicture(0, (0, 0), error.code)
    size = read.pixels.size
    return HashedPicture(short_hash(repr(size).encode(), read.pixels.tobytes()), size, faults=read.faults)
