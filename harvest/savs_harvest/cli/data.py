"""Show the benchmarks and get their files."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from savs_harvest.cli.chosen import Chosen, add_benchmarks
from savs_harvest.cli.options import DATA_ROOT, POOL, IncludeOption, PoolOption, RootOption, SplitOption, Splitting
from savs_stores import terminal
from savs_stores.terminal import Format

data_app = typer.Typer(help="Show the benchmarks and get their files.", no_args_is_help=True)


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
    from savs_harvest.cli.overview import describe
    from savs_harvest.cli.progress import HarvestProgress
    from savs_harvest.models.loading import checkpoint_folder, find_model, quiet_libraries
    from savs_harvest.models.processors import load_processor

    quiet_libraries()
    benchmark = Chosen(name, data_root, pool_per_class, split).find()
    processor = load_processor(checkpoint_folder(find_model(model)))
    with HarvestProgress(model, benchmark.name) as progress:
        for line in describe(benchmark, processor, count, progress.pictures if checks else None):
            terminal.say(line)
