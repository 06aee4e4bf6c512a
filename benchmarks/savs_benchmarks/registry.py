"""All benchmarks by name. A new one is one file and one line here."""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from savs_benchmarks.digits import claims, compare, digits, pairs
from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.own import load_own
from savs_benchmarks.files.published import POOL_PER_CLASS, Published, Splitting
from savs_benchmarks.files.reading import Reading
from savs_benchmarks.files.source import DATA_ROOT
from savs_benchmarks.papers import (
    blink,
    caltech101,
    cub,
    dtd,
    eurosat,
    flowers,
    food101,
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
from savs_benchmarks.splits import limited
from savs_benchmarks.wordings import DEFAULT_WORDING, worded

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
        dtd,
        food101,
        caltech101,
    )
}
BENCHMARKS: dict[str, Benchmark | Published] = {**EMBEDDED, **PUBLISHED}
# What ends so is a file, be it here or not.
ENDINGS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow")


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
    reading: Reading = Reading(),  # noqa: B008  it is frozen
    support: Sequence[Path] = (),
    wording: str = DEFAULT_WORDING,
) -> Benchmark:
    """Return the benchmark of a file or folder of the user's, or a registered one; what exists is never a name.

    A published one reads its files below `data_root`; in the papers' split, lists of their training examples are its
    `support`; `wording` is how its question is put.

    Raises `BenchmarkError` suggesting the nearest name, and for files that are not here with the steps that
    bring them.
    """
    if (own := own_path(name)) is None and name in PUBLISHED:
        _refuse_reading(name, reading)
        published = PUBLISHED[name]
        found = published.open(published.locate(data_root), pool_per_class, splitting, support)
    elif splitting == "paper":
        raise BenchmarkError(f"{name} is in no paper: --split paper is for {', '.join(PUBLISHED)}")
    elif support:
        raise BenchmarkError(f"{name} is in no paper: --support is for {', '.join(PUBLISHED)}, with --split paper")
    elif own is not None:
        found = load_own(own, reading)
    elif name in EMBEDDED:
        _refuse_reading(name, reading)
        found = EMBEDDED[name]
    else:
        raise _unknown(name)
    return limited(worded(found, wording), reading.limit)


def own_path(name: str) -> Path | None:
    """Return the file or folder that a word names, None where it can only be a benchmark's name."""
    try:
        here = Path(name).exists()
    except (OSError, ValueError):  # too long for a path, or with a NUL
        here = False
    is_path = here or name.lower().endswith(ENDINGS) or any(mark in name for mark in ("/", os.sep))
    return Path(name) if is_path and name.strip() else None


def _refuse_reading(name: str, reading: Reading) -> None:
    """Raise `BenchmarkError` where what is for own data is said of a benchmark that knows better."""
    options = {
        "--question": reading.question,
        "--image-root": reading.image_root,
        "--label-column": reading.label_column,
        "--image-column": reading.image_column,
        "--keep-near-duplicates": reading.keep_near_duplicates,
    }
    if said := [option for option, value in options.items() if value]:
        raise BenchmarkError(f"{' and '.join(said)} is for data of your own, {name} is a benchmark: leave it out")


def _unknown(name: str) -> BenchmarkError:
    close = difflib.get_close_matches(name, [*BENCHMARKS, *_names_here()], n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    base, _, wording = name.rpartition("-")
    if base in BENCHMARKS and wording in BENCHMARKS[base].wordings:
        hint = f"its wording is an option: --data {base} --wording {wording}. "
    names = ", ".join(BENCHMARKS)
    return BenchmarkError(
        f"there is no file, folder or benchmark {name!r}; {hint}There are {names}, or name your own file or folder"
    )


def _names_here() -> list[str]:
    try:
        return sorted(place.name for place in Path().iterdir() if not place.name.startswith("."))
    except OSError:
        return []
