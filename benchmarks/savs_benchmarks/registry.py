"""All benchmarks by name. A new one is one file and one line here."""

from __future__ import annotations

import difflib
from pathlib import Path

from savs_benchmarks.digits import claims, compare, digits, pairs
from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.jsonl import load_jsonl
from savs_benchmarks.files.published import POOL_PER_CLASS, Published, Splitting
from savs_benchmarks.files.source import DATA_ROOT
from savs_benchmarks.papers import (
    blink,
    cub,
    eurosat,
    flowers,
    imagenet,
    mhalu,
    naturalbench,
    naturalbench_retrieval,
    pets,
    sugarcrepe,
    vizwiz,
    vlguard,
)
from savs_benchmarks.sample import Benchmark

EMBEDDED = {module.BENCHMARK.name: module.BENCHMARK for module in (digits, claims, pairs, compare)}
PUBLISHED = {
    module.BENCHMARK.name: module.BENCHMARK
    for module in (
        mhalu,
        vlguard,
        blink,
        naturalbench,
        naturalbench_retrieval,
        sugarcrepe,
        vizwiz,
        eurosat,
        pets,
        imagenet,
        flowers,
        cub,
    )
}
BENCHMARKS: dict[str, Benchmark | Published] = {**EMBEDDED, **PUBLISHED}


def find_published(name: str) -> Published:
    """Return a benchmark whose files come from elsewhere. Raises `BenchmarkError` suggesting the nearest name."""
    if name in EMBEDDED:
        raise BenchmarkError(f"{name} is in this package, it has nothing to get")
    if name not in PUBLISHED:
        raise _unknown(name)
    return PUBLISHED[name]


def find_benchmark(
    name: str,
    data_root: Path = DATA_ROOT,
    pool_per_class: int | None = POOL_PER_CLASS,
    splitting: Splitting = "official",
) -> Benchmark:
    """Return a registered benchmark, or the one in a JSON-lines file.

    A published one reads its files below `data_root`. Raises `BenchmarkError` suggesting the nearest name,
    and for files that are not here with the steps that bring them.
    """
    if name in PUBLISHED:
        published = PUBLISHED[name]
        return published.open(published.locate(data_root), pool_per_class, splitting)
    if splitting == "paper":
        raise BenchmarkError(f"{name} is in no paper: --split paper is for {', '.join(PUBLISHED)}")
    if name in EMBEDDED:
        return EMBEDDED[name]
    if name.lower().endswith((".jsonl", ".json")) or "/" in name:
        return load_jsonl(Path(name))
    raise _unknown(name)


def _unknown(name: str) -> BenchmarkError:
    close = difflib.get_close_matches(name, BENCHMARKS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    names = ", ".join(BENCHMARKS)
    return BenchmarkError(f"there is no benchmark {name!r}; {hint}There are {names}, or name your own FILE.jsonl")
