"""From answers to a store: one head of kind answer, a place for every class, shard by shard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from savs_benchmarks import Benchmark, Sample
from savs_harvest.asking.index import Index
from savs_harvest.asking.said import UNREAD, read_answer
from savs_harvest.endpoint.form import Form
from savs_harvest.endpoint.likelihoods import class_logits
from savs_harvest.endpoint.record import Line, Record
from savs_stores import MismatchError, ModelWriter, Status, StoreError, add_model, create_store, open_store
from savs_stores.answered import answer_table, answered_shard
from savs_stores.format.fingerprint import differences
from savs_stores.format.plan import ShardPlan, default_shard_samples
from savs_stores.format.provenance import ENVIRONMENT, RUN

REPORTED = "reported"
PACKAGES = ("savs", "openai", "pillow", "zarr", "numpy")


@dataclass(frozen=True)
class Place:
    """A store, the name of the system in it, samples a shard, and the command that goes on."""

    store: str
    name: str
    shard_samples: int | None = None
    command: str = ""


@dataclass(frozen=True)
class Known:
    """What is known of all samples: their benchmark, what was asked and said, and pictures that cannot be read."""

    benchmark: Benchmark
    samples: Sequence[Sample]
    record: Record
    unreadable: Mapping[str, tuple[Status, str]]

    def has_outcome(self, sample_id: str) -> bool:
        return sample_id in self.unreadable or self.record.is_done(sample_id)

    def status(self, sample_id: str) -> tuple[Status, str]:
        """Return what became of a sample and, where it failed, why."""
        if sample_id in self.unreadable:
            return self.unreadable[sample_id]
        if sample_id in self.record.answers:
            return Status.OK, ""
        return Status.REJECTED, f"rejected: {self.record.refusals[sample_id]['why']}"

    def answers(self, sample: Sample) -> list[str]:
        """Return in which words the classes of a sample's task are answered."""
        return [self.benchmark.answer(label) for label in self.benchmark.tasks[sample.task]]

    def said(self, sample: Sample) -> int:
        """Return the place of the class that was said of a sample."""
        line = self.record.answers.get(sample.sample_id)
        return read_answer(line["text"], self.answers(sample)) if line else UNREAD


def begin_store(place: Place, index: Index, form: Form) -> tuple[ShardPlan, list[int]]:
    """Return how samples lie in shards, and which shards are missing; the store's table is written where it is not.

    Raises `MismatchError` where the store is of other samples, or has the name for answers to other requests.
    """
    create_store(place.store, index.info, index.table, index.texts)
    return planned(place, index, form)


def planned(place: Place, index: Index, form: Form) -> tuple[ShardPlan, list[int]]:
    """Return what `begin_store` does, and write nothing."""
    samples, classes = len(index.table), index.info.most_classes
    plan = ShardPlan(samples, 1, classes, place.shard_samples or default_shard_samples(samples))
    try:
        store = open_store(place.store)
        begun = store.peek(place.name, check_files=False) if place.name in store.models else None
    except StoreError:  # there is none yet, or it is refused with all that differs when it is written to
        begun = None
    if begun is None:
        return plan, list(range(plan.shards))
    found = {name: value for name, value in begun.identity.items() if name != REPORTED}
    if lines := differences(found, form.describe()):
        listed = "".join(f"\n  {line}" for line in lines)
        raise MismatchError(f"{place.store} has {place.name!r} for something else: say --as NAME{listed}")
    return begun.plan, list(begun.missing)


def open_writer(place: Place, form: Form, record: Record, classes: int) -> ModelWriter:
    """Return what writes shards, with the name by which the server calls its model in the fingerprint."""
    identity = {**form.describe(), REPORTED: record.reported or ""}
    made = {"command": place.command}
    return add_model(place.store, place.name, identity, answer_table(classes), made, place.shard_samples)


def write_shard(writer: ModelWriter, shard: int, known: Known) -> None:
    """Write the answers of a shard; all of its samples have an outcome."""
    samples = [known.samples[row] for row in writer.plan.rows(shard)]
    lines = [known.record.answers.get(sample.sample_id) for sample in samples]
    content = answered_shard(
        [known.said(sample) for sample in samples],
        writer.classes,
        np.array([known.status(sample.sample_id)[0] for sample in samples], dtype=np.uint8),
        np.array([line["usage"].get("prompt_tokens", -1) if line else -1 for line in lines], dtype=np.int32),
        _logits(samples, lines, known, writer.classes),
    )
    writer.write(shard, content, _provenance([line for line in lines if line]))


def _logits(samples: Sequence[Sample], lines: Sequence[Line | None], known: Known, classes: int) -> np.ndarray:
    logits = np.full((len(samples), classes), np.nan, dtype=np.float32)
    for row, (sample, line) in enumerate(zip(samples, lines, strict=True)):
        found = class_logits(line["first"], known.answers(sample)) if line else None
        if found is not None:
            logits[row, : len(found)] = found
    return logits


def _provenance(lines: Sequence[Line]) -> dict[str, Any]:
    """Return when a shard's samples were answered, and by which system, as the server calls it."""
    times = sorted(line["at"] for line in lines)
    systems = sorted({str(line.get("system", "")) for line in lines} - {""})
    run = {"started": times[0], "ended": times[-1]} if times else {}
    return {ENVIRONMENT: {name: version(name) for name in PACKAGES}, RUN: {**run, "systems": systems}}
