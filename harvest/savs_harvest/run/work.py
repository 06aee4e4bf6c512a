"""What is to be run: from rows of the sample table to questions, batches and answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

import numpy as np

from savs_benchmarks import Benchmark, Sample
from savs_harvest.asking.encoder_inputs import EncoderPreparer
from savs_harvest.asking.few_shot import candidates, choose_shots
from savs_harvest.asking.index import Index
from savs_harvest.asking.preparing import Prepared, Preparer, Question, Refused
from savs_harvest.batches.batching import Batching, Groups
from savs_harvest.batches.buffers import Buffers
from savs_harvest.batches.embedding import EncoderRunner
from savs_harvest.batches.runner import Runner
from savs_harvest.models.loading import LoadedModel
from savs_harvest.run.settings import Settings, batching_of, preparer_of
from savs_stores import ModelVectors, Shard, default_shard_samples
from savs_stores.format.schema import PER_SAMPLE

# Of how many samples the prompts are counted to see how many a batch has room for.
LOOKED_AT = 256


@dataclass(frozen=True)
class Known:
    """Samples that need not be run: of a row, where its vectors are, and as which row there."""

    rows: Mapping[int, tuple[ModelVectors, int]] = field(default_factory=dict)

    def fill(self, content: Shard, rows: range) -> None:
        """Put what is known of the rows of a shard into its content."""
        found = [(place, *self.rows[row]) for place, row in enumerate(rows) if row in self.rows]
        for source in {id(source): source for _, source, _ in found}.values():
            places = [place for place, of, _ in found if of is source]
            there = [row for _, of, row in found if of is source]
            content.heads[places] = source.read(there)
            for name in PER_SAMPLE:
                getattr(content, name)[places] = getattr(source, name)[there]


NOTHING = Known()


@dataclass(frozen=True)
class Work:
    """The samples of a benchmark as one model is asked them; `known` ones are not run."""

    model: LoadedModel
    settings: Settings
    benchmark: Benchmark
    samples: Sequence[Sample]
    index: Index
    answers: Mapping[str, Any]
    known: Known = NOTHING

    @cached_property
    def preparer(self) -> Preparer | EncoderPreparer:
        return preparer_of(self.model, self.settings)

    @cached_property
    def candidates(self) -> dict[str, list[int]]:
        return candidates(self.samples, self.index.table, self.settings.in_context.seed)

    def shots(self, row: int) -> list[int]:
        """Return the rows that are shown with their answers before this one."""
        count = self.settings.in_context.shots
        rows = self.candidates.get(self.samples[row].task, []) if count else []
        return choose_shots(row, rows, self.samples, self.index.table, count, self.can_be_shown)

    @cached_property
    def can_be_shown(self) -> Callable[[int], bool]:
        """Say of a row whether the processor takes its pictures: refused as a shot, it would spoil every prompt."""

        @cache
        def taken(row: int) -> bool:
            sample = self.samples[row]
            return not isinstance(self.preparer.inputs(Question(sample.images, sample.question)), Refused)

        return taken

    def check_shots(self) -> None:
        """Raise ValueError naming the first sample that has too few shots."""
        for row in range(len(self.samples)):
            self.shots(row)

    def question(self, row: int) -> Question:
        sample = self.samples[row]
        shown = [self.samples[shot] for shot in self.shots(row)]
        return Question(
            sample.images,
            sample.question,
            tuple((shot.images, shot.question, self.benchmark.answer(shot.label)) for shot in shown),
        )

    def length(self, row: int) -> tuple[int, int]:
        """Return how many tokens a sample has, and how many of them its pictures and those of its shots take."""
        sizes = [size for shown in (*self.shots(row), row) for size in self.index.sizes[shown]]
        return self.preparer.length(self.question(row), sizes)

    def questions(self, rows: range, groups: Groups) -> list[Question]:
        return [self.question(rows[place]) for group in groups for place in group]

    def plan(self, rows: range) -> list[Groups]:
        """Return the batches of a shard, as places in it; one without samples where all are known."""
        places = [place for place, row in enumerate(rows) if row not in self.known.rows]
        lengths = [self.length(rows[place]) for place in places]
        pictures = [self.pictures(rows[place]) for place in places]
        planned = batching_of(self.model, self.settings).plan(self.model.family, lengths, pictures)
        return [[[places[i] for i in group] for group in groups] for groups in planned] or [[]]

    @property
    def shard_samples(self) -> int:
        """The rows of a shard where nobody says how many: enough that short prompts fill their batches."""
        batching = batching_of(self.model, self.settings)
        if not isinstance(batching, Batching):
            return default_shard_samples(len(self.samples))
        some = np.linspace(0, len(self.samples) - 1, LOOKED_AT).round().astype(int)
        tokens = [self.length(row)[0] for row in sorted(set(some.tolist()))]
        return default_shard_samples(len(self.samples), batching.usual_samples(tokens))

    def pictures(self, row: int) -> tuple[int, ...]:
        """Return the hashes of all pictures of a prompt, its shots' first; an unreadable one is like no other."""
        hashes = self.index.table.image_hash
        return tuple(
            found or -1 - shown
            for shown in (*self.shots(row), row)
            for found in hashes[shown, : len(self.samples[shown].images)].tolist()
        )

    def run(
        self, runner: Runner | EncoderRunner, rows: range, groups: Groups, prepared: list[Prepared], buffers: Buffers
    ) -> None:
        """Run the samples of a batch that have inputs; the others get their status."""
        places = [place for group in groups for place in group]
        inputs = {}
        for place, found in zip(places, prepared, strict=True):
            if isinstance(found, Refused):
                buffers.refuse(place, found.status, found.reason)
            else:
                inputs[place] = found
        left = [kept for group in groups if (kept := [place for place in group if place in inputs])]
        answers = {place: self.answers.get(self.samples[rows[place]].task) for place in inputs}
        if left:
            runner.run(left, inputs, answers, buffers)
