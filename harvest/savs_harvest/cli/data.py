"""Show the benchmarks and get their files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from savs_analyze.cli.help import WholeHelp
from savs_harvest.cli.chosen import OFFICIAL, Choice, add_benchmarks, choosing
from savs_harvest.cli.options import (
    DATA_ROOT,
    IncludeOption,
    RootOption,
)
from savs_stores import terminal
from savs_stores.terminal import Format

data_app = typer.Typer(help="Show the benchmarks and get their files.", no_args_is_help=True, cls=WholeHelp)


@data_app.command("list")
def list_data(
    data_root: RootOption = DATA_ROOT,
    form: Annotated[Format, typer.Option("--format", help="How to print rows.")] = Format.table,
    include: IncludeOption = None,
) -> None:
    """List the benchmarks: what they ask, how much, whose they are, whether they are here or how to get them."""
    from savs_harvest.cli.overview import overview, overview_lines

    add_benchmarks(include)
    rows = overview(data_root)
    if form is Format.table:
        print("\n".join(overview_lines(rows)))
        print(
            "your own: --data FOLDER of pictures, a subfolder a class, or a table: CSV, Parquet, JSON lines",
            file=sys.stderr,
        )
        return
    import pandas as pd

    found = pd.DataFrame(rows)
    if form is Format.csv:
        lists = {name: ["; ".join(words) for words in found[name]] for name in ("wordings", "get")}
        print(found.assign(**lists).to_csv(index=False), end="")
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
@choosing
def show(
    name: Annotated[str, typer.Argument(help="Benchmark name, or a folder of pictures or a table of your own.")],
    model: Annotated[str, typer.Option("--model", help="Whose chat template renders the prompt.")] = "tiny",
    count: Annotated[int, typer.Option("--samples", min=1, help="Samples to show of each task.")] = 2,
    chosen: Choice = OFFICIAL,
    checks: Annotated[bool, typer.Option(help="Read all pictures and check the samples.")] = True,
) -> None:
    """Show a benchmark's header, a few samples as the model will read them, what is wrong. Needs no GPU."""
    from savs_harvest.cli.overview import describe
    from savs_harvest.cli.progress import HarvestProgress
    from savs_harvest.models.checkpoints import checkpoint_folder
    from savs_harvest.models.loading import quiet_libraries
    from savs_harvest.models.processors import load_processor
    from savs_harvest.models.specs import find_model

    quiet_libraries()
    benchmark = chosen.of(name).find()
    processor = load_processor(checkpoint_folder(find_model(model)))
    with HarvestProgress(model, benchmark.name) as progress:
        for line in describe(benchmark, processor, count, progress.pictures if checks else None):
            terminal.say(line)


@data_app.command("check")
@choosing
def check_data(
    name: Annotated[str, typer.Argument(help="Benchmark name, or a folder of pictures or a table of your own.")],
    chosen: Choice = OFFICIAL,
) -> None:
    """Read all pictures and tell what is wrong with the samples. Needs neither a GPU nor a model."""
    from savs_harvest.cli.overview import header_lines, what_is_wrong
    from savs_harvest.cli.progress import HarvestProgress

    benchmark = chosen.of(name).find()
    with HarvestProgress("check", benchmark.name) as progress:
        for lines in (header_lines(benchmark), what_is_wrong(benchmark, progress.pictures)):
            for line in lines:
                terminal.say(line)


@data_app.command()
@choosing
def export(
    name: Annotated[str, typer.Argument(help="Benchmark name, or a folder of pictures or a table of your own.")],
    out: Annotated[Path, typer.Option("--out", help="The file: NAME.jsonl.")],
    chosen: Choice = OFFICIAL,
    include: IncludeOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write in the place of a file, and pictures, of before.")
    ] = False,
) -> None:
    """Write a benchmark as JSON lines: ids, questions, labels, splits, pictures by path; for any other code."""
    from savs_benchmarks import check
    from savs_benchmarks.files.export import check_free, export

    add_benchmarks(include)
    check_free(out, force)
    terminal.check_output(out, [".jsonl"], [""], [name])  # what is there is to be replaced
    samples = check(chosen.of(name).find())
    root = export(samples, out, force)
    terminal.say(out)
    paths = "" if root == out.resolve().parent else f"; pictures are below {root} (--image-root)"
    terminal.say(f"{terminal.counted(len(samples), 'sample')}{paths}", file=sys.stderr)
