"""What a model answers by itself, beside what its heads know: generated words, and scores of captions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from savs_harvest import DATE
from savs_harvest.cli.chosen import OFFICIAL, Choice, Chosen, add_benchmarks, choosing, default_store
from savs_harvest.cli.options import (
    AdapterOption,
    DataOption,
    DeviceMapOption,
    DtypeOption,
    IncludeOption,
    ModelOption,
    NameOption,
    QuantizeOption,
    RevisionOption,
    ShardOption,
    StoreOption,
)
from savs_harvest.cli.resume import resume_command
from savs_harvest.cli.runs import tell
from savs_stores import terminal

if TYPE_CHECKING:
    from savs_benchmarks import Benchmark
    from savs_harvest.models.specs import ModelSpec
    from savs_harvest.run.answering import Answering
    from savs_harvest.run.settings import Settings
    from savs_harvest.run.work import Work

DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")]
IclOption = Annotated[int, typer.Option("--icl", min=0, help="Answered questions before each one, from the pool.")]
SeedOption = Annotated[int, typer.Option("--icl-seed", min=0, help="Draws them.")]
DateOption = Annotated[str, typer.Option("--date", help="What chat templates take for today.")]
RankOption = Annotated[int | None, typer.Option(min=0, help="This process's number; default: its launcher's.")]
WorldOption = Annotated[int | None, typer.Option(min=1, help="Number of processes; default: its launcher's.")]
MOST_TOKENS = 16


@choosing
def generate(
    context: typer.Context,
    model: ModelOption,
    data: DataOption,
    store: StoreOption = None,
    chosen: Choice = OFFICIAL,
    name: NameOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = "auto",
    device_map: DeviceMapOption = None,
    revision: RevisionOption = None,
    adapter: AdapterOption = None,
    quantize: QuantizeOption = None,
    shard_samples: ShardOption = None,
    icl: IclOption = 0,
    icl_seed: SeedOption = 0,
    date: DateOption = DATE,
    most_tokens: Annotated[int, typer.Option("--most-tokens", min=1, help="Of an answer.")] = MOST_TOKENS,
    rank: RankOption = None,
    world: WorldOption = None,
    include: IncludeOption = None,
) -> None:
    """Let a model write its answers, greedily, and read a class in them. The same command resumes."""
    add_benchmarks(include)

    def answering(work: Work) -> Answering:
        from savs_harvest.run.answering import Generated

        return Generated(work, most_tokens)

    _answer(
        context,
        _spec(model, adapter, quantize, dtype, date),
        chosen.of(data),
        answering,
        _settings(icl, icl_seed, date),
        store=store,
        keeping=(name, shard_samples),
        loading=(device, dtype, revision, device_map),
        ranks=(rank, world),
    )


@choosing
def vqascore(
    context: typer.Context,
    model: ModelOption,
    data: DataOption,
    store: StoreOption = None,
    chosen: Choice = OFFICIAL,
    name: NameOption = None,
    dtype: DtypeOption = None,
    device: DeviceOption = "auto",
    device_map: DeviceMapOption = None,
    revision: RevisionOption = None,
    adapter: AdapterOption = None,
    quantize: QuantizeOption = None,
    shard_samples: ShardOption = None,
    date: DateOption = DATE,
    caption: Annotated[str, typer.Option("--caption", help="What a {class} is called.")] = "{class}",
    rank: RankOption = None,
    world: WorldOption = None,
    include: IncludeOption = None,
) -> None:
    """Score captions by how probable Yes is where a model is asked if a picture shows them (VQAScore)."""
    add_benchmarks(include)

    def answering(work: Work) -> Answering:
        from savs_harvest.asking.captions import find_captions
        from savs_harvest.run.answering import CaptionScores

        return CaptionScores(work, find_captions(work.benchmark, work.samples, caption))

    _answer(
        context,
        _spec(model, adapter, quantize, dtype, date),
        chosen.of(data),
        answering,
        _settings(0, 0, date),
        store=store,
        keeping=(name, shard_samples),
        loading=(device, dtype, revision, device_map),
        ranks=(rank, world),
    )


def _spec(model: str, adapter: str | None, quantize: str | None, dtype: str | None, date: str) -> ModelSpec:
    """Return the model that is named; what is named wrongly is told before torch is imported."""
    from savs_harvest.models.specs import check_dtype, check_scheme, find_model, quantized
    from savs_harvest.models.templates import check_date

    check_date(date)
    check_dtype(dtype)
    check_scheme(quantize)
    return quantized(find_model(model, adapter), quantize)


def _settings(icl: int, icl_seed: int, date: str) -> Callable[[], Settings]:
    def made() -> Settings:
        from savs_harvest.asking.few_shot import InContext
        from savs_harvest.run.settings import Settings

        return Settings(logits=False, in_context=InContext(icl, icl_seed), date=date, class_prompt="")

    return made


def _answer(
    context: typer.Context,
    spec: ModelSpec,
    found: Chosen,
    answering: Callable[[Work], Answering],
    settings: Callable[[], Settings],
    *,
    store: str | None,
    keeping: tuple[str | None, int | None],
    loading: tuple[str, str | None, str | None, str | None],
    ranks: tuple[int | None, int | None],
) -> None:
    benchmark: Benchmark = found.fetched()

    from savs_harvest.batches.layout_check import load_model
    from savs_harvest.cli.progress import HarvestProgress
    from savs_harvest.models.encoders import refuse_encoder
    from savs_harvest.models.loading import quiet_libraries
    from savs_harvest.run.answering import answer_all
    from savs_harvest.run.harvest import find_work
    from savs_harvest.run.ranks import find_rank, started_by_torchrun
    from savs_harvest.run.writing import Keeping

    quiet_libraries()
    process, place = find_rank(*ranks), store or default_store(benchmark.name)
    device, dtype, revision, device_map = loading
    refuse_encoder(spec, revision)
    loaded = load_model(spec, device, dtype, revision, process.local, device_map=device_map)
    name, shard_samples = keeping
    kept = Keeping(name, shard_samples, command=resume_command(context))
    with HarvestProgress(spec.name, benchmark.name) as progress:
        work = find_work(loaded, benchmark, settings(), progress.listener.pictures)
        kept.check(loaded, work.settings)
        report = answer_all(answering(work), place, kept, process, progress.listener)
    tell(report)
    print(place, file=sys.stderr)
    terminal.say(f"next: {terminal.command('savs-analyze', 'sweep', '--store', place)}", file=sys.stderr)
    if report.failed and not started_by_torchrun():
        raise typer.Exit(terminal.DONE_WITH_FAILURES)
