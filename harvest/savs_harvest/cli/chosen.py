"""The benchmark that a command names: by its files, its pool, its split, its wording."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from savs_harvest.cli.options import (
    DATA_ROOT,
    POOL,
    WORDING,
    ImageColumnOption,
    ImageRootOption,
    LabelColumnOption,
    LimitOption,
    NearOption,
    PoolOption,
    QuestionOption,
    RootOption,
    SplitOption,
    Splitting,
    SupportOption,
    WordingOption,
)

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


@dataclass(frozen=True)
class Choice:
    """How a benchmark is to be read, whichever it is: what the options say that all commands with data share."""

    data_root: Path = DATA_ROOT
    pool_per_class: str = POOL
    split: Splitting = Splitting.official
    support: Sequence[Path] = ()
    wording: str = WORDING
    reading: Reading | None = None

    def of(self, name: str) -> Chosen:
        """Return the benchmark of this name, read so."""
        return Chosen(name, self.data_root, self.pool_per_class, self.split, self.reading, self.support, self.wording)


OFFICIAL = Choice()


def _choice(
    data_root: RootOption = DATA_ROOT,
    pool_per_class: PoolOption = POOL,
    split: SplitOption = Splitting.official,
    support: SupportOption = None,
    wording: WordingOption = WORDING,
    question: QuestionOption = "",
    image_root: ImageRootOption = None,
    label_column: LabelColumnOption = "",
    image_column: ImageColumnOption = "",
    limit: LimitOption = None,
    keep_near_duplicates: NearOption = False,
) -> Choice:
    """Return what these options say; a command that is `choosing` has every one of them."""
    from savs_benchmarks import Reading

    reading = Reading(question, image_root, label_column, image_column, limit, keep_near_duplicates)
    return Choice(data_root, pool_per_class, split, support or (), wording, reading)


def choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `_choice` in the place of its parameter `chosen`, which it gets made of them."""
    own, options = (_signature(function) for function in (command, _choice))

    @wraps(command)
    def chosen_first(*args: Any, **given: Any) -> None:
        said = {name: given.pop(name) for name in options if name in given}
        command(*args, chosen=_choice(**said), **given)

    spliced = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, one in own.items()
        for parameter in (options.values() if name == "chosen" else (one,))
    ]
    described: Any = chosen_first
    described.__signature__ = inspect.Signature(spliced)
    described.__annotations__ = {parameter.name: parameter.annotation for parameter in spliced}
    return chosen_first


def _signature(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function, what is written of their types looked up."""
    hints = get_type_hints(function, include_extras=True)
    found = inspect.signature(function).parameters.items()
    return {name: parameter.replace(annotation=hints[name]) for name, parameter in found}


def add_benchmarks(files: Iterable[Path] | None) -> None:
    """Add what is installed, and the benchmarks of the user's files."""
    from savs_benchmarks.rooms import add_installed, include

    add_installed()
    include(files or ())


def default_store(benchmark: str) -> str:
    return f"stores/{benchmark}.zarr"
