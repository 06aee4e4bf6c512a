"""A published benchmark: its header, and how its files become samples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.source import DATA_ROOT, Source
from savs_benchmarks.files.support import read_support, told, with_support
from savs_benchmarks.sample import DEFAULT_TASK, Benchmark, Sample, Split, Wording
from savs_benchmarks.splits import limit_pool

POOL_PER_CLASS = 100

Splitting = Literal["official", "paper"]
Tasks: TypeAlias = Mapping[str, tuple[str, ...]]
Reader: TypeAlias = Callable[[Path], Iterable[Sample]]


@dataclass(frozen=True)
class PaperSplit:
    """The papers' own division into support and test, as far as public facts allow; `lost` says what they do not.

    `samples` is None where they allow nothing. Their prompts begin with `begins`. What is another than the official
    benchmark's is said: `tasks`, `prompt`, `answers`.
    """

    lost: str
    samples: Reader | None = None
    begins: str = ""
    tasks: Tasks | None = None
    prompt: str = ""
    answers: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Published:
    """A benchmark whose files come from elsewhere; `open` makes it one that can be harvested.

    `tasks` are the classes of every task, sorted, or how to find them in the files; `counts` are the samples
    of every split as published, before the pool is cut, and `classes` how many there are, in words. `wordings` are
    other ways to put the question.
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
    wordings: Mapping[str, Wording] = field(default_factory=dict)

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
        self,
        place: Path,
        pool_per_class: int | None = POOL_PER_CLASS,
        splitting: Splitting = "official",
        support: Sequence[Path] = (),
    ) -> Benchmark:
        """Return the benchmark over its files; `support` are lists of a paper's training examples.

        Raises `BenchmarkError` where the papers' split is asked for and cannot be reconstructed, and for a support
        without it.
        """
        self.check_splitting(splitting)
        if splitting == "paper":
            return self._as_the_papers(place, support)
        if support:
            raise BenchmarkError(f"a support of a paper needs the papers' split of {self.name}: say --split paper")
        published = dict(self.counts) if pool_per_class is None else {**self.counts, "pool": 0}
        cut = pool_per_class is not None and "pool" in self.counts
        split = f"official, at most {pool_per_class} a class in the pool" if cut else "official"
        return Benchmark(
            name=self.name,
            summary=self.summary,
            source=self.source.page,
            revision=self.source.found_revision(place),
            licence=self.licence,
            metric=self.metric,
            tasks=self.tasks(place) if callable(self.tasks) else self.tasks,
            prompt=self.prompt,
            samples=lambda: limit_pool(self.samples(place), pool_per_class),
            answers=self.answers,
            varying=self.varying,
            wordings=self.wordings,
            split=split,
            published={split: count for split, count in published.items() if count},
        )

    def _as_the_papers(self, place: Path, support: Sequence[Path]) -> Benchmark:
        official = self.open(place, None)
        paper, examples = self.paper, [example for file in support for example in read_support(file)]
        tasks = paper.tasks or official.tasks
        assert paper.samples is not None  # `check_splitting` refuses it
        reader = paper.samples

        def samples() -> Iterable[Sample]:
            found = [paper_worded(sample, paper.begins) for sample in reader(place)]
            if not examples:
                return found
            # The first paper's support may be of the official pool, which the second paper's split leaves out.
            others = () if paper.tasks else (paper_worded(sample, paper.begins) for sample in self.samples(place))
            return with_support(found, others, examples, tasks)

        known = f", {told(support, examples, tasks)}" if support else ""
        return replace(
            official,
            name=f"{self.name}-paper",
            tasks=tasks,
            prompt=paper.begins + (paper.prompt or self.prompt),
            samples=samples,
            answers=self.answers if paper.answers is None else paper.answers,
            split=f"the papers' split{known}; what could not be reconstructed: {paper.lost}",
            published={},
        )


def paper_worded(sample: Sample, begins: str) -> Sample:
    """Return a sample whose question begins as the papers' do."""
    return replace(sample, question=begins + sample.question) if begins else sample
