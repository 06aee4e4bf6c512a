"""What a reader of a result should know about its samples; found when they are indexed, kept in the store."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from savs_benchmarks import Benchmark
from savs_harvest.asking.together import Together
from savs_stores import SampleTable

# The support of one draw in the papers.
SHOTS = 20
EXAMPLES = 5
# Control and format characters: zero-width joiners, marks of direction, soft hyphens.
INVISIBLE = ("Cc", "Cf")
# What Unicode passes over beside them (Default_Ignorable_Code_Point): fillers, joiners, variation selectors.
IGNORED = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\ufe00-\ufe0f\U000e0100-\U000e01ef]")


@dataclass(frozen=True)
class Concern:
    """Something that is allowed and makes results worse: what, how many samples, the first of them."""

    kind: str
    count: int
    words: str
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = f" ({', '.join(self.examples)}{' ...' if self.count > len(self.examples) else ''})"
        return f"{self.kind}: {self.words}{shown if self.examples else ''}"


def find_concerns(
    benchmark: Benchmark,
    table: SampleTable,
    unreadable: Sequence[tuple[str, str]],
    damaged: Sequence[tuple[str, str]] = (),
) -> list[Concern]:
    """Return all concerns about the samples.

    `unreadable` are (sample id, code) of pictures that cannot be read, `damaged` (sample id, fault) of those
    that are whole but for their metadata.
    """
    readable = ~np.isin(table.sample_id, [sample_id for sample_id, _ in unreadable])
    pictured = (table.image_hash != 0).any(axis=1)
    return [
        *_unreadable(unreadable),
        *_damaged(damaged),
        *(Concern("as it was read", 1, remark) for remark in benchmark.remarks),
        *_unlabelled(table),
        *_without_pictures(table, readable & ~pictured),
        *_incomplete(benchmark, table),
        *_repeated(table, readable),
        *_shared_pictures(table),
        *_constant_prompts(benchmark, table),
        *_few_samples(benchmark, table, readable),
        *_odd_options(table),
        *_look_alikes(benchmark),
    ]


def _unreadable(pictures: Sequence[tuple[str, str]]) -> Iterator[Concern]:
    for code, count in Counter(code for _, code in pictures).items():
        ids = [sample_id for sample_id, found in pictures if found == code]
        yield Concern("unreadable picture", count, f"{count:,} of code {code}", tuple(ids[:EXAMPLES]))


def _damaged(pictures: Sequence[tuple[str, str]]) -> Iterator[Concern]:
    if pictures:
        ids, faults = zip(*pictures, strict=True)
        words = f"{len(ids):,} with whole pixels, which are used; the first: {faults[0]}"
        yield Concern("damaged metadata", len(ids), words, tuple(ids[:EXAMPLES]))


def _incomplete(benchmark: Benchmark, table: SampleTable) -> Iterator[Concern]:
    for split, published in benchmark.published.items():
        if (count := int(table.in_split(split).sum())) != published:
            yield Concern(
                "other size", abs(count - published), f"{count:,} samples in {split}, {published:,} published"
            )


def _unlabelled(table: SampleTable) -> Iterator[Concern]:
    without = np.flatnonzero(table.label < 0)
    if len(without):
        words = f"{len(without):,} of {len(table):,} samples have no label: they are asked, never supports nor tests"
        yield Concern("no label", len(without), words, _ids(table, without))


def _without_pictures(table: SampleTable, bare: np.ndarray) -> Iterator[Concern]:
    if bare.any() and not bare.all():
        words = f"{int(bare.sum()):,} of {len(table):,} samples show no picture: they are asked in words alone"
        yield Concern("no picture", int(bare.sum()), words, _ids(table, np.flatnonzero(bare)))


def near_concerns(together: Together) -> Iterator[Concern]:
    """Yield what near-duplicate pictures were found: they stay together, and should have one label."""
    if count := len(together.repeated):
        verb = "picture is a near-duplicate" if count == 1 else "pictures are near-duplicates"
        words = f"{count:,} {verb} of others: they stay together"
        yield Concern("near-duplicates", count, words, tuple(together.repeated[:EXAMPLES]))
    if count := len(together.contradicting):
        words = f"{count:,} of them have another label than what they nearly repeat"
        yield Concern("near-duplicates with other labels", count, words, tuple(together.contradicting[:EXAMPLES]))


def _repeated(table: SampleTable, readable: np.ndarray) -> Iterator[Concern]:
    """Yield what is asked twice: the same pictures, or none, with the same question in the same task."""
    rows = np.flatnonzero(readable)
    if not len(rows):
        return
    content = np.column_stack([table.task[rows].astype(np.uint64), table.image_hash[rows], table.prompt_hash[rows]])
    _, first, which = np.unique(content, axis=0, return_index=True, return_inverse=True)
    repeats = rows[np.setdiff1d(np.arange(len(rows)), first)]
    if len(repeats):
        shown = (table.image_hash[repeats] != 0).any()
        what = "the pictures and the question" if shown else "the words"
        words = f"{len(repeats):,} samples repeat {what} of an earlier one"
        yield Concern("repeated sample", len(repeats), words, _ids(table, repeats))
    labels = table.label[rows]
    of_first = labels[first][which.ravel()]
    contradictory = rows[np.isin(which.ravel(), which.ravel()[(labels != of_first) & (labels >= 0) & (of_first >= 0)])]
    if len(contradictory):
        words = f"{len(contradictory):,} samples ask the same and have different labels"
        yield Concern("contradicting labels", len(contradictory), words, _ids(table, contradictory))


def _shared_pictures(table: SampleTable) -> Iterator[Concern]:
    pool = np.setdiff1d(table.image_hash[table.in_split("pool")], [0])
    shared = np.flatnonzero(table.in_split("test") & np.isin(table.image_hash, pool).any(axis=1))
    if len(shared):
        words = f"{len(shared):,} test samples show a picture of the pool; a draw leaves out those of its support"
        yield Concern("picture in pool and test", len(shared), words, _ids(table, shared))


def _constant_prompts(benchmark: Benchmark, table: SampleTable) -> Iterator[Concern]:
    for code, task in enumerate(benchmark.tasks):
        prompts = table.prompt_hash[table.task == code]
        if task in benchmark.varying and len(prompts) > 1 and len(set(prompts.tolist())) == 1:
            yield Concern(
                "constant prompt", len(prompts), f"all {len(prompts):,} samples of task {task!r} ask the same"
            )


def _few_samples(benchmark: Benchmark, table: SampleTable, readable: np.ndarray) -> Iterator[Concern]:
    for code, (task, classes) in enumerate(benchmark.tasks.items()):
        for splits, least, role in ((("pool", "either"), SHOTS, "supports"), (("test", "either"), 1, "tests")):
            chosen = readable & (table.task == code) & table.in_split(*splits) & (table.label >= 0)
            counts = np.bincount(table.label[chosen], minlength=len(classes))
            scarce = tuple(f"{name}: {count}" for name, count in zip(classes, counts, strict=True) if count < least)
            if scarce:
                words = f"{len(scarce)} classes of task {task!r} have fewer than {least} samples for {role}"
                yield Concern("few samples", len(scarce), words, scarce[:EXAMPLES])


def _odd_options(table: SampleTable) -> Iterator[Concern]:
    """Yield prompts that print some classes, but not the right one, or one of them twice."""
    printed = table.options >= 0
    without = np.flatnonzero(
        printed.any(axis=1) & (table.options != table.label[:, None]).all(axis=1) & (table.label >= 0)
    )
    if len(without):
        words = f"the own label of {len(without):,} samples is not among their options"
        yield Concern("label not among options", len(without), words, _ids(table, without))
    following = np.sort(table.options, axis=1)
    twice = np.flatnonzero(((following[:, 1:] == following[:, :-1]) & (following[:, 1:] >= 0)).any(axis=1))
    if len(twice):
        words = f"{len(twice):,} samples print an option twice"
        yield Concern("option twice", len(twice), words, _ids(table, twice))


def _look_alikes(benchmark: Benchmark) -> Iterator[Concern]:
    """Yield classes that a reader cannot tell apart, or not easily: most often one class, written in two ways."""
    for task, classes in benchmark.tasks.items():
        alike: dict[str, list[str]] = {}
        for name in classes:
            alike.setdefault(_appearance(name), []).append(name)
        if groups := [group for group in alike.values() if len(group) > 1]:
            words = f"classes of task {task!r} differ only by case, white space, Unicode form or invisible characters"
            examples = tuple(" and ".join(map(ascii, group)) for group in groups[:EXAMPLES])
            yield Concern("classes that look alike", len(groups), words, examples)


def _appearance(name: str) -> str:
    """Return a name without what cannot be seen: case, compatible forms, white space, invisible characters."""
    folded = IGNORED.sub("", unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()))
    return "".join(
        character
        for character in folded
        if not character.isspace() and unicodedata.category(character) not in INVISIBLE
    )


def _ids(table: SampleTable, rows: np.ndarray) -> tuple[str, ...]:
    return tuple(table.sample_id[rows[:EXAMPLES]].tolist())
