"""From a benchmark to the sample table of a store: codes instead of words, hashes of pictures and prompts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain

from savs_benchmarks import Benchmark, PictureError, Sample
from savs_benchmarks.pictures.near import Look, look_of
from savs_benchmarks.pictures.pictures import Picture, read_picture
from savs_benchmarks.pictures.traits import Traits
from savs_harvest.asking.checks import Concern, find_concerns, near_concerns
from savs_harvest.asking.giveaways import giveaway_concerns
from savs_harvest.asking.texts import texts_of
from savs_harvest.asking.together import keep_together
from savs_stores import BenchmarkInfo, SampleTable, SampleTexts
from savs_stores.format.fingerprint import short_hash

# More would ask for pictures that lie too far apart in their files.
THREADS = 8
# Samples that wait for a thread: a few, however many there are.
AT_ONCE = 1024


@dataclass(frozen=True)
class Index:
    """What a store keeps of a benchmark, its sample table, paths and questions; (width, height) of all pictures."""

    info: BenchmarkInfo
    table: SampleTable
    texts: SampleTexts
    sizes: list[list[tuple[int, int]]]


def index_samples(
    benchmark: Benchmark, samples: Sequence[Sample], on_samples: Callable[[int, int], None] = lambda done, total: None
) -> Index:
    """Return the index of a benchmark.

    Every picture is decoded once, in threads, for its hash; an unreadable one hashes to 0, has no size, and is
    among the checks, as is one whose metadata is damaged.
    """
    hashes, sizes, traits = [], [], []
    looks: dict[int, Look | None] = {}
    unreadable: list[tuple[str, str]] = []
    damaged: list[tuple[str, str]] = []
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as threads:
        parts = (samples[start : start + AT_ONCE] for start in range(0, len(samples), AT_ONCE))
        each = chain.from_iterable(
            threads.map(partial(_hash_pictures, looked=benchmark.near_duplicates), part) for part in parts
        )
        for number, (sample, read) in enumerate(zip(samples, each, strict=True), 1):
            hashes.append([picture.hash for picture in read])
            sizes.append([picture.size for picture in read])
            traits.append([picture.traits for picture in read])
            looks.update({picture.hash: picture.look for picture in read if picture.look and picture.hash not in looks})
            unreadable += [(sample.sample_id, picture.code) for picture in read if picture.code]
            damaged += [(sample.sample_id, picture.faults[0]) for picture in read if picture.faults]
            on_samples(number, len(samples))
    together = keep_together(samples, hashes, looks)
    table = _sample_table(benchmark, samples, hashes, together.groups)
    found = [*find_concerns(benchmark, table, unreadable, damaged), *near_concerns(together)]
    if benchmark.own:
        found += giveaway_concerns(benchmark, table, traits)
    return Index(_info(benchmark, samples, found), table, texts_of(benchmark, samples), sizes)


def index_unseen(benchmark: Benchmark, samples: Sequence[Sample]) -> Index:
    """Return the index of a benchmark of which no picture is read: no hash, no size, no check of pictures."""
    nothing: list[list[int]] = [[] for _ in samples]
    table = _sample_table(benchmark, samples, nothing, [sample.group for sample in samples])
    return Index(_info(benchmark, samples, []), table, texts_of(benchmark, samples), [])


def _info(benchmark: Benchmark, samples: Sequence[Sample], found: Sequence[Concern]) -> BenchmarkInfo:
    return BenchmarkInfo(
        name=benchmark.name,
        tasks={task: list(classes) for task, classes in benchmark.tasks.items()},
        metric=benchmark.metric,
        source=benchmark.source,
        revision=benchmark.revision,
        licence=benchmark.licence,
        prompt=benchmark.prompt,
        answers=dict(benchmark.answers),
        split=benchmark.split,
        checks=[asdict(concern) for concern in found],
        class_order=class_order(benchmark, samples),
        wording=benchmark.wording,
    )


def class_order(benchmark: Benchmark, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Return the classes of every task as they first appear among the samples that teach them, then the others.

    The papers' code numbers classes so, which decides what equal scores fall back to.
    """
    first: dict[str, dict[str, None]] = {task: {} for task in benchmark.tasks}
    for sample in samples:
        if sample.label and sample.split != "test":
            first[sample.task][sample.label] = None
    return {task: list(found | dict.fromkeys(benchmark.tasks[task])) for task, found in first.items()}


def _sample_table(
    benchmark: Benchmark, samples: Sequence[Sample], hashes: Sequence[Sequence[int]], groups: Sequence[str | None]
) -> SampleTable:
    return SampleTable.from_columns(
        benchmark.tasks,
        {
            "sample_id": [s.sample_id for s in samples],
            "task": [s.task for s in samples],
            "label": [s.label or None for s in samples],
            "split": [s.split for s in samples],
            "group": groups,
            "slot": [s.slot for s in samples],
            "options": [s.options for s in samples],
            "image_hash": hashes,
            "prompt_hash": [short_hash(s.question.encode()) for s in samples],
        },
    )


@dataclass(frozen=True)
class HashedPicture:
    """A hash of a picture's size and pixels, equal for equal pictures in different files, and its size.

    One that cannot be read has hash 0, no size, and a `code`. `faults` are those beside the pixels. `look` is what
    near-duplicates are found by, `traits` what its file has beside the pixels.
    """

    hash: int
    size: tuple[int, int]
    code: str = ""
    faults: tuple[str, ...] = ()
    look: Look | None = None
    traits: Traits | None = None


def _hash_pictures(sample: Sample, looked: bool) -> list[HashedPicture]:
    return [hash_picture(image, looked) for image in sample.images]


def hash_picture(source: Picture, looked: bool = False) -> HashedPicture:
    """Hash a picture's pixels, or say why it cannot be read; `looked` keeps what it looks like."""
    try:
        read = read_picture(source)
    except PictureError as error:
        return HashedPicture(0, (0, 0), error.code)
    size = read.pixels.size
    number = short_hash(repr(size).encode(), read.pixels.tobytes())
    look = look_of(read.pixels) if looked else None
    return HashedPicture(number, size, faults=read.faults, look=look, traits=read.traits)
