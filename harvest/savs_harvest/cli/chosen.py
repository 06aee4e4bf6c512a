"""The benchmark that a command names: by its files, its pool, its split, its wording."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from savs_harvest.cli.options import WORDING, Splitting

if TYPE_CHECKING:
    from savs_benchmarks import Benchmark
    from savs_benchmarks.files.reading import Reading


@dataclass(frozen=True)
class Chosen:
    """A benchmark as a command names it; `pool_per_class` is a number in words, or 'all'.

    `reading` is for own data, `support` lists the training examples of a paper, `wording` how the question is put.
    """

    name: str
    data_root: Path
    pool_per_class: str
    split: Splitting
    reading: Reading | None = None
    support: Sequence[Path] = ()
    wording: str = WORDING

    @property
    def limit(self) -> int | None:
        """The pool samples of a class, None for all; raises ValueError for what is neither."""
        if self.pool_per_class == "all":
            return None
        if not (self.pool_per_class.isdecimal() and int(self.pool_per_class)):
            words = f"'all' or a whole number above 0, got {self.pool_per_class!r}"
            raise ValueError(f"--pool-per-class must be {words}")
        return int(self.pool_per_class)

    def find(self) -> Benchmark:
        from savs_benchmarks import BENCHMARKS, Reading, find_benchmark
        from savs_benchmarks.registry import own_path

        if self.name in BENCHMARKS and own_path(self.name):
            print(f"{self.name} is a file or folder here, it is taken for --data; so is a benchmark", file=sys.stderr)
        reading = self.reading or Reading()
        return find_benchmark(
            self.name, self.data_root, self.limit, self.split.value, reading, self.support, self.wording
        )

    def fetched(self) -> Benchmark:
        """Return the benchmark; files of a published one are brought first, when all that is asked can be done."""
        from savs_benchmarks import BENCHMARKS, Published
        from savs_benchmarks.registry import own_path
        from savs_benchmarks.wordings import check_wording

        _ = self.limit
        if isinstance(benchmark := BENCHMARKS.get(self.name), Published) and not own_path(self.name):
            benchmark.check_splitting(self.split.value)
            check_wording(self.name, benchmark.wordings, self.wording)
            if not benchmark.source.locate(folder := benchmark.folder(self.data_root)):
                print(f"{self.name} is not here: fetching {benchmark.source.size} into {folder}", file=sys.stderr)
                benchmark.source.fetch(folder)
        return self.find()


def reading_of(
    question: str = "",
    image_root: Path | None = None,
    label_column: str = "",
    image_column: str = "",
    limit: int | None = None,
    keep_near_duplicates: bool = False,
) -> Reading:
    """Return how own data are to be read, from the options of a command."""
    from savs_benchmarks import Reading

    return Reading(question, image_root, label_column, image_column, limit, keep_near_duplicates)


def add_benchmarks(files: Iterable[Path] | None) -> None:
    """Add what is installed, and the benchmarks of the user's files."""
    from savs_benchmarks.rooms import add_installed, include

    add_installed()
    include(files or ())


def default_store(benchmark: str) -> str:
    return f"stores/{benchmark}.zarr"
