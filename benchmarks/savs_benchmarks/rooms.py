"""Benchmarks of others: from installed distributions, and from files that the user includes."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.published import Published
from savs_benchmarks.registry import BENCHMARKS, EMBEDDED, PUBLISHED
from savs_benchmarks.sample import Benchmark

GROUP = "savs.benchmarks"
# Where benchmarks from outside are from.
ORIGINS: dict[str, str] = {}


def add(benchmark: Benchmark | Published, origin: str) -> None:
    """Add a benchmark under its name; the same from the same place may come again.

    Raises `BenchmarkError` for anything else, and where the name is taken.
    """
    if not isinstance(benchmark, Benchmark | Published):
        raise BenchmarkError(f"{origin} offers {benchmark!r}, which is no benchmark")
    name = benchmark.name
    if name in BENCHMARKS and ORIGINS.get(name) != origin:
        raise BenchmarkError(f"the benchmark {name!r} of {origin} is taken: {ORIGINS.get(name, 'savs')} has one")
    BENCHMARKS[name] = benchmark
    if isinstance(benchmark, Benchmark):
        EMBEDDED[name] = benchmark
    else:
        PUBLISHED[name] = benchmark
    ORIGINS[name] = origin


def include(files: Iterable[Path]) -> None:
    """Run files and add every benchmark that stands in them at module level.

    Raises `BenchmarkError` where one cannot be run, or holds none.
    """
    for file in files:
        try:
            source = file.read_text(encoding="utf-8")
            module = ModuleType(f"savs_included_{hashlib.sha256(source.encode()).hexdigest()[:12]}")
            sys.modules[module.__name__] = module  # dataclasses look their module up
            exec(compile(source, str(file), "exec"), vars(module))  # noqa: S102  asked for by name
        except (Exception, SystemExit) as error:
            raise BenchmarkError(f"--include {file} cannot be run: {type(error).__name__}: {error}") from error
        found = [value for value in vars(module).values() if isinstance(value, Benchmark | Published)]
        if not found:
            raise BenchmarkError(f"--include {file} holds no benchmark")
        for benchmark in found:
            add(benchmark, str(file))


@cache
def add_installed() -> None:
    """Add what installed distributions offer; one that fails is told on stderr, and its name stays unknown."""
    for point in entry_points(group=GROUP):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        try:
            found = point.load()
            for benchmark in found if isinstance(found, list | tuple) else [found]:
                add(benchmark, origin)
        except Exception as error:
            print(f"{GROUP}: {point.name} of {origin} is left out, as it fails: {error}", file=sys.stderr)
