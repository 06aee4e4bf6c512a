"""The harvest: shard by shard, every unfinished one, until the store is whole."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from itertools import groupby, tee
from operator import itemgetter
from pathlib import Path
from typing import Any

from savs_benchmarks import Benchmark, check
from savs_harvest.asking.index import index_samples
from savs_harvest.asking.preparing import preparing
from savs_harvest.batches.buffers import Buffers
from savs_harvest.models.answers import find_answers, ways
from savs_harvest.models.encoders import LoadedEncoder
from savs_harvest.models.kinds import check_pictures
from savs_harvest.models.loading import LoadedModel
from savs_harvest.run.class_vectors import add_class_vectors
from savs_harvest.run.embedding import embedding_work
from savs_harvest.run.listener import Listener
from savs_harvest.run.provenance import Recorder, environment
from savs_harvest.run.ranks import Rank
from savs_harvest.run.report import Report, check_first, failures_of
from savs_harvest.run.settings import Settings, check_settings, prepared_for, runner_of
from savs_harvest.run.work import Work
from savs_harvest.run.writing import Keeping, open_writer
from savs_stores import ModelWriter, Shard, Status, open_store, owned_shards, place_of
from savs_stores.format.provenance import ENVIRONMENT, mixed_environments

USUAL, OWN_NAME, ALONE, SILENT = Settings(), Keeping(), Rank(), Listener()


def harvest(
    model: LoadedModel,
    benchmark: Benchmark,
    store: str | Path,
    settings: Settings = USUAL,
    keeping: Keeping = OWN_NAME,
    rank: Rank = ALONE,
    listener: Listener = SILENT,
) -> Report:
    """Run the model on every sample of this rank's unfinished shards and write them, one shard at a time.

    What is finished is never run again, so the same command resumes. Batches never cross a shard:
    neither a kill nor the number of ranks changes a byte. While a shard runs, the one before it is written
    and the samples of the next are prepared.
    """
    check_settings(model, settings)
    keeping.check(model, settings)
    work = find_work(model, benchmark, settings, listener.pictures)
    return harvest_work(work, store, keeping, rank, listener)


def harvest_work(work: Work, store: str | Path, keeping: Keeping, rank: Rank, listener: Listener) -> Report:
    """Run what is to be run, into a store; see `harvest`."""
    model, settings = work.model, work.settings
    work.check_shots()  # whatever refuses a command comes before the writer, which takes the name
    if keeping.shard_samples is None and not _is_begun(store, keeping.name_of(model.name, settings)):
        keeping = replace(keeping, shard_samples=work.shard_samples)
    writer = open_writer(model, work.index, store, settings, keeping, work.answers)
    checks = [f"{found['kind']}: {found['words']}" for found in work.index.info.checks]
    report = Report(answers=ways(work.answers), remarks=list(model.remarks), checks=checks)
    shards = owned_shards(writer.missing, rank.rank, rank.world)
    _warn_of_mixed(writer, shards, {**environment(model.device), **model.made_with}, listener.warning)
    listener.plan(writer, shards)
    if rank.rank == 0:
        name = keeping.name_of(model.name, settings)
        add_class_vectors(work, open_store(store).peek(name, check_files=False), listener)
    begins = rank.world == 1 and len(writer.missing) == writer.plan.shards
    process = {"rank": rank.rank, "world": rank.world, "workers": settings.workers}
    ran = _run_shards(work, writer, shards, process, listener.samples)
    with ThreadPoolExecutor(1) as writing, closing(ran):
        written: Future[None] | None = None
        for number, buffers, recorder in ran:
            report.failures += failures_of(writer.plan.rows(number), work.samples, buffers)
            if number == shards[0]:
                check_first(number, buffers, report, model.device, begins)
            if written:
                written.result()  # at most two shards are in memory, and a full disk is noticed here
            fetched = buffers.fetch()
            known = partial(work.known.fill, rows=writer.plan.rows(number))
            written = writing.submit(_write, writer, number, fetched, known, recorder.provenance(fetched), report)
        if written:
            written.result()
    return report


def _is_begun(store: str | Path, name: str) -> bool:
    return place_of(store).exists() and name in open_store(store, allow_partial=True)


def find_work(
    model: LoadedModel,
    benchmark: Benchmark,
    settings: Settings,
    on_pictures: Callable[[int, int], None] = SILENT.pictures,
) -> Work:
    """Return what is to be run: the checked samples, their index, the tokens of their answers."""
    samples = check(benchmark)
    check_pictures(model.name, model.reads_pictures, benchmark.name, samples)
    index = index_samples(benchmark, samples, on_pictures)
    if isinstance(model, LoadedEncoder):
        return embedding_work(model, settings, benchmark, samples, index)
    answers = find_answers(model.processor, benchmark, settings.parity, settings.date) if settings.logits else {}
    return Work(model, settings, benchmark, samples, index, answers)


def _warn_of_mixed(
    writer: ModelWriter, shards: Sequence[int], now: Mapping[str, Any], on_warning: Callable[[str], None]
) -> None:
    """Say in what the shards that will be made differ from those that are there."""
    made = writer.provenances
    for shard in shards:
        made[shard] = {ENVIRONMENT: now}
    for words in mixed_environments(made):
        on_warning(f"not the same in all shards, whose vectors will agree to rounding only: {words}")


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
    runner = runner_of(model, settings)
    with ExitStack() as around:
        prepare_all = around.enter_context(preparing(work.preparer, settings.workers if shards else 0))
        around.enter_context(prepared_for(model, settings))
        prepared = prepare_all(work.questions(writer.plan.rows(number), groups) for number, groups in ahead)
        for number, of_shard in groupby(batches, key=itemgetter(0)):
            rows = writer.plan.rows(number)
            recorder = Recorder(model.device, process, model.made_with)
            buffers = Buffers.empty(model, len(rows), writer.plan.shape[1:], writer.classes)
            for _, groups in of_shard:
                work.run(runner, rows, groups, next(prepared), buffers)
                on_samples(sum(map(len, groups)))
            if taken := sum(row in work.known.rows for row in rows):
                on_samples(taken)
            yield number, buffers, recorder


def _write(
    writer: ModelWriter,
    number: int,
    buffers: Buffers,
    fill: Callable[[Shard], None],
    provenance: Mapping[str, Any],
    report: Report,
) -> None:
    content = buffers.shard()
    fill(content)
    writer.write(number, content, provenance)
    report.halved += buffers.halved
    report.statuses.update(Status(status).name for status in content.status.tolist())
