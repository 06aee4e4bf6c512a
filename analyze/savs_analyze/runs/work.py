"""Who computes the cells: this process, several, or the workers of a cluster. Every cell is durable when it is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from savs_analyze.methods.rooms import Included, add_installed, check_travels, include
from savs_analyze.runs.cells import Cell, deal
from savs_analyze.runs.draw_pass import run_cells
from savs_analyze.runs.results import Results
from savs_stores import ModelVectors, open_store

BACKENDS = ("loky", "dask")
# Numbers to read: below, starting processes takes longer than what they save.
SMALL = 2_000_000_000

Part = tuple[str, str, list[Cell], str, tuple[Included, ...]]


@dataclass
class Work:
    """The cells of a sweep on their way into a folder of results."""

    results: Results
    included: Sequence[Included]
    total: int
    on_cells: Callable[[int, int], None]
    done: int = 0

    def run(
        self, missing: Sequence[tuple[ModelVectors, list[Cell]]], jobs: int | None, backend: str, scheduler: str
    ) -> None:
        """Compute what is missing.

        Raises ValueError for a backend that does not exist, and for dask without a scheduler.
        """
        if backend not in BACKENDS:
            raise ValueError(f"there is no backend {backend!r}; choose one of {', '.join(BACKENDS)}")
        if (backend == "dask") != bool(scheduler):
            raise ValueError("the backend dask needs --scheduler ADDRESS, and only it does")
        self._count(self.total - sum(len(cells) for _, cells in missing))
        workers = jobs or _workers(missing)
        if backend == "loky" and workers == 1:
            for vectors, cells in missing:
                for _ in compute(vectors, cells, self.results):
                    self._count(1)
            return
        check_travels({origin for _, cells in missing for cell in cells for origin in cell.origins})
        parts = share_out(missing, workers, self.results.folder, self.included)
        with _connected(scheduler) as count:
            for finished in _in_parallel(parts, count or workers, backend):
                self._count(finished)

    def _count(self, more: int) -> None:
        self.done += more
        self.on_cells(self.done, self.total)


def compute(vectors: ModelVectors, cells: Sequence[Cell], results: Results) -> Iterator[str]:
    """Compute cells and save each; yield its key."""
    for key, result in run_cells(vectors, cells):
        results.save(key, result)
        yield key


def share_out(
    missing: Sequence[tuple[ModelVectors, list[Cell]]],
    workers: int,
    folder: Path,
    included: Sequence[Included] = (),
) -> list[Part]:
    """Return parts for the workers, as what a process elsewhere needs to know: paths, a name, cells.

    Every part reads its test samples once, so there are no more of them than keep all workers busy.
    """
    each = -(-workers // max(1, len(missing)))
    return [
        (vectors.store.place.location, vectors.name, part, str(folder.absolute()), tuple(included))
        for vectors, cells in missing
        for part in deal(cells, each)
    ]


def compute_part(part: Part) -> int:
    """Open the store and compute a part's cells, in any process; return how many."""
    path, model, cells, folder, included = part
    add_installed()
    include(included)
    # Whether an unfinished store is welcome was asked when the sweep was planned.
    vectors = open_store(path, allow_partial=True)[model]
    return sum(1 for _ in compute(vectors, cells, Results(Path(folder))))


def _workers(missing: Sequence[tuple[ModelVectors, list[Cell]]]) -> int:
    numbers = 0
    for vectors, cells in missing:
        draws = len({(cell.task, cell.shots, cell.draw) for cell in cells})
        numbers += draws * len(vectors.store.samples) * len(vectors.heads)
    return 1 if numbers * 100 < SMALL else os.cpu_count() or 1


@contextmanager
def _connected(scheduler: str) -> Iterator[int]:
    """Connect joblib to a dask scheduler, where one is given; yield its number of threads, else 0."""
    if not scheduler:
        yield 0
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ValueError('the backend dask needs the extra: pip install "savs[dask]"') from error
    with Client(scheduler, timeout="10s") as client:
        yield max(1, sum(client.nthreads().values()))


def _in_parallel(parts: Sequence[Part], workers: int, backend: str) -> Iterator[int]:
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    try:
        with parallel_config(backend=backend, n_jobs=workers):
            yield from Parallel(return_as="generator_unordered")(delayed(compute_part)(part) for part in parts)
    except TerminatedWorkerError as error:
        raise OSError(
            "a process was killed, most likely for want of memory; what was finished is kept: "
            "run the same command again, with fewer --jobs"
        ) from error
