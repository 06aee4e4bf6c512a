"""Labelled samples in folds: what belongs together stays together, and every class is everywhere it can be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from jaxtyping import Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from savs_analyze.votes.arithmetic import MeanError

FOLDS = 5


class SplitError(ValueError):
    """Labelled samples that cannot be split into folds, because of a class: `label` is its number."""

    def __init__(self, label: int, words: str, name: str = "") -> None:
        super().__init__(words.format(name or label))
        self.label, self.words = label, words

    def of(self, classes: Sequence[str]) -> SplitError:
        """Return the same with the class's own name."""
        return SplitError(self.label, self.words, repr(classes[self.label]))


@contextmanager
def naming(classes: Sequence[str]) -> Iterator[None]:
    """Let a `SplitError` or a `MeanError` inside the block name its class."""
    try:
        yield
    except (SplitError, MeanError) as error:
        raise error.of(classes) from None


def clusters(samples: int, shared: Iterable[Int[np.ndarray, " _"]]) -> Int[np.ndarray, " sample"]:
    """Number the samples so that all that share anything, directly or by others, have one number.

    `shared` are the samples of each group, each picture ...
    """
    nothing = np.empty(0, dtype=np.int64)
    groups = [np.asarray(members) for members in shared]
    left = np.concatenate([nothing, *(members[:-1] for members in groups)])
    right = np.concatenate([nothing, *(members[1:] for members in groups)])
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(samples, samples))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def make_folds(
    labels: Int[np.ndarray, " sample"], cluster: Int[np.ndarray, " sample"], seed: int, folds: int = FOLDS
) -> Int[np.ndarray, " sample"]:
    """Return the fold of every sample: clusters whole, classes and sizes as even as that allows.

    There are fewer folds where the scarcest class has fewer clusters. Raises `SplitError` where a class is one cluster:
    nothing of it would be left to learn from.
    """
    apart = {label: len(np.unique(cluster[labels == label])) for label in np.unique(labels).tolist()}
    if (least := min(apart.values())) < 2:
        scarcest = min(apart, key=lambda label: apart[label])
        raise SplitError(
            scarcest, "class {} has one sample, or only samples that belong together: they cannot be split into folds"
        )
    folds = min(folds, least)
    generator = np.random.default_rng(seed)
    names, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    counts = np.zeros((len(names), int(labels.max()) + 1))
    np.add.at(counts, (place, labels), 1)
    # The largest first; of equals in random order.
    order = np.lexsort((generator.random(len(names)), -sizes))
    taken, fold = np.zeros((folds, counts.shape[1])), np.empty(len(names), dtype=np.int64)
    for name in order:
        present = counts[name] > 0
        # Of the classes present, the one that the fold already holds the largest share of decides.
        fullness = (taken[:, present] / counts.sum(axis=0)[present]).max(axis=1)
        fold[name] = np.lexsort((generator.random(folds), taken.sum(axis=1), fullness))[0]
        taken[fold[name]] += counts[name]
    found = fold[place]
    if alone := [label for label in apart if len(set(found[labels == label])) < 2]:
        raise SplitError(
            alone[0], "groups that hold several classes leave class {} in one fold alone: label more groups"
        )
    return found
