"""The command line of the analysis: parse, call one function, print."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs_stores import terminal
from savs_stores.terminal import Format

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    help="Classify from stores of head vectors, as often as you like, on a CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


class Protocol(StrEnum):
    """How heads are kept and vote."""

    ours = "ours"
    paper = "paper"


# With more, a table has a line a method.
MOST_COLUMNS = 5
WORDS = (
    *("benchmark", "model", "task", "metric", "method", "setting", "formula", "source", "hyperparameters"),
    *("target", "takes", "published in", "verdict"),
)

StoreArgument = Annotated[str, typer.Argument(help="A store: stores/NAME.zarr.")]
ResultsArgument = Annotated[Path, typer.Argument(help="A folder of results: results/NAME.")]
FormatOption = Annotated[Format, typer.Option("--format", help="How to print rows.")]


@app.callback()
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")] = False,
) -> None:
    """Classify from stores of head vectors, as often as you like, on a CPU."""


@app.command()
def info(store: StoreArgument) -> None:
    """Say what a store holds: benchmark, samples, models."""
    from savs_stores import open_store

    print(open_store(store))


@app.command()
def verify(store: StoreArgument) -> None:
    """Check every byte of a store against its records."""
    from savs_stores import open_store
    from savs_stores import verify as faults_of

    faults = list(faults_of(open_store(store, allow_partial=True)))
    for fault in faults:
        print(fault)
    if faults:
        raise typer.Exit(terminal.FAILED)
    print(f"{store} is sound", file=sys.stderr)


@app.command()
def sweep(
    store: Annotated[list[str], typer.Option("--store", help="A store, or a pattern 'stores/*.zarr'; repeatable.")],
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the results; default: results/STORE.")] = None,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="From `savs-analyze methods`; default: zero-shot and savs.")
    ] = None,
    k: Annotated[str, typer.Option("--k", help="Heads that vote: 20, or 5:50:5.")] = "20",
    grid: Annotated[
        list[str] | None, typer.Option("--grid", help="Other hyperparameters: gamma=0.01:100:5log; repeatable.")
    ] = None,
    restrict_options: Annotated[
        bool, typer.Option("--restrict-options", help="Predict among the classes that the prompt prints.")
    ] = False,
    solver: Annotated[
        str | None, typer.Option("--solver", help="Of the lasso: working-set, liblinear; of groups: group-lasso.")
    ] = None,
    scaling: Annotated[
        str | None, typer.Option("--scaling", help="Of the lasso's features: none, head_rms, feature_std.")
    ] = None,
    protocol: Annotated[
        Protocol, typer.Option(help="paper: heads kept and listed by index, cosine votes, leaks kept.")
    ] = Protocol.ours,
    shots: Annotated[int, typer.Option(min=1, help="Support samples a class.")] = 20,
    draws: Annotated[int, typer.Option(min=1, help="Random supports.")] = 5,
    model: Annotated[list[str] | None, typer.Option("--model", help="Only this model; repeatable.")] = None,
    keep_leaks: Annotated[bool, typer.Option("--keep-leaks", help="Test also on images of the support.")] = False,
    allow_partial: Annotated[bool, typer.Option("--allow-partial", help="Use the finished part of a harvest.")] = False,
) -> None:
    """Run methods over stores: SAVs and zero-shot, or any others. The same command resumes."""
    from savs_analyze.cells import parse_grids, parse_range
    from savs_analyze.methods import SAVS, ZERO_SHOT
    from savs_analyze.progress import CellProgress
    from savs_analyze.sweep import expand, sweep

    stores, heads = expand(store), parse_range(k)
    folder = out or Path("results") / (Path(stores[0]).stem if len(stores) == 1 else "sweep")
    with CellProgress() as progress:
        rows = sweep(
            stores,
            folder,
            shots=shots,
            draws=draws,
            heads=heads,
            methods=method or (ZERO_SHOT, SAVS),
            grid=parse_grids(grid or ()),
            restricted=restrict_options,
            papers_order=protocol is Protocol.paper,
            solver=solver or "",
            scaling=scaling or "",
            keep_leaks=keep_leaks or protocol is Protocol.paper,
            allow_partial=allow_partial,
            models=model or (),
            command=terminal.command_line(),
            on_cells=progress.update,
        )
    print(f"{rows}\nnext: {terminal.command('savs-analyze', 'table', folder)}", file=sys.stderr)


@app.command()
def methods(form: FormatOption = Format.table) -> None:
    """List the methods: formula, source, hyperparameters, and which provably predict the same."""
    import pandas as pd

    from savs_analyze.methods import METHODS, make_setting

    rows = pd.DataFrame(
        {
            "method": list(METHODS),
            "formula": [recipe.formula for recipe in METHODS.values()],
            "source": [recipe.source for recipe in METHODS.values()],
            "hyperparameters": [
                ", ".join(f"{name}={value:g}" for name, value in recipe.defaults.items()) for recipe in METHODS.values()
            ],
            "same_as": [make_setting(name).same_as for name in METHODS],
        }
    )
    if form is Format.csv:
        print(rows.to_csv(index=False), end="")
    elif form is Format.json:
        print(rows.to_json(orient="records", indent=1))
    else:
        _print_table(rows, [])


@app.command()
def table(
    results: ResultsArgument,
    form: FormatOption = Format.table,
    all_metrics: Annotated[
        bool, typer.Option("--all-metrics", help="Also balanced accuracy and macro-F1; csv and json have them.")
    ] = False,
) -> None:
    """Print means over draws with 95 % intervals."""
    from savs_analyze.results import Results
    from savs_analyze.tables import footnotes, listed, spread, summarize

    cells = list(Results(results).loaded())
    summary = summarize(cells)
    if form is Format.csv:
        print(summary.to_csv(index=False), end="")
    elif form is Format.json:
        print(summary.to_json(orient="records", indent=1, double_precision=15))
    else:
        lay_out = spread if summary["setting"].nunique() <= MOST_COLUMNS else listed
        _print_table(lay_out(summary, all_metrics), footnotes(cells))


@app.command("compare-paper")
def compare_paper(results: ResultsArgument, form: FormatOption = Format.table) -> None:
    """Print results beside the published numbers, and whether they agree within the noise of both."""
    from savs_analyze.papers import compare, footnotes, laid_out, without_counterpart
    from savs_analyze.results import Results

    cells = list(Results(results).loaded())
    compared = compare(cells)
    if compared.empty:
        print(without_counterpart(cells), file=sys.stderr)
    _print_rows(compared, form, laid_out(compared), footnotes(compared))


@app.command()
def figures(
    results: ResultsArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Default: RESULTS/heads.svg.")] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Heads counted as selected; default: all that vote.")
    ] = None,
) -> None:
    """Draw which heads are selected, layer by head, one map a task."""
    from savs_analyze.figures import draw_head_maps, most_heads, selection_frequency
    from savs_analyze.results import Results

    cells = list(Results(results).loaded())
    heads = k or most_heads(cells)
    print(draw_head_maps(selection_frequency(cells, heads), heads, out or results / "heads.svg"))


@app.command()
def transfer(
    store: Annotated[list[str], typer.Option("--store", help="A store, or a pattern 'stores/*.zarr'; repeatable.")],
    model: Annotated[str, typer.Option("--model", help="Default: the one that all stores have.")] = "",
    k: Annotated[int, typer.Option("--k", min=1, help="Heads that vote.")] = 20,
    shots: Annotated[int, typer.Option(min=1, help="Support samples a class.")] = 20,
    draws: Annotated[int, typer.Option(min=1, help="Random supports.")] = 5,
    out: Annotated[Path, typer.Option("--out", help="The figure; its ending says the format.")] = Path(
        "results/transfer.svg"
    ),
    form: FormatOption = Format.table,
) -> None:
    """Classify each task with the heads of every other one, and draw source by target."""
    from savs_analyze import transfer as transfers
    from savs_analyze.sweep import expand
    from savs_stores import open_store

    tasks = transfers.tasks_of([open_store(path) for path in expand(store)], model)
    rows = transfers.transfer(tasks, k, shots, draws)
    _print_rows(rows, form, transfers.laid_out(rows), transfers.footnotes(rows))
    print(transfers.draw_transfer(rows, out), file=sys.stderr)


@app.command()
def projection(
    store: Annotated[str, typer.Option("--store", help="A store: stores/NAME.zarr.")],
    model: Annotated[str, typer.Option("--model", help="Default: the only one.")] = "",
    task: Annotated[str, typer.Option("--task", help="Default: the only one.")] = "",
    head: Annotated[str | None, typer.Option("--head", help="LAYER,HEAD; default: the best on the support.")] = None,
    shots: Annotated[int, typer.Option(min=1, help="Support samples a class.")] = 20,
    out: Annotated[Path | None, typer.Option("--out", help="Default: results/STORE-projection.svg.")] = None,
) -> None:
    """Draw one head's vectors of the test samples in the plane, beside those of a median head."""
    from savs_analyze.projection import draw_projection, parse_head, project, task_of
    from savs_stores import open_store

    of = task_of(open_store(store), model, task)
    found = project(of, parse_head(head) if head else None, shots)
    for plane in found.planes:
        print(plane)
    print(draw_projection(found, out or Path("results") / f"{Path(store).stem}-projection.svg"))


def _print_rows(rows: pd.DataFrame, form: Format, table: pd.DataFrame, notes: list[str]) -> None:
    if form is Format.csv:
        print(rows.to_csv(index=False), end="")
    elif form is Format.json:
        print(rows.to_json(orient="records", indent=1, double_precision=15))
    else:
        _print_table(table, notes)


def _print_table(table: pd.DataFrame, notes: list[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # A pipe has no width, so the table takes what it needs; on a narrow terminal, numbers fold.
    console = Console(width=None if sys.stdout.isatty() else 1000)
    printed = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in table.columns:
        words = name in WORDS or name.startswith("same")
        printed.add_column(str(name), justify="left" if words else "right", no_wrap=words, overflow="fold")
    for row in table.itertuples(index=False):
        printed.add_row(*map(str, row))
    console.print(printed)
    for note in notes:
        console.print(note, highlight=False)


def entry() -> None:
    terminal.run_app(app)
