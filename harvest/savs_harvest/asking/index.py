"""From a benchmark to the sample table of a store: codes instead of words, hashes of pictures and prompts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TypeVar

from savs_benchmarks import Benchmark, Sample
from savs_benchmarks.pictures.near import Look
from savs_harvest.asking.checks import Concern, find_concerns, near_concerns
from savs_harvest.asking.giveaways import giveaway_concerns
from savs_harvest.asking.hashing import HashedPicture, distinct, key_of
from savs_harvest.asking.known_pictures import hashed
from savs_harvest.asking.texts import texts_of
from savs_harvest.asking.together import keep_together
from savs_stores import BenchmarkInfo, SampleTable, SampleTexts
from savs_stores.format.fingerprint import short_hash

Found = TypeVar("Found")


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

    Every picture is decoded once for its hash, unless that is known from before; an unreadable one hashes to 0, has no
    size, and is among the checks, as is one whose metadata is damaged.
    """
    shown: list[list[HashedPicture]] = []
    looks: dict[int, Look | None] = {}
    unreadable: list[tuple[str, str]] = []
    damaged: list[tuple[str, str]] = []
    for number, (sample, read) in enumerate(zip(samples, _hashed(samples, benchmark.near_duplicates), strict=True), 1):
        shown.append(read)
        looks.update({picture.hash: picture.look for picture in read if picture.look and picture.hash not in looks})
        unreadable += [(sample.sample_id, picture.code) for picture in read if picture.code]
        damaged += [(sample.sample_id, picture.faults[0]) for picture in read if picture.faults]
        on_samples(number, len(samples))
    hashes = _of_each(shown, lambda picture: picture.hash)
    together = keep_together(samples, hashes, looks)
    table = _sample_table(benchmark, samples, hashes, together.groups)
    found = [*find_concerns(benchmark, table, unreadable, damaged), *near_concerns(together)]
    if benchmark.own:
        found += giveaway_concerns(benchmark, table, _of_each(shown, lambda picture: picture.traits))
    sizes = _of_each(shown, lambda picture: picture.size)
    return Index(_info(benchmark, samples, found), table, texts_of(benchmark, samples), sizes)


def _of_each(shown: Sequence[list[HashedPicture]], value: Callable[[HashedPicture], Found]) -> list[list[Found]]:
    """Return a value of all pictures of each sample; samples that show the same ones have one list."""
    known: dict[int, list[Found]] = {}
    for read in shown:
        if id(read) not in known:
            known[id(read)] = [value(picture) for picture in read]
    return [known[id(read)] for read in shown]


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


def _hashed(samples: Sequence[Sample], looked: bool) -> Iterator[list[HashedPicture]]:
    """Yield what the pictures of each sample hash to; one that several show is read once, and is in one list."""
    found: dict[Hashable, HashedPicture] = {}
    lists: dict[tuple[Hashable, ...], list[HashedPicture]] = {}
    with closing(hashed(distinct(samples), looked)) as each:
        for sample in samples:
            keys = tuple(map(key_of, sample.images))
            if keys not in lists:
                for key in keys:
                    if key not in found:
                        found[key] = next(each)
                lists[keys] = [found[key] for key in keys]
            yield lists[keys]
