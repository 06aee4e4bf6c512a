"""Benchmarks of others and their metrics: from installed distributions, and from files that the user includes."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from itertools import chain
from pathlib import Path
from types import ModuleType

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.published import Published
from savs_benchmarks.registry import BENCHMARKS, EMBEDDED, PUBLISHED
from savs_benchmarks.sample import METRICS, Benchmark
from savs_metrics import Metric

# Metrics first: benchmarks name them.
GROUPS = ("savs.metrics", "savs.benchmarks")
# Where benchmarks from outside are from, and metrics.
ORIGINS: dict[str, str] = {}
OF_METRICS: dict[str, str] = {}


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


def add_metric(metric: Metric, origin: str) -> None:
    """Add a metric under its name; the same from the same place may come again.

    Raises `BenchmarkError` where the name is taken.
    """
    name = metric.name
    if name in METRICS and OF_METRICS.get(name) != origin:
        raise BenchmarkError(f"the metric {name!r} of {origin} is taken: {OF_METRICS.get(name, 'savs')} has one")
    METRICS[name], OF_METRICS[name] = metric, origin


def _add_all(found: Iterable[object], origin: str) -> None:
    for one in sorted(found, key=lambda one: not isinstance(one, Metric)):
        if isinstance(one, Metric):
            add_metric(one, origin)
        else:
            add(one, origin)  # type: ignore[arg-type]


def include(files: Iterable[Path]) -> None:
    """Run files and add every benchmark and metric that stands in them at module level.

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
        found = [value for value in vars(module).values() if isinstance(value, Benchmark | Published | Metric)]
        if not found:
            raise BenchmarkError(f"--include {file} holds no benchmark")
        _add_all(found, str(file))


@cache
def add_installed() -> None:
    """Add what installed distributions offer; one that fails is told on stderr, and its name stays unknown."""
    for point in chain.from_iterable(entry_points(group=group) for group in GROUPS):
        origin = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
        try:
            found = point.load()
            _add_all(found if isinstance(found, list | tuple) else [found], origin)
        except Exception as error:
            print(f"{point.group}: {point.name} of {origin} is left out, as it fails: {error}", file=sys.stderr)
