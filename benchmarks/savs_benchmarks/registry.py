"""All benchmarks by name. A new one is one file and one line here."""

from __future__ import annotations

import difflib
from pathlib import Path

from savs_benchmarks import digits, digits_claims, digits_compare, digits_pairs
from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.jsonl import load_jsonl
from savs_benchmarks.sample import Benchmark

BENCHMARKS = {
    module.BENCHMARK.name: module.BENCHMARK for module in (digits, digits_claims, digits_pairs, digits_compare)
}


def find_benchmark(name: str) -> Benchmark:
    """Return a registered benchmark, or the one in a JSON-lines file.

    Raises `BenchmarkError` suggesting the nearest name.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    if name.endswith((".jsonl", ".json")) or "/" in name:
        return load_jsonl(Path(name))
    close = difflib.get_close_matches(name, BENCHMARKS, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    names = ", ".join(BENCHMARKS)
    raise BenchmarkError(f"there is no benchmark {name!r}; {hint}There are {names}, or name your own FILE.jsonl")
