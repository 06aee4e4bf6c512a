"""The command line of the analysis: parse, call one function, print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs_analyze.cli.options import (
    Backend,
    DrawsOption,
    GridOption,
    IncludeOption,
    JobsOption,
    MethodsOption,
    ModelsOption,
    PartialOption,
    Protocol,
    ProtocolOption,
    RestrictOption,
    ResultsArgument,
    ScalingOption,
    ShotsOption,
    SolverOption,
    StoreArgument,
    StoresOption,
    TableFormat,
    TableFormatOption,
    ValidationOption,
)
from savs_analyze.cli.printing import print_rows
from savs_stores import terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savs_analyze.papers.studies import Study

app = typer.Typer(
    help="Classify from stores of head vectors, as often as you like, on a CPU.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

# With more, a table has a line a method.
MOST_COLUMNS = 5


@app.callback()
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=terminal.print_version, is_eager=True)
    ] = False,
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

    faults = list(faults_of(open_store(store, allow_partial=True, strict=False)))
    for fault in faults:
        terminal.say(fault)
    if faults:
        raise typer.Exit(terminal.FAILED)
    print(f"{store} is sound", file=sys.stderr)


@app.command()
def sweep(
    store: StoresOption,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the results; default: results/STORE.")] = None,
    method: MethodsOption = None,
    k: Annotated[str, typer.Option("--k", help="Heads that vote: 20, or 5:50:5.")] = "20",
    grid: GridOption = None,
    restrict_options: RestrictOption = False,
    solver: SolverOption = None,
    scaling: ScalingOption = None,
    protocol: ProtocolOption = Protocol.ours,
    validation: ValidationOption = 0.25,
    shots: Annotated[str, typer.Option("--shots", help="Support samples a class: 20, or 5:50:5.")] = "20",
    draws: DrawsOption = 5,
    model: ModelsOption = None,
    keep_leaks: Annotated[bool, typer.Option("--keep-leaks", help="Test also on images of the support.")] = False,
    allow_partial: PartialOption = False,
    jobs: JobsOption = None,
    backend: Annotated[Backend, typer.Option(help="loky: processes here; dask: a cluster.")] = Backend.loky,
    scheduler: Annotated[str, typer.Option("--scheduler", help="Of dask: tcp://HOST:PORT.")] = "",
    part: Annotated[str, typer.Option("--part", help="Only this part, as in an array job: 1/4.")] = "1/1",
    include: IncludeOption = None,
) -> None:
    """Run methods over stores: SAVs and zero-shot, or any others. The same command resumes."""
    from savs_analyze.cli.parse import parse_grids, parse_part, parse_range
    from savs_analyze.cli.progress import CellProgress
    from savs_analyze.draws.validation import Validation
    from savs_analyze.methods.recipes import SAVS, ZERO_SHOT
    from savs_analyze.runs.request import Ask, Data, Execution
    from savs_analyze.runs.sweep import expand, sweep

    papers, stores = protocol is Protocol.paper, expand(store)
    ask = Ask(
        methods=method or (ZERO_SHOT, SAVS),
        heads=parse_range(k),
        grid=parse_grids(grid or ()),
        restricted=restrict_options,
        papers_order=papers,
        solver=solver or "",
        scaling=scaling or "",
        include=include or (),
    )
    data = Data(
        stores,
        models=model or (),
        shots=parse_range(shots),
        draws=draws,
        validation=Validation(validation, first=papers),
        keep_leaks=keep_leaks or papers,
        allow_partial=allow_partial,
    )
    folder = out or Path("results") / (Path(stores[0]).stem if len(stores) == 1 else "sweep")
    execution = Execution(folder, jobs, backend.value, scheduler, parse_part(part))
    with CellProgress() as progress:
        rows = sweep(ask, data, execution, command=terminal.command_line(), on_cells=progress.update)
    if rows.suffix == ".csv":
        terminal.say(rows, f"next: {terminal.command('savs-analyze', 'table', folder)}", file=sys.stderr)


@app.command()
def study(
    name: Annotated[str, typer.Argument(help="methods, shots, heads, layers, classifiers, per-class, lasso or demo.")],
    store: StoresOption,
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the results; default: results/NAME.")] = None,
    protocol: Annotated[Protocol, typer.Option(help="As of sweep.")] = Protocol.ours,
    draws: DrawsOption = 5,
    model: ModelsOption = None,
    jobs: JobsOption = None,
) -> None:
    """Run a study of the papers: a sweep of what it asks for, its table, and its curves. The same command resumes."""
    from savs_analyze.findings.choice import choose
    from savs_analyze.findings.summary import summarize
    from savs_analyze.papers.studies import find_study
    from savs_analyze.report.curves import draw_curves
    from savs_analyze.runs.results import Results

    asked, folder = find_study(name), out or Path("results") / name
    _run(asked, store, folder, papers=protocol is Protocol.paper, draws=draws, models=model or (), jobs=jobs)
    table(folder, all_settings=bool(asked.along))
    if asked.along:
        cells = list(Results(folder).loaded())
        print(draw_curves(summarize(cells), asked.along, folder / f"{asked.along}.svg"))
    elif choose(Results(folder).loaded()):
        hyperparameters(folder)


@app.command()
def demo(
    store: Annotated[
        list[str] | None, typer.Option("--store", help="A store, or a pattern; default: 'stores/digits*.zarr'.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="Folder of the results.")] = Path("results/demo"),
) -> None:
    """Show everything once: a sweep of a few methods, the table, and the report. Without stores, on made-up vectors."""
    from savs_analyze.cli.planted import write_planted
    from savs_analyze.papers.studies import find_study
    from savs_analyze.report.page import write_report
    from savs_analyze.runs.results import refuse_store

    refuse_store(out)
    found = store or sorted(map(str, Path("stores").glob("digits*.zarr")))
    if not found:
        print("no stores/digits*.zarr here (make demo harvests them): vectors are made up", file=sys.stderr)
        made = out / "planted.zarr"
        found = [str(made if made.exists() else write_planted(made, test=50).path)]
    _run(find_study("demo"), found, out)
    table(out)
    print(write_report(out, out / "report.html"))


@app.command()
def methods(form: TableFormatOption = TableFormat.table, include: IncludeOption = None) -> None:
    """List the methods: formula, source, hyperparameters, and which provably predict the same."""
    import pandas as pd

    from savs_analyze.methods.recipes import METHODS
    from savs_analyze.methods.rooms import from_outside
    from savs_analyze.methods.settings import make_setting

    _add_rooms(include)
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
    others = [f"From {origin.source}: the {kind} {name}." for kind, name, origin in from_outside()]
    if others:
        rows["origin"] = [METHODS.origin(name).source for name in METHODS]
    print_rows(rows, form, rows, others)


def _add_rooms(files: list[Path] | None) -> None:
    from savs_analyze.methods.rooms import Included, add_installed, include

    add_installed()
    include([Included.read(path) for path in files or ()])


@app.command()
def table(
    results: ResultsArgument,
    form: TableFormatOption = TableFormat.table,
    all_metrics: Annotated[
        bool, typer.Option("--all-metrics", help="Also balanced accuracy and macro-F1; csv and json have them.")
    ] = False,
    all_settings: Annotated[
        bool, typer.Option("--all-settings", help="Not only the hyperparameters that validation chooses.")
    ] = False,
) -> None:
    """Print means over draws with 95 % intervals, of each method with the hyperparameters that validation chooses."""
    from savs_analyze.findings.findings import Findings
    from savs_analyze.report.layout import columns_of, listed, spread
    from savs_analyze.report.notes import footnotes

    found = Findings.of_folder(results, all_settings)
    summary, notes = found.table(), footnotes(found.cells, found.choices, found.compared, found.notes)
    lay_out = spread if columns_of(summary).nunique() <= MOST_COLUMNS else listed
    print_rows(summary, form, lay_out(summary, all_metrics), notes)


@app.command()
def compare(results: ResultsArgument, form: TableFormatOption = TableFormat.table) -> None:
    """Test which methods differ on the same samples, corrected for how many pairs there are."""
    from savs_analyze.findings.findings import Findings
    from savs_analyze.report.layout import differences

    compared = Findings.of_folder(results).compare()
    notes = ["Differences in points, in brackets 95 % bootstrap intervals over samples and draws."]
    notes.append(
        "p: exact paired test of the signs of samples or groups (McNemar's for one draw); holm: for all pairs."
    )
    notes.append("Settings differ where holm is below 5 % and the interval without 0.")
    print_rows(compared, form, differences(compared), notes)


@app.command()
def hyperparameters(results: ResultsArgument, form: TableFormatOption = TableFormat.table) -> None:
    """Print the hyperparameters that the validation samples choose for every method and model."""
    from savs_analyze.findings.findings import Findings

    table = Findings.of_folder(results).hyperparameters
    note = "The best mean over benchmarks, equally weighted, of the first metric on the validation samples, in percent."
    print_rows(table, form, table, [note])


@app.command()
def stability(results: ResultsArgument, form: TableFormatOption = TableFormat.table) -> None:
    """Print how alike the heads are that different draws select."""
    from savs_analyze.findings.findings import Findings

    found = Findings.of_folder(results).stability
    notes = ["Jaccard: mean over pairs of draws of heads in both over heads in either; by chance: of random heads."]
    people = found.assign(**{name: found[name].map("{:.2f}".format) for name in ("jaccard", "by chance")})
    print_rows(found, form, people, notes)


@app.command()
def audit(
    results: ResultsArgument,
    seed: Annotated[int | None, typer.Option("--seed", help="Which cell to compute again; default: any.")] = None,
    include: IncludeOption = None,
) -> None:
    """Check that results are what their stores give: files, rows, stores, and one random cell computed again."""
    from savs_analyze.runs.audit import audit

    _add_rooms(include)
    findings = list(audit(results, seed))
    for finding in findings:
        state = {True: "sound", False: "WRONG", None: "not checked"}[finding.sound]
        terminal.say(f"{finding.checked:<8}{state:<13}{finding.words}")
    if any(finding.sound is False for finding in findings):
        raise typer.Exit(terminal.FAILED)


@app.command("compare-paper")
def compare_paper(results: ResultsArgument, form: TableFormatOption = TableFormat.table) -> None:
    """Print results beside the published numbers, and whether they agree within the noise of both."""
    from savs_analyze.papers.published import compare, without_counterpart
    from savs_analyze.report.layout import papers_table
    from savs_analyze.report.notes import papers_notes
    from savs_analyze.runs.results import Results

    cells = list(Results(results).loaded())
    compared = compare(cells)
    if compared.empty:
        terminal.say(without_counterpart(cells), file=sys.stderr)
    print_rows(compared, form, papers_table(compared), papers_notes(compared))


@app.command()
def figures(
    results: ResultsArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Default: RESULTS/heads.svg.")] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Heads counted as selected; default: all that vote.")
    ] = None,
) -> None:
    """Draw which heads are selected, layer by head, one map a task."""
    from savs_analyze.report.head_maps import draw_head_maps, most_heads, selection_frequency
    from savs_analyze.runs.results import Results

    cells = list(Results(results).loaded())
    heads = k or most_heads(cells)
    print(draw_head_maps(selection_frequency(cells, heads), heads, out or results / "heads.svg"))


@app.command()
def transfer(
    store: StoresOption,
    model: Annotated[str, typer.Option("--model", help="Default: the one that all stores have.")] = "",
    k: Annotated[int, typer.Option("--k", min=1, help="Heads that vote.")] = 20,
    shots: ShotsOption = 20,
    draws: DrawsOption = 5,
    out: Annotated[Path, typer.Option("--out", help="The figure; its ending says the format.")] = Path(
        "results/transfer.svg"
    ),
    allow_partial: PartialOption = False,
    form: TableFormatOption = TableFormat.table,
) -> None:
    """Classify each task with the heads of every other one, and draw source by target."""
    from savs_analyze.across import transfer as transfers
    from savs_analyze.report.across import draw_transfer
    from savs_analyze.report.layout import transfer_table
    from savs_analyze.report.notes import transfer_notes
    from savs_analyze.runs.results import refuse_store
    from savs_analyze.runs.sweep import expand
    from savs_stores import open_store

    refuse_store(out)
    tasks = transfers.tasks_of([open_store(path, allow_partial) for path in expand(store)], model)
    rows = transfers.transfer(tasks, k, shots, draws)
    print_rows(rows, form, transfer_table(rows), transfer_notes(rows))
    print(draw_transfer(rows, out), file=sys.stderr)


@app.command()
def projection(
    store: Annotated[str, typer.Option("--store", help="A store: stores/NAME.zarr.")],
    model: Annotated[str, typer.Option("--model", help="Default: the only one.")] = "",
    task: Annotated[str, typer.Option("--task", help="Default: the only one.")] = "",
    head: Annotated[str | None, typer.Option("--head", help="LAYER,HEAD; default: the best on the support.")] = None,
    shots: ShotsOption = 20,
    out: Annotated[Path | None, typer.Option("--out", help="Default: results/STORE-projection.svg.")] = None,
    allow_partial: PartialOption = False,
) -> None:
    """Draw one head's vectors of the test samples in the plane, beside those of a median head."""
    from savs_analyze.across.projection import project, task_of
    from savs_analyze.cli.parse import parse_head
    from savs_analyze.report.across import draw_projection
    from savs_analyze.runs.results import refuse_store
    from savs_stores import open_store

    path = out or Path("results") / f"{Path(store).stem}-projection.svg"
    refuse_store(path)
    of = task_of(open_store(store, allow_partial), model, task)
    found = project(of, parse_head(head) if head else None, shots)
    for plane in found.planes:
        terminal.say(plane)
    print(draw_projection(found, path))


@app.command()
def report(
    results: ResultsArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Default: RESULTS/report.html.")] = None,
) -> None:
    """Write all of it as one HTML page that needs nothing else: tables, head maps, curves, classes."""
    from savs_analyze.report.page import write_report

    print(write_report(results, out or results / "report.html"))


def _run(
    asked: Study,
    stores: list[str],
    folder: Path,
    papers: bool = False,
    draws: int = 5,
    models: Sequence[str] = (),
    jobs: int | None = None,
) -> None:
    """Sweep as a study asks."""
    from savs_analyze.cli.progress import CellProgress
    from savs_analyze.draws.validation import Validation
    from savs_analyze.runs.request import Data, Execution
    from savs_analyze.runs.sweep import expand, sweep

    data = Data(
        expand(stores),
        models=models,
        shots=asked.shots,
        draws=draws,
        validation=Validation(first=papers),
        keep_leaks=papers,
    )
    with CellProgress() as progress:
        ask, execution = asked.ask(papers), Execution(folder, jobs)
        sweep(ask, data, execution, command=terminal.command_line(), on_cells=progress.update)


def entry() -> None:
    terminal.run_app(app)
