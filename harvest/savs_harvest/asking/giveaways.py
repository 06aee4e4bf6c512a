"""Labels that follow from a trivial property of the file: what is learnt there may be the camera, not the picture."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

import numpy as np

from savs_benchmarks import Benchmark
from savs_benchmarks.pictures.traits import Traits
from savs_harvest.asking.checks import Concern
from savs_stores import SampleTable

# A rule is told where chance would hardly make it, and where it is of use.
MOST_CHANCE, LEAST_GAIN = 0.001, 0.15
PARTS = 10

# What is looked at of a file, and how it is called.
TRAITS: Mapping[str, Callable[[Traits], Hashable]] = {
    "the size in pixels": lambda traits: traits.size,
    "the file's format": lambda traits: (traits.form, traits.mode),
    "the camera": lambda traits: traits.camera,
}


def giveaway_concerns(
    benchmark: Benchmark, table: SampleTable, traits: Sequence[Sequence[Traits | None]]
) -> Iterator[Concern]:
    """Yield the properties of files that predict labels; samples without label or readable files are left out."""
    known = np.array([bool(of) and None not in of for of in traits]) & (table.label >= 0)
    for code, task in enumerate(benchmark.tasks):
        rows = np.flatnonzero(known & (table.task == code))
        labels = table.label[rows]
        for name, values in _properties([[one for one in traits[row] if one] for row in rows.tolist()]).items():
            if (rule := judge_rule(labels, values)) is not None:
                right, largest = rule
                words = (
                    f"{name} alone tells {100 * right:.0f} % of the labels of task {task!r}, the largest class has "
                    f"{100 * largest:.0f} %: heads may learn that, not what the pictures show"
                )
                yield Concern("label follows from the file", len(rows), words)


def _properties(traits: Sequence[Sequence[Traits]]) -> dict[str, np.ndarray]:
    """Return of every property the number of its value, [sample]; sizes of files count in ten parts."""
    found = {name: _numbered([tuple(map(of, each)) for each in traits]) for name, of in TRAITS.items()}
    size = np.array([sum(one.bytes for one in each) for each in traits])
    edges = np.quantile(size, np.arange(1, PARTS) / PARTS) if len(size) else []
    return found | {"the size of the file": np.searchsorted(edges, size, side="left")}


def _numbered(values: Sequence[Hashable]) -> np.ndarray:
    numbers: dict[Hashable, int] = {}
    return np.array([numbers.setdefault(value, len(numbers)) for value in values], dtype=np.int64)


def judge_rule(labels: np.ndarray, values: np.ndarray) -> tuple[float, float] | None:
    """Return (how often a rule is right, the largest class's share) where values predict labels, else None.

    The rule says the commonest label of the others with the same value, the commonest of all where there is none.
    It counts where it is at least 15 points better than the largest class, and hardly by chance (binomial, 0.1 %).
    """
    from scipy.stats import binomtest

    if len(np.unique(values)) < 2:
        return None
    counts = np.zeros((int(values.max()) + 1, int(labels.max()) + 1), dtype=np.int64)
    np.add.at(counts, (values, labels), 1)
    of_class = counts.sum(axis=0)
    others = counts[values]
    alone = others.sum(axis=1) == 1
    others[alone] = of_class
    others[np.arange(len(labels)), labels] -= 1
    right = int((_firmly_best(others) == labels).sum())
    largest = int(of_class.max()) / len(labels)
    share = right / len(labels)
    if share - largest < LEAST_GAIN or binomtest(right, len(labels), largest, "greater").pvalue >= MOST_CHANCE:
        return None
    return share, largest


def _firmly_best(counts: np.ndarray) -> np.ndarray:
    """Return the commonest label of every row, -1 where two are equally common."""
    best = counts.argmax(axis=1)
    return np.where((counts == counts.max(axis=1, keepdims=True)).sum(axis=1) == 1, best, -1)
