"""Samples that show near-duplicates of one picture stay together: they get one group before anything is split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from savs_benchmarks import Sample
from savs_benchmarks.pictures.near import Look, near_duplicates


@dataclass(frozen=True)
class Together:
    """The group of every sample, its own where it has one, and what was found.

    `repeated` are the samples with a near-duplicate of an earlier one's picture, `contradicting` those of them with
    another label than that one.
    """

    groups: list[str | None]
    repeated: list[str]
    contradicting: list[str]


def keep_together(
    samples: Sequence[Sample], hashes: Sequence[Sequence[int]], looks: Mapping[int, Look | None]
) -> Together:
    """Return the groups of samples whose pictures are near-duplicates; `looks` are those of the pictures by hash.

    Equal pictures alone make no group: draws see them by their hashes. Samples in words alone that ask the same are
    one group: nothing else tells that they are one.
    """
    numbers = dict(zip(looks, near_duplicates(list(looks.values())).tolist(), strict=True))
    sizes = np.bincount(list(numbers.values()), minlength=1)
    shown = [[numbers[one] for one in of if one in numbers and sizes[numbers[one]] > 1] for of in hashes]
    cluster = _joined(shown)
    first: dict[int, int] = {}
    together = Together([sample.group for sample in samples], [], [])
    named = _named(samples, shown, cluster)
    words = _SameWords(samples)
    for row, (sample, of) in enumerate(zip(samples, shown, strict=True)):
        if not of:
            together.groups[row] = sample.group if sample.images else words.of(sample, row)
            continue
        earlier = first.setdefault(cluster[of[0]], row)
        if sample.group is None:
            name = f"near-duplicates of {samples[earlier].sample_id}"
            together.groups[row] = named.get(cluster[of[0]], name)
        if not set(hashes[row]) & set(hashes[earlier]):
            together.repeated.append(sample.sample_id)
            if sample.label and samples[earlier].label not in ("", sample.label):
                together.contradicting.append(sample.sample_id)
    return together


class _SameWords:
    """Gives samples without pictures that ask the same words in one task one group, unless groups are scored whole."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        bare = [(sample.task, sample.question) for sample in samples if not sample.images and sample.slot is None]
        self.repeated = {asked for asked, count in Counter(bare).items() if count > 1}
        self.first: dict[tuple[str, str], str] = {}

    def of(self, sample: Sample, row: int) -> str | None:
        asked = sample.task, sample.question
        if sample.group is not None or sample.slot is not None or asked not in self.repeated:
            return sample.group
        return self.first.setdefault(asked, f"the same words as {self.samples[row].sample_id}")


def _joined(shown: Iterable[Sequence[int]]) -> dict[int, int]:
    """Return one number for all clusters that samples show together."""
    found: dict[int, int] = {}
    for of in shown:
        for one in of:
            found.setdefault(one, one)
        if len({found[one] for one in of}) > 1:
            into, others = found[of[0]], {found[one] for one in of}
            found = {one: into if number in others else number for one, number in found.items()}
    return found


def _named(
    samples: Sequence[Sample], shown: Sequence[Sequence[int]], cluster: Mapping[int, int]
) -> Mapping[Hashable, str]:
    """Return the groups that users gave to samples of clusters: the others of a cluster join the first."""
    named: dict[Hashable, str] = {}
    for sample, of in zip(samples, shown, strict=True):
        if of and sample.group is not None:
            named.setdefault(cluster[of[0]], sample.group)
    return named
