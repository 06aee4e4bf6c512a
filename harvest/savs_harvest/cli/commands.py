"""The command line of the harvest: parse, call one function, print."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs_harvest import DATE
from savs_stores import terminal
from savs_stores.terminal import Format

if TYPE_CHECKING:
    from savs_benchmarks import Benchmark
    from savs_harvest.run.harvest import Report

app = typer.Typer(
    help="Run a vision-language model over a benchmark and keep every head's last-token output.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Show the benchmarks and get their files.", no_args_is_help=True)
app.add_typer(data_app, name="data")

ModelOption = Annotated[str, typer.Option("--model", help="Short name, hub id owner/name, or a folder.")]
DataOption = Annotated[str, typer.Option("--data", help="Benchmark name, or a JSON-lines file of your own.")]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="A folder or a URL (s3://BUCKET/NAME.zarr); default: stores/DATA.zarr.")
]
AdapterOption = Annotated[
    str | None, typer.Option("--adapter", help="LoRA adapter merged into the model: a folder, or a hub id owner/name.")
]
RevisionOption = Annotated[str | None, typer.Option("--revision", help="Commit or tag of the checkpoint on the hub.")]
DtypeOption = Annotated[
    str | None, typer.Option("--dtype", help="float32, float16 or bfloat16; default: what the checkpoint says.")
]
ShardOption = Annotated[
    int | None, typer.Option("--shard-samples", min=1, help="Samples a shard; 256, or 64 below 512.")
]
RootOption = Annotated[
    Path, typer.Option("--data-root", envvar="SAVS_DATA_ROOT", help="Where published benchmarks lie: ROOT/NAME.")
]
IncludeOption = Annotated[
    list[Path] | None, typer.Option("--include", help="A Python file of yours with benchmarks; repeatable.")
]
PoolOption = Annotated[str, typer.Option("--pool-per-class", help="Pool samples kept of each class, or 'all'.")]
DATA_ROOT, POOL = Path("data"), "100"
DEMO = "digits", "digits-claims", "digits-pairs", "digits-compare"
# What is said of a task whose answers are not told apart by their first token, see `savs_harvest.models.answers`.
UNUSUAL = {
    "whole answer": "no single token tells its answers apart, so whole answers are scored",
    "none": "nothing tells its answers apart, so it has no zero-shot logits",
}


class Splitting(StrEnum):
    """How a published benchmark is divided into pool and test."""

    official = "official"
    paper = "paper"


SplitOption = Annotated[Splitting, typer.Option("--split", help="The official split, or the papers' own.")]


@app.callback()
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=terminal.print_version, is_eager=True)
    ] = False,
) -> None:
    """Run a vision-language model over a benchmark and keep every head's last-token output."""


@app.command()
def run(
    model: ModelOption,
    data: DataOption,
    store: StoreOption = None,
    data_root: RootOption = DATA_ROOT,
    pool_per_class: PoolOption = POOL,
    split: SplitOption = Splitting.official,
    name: Annotated[str | None, typer.Option("--as", help="Name of the model in the store.")] = None,
    dtype: DtypeOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    revision: RevisionOption = None,
    adapter: AdapterOption = None,
    batch_tokens: Annotated[
        int | None, typer.Option(min=1, help="Padded tokens a batch may hold; default: 16384 on a GPU, 1024 without.")
    ] = None,
    shard_samples: ShardOption = None,
    codec: Annotated[str, typer.Option(help="none (fastest to read) or blosc-lz4-bitshuffle.")] = "none",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that prepare samples; default: up to 4 with a GPU, 0 without.")
    ] = None,
    logits: Annotated[bool, typer.Option(help="Keep the log-probability of each class's answer.")] = True,
    share: Annotated[bool, typer.Option(help="Run questions about the same pictures as one row.")] = True,
    pack: Annotated[bool, typer.Option("--pack", help="Put samples into one row without padding.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the layers' feed-forward parts first.")] = False,
    parity: Annotated[
        list[str] | None, typer.Option("--parity", help="As the papers' code: system-turn, anyres, image-tag. Repeat.")
    ] = None,
    icl: Annotated[int, typer.Option("--icl", min=0, help="Answered questions before each one, from the pool.")] = 0,
    icl_seed: Annotated[int, typer.Option("--icl-seed", min=0, help="Draws them.")] = 0,
    date: Annotated[str, typer.Option("--date", help="What chat templates take for today.")] = DATE,
    rank: Annotated[
        int | None,
        typer.Option(min=0, help="This process writes shards rank, rank+world ...; default: its launcher's."),
    ] = None,
    world: Annotated[int | None, typer.Option(min=1, help="Number of processes; default: its launcher's.")] = None,
    include: IncludeOption = None,
) -> None:
    """Harvest a benchmark into a store. The same command resumes an unfinished harvest."""
    from savs_harvest.asking.few_shot import InContext
    from savs_harvest.batches.layout_check import load_model
    from savs_harvest.cli.progress import HarvestProgress
    from savs_harvest.models.loading import find_model, quiet_libraries
    from savs_harvest.models.templates import check_date
    from savs_harvest.run.forecast import check_space
    from savs_harvest.run.harvest import Settings, default_workers, harvest
    from savs_harvest.run.ranks import find_rank, started_by_torchrun

    quiet_libraries()
    _add_benchmarks(include)
    check_date(date)
    process = find_rank(rank, world)
    spec = find_model(model, adapter)
    _fetch_if_missing(data, data_root, split, _limit(pool_per_class))
    benchmark = _benchmark(data, data_root, pool_per_class, split)
    place = store or default_store(benchmark.name)
    in_context = InContext(icl, icl_seed)
    check_space(spec, benchmark, place, name or spec.name + in_context.suffix, revision, shard_samples, codec)
    loaded = load_model(spec, device, dtype, revision, process.local)
    settings = Settings(
        token_budget=batch_tokens,
        share=share,
        pack=pack,
        compile=compiled,
        logits=logits,
        parity=tuple(sorted(set(parity or ()))),
        in_context=in_context,
        workers=default_workers(loaded.device) if workers is None else workers,
        date=date,
    )
    command = _resume_command(
        {"--model": _shareable(model), "--data": _shareable(data)},
        {
            "--data-root": (_shareable(str(data_root)), str(DATA_ROOT)),
            "--pool-per-class": (pool_per_class, POOL),
            "--split": (split.value, Splitting.official.value),
            "--as": (name, None),
            "--dtype": (dtype, None),
            "--revision": (revision, None),
            "--adapter": (adapter and _shareable(adapter), None),
            "--batch-tokens": (batch_tokens, None),
            "--no-logits": (not logits, False),
            "--no-share": (not share, False),
            "--pack": (pack, False),
            "--compile": (compiled, False),
            "--parity": (settings.parity, ()),
            "--icl": (icl, 0),
            "--icl-seed": (icl_seed, 0),
            "--date": (date, DATE),
            "--include": (tuple(_shareable(str(path)) for path in include or ()), ()),
        },
    )
    shown_name = (name or spec.name + settings.in_context.suffix) + (f" ({process})" if process.world > 1 else "")
    with HarvestProgress(shown_name, benchmark.name) as progress:
        report = harvest(
            loaded,
            benchmark,
            place,
            settings,
            rank=process.rank,
            world=process.world,
            command=command,
            name=name,
            on_pictures=progress.pictures,
            on_plan=progress.plan,
            on_samples=progress.advance,
            on_warning=progress.warn_mixed,
            shard_samples=shard_samples,
            codec=codec,
        )
    _tell(report)
    print(f"{place}\nnext: {terminal.command('savs-analyze', 'sweep', '--store', place)}", file=sys.stderr)
    if report.failed and not started_by_torchrun():
        raise typer.Exit(terminal.DONE_WITH_FAILURES)


@app.command()
def demo() -> None:
    """Show everything once: the embedded model reads handwritten digits, the best heads classify, a page is written."""
    import subprocess

    stores = [f"stores/{name}.zarr" for name in DEMO]
    for name, store in zip(DEMO, stores, strict=True):
        run(model="tiny", data=name, store=store)
    code = "import sys; sys.argv[0] = 'savs-analyze'; from savs_analyze.cli import entry; entry()"
    words = [word for store in stores for word in ("--store", store)]
    done = subprocess.run([sys.executable, "-c", code, "demo", *words], check=False)
    raise typer.Exit(done.returncode)


@app.command()
def plan(
    model: ModelOption,
    data: DataOption,
    store: StoreOption = None,
    data_root: RootOption = DATA_ROOT,
    pool_per_class: PoolOption = POOL,
    split: SplitOption = Splitting.official,
    name: Annotated[str | None, typer.Option("--as", help="Name of the model in the store.")] = None,
    revision: RevisionOption = None,
    adapter: AdapterOption = None,
    shard_samples: ShardOption = None,
    dtype: DtypeOption = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Load the model and run ten batches for the time.")
    ] = False,
) -> None:
    """Show what a harvest would do, without doing it: samples, shards, bytes, memory, time."""
    from savs_harvest.batches.layout_check import load_model
    from savs_harvest.models.loading import find_model, quiet_libraries
    from savs_harvest.run.forecast import begun_model, forecast, measured_time
    from savs_harvest.run.harvest import Settings

    quiet_libraries()
    benchmark = _benchmark(data, data_root, pool_per_class, split)
    spec = find_model(model, adapter)
    place, shown_name = store or default_store(benchmark.name), name or spec.name
    lines = forecast(spec, benchmark, place, shown_name, revision, shard_samples, dtype)
    for label, value in lines:
        print(f"{label:<10} {value}")
    if measure:
        begun = begun_model(place, shown_name)
        samples = begun.plan.shard_samples if begun else shard_samples
        loaded = load_model(spec, dtype=dtype, revision=revision)
        print(f"{'measured':<10} {measured_time(loaded, benchmark, Settings(), samples)}")


@app.command()
def models() -> None:
    """List the models that have a short name."""
    from savs_harvest.models.loading import MODELS

    for spec in MODELS.values():
        where = "in this package" if Path(spec.checkpoint).is_dir() else spec.checkpoint
        print(f"{spec.name:<14} {where:<42} {spec.dtype:<9} {spec.summary}")
    print("any other    a hub id owner/name, or a folder with a checkpoint", file=sys.stderr)


@data_app.command("list")
def list_data(
    data_root: RootOption = DATA_ROOT,
    form: Annotated[Format, typer.Option("--format", help="How to print rows.")] = Format.table,
    include: IncludeOption = None,
) -> None:
    """List the benchmarks: what they ask, how much, whose they are, whether they are here or how to get them."""
    from savs_harvest.cli.show import overview, overview_lines

    _add_benchmarks(include)
    rows = overview(data_root)
    if form is Format.table:
        print("\n".join(overview_lines(rows)))
        print("your own: --data FILE.jsonl (image or images, question, label)", file=sys.stderr)
        return
    import pandas as pd

    found = pd.DataFrame(rows)
    if form is Format.csv:
        print(found.assign(get=["; ".join(steps) for steps in found["get"]]).to_csv(index=False), end="")
    else:
        print(found.to_json(orient="records", indent=1))


@data_app.command()
def get(
    name: Annotated[str, typer.Argument(help="A published benchmark.")],
    data_root: RootOption = DATA_ROOT,
) -> None:
    """Bring a benchmark's files into ROOT/NAME: from the hub or its official archives, unpacked."""
    from savs_benchmarks.registry import find_published

    benchmark = find_published(name)
    benchmark.source.fetch(benchmark.folder(data_root))
    root = [] if data_root == DATA_ROOT else ["--data-root", data_root]
    print(
        f"{benchmark.locate(data_root)}\nnext: {terminal.command('savs-harvest', 'data', 'show', name, *root)}",
        file=sys.stderr,
    )


@data_app.command()
def show(
    name: Annotated[str, typer.Argument(help="Benchmark name, or a JSON-lines file of your own.")],
    model: Annotated[str, typer.Option("--model", help="Whose chat template renders the prompt.")] = "tiny",
    count: Annotated[int, typer.Option("--samples", min=1, help="Samples to show of each task.")] = 2,
    data_root: RootOption = DATA_ROOT,
    pool_per_class: PoolOption = POOL,
    split: SplitOption = Splitting.official,
    checks: Annotated[bool, typer.Option(help="Read all pictures and check the samples.")] = True,
) -> None:
    """Show a benchmark's header, a few samples as the model will read them, what is wrong. Needs no GPU."""
    from savs_harvest.cli.progress import HarvestProgress
    from savs_harvest.cli.show import describe
    from savs_harvest.models.loading import checkpoint_folder, find_model, quiet_libraries
    from savs_harvest.models.processors import load_processor

    quiet_libraries()
    benchmark = _benchmark(name, data_root, pool_per_class, split)
    processor = load_processor(checkpoint_folder(find_model(model)))
    with HarvestProgress(model, benchmark.name) as progress:
        for line in describe(benchmark, processor, count, progress.pictures if checks else None):
            terminal.say(line)


def _tell(report: Report) -> None:
    """Print what a user must know of a harvest that is done."""
    from savs_benchmarks.errors import grouped

    for remark in report.remarks:
        terminal.say(f"model: {remark}", file=sys.stderr)
    for found in report.checks:
        terminal.say(f"check: {found}", file=sys.stderr)
    for task, way in report.answers.items():
        if way in UNUSUAL:
            terminal.say(f"task {task!r}: {UNUSUAL[way]}", file=sys.stderr)
    for failure, _ in grouped(report.failures)[:20]:
        terminal.say(f"failed: {failure}", file=sys.stderr)
    if report.failed:
        print(f"{report.failed:,} samples failed; their status says why", file=sys.stderr)
    if report.halved:
        print(f"{report.halved} batches did not fit into memory and were run in halves", file=sys.stderr)


def _add_benchmarks(files: list[Path] | None) -> None:
    from savs_benchmarks.rooms import add_installed, include

    add_installed()
    include(files or ())


def _fetch_if_missing(name: str, data_root: Path, split: Splitting, limit: int | None) -> None:
    """Bring the files of a published benchmark where they are not here yet, when all that is asked can be done."""
    from savs_benchmarks import BENCHMARKS, Published

    benchmark = BENCHMARKS.get(name)
    if not isinstance(benchmark, Published):
        return
    benchmark.check_splitting(split.value)
    if not benchmark.source.locate(folder := benchmark.folder(data_root)):
        print(f"{name} is not here: fetching {benchmark.source.size} into {folder}", file=sys.stderr)
        benchmark.source.fetch(folder)


def _benchmark(name: str, data_root: Path, pool_per_class: str, split: Splitting) -> Benchmark:
    from savs_benchmarks import find_benchmark

    return find_benchmark(name, data_root, _limit(pool_per_class), split.value)


def _limit(pool_per_class: str) -> int | None:
    if pool_per_class != "all" and not (pool_per_class.isdecimal() and int(pool_per_class)):
        raise ValueError(f"--pool-per-class must be 'all' or a whole number above 0, got {pool_per_class!r}")
    return None if pool_per_class == "all" else int(pool_per_class)


def default_store(benchmark: str) -> str:
    return f"stores/{benchmark}.zarr"


def _resume_command(needed: dict[str, str], options: dict[str, tuple[Any, Any]]) -> str:
    """Return the command that finishes a harvest, without its store: of the options, those that are not the default.

    A value of True is a flag, one of several is an option that repeats. The command is kept in the store.
    """
    words = ["savs-harvest", "run", *(word for pair in needed.items() for word in pair)]
    for option, (value, default) in options.items():
        if value != default:
            values = value if isinstance(value, tuple) else (value,)
            words += [word for each in values for word in ([option] if each is True else [option, str(each)])]
    return shlex.join(words)


def _shareable(path: str) -> str:
    """Return a name without absolute folders: a store may be given away."""
    return f"FOLDER/{Path(path).name}" if Path(path).is_absolute() else path


def entry() -> None:
    terminal.run_app(app, install="savs[harvest]")
