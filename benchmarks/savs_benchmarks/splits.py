"""Cutting the pool: so many samples of each class, the same ones wherever and whenever it is done."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.sample import Benchmark, Sample


def order(*words: str) -> int:
    """Return a number that orders things at random but always the same, on every machine and in every version."""
    return int.from_bytes(sha256("\0".join(words).encode()).digest()[:8], "big")


def limit_pool(samples: Iterable[Sample], per_class: int | None) -> list[Sample]:
    """Return the samples with at most `per_class` pool samples of every class of every task, in their order.

    Which ones stay is drawn by their ids: 50 a class are among the 100. Samples in groups all stay, a
    group is never torn. Holds no more samples at a time than it returns. None keeps the whole pool.
    """
    kept: list[tuple[int, Sample]] = []
    drawn: dict[tuple[str, str], list[tuple[int, int, Sample]]] = {}
    for number, sample in enumerate(samples):
        if per_class is None or sample.split != "pool" or sample.group is not None:
            kept.append((number, sample))
            continue
        heap = drawn.setdefault((sample.task, sample.label), [])
        entry = (-order("pool", sample.sample_id), number, sample)
        if len(heap) < per_class:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    kept += [(number, sample) for heap in drawn.values() for _, number, sample in heap]
    return [sample for _, sample in sorted(kept, key=lambda entry: entry[0])]


def limited(benchmark: Benchmark, count: int | None) -> Benchmark:
    """Return a benchmark of about `count` samples, named for them; None keeps all."""
    if count is None:
        return benchmark
    if count < 1:
        raise BenchmarkError(f"a limit of samples must be a whole number above 0, got {count}")
    name = f"{benchmark.name}-{count}"
    return replace(benchmark, name=name, samples=lambda: limit(benchmark.samples(), count), published={})


def limit(samples: Iterable[Sample], count: int) -> list[Sample]:
    """Return `count` samples in their order, one class after the other, drawn by their ids: 10 are among the 20.

    Groups stay whole, so there may be a few more.
    """
    every = list(samples)
    keys = [sample.sample_id if sample.group is None else f"group {sample.group}" for sample in every]
    first: dict[str, Sample] = {}
    for key, sample in zip(keys, every, strict=True):
        first.setdefault(key, sample)
    sizes, taken, chosen, of_class = Counter(keys), 0, set(), Counter[tuple[str, str, str]]()
    ranked = []
    for key in sorted(first, key=lambda key: order("limit", key)):
        kind = (first[key].split, first[key].task, first[key].label)
        ranked.append((of_class[kind], kind, key))
        of_class[kind] += 1
    for _, _, key in sorted(ranked):
        if taken >= count:
            break
        chosen.add(key)
        taken += sizes[key]
    return [sample for key, sample in zip(keys, every, strict=True) if key in chosen]
