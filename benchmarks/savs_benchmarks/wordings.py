"""The ways to put a benchmark's question: each one of them makes other prompts, and so another store."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.sample import Benchmark, Sample, Wording

DEFAULT_WORDING = "default"
ONE_WORD = "Answer in one word."


def hec_wordings(question: str, ending: str = ONE_WORD) -> dict[str, Wording]:
    """Return HEC's two (arXiv 2603.24181): `td`, the question names the domain; `tdc`, the classes stand behind it.

    An empty ending leaves the new line in front of it, as their code does.
    """
    return {"td": Wording(question, ending), "tdc": Wording(question, ending, lists_classes=True)}


def check_wording(name: str, wordings: Mapping[str, Wording], wording: str) -> None:
    """Raise `BenchmarkError` for a wording that a benchmark does not have, suggesting the nearest."""
    there = [DEFAULT_WORDING, *wordings]
    if wording in there:
        return
    close = difflib.get_close_matches(wording.lower(), there, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}? " if close else ""
    listed = f"there are {', '.join(there)}" if wordings else f"it has one, {DEFAULT_WORDING}"
    raise BenchmarkError(f"{name} has no wording {wording!r}; {hint}{listed}")


def worded(benchmark: Benchmark, wording: str) -> Benchmark:
    """Return a benchmark with its question put otherwise, named for it; `default` leaves it as it is."""
    check_wording(benchmark.name, benchmark.wordings, wording)
    if wording in (DEFAULT_WORDING, benchmark.wording):
        return benchmark
    put = benchmark.wordings[wording]
    texts = {task: put.text(classes) for task, classes in benchmark.tasks.items()}
    return replace(
        benchmark,
        name=f"{benchmark.name.removesuffix(f'-{benchmark.wording}')}-{wording}",
        wording=wording,
        prompt=put.text(["{classes}"] if len(set(texts.values())) > 1 else next(iter(benchmark.tasks.values()), ())),
        samples=lambda: _asked(benchmark.samples(), texts),
        varying=(),
    )


def _asked(samples: Iterable[Sample], texts: Mapping[str, str]) -> Sequence[Sample]:
    return [replace(sample, question=texts[sample.task], options=()) for sample in samples]
