"""Which samples choose hyperparameters instead of being reported on. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from savs_stores import BenchmarkInfo, SampleTable

# A benchmark with fewer test samples is only tested on: a quarter of them would choose by chance.
LEAST, PAPERS_LEAST = 400, 1000


@dataclass(frozen=True)
class Validation:
    """How many of the test samples choose hyperparameters, and which.

    They are drawn once a benchmark, the same for every draw, method and model. `first` takes the first ones in the
    order of the file, as the second paper does, also of benchmarks that choose nothing.
    """

    share: int | float = 0.25
    first: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise ValueError(f"validation must be a share from 0 to below 1, got {self.share}")

    def chooses(self, table: SampleTable, benchmark: BenchmarkInfo) -> bool:
        """Tell whether the benchmark chooses hyperparameters: it has one task, and enough samples."""
        least = PAPERS_LEAST if self.first else LEAST
        enough = int(table.in_split("test", "either").sum()) >= least
        return self.share > 0 and len(benchmark.tasks) == 1 and enough

    def samples(self, table: SampleTable, benchmark: BenchmarkInfo) -> Bool[np.ndarray, " sample"]:
        """Return the samples [sample] that validate: none of them is tested."""
        chosen = np.zeros(len(table), dtype=bool)
        if self.first:
            unit = np.where(table.group >= 0, table.group, -1 - np.arange(len(table)))
            for task in range(len(benchmark.tasks)):
                tested = np.flatnonzero((table.task == task) & table.in_split("test", "either"))
                chosen[tested] = first_units(unit[tested], self.share)
        elif self.chooses(table, benchmark):
            tested = np.flatnonzero(table.in_split("test", "either"))
            apart = inseparable(table.image_hash[tested], table.group[tested])
            chosen[tested] = stratified_share(apart, table.label[tested], self.share)
        return chosen


QUARTER = Validation()


def first_units(unit: Int[np.ndarray, " sample"], share: float | int) -> Bool[np.ndarray, " sample"]:
    """Return the samples of the first units by order of appearance, rounded down to whole units."""
    names, first = np.unique(unit, return_index=True)
    order = names[np.argsort(first)]
    return np.isin(unit, order[: int(share * len(order))])


def inseparable(images: np.ndarray, group: Int[np.ndarray, " sample"]) -> Int[np.ndarray, " sample"]:
    """Return the set of each sample: samples that share an image `[sample, image]` or a group are in one set.

    An image of 0 and a group of -1 stand for none.
    """
    links: list[tuple[np.ndarray, np.ndarray]] = []
    shown, place = np.nonzero(images)
    for owner, key in ((shown, images[shown, place]), (np.flatnonzero(group >= 0), group[group >= 0])):
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        links.append((owner, owner[first][which]))
    rows, columns = (np.concatenate(ends) for ends in zip(*links, strict=True))
    edges = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(len(group), len(group)))
    return connected_components(edges, directed=False)[1].astype(np.int64)


def stratified_share(
    apart: Int[np.ndarray, " sample"], label: Int[np.ndarray, " sample"], share: float | int
) -> Bool[np.ndarray, " sample"]:
    """Return whole sets of samples such that no class gives more than its share, rounded down.

    Sets are tried in a random order of a fixed seed; a set that a class has no more room for stays out.
    """
    counts = coo_array((np.ones(len(label), dtype=np.int64), (apart, label))).tocsr()
    room = (share * np.bincount(label)).astype(np.int64)
    taken = np.zeros(counts.shape[0], dtype=bool)
    for one in np.random.default_rng(0).permutation(len(taken)):
        row = slice(*counts.indptr[one : one + 2])
        classes, wanted = counts.indices[row], counts.data[row]
        if (wanted <= room[classes]).all():
            taken[one] = True
            room[classes] -= wanted
    return taken[apart]
