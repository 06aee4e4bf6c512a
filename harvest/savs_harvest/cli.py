"""The command line of the harvest: parse, call one function, print."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from savs_harvest import TOKEN_BUDGET
from savs_stores import terminal

app = typer.Typer(
    help="Run a vision-language model over a benchmark and keep every head's last-token output.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
data_app = typer.Typer(help="Show the benchmarks: what they ask, of what.", no_args_is_help=True)
app.add_typer(data_app, name="data")

ModelOption = Annotated[str, typer.Option("--model", help="Short name, hub id owner/name, or a folder.")]
DataOption = Annotated[str, typer.Option("--data", help="Benchmark name, or a JSON-lines file of your own.")]
StoreOption = Annotated[Path | None, typer.Option("--store", help="Default: stores/DATA.zarr.")]
RevisionOption = Annotated[str | None, typer.Option("--revision", help="Commit or tag of the checkpoint on the hub.")]
ShardOption = Annotated[
    int | None, typer.Option("--shard-samples", min=1, help="Samples a shard; 256, or 64 below 512.")
]


@app.callback()
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")] = False,
) -> None:
    """Run a vision-language model over a benchmark and keep every head's last-token output."""


@app.command()
def run(
    model: ModelOption,
    data: DataOption,
    store: StoreOption = None,
    name: Annotated[str | None, typer.Option("--as", help="Name of the model in the store.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, float16 or bfloat16; default: the model's.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    revision: RevisionOption = None,
    batch_tokens: Annotated[int, typer.Option(min=1, help="Padded tokens a batch may hold.")] = TOKEN_BUDGET,
    shard_samples: ShardOption = None,
    codec: Annotated[str, typer.Option(help="none (fastest to read) or blosc-lz4-bitshuffle.")] = "none",
    rank: Annotated[
        int, typer.Option(min=0, envvar="RANK", help="This process writes shards rank, rank+world ...")
    ] = 0,
    world: Annotated[int, typer.Option(min=1, envvar="WORLD_SIZE", help="Number of processes.")] = 1,
) -> None:
    """Harvest a benchmark into a store. The same command resumes an unfinished harvest."""
    from savs_benchmarks import find_benchmark
    from savs_harvest.models import find_model, load_model, quiet_libraries
    from savs_harvest.progress import HarvestProgress
    from savs_harvest.run import harvest

    quiet_libraries()
    benchmark = find_benchmark(data)
    place = store or default_store(benchmark.name)
    spec = find_model(model)
    loaded = load_model(spec, device, dtype, revision)
    with HarvestProgress(name or spec.name, benchmark.name) as progress:
        report = harvest(
            loaded,
            benchmark,
            place,
            token_budget=batch_tokens,
            rank=rank,
            world=world,
            command=_resume_command(model, data, name, dtype, revision, batch_tokens),
            name=name,
            on_plan=progress.plan,
            on_samples=progress.advance,
            shard_samples=shard_samples,
            codec=codec,
        )
    for task in report.ambiguous_tasks:
        print(f"task {task!r}: two answers begin with the same token, so it has no zero-shot logits", file=sys.stderr)
    for failure in report.failures[:20]:
        print(f"failed: {failure}", file=sys.stderr)
    if report.failed:
        print(f"{report.failed:,} samples failed; their status says why", file=sys.stderr)
    print(f"{place}\nnext: {terminal.command('savs-analyze', 'sweep', '--store', place)}", file=sys.stderr)
    if report.failed:
        raise typer.Exit(terminal.DONE_WITH_FAILURES)


@app.command()
def plan(
    model: ModelOption,
    data: DataOption,
    store: StoreOption = None,
    name: Annotated[str | None, typer.Option("--as", help="Name of the model in the store.")] = None,
    revision: RevisionOption = None,
    shard_samples: ShardOption = None,
) -> None:
    """Show what a harvest would do, without doing it: samples, shards, bytes, memory."""
    from savs_benchmarks import find_benchmark
    from savs_harvest.forecast import forecast
    from savs_harvest.models import find_model, quiet_libraries

    quiet_libraries()
    benchmark = find_benchmark(data)
    spec = find_model(model)
    lines = forecast(
        spec, benchmark, store or default_store(benchmark.name), name or spec.name, revision, shard_samples
    )
    for label, value in lines:
        print(f"{label:<10} {value}")


@app.command()
def models() -> None:
    """List the models that have a short name."""
    from savs_harvest.models import MODELS

    for spec in MODELS.values():
        where = "in this package" if Path(spec.checkpoint).is_dir() else spec.checkpoint
        print(f"{spec.name:<14} {where:<42} {spec.dtype:<9} {spec.summary}")
    print("any other    a hub id owner/name, or a folder with a checkpoint", file=sys.stderr)


@data_app.command("list")
def list_data() -> None:
    """List the benchmarks."""
    from savs_benchmarks import BENCHMARKS, check

    for benchmark in BENCHMARKS.values():
        count = len(check(benchmark))
        classes = "/".join(str(len(classes)) for classes in benchmark.tasks.values())
        shape = f"{count:>6,} samples  {classes:>4} classes  {benchmark.metric:<21}"
        print(f"{benchmark.name:<15} {shape} {benchmark.summary}")
    print("your own: --data FILE.jsonl (image or images, question, label)", file=sys.stderr)


@data_app.command()
def show(
    name: Annotated[str, typer.Argument(help="Benchmark name, or a JSON-lines file of your own.")],
    model: Annotated[str, typer.Option("--model", help="Whose chat template renders the prompt.")] = "tiny",
    count: Annotated[int, typer.Option("--samples", min=1, help="Samples to show of each task.")] = 2,
) -> None:
    """Show a benchmark's header and a few samples as the model will read them. Needs no GPU."""
    from savs_benchmarks import find_benchmark
    from savs_harvest.models import checkpoint_folder, find_model, quiet_libraries
    from savs_harvest.processors import load_processor
    from savs_harvest.show import describe

    quiet_libraries()
    benchmark = find_benchmark(name)
    for line in describe(benchmark, load_processor(checkpoint_folder(find_model(model))), count):
        print(line)


def default_store(benchmark: str) -> Path:
    return Path("stores") / f"{benchmark}.zarr"


def _resume_command(
    model: str, data: str, name: str | None, dtype: str | None, revision: str | None, batch_tokens: int
) -> str:
    """Return the command that finishes a harvest, without its store; it is kept in the store."""
    words = ["savs-harvest", "run", "--model", _shareable(model), "--data", _shareable(data)]
    for option, value in (("--as", name), ("--dtype", dtype), ("--revision", revision)):
        words += [option, value] if value else []
    return shlex.join(words + (["--batch-tokens", str(batch_tokens)] if batch_tokens != TOKEN_BUDGET else []))


def _shareable(path: str) -> str:
    """Return a name without absolute folders: a store may be given away."""
    return f"FOLDER/{Path(path).name}" if Path(path).is_absolute() else path


def entry() -> None:
    terminal.run_app(app, install="savs[harvest]")
