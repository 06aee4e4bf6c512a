"""The harvest: shard by shard, every unfinished one, until the store is whole."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import groupby, tee
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch

from savs_benchmarks import Benchmark, Sample, check
from savs_benchmarks.errors import Fault
from savs_benchmarks.pictures.pictures import POLICY
from savs_harvest import TOKEN_BUDGETS
from savs_harvest.asking.few_shot import InContext, candidates, choose_shots
from savs_harvest.asking.index import Index, index_samples
from savs_harvest.asking.preparing import Prepared, Preparer, Question, Refused, preparing
from savs_harvest.batches.packing import packed_attention
from savs_harvest.batches.runner import Batching, Buffers, Groups, Runner
from savs_harvest.errors import ModelError
from savs_harvest.models.answers import Answers, find_answers, ways
from savs_harvest.models.loading import LoadedModel, compilable, compiled_layers
from savs_harvest.models.prompts import check_parity, prompt_hash
from savs_harvest.models.templates import DATE, check_date
from savs_harvest.run.provenance import Recorder, environment
from savs_stores import CODECS, HeadTable, MismatchError, ModelWriter, Status, add_model, create_store, owned_shards
from savs_stores.format.provenance import ENVIRONMENT, mixed_environments
from savs_stores.format.schema import check_model_name


@dataclass(frozen=True)
class Settings:
    """How a harvest is done, apart from the model, the benchmark and the store.

    `logits` says whether zero-shot log-probabilities are computed; `workers` prepare samples ahead of the model.
    Without a token budget, the device has its own. `date` is what chat templates take for today.
    """

    token_budget: int | None = None
    share: bool = True
    pack: bool = False
    compile: bool = False
    logits: bool = True
    parity: tuple[str, ...] = ()
    in_context: InContext = field(default_factory=InContext)
    workers: int = 0
    date: str = DATE

    def batching(self, device: torch.device) -> Batching:
        budget = (
            TOKEN_BUDGETS.get(device.type, TOKEN_BUDGETS["cuda"]) if self.token_budget is None else self.token_budget
        )
        return Batching(budget, self.share, self.pack)


@dataclass
class Report:
    """What a harvest did: samples by status, why the failed ones failed, what else is worth knowing.

    `answers` says of every task what zero-shot log-probabilities are read from, `remarks` what was changed of the
    model's own files or is not done with it.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    halved: int = 0

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if status != Status.OK.name)


def default_workers(device: torch.device) -> int:
    """Return how many processes prepare samples: none beside a model on the CPU, which they would only slow down."""
    if device.type == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, cores // max(1, torch.cuda.device_count()) - 1))


def identity(model: LoadedModel, settings: Settings, answers: Mapping[str, Answers] = {}) -> dict[str, Any]:
    """Return the fields behind the fingerprint of a harvest: the model's and those of the run."""
    return {
        **model.identity,
        **settings.batching(model.device).describe(model.family),
        "images": POLICY,
        "compiled": settings.compile,
        "logits": "last position" if settings.logits else "none",
        "answers": ways(answers),
        "date": settings.date,
        "prompt": prompt_hash(model.processor, settings.parity, settings.date),
        "parity": sorted(settings.parity),
        "in_context": settings.in_context.to_json() if settings.in_context.shots else None,
    }


def head_table(model: LoadedModel) -> HeadTable:
    return HeadTable.from_layers((p.layer, p.heads, p.head_dim, p.kind) for p in model.projections)


def open_writer(
    model: LoadedModel,
    index: Index,
    store: str | Path,
    name: str,
    settings: Settings = Settings(),
    command: str = "",
    answers: Mapping[str, Answers] = {},
    **layout: Any,
) -> ModelWriter:
    """Create the store and the model's group where they are not there yet; both are checked where they are."""
    create_store(store, index.info, index.table)
    try:
        return add_model(
            store,
            name,
            identity(model, settings, answers),
            head_table(model),
            {"command": command, "remarks": list(model.remarks)},
            **layout,
        )
    except MismatchError as error:
        if "\n  batching:" in str(error):
            error.add_note("the number of tokens is set by --batch-tokens")
        raise


def harvest(
    model: LoadedModel,
    benchmark: Benchmark,
    store: str | Path,
    settings: Settings = Settings(),
    *,
    rank: int = 0,
    world: int = 1,
    command: str = "",
    name: str | None = None,
    on_pictures: Callable[[int, int], None] = lambda done, total: None,
    on_plan: Callable[[ModelWriter, list[int]], None] = lambda writer, shards: None,
    on_samples: Callable[[int], None] = lambda count: None,
    on_warning: Callable[[str], None] = lambda words: None,
    **layout: Any,
) -> Report:
    """Run the model on every sample of this rank's unfinished shards and write them, one shard at a time.

    What is finished is never run again, so the same command resumes. Batches never cross a shard:
    neither a kill nor the number of ranks changes a byte. While a shard runs, the one before it is written
    and the samples of the next are prepared.
    """
    check_settings(model, settings)
    _check_codec(layout.get("codec", "none"))
    name = check_model_name(name or model.name + settings.in_context.suffix)
    samples = check(benchmark)
    index = index_samples(benchmark, samples, on_pictures)
    answers = find_answers(model.processor, benchmark, settings.parity, settings.date) if settings.logits else {}
    work = Work(model, settings, benchmark, samples, index, answers)
    work.check_shots()  # whatever refuses a command comes before the writer, which takes the name
    writer = open_writer(model, index, store, name, settings, command, answers, **layout)
    checks = [f"{found['kind']}: {found['words']}" for found in index.info.checks]
    report = Report(answers=ways(answers), remarks=list(model.remarks), checks=checks)
    shards = owned_shards(writer.missing, rank, world)
    _warn_of_mixed(writer, shards, model.device, on_warning)
    on_plan(writer, shards)
    begins = world == 1 and len(writer.missing) == writer.plan.shards
    process = {"rank": rank, "world": world, "workers": settings.workers}
    with ThreadPoolExecutor(1) as writing, closing(_run_shards(work, writer, shards, process, on_samples)) as ran:
        written: Future[None] | None = None
        for number, buffers, recorder in ran:
            report.failures += _failures(writer.plan.rows(number), samples, buffers)
            if number == shards[0]:
                _check_first(number, buffers, report, model.device, begins)
            if written:
                written.result()  # at most two shards are in memory, and a full disk is noticed here
            fetched = buffers.fetch()
            written = writing.submit(_write, writer, number, fetched, recorder.provenance(fetched), report)
        if written:
            written.result()
    return report


@contextmanager
def prepared_for(model: LoadedModel, settings: Settings) -> Iterator[None]:
    """Let the model attend and compute as the settings say while the block is open."""
    with ExitStack() as around:
        around.enter_context(packed_attention(model.model) if settings.pack else nullcontext())
        around.enter_context(compiled_layers(model.model) if settings.compile else nullcontext())
        yield


def check_settings(model: LoadedModel, settings: Settings) -> None:
    """Raise `ModelError` or ValueError where the model cannot be run as it is asked for."""
    family = model.model.config.model_type
    check_parity(family, settings.parity)
    check_date(settings.date)
    if settings.pack and not model.family.packs:
        raise ModelError(f"{family} cannot be packed: leave out --pack")
    if settings.compile and not compilable(model.model):
        raise ModelError(f"{family} has no part that can be compiled: leave out --compile")


def _check_codec(codec: str) -> None:
    if codec not in CODECS:
        raise ValueError(f"unknown codec {codec!r}; there are {', '.join(CODECS)}")


def _warn_of_mixed(
    writer: ModelWriter, shards: Sequence[int], device: torch.device, on_warning: Callable[[str], None]
) -> None:
    """Say in what the shards that will be made differ from those that are there."""
    made = writer.provenances
    for shard in shards:
        made[shard] = {ENVIRONMENT: environment(device)}
    for words in mixed_environments(made):
        on_warning(words)


def _run_shards(
    work: Work,
    writer: ModelWriter,
    shards: Sequence[int],
    process: Mapping[str, int],
    on_samples: Callable[[int], None],
) -> Generator[tuple[int, Buffers, Recorder], None, None]:
    """Yield the number of each shard and what the model gives for it, still on its device."""
    model, settings = work.model, work.settings
    planned = ((number, groups) for number in shards for groups in work.plan(writer.plan.rows(number)))
    batches, ahead = tee(planned)
    runner = Runner(model, settings.batching(model.device))
    with ExitStack() as around:
        prepare_all = around.enter_context(preparing(work.preparer, settings.workers if shards else 0))
        around.enter_context(prepared_for(model, settings))
        prepared = prepare_all(work.questions(writer.plan.rows(number), groups) for number, groups in ahead)
        for number, of_shard in groupby(batches, key=itemgetter(0)):
            rows = writer.plan.rows(number)
            recorder = Recorder(model.device, process)
            buffers = Buffers.empty(model, len(rows), writer.plan.shape[1:], writer.classes)
            for _, groups in of_shard:
                work.run(runner, rows, groups, next(prepared), buffers)
                on_samples(sum(map(len, groups)))
            yield number, buffers, recorder


def _check_first(number: int, buffers: Buffers, report: Report, device: torch.device, begins: bool) -> None:
    """Raise `ModelError` where nothing of the first shard could be run, for what is not its samples' fault.

    One refused sample is its own fault; nothing but refused samples from the start is the model's. Of several
    processes, or after a resume, none knows what was found before.
    """
    if begins and (buffers.status == Status.REJECTED).all():
        raise ModelError(f"the model refuses every sample of shard {number}:\n  {report.failures[-1]}")
    if (buffers.status == Status.OUT_OF_MEMORY).all():
        raise ModelError(
            f"no sample of shard {number} fits into the memory of {device}, not even alone: "
            "is another process using it?"
        )


def _write(writer: ModelWriter, number: int, buffers: Buffers, provenance: Mapping[str, Any], report: Report) -> None:
    content = buffers.shard()
    writer.write(number, content, provenance)
    report.halved += buffers.halved
    report.statuses.update(Status(status).name for status in content.status.tolist())


def _failures(rows: range, samples: Sequence[Sample], buffers: Buffers) -> list[str]:
    return [_failure(samples[rows[place]], why) for place, why in sorted(buffers.reasons.items())]


def _failure(sample: Sample, why: str) -> Fault:
    """Return why a sample failed; samples whose pictures have the same fault failed for the same reason."""
    kind = why
    for picture in sample.images:
        kind = kind.replace(str(picture), "...")
    return Fault(sample.sample_id, why, kind)


@dataclass(frozen=True)
class Work:
    """What is to be run: from rows of the sample table to questions, batches and answers."""

    model: LoadedModel
    settings: Settings
    benchmark: Benchmark
    samples: Sequence[Sample]
    index: Index
    answers: Mapping[str, Answers]

    @cached_property
    def preparer(self) -> Preparer:
        return Preparer(
            self.model.folder,
            self.model.model.dtype,
            self.settings.parity,
            self.model.family.tiles_one_picture,
            self.model.processor,
            self.settings.date,
        )

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
        """Return the batches of a shard, as places in it."""
        lengths = [self.length(row) for row in rows]
        pictures = [self.pictures(row) for row in rows]
        return self.settings.batching(self.model.device).plan(self.model.family, lengths, pictures)

    def pictures(self, row: int) -> tuple[int, ...]:
        """Return the hashes of all pictures of a prompt, its shots' first; an unreadable one is like no other."""
        hashes = self.index.table.image_hash
        return tuple(
            found or -1 - shown
            for shown in (*self.shots(row), row)
            for found in hashes[shown, : len(self.samples[shown].images)].tolist()
        )

    def run(self, runner: Runner, rows: range, groups: Groups, prepared: list[Prepared], buffers: Buffers) -> None:
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
