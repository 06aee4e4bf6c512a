"""A published benchmark: its header, and how its files become samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.source import DATA_ROOT, Source
from savs_benchmarks.sample import DEFAULT_TASK, Benchmark, Sample, Split
from savs_benchmarks.splits import limit_pool

POOL_PER_CLASS = 100

Splitting = Literal["official", "paper"]
Tasks: TypeAlias = Mapping[str, tuple[str, ...]]
Reader: TypeAlias = Callable[[Path], Iterable[Sample]]


@dataclass(frozen=True)
class PaperSplit:
    """The papers' own division into support and test, as far as public facts allow; `lost` says what they do not.

    `samples` is None where they allow nothing.
    """

    lost: str
    samples: Reader | None = None


@dataclass(frozen=True)
class Published:
    """A benchmark whose files come from elsewhere; `open` makes it one that can be harvested.

    `tasks` are the classes of every task, sorted, or how to find them in the files; `counts` are the samples
    of every split as published, before the pool is cut, and `classes` how many there are, in words.
    """

    name: str
    summary: str
    source: Source
    licence: str
    metric: str
    prompt: str
    counts: Mapping[Split, int]
    classes: str
    tasks: Tasks | Callable[[Path], Tasks]
    samples: Reader
    paper: PaperSplit
    answers: Mapping[str, str] = field(default_factory=dict)
    varying: tuple[str, ...] = (DEFAULT_TASK,)

    def folder(self, data_root: Path) -> Path:
        return data_root / self.name

    def locate(self, data_root: Path = DATA_ROOT) -> Path:
        """Return where the files are. Raises `BenchmarkError` with the steps that bring them where they are not."""
        folder = self.folder(data_root)
        if place := self.source.locate(folder):
            return place
        missing = self.source.missing(folder)
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise BenchmarkError(
            f"the files of {self.name} are not here: {folder} lacks {', '.join(missing[:3])}{more}; "
            f"get them ({self.source.size}) with",
            list(self.source.steps(self.name, data_root)),
        )

    def check_splitting(self, splitting: Splitting) -> None:
        """Raise `BenchmarkError` where the papers' split is asked for and cannot be reconstructed."""
        if splitting == "paper" and self.paper.samples is None:
            raise BenchmarkError(f"the papers' split of {self.name} cannot be reconstructed: {self.paper.lost}")

    def open(
        self, place: Path, pool_per_class: int | None = POOL_PER_CLASS, splitting: Splitting = "official"
    ) -> Benchmark:
        """Return the benchmark over its files.

        Raises `BenchmarkError` where the papers' split is asked for and cannot be reconstructed.
        """
        published = dict(self.counts) if pool_per_class is None else {**self.counts, "pool": 0}
        self.check_splitting(splitting)
        if splitting == "paper":
            reader, name, pool_per_class, published = self.paper.samples, f"{self.name}-paper", None, {}
            split = f"the papers' split; what could not be reconstructed: {self.paper.lost}"
        else:
            reader, name = self.samples, self.name
            cut = pool_per_class is not None and "pool" in self.counts
            split = f"official, at most {pool_per_class} a class in the pool" if cut else "official"
        assert reader is not None  # checked above
        return Benchmark(
            name=name,
            summary=self.summary,
            source=self.source.page,
            revision=self.source.found_revision(place),
            licence=self.licence,
            metric=self.metric,
            tasks=self.tasks(place) if callable(self.tasks) else self.tasks,
            prompt=self.prompt,
            samples=lambda: limit_pool(reader(place), pool_per_class),
            answers=self.answers,
            varying=self.varying,
            split=split,
            published={split: count for split, count in published.items() if count},
        )
