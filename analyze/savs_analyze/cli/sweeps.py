"""Running methods over stores, and listing them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs_analyze.cli.options import (
    Arithmetic,
    ArithmeticOption,
    Backend,
    DrawsOption,
    GridOption,
    IncludeOption,
    JobsOption,
    KeepLeaksOption,
    MethodsOption,
    ModelsOption,
    OutOption,
    PartialOption,
    Protocol,
    ProtocolOption,
    RestrictOption,
    ScalingOption,
    ShotsOption,
    ShotsRangeOption,
    SolverOption,
    StoresIfAnyOption,
    StoresOption,
    TableFormat,
    TableFormatOption,
    ValidationOption,
)
from savs_analyze.cli.printing import print_rows
from savs_analyze.cli.results import hyperparameters, table
from savs_analyze.cli.systems import systems
from savs_stores import terminal

COSTS = ["learn_seconds", "answer_milliseconds", "heads_read", "bytes_read"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from savs_analyze.papers.studies import Study


def sweep(
    store: StoresOption,
    out: OutOption = None,
    method: MethodsOption = None,
    k: Annotated[str, typer.Option("--k", help="Heads that vote: 20, or 5:50:5.")] = "20",
    grid: GridOption = None,
    restrict_options: RestrictOption = False,
    solver: SolverOption = None,
    scaling: ScalingOption = None,
    protocol: ProtocolOption = Protocol.ours,
    arithmetic: ArithmeticOption = Arithmetic.double,
    validation: ValidationOption = None,
    shots: ShotsRangeOption = "20",
    draws: DrawsOption = 5,
    model: ModelsOption = None,
    keep_leaks: KeepLeaksOption = False,
    allow_partial: PartialOption = False,
    jobs: JobsOption = None,
    backend: Annotated[Backend, typer.Option(help="loky: processes here; dask: a cluster.")] = Backend.loky,
    scheduler: Annotated[str, typer.Option("--scheduler", help="Of dask: tcp://HOST:PORT.")] = "",
    heads: Annotated[
        Path | None, typer.Option("--heads", help="Heads of other tasks, for hec-t-fixed: of savs-analyze heads.")
    ] = None,
    part: Annotated[str, typer.Option("--part", help="Only this part, as in an array job: 1/4.")] = "1/1",
    include: IncludeOption = None,
) -> None:
    """Run methods over stores: zero-shot, SAVs and kernel ridge, or any others. The same command resumes."""
    from savs_analyze.cli.parse import parse_grids, parse_part, parse_range
    from savs_analyze.cli.progress import CellProgress
    from savs_analyze.methods.recipes import DEFAULT
    from savs_analyze.runs.found_heads import FoundHeads
    from savs_analyze.runs.request import Ask, Data, Execution
    from savs_analyze.runs.sweep import expand, sweep

    stores = expand(store)
    ask = Ask(
        methods=method or DEFAULT,
        heads=parse_range(k),
        grid=parse_grids(grid or ()),
        restricted=restrict_options,
        protocol=protocol.code,
        solver=solver or "",
        scaling=scaling or "",
        arithmetic=arithmetic.code,
        include=include or (),
        found=FoundHeads.read(heads) if heads else None,
    )
    data = Data(
        stores,
        models=model or (),
        shots=parse_range(shots),
        draws=draws,
        validation=protocol.validation(validation),
        keep_leaks=keep_leaks or bool(protocol.code),
        allow_partial=allow_partial,
    )
    folder = out or Path("results") / (Path(stores[0]).stem if len(stores) == 1 else "sweep")
    execution = Execution(folder, jobs, backend.value, scheduler, parse_part(part))
    with CellProgress() as progress:
        rows = sweep(ask, data, execution, command=terminal.command_line(), on_cells=progress.update)
    if rows.suffix == ".csv":
        terminal.say(rows, f"next: {terminal.command('savs-analyze', 'table', folder)}", file=sys.stderr)


def study(
    name: Annotated[
        str,
        typer.Argument(
            help="methods, shots, heads, layers, classifiers, per-class, artanh (needs no store), lasso, strong, "
            "prompts, systems, hec or demo."
        ),
    ],
    store: StoresIfAnyOption = None,
    out: OutOption = None,
    protocol: ProtocolOption = Protocol.ours,
    arithmetic: ArithmeticOption = Arithmetic.double,
    shots: ShotsRangeOption = "",
    draws: DrawsOption = 5,
    model: ModelsOption = None,
    reference: Annotated[
        str, typer.Option("--reference", help="Of systems: whom all others are compared with; default: zero-shot.")
    ] = "",
    jobs: JobsOption = None,
) -> None:
    """Run a study of the papers: a sweep of what it asks for, its table, and its curves. The same command resumes."""
    from savs_analyze.cli.parse import parse_range
    from savs_analyze.findings.choice import choose
    from savs_analyze.findings.summary import summarize
    from savs_analyze.papers.studies import find_study
    from savs_analyze.report.curves import draw_curves
    from savs_analyze.runs.results import Results

    asked, folder = find_study(name), out or Path("results") / name
    if not store and not asked.formulas:
        raise ValueError(f"the study {name!r} needs vectors: name a store with --store")
    if asked.formulas:
        from savs_analyze.report.formulas import draw_levels, draw_scores

        terminal.say(draw_scores(folder / "scores.svg"), draw_levels(folder / "levels.svg"))
    if not store:
        return
    if shots:
        asked = replace(asked, shots=tuple(parse_range(shots)))
    wordings = _wordings(asked, store)
    _run(asked, store, folder, (protocol, arithmetic), draws, model or (), jobs)
    if asked.systems:
        systems(folder, store, reference)
        return
    table(folder, all_settings=bool(asked.along))
    if wordings:
        _compare_wordings(folder, wordings)
    if asked.costs:
        _tell_costs(asked, store, model or (), folder / "costs.csv")
    if asked.along:
        cells = list(Results(folder).loaded())
        print(draw_curves(summarize(cells), asked.along, folder / f"{asked.along}.svg"))
    elif choose(Results(folder).loaded()):
        hyperparameters(folder)


def _tell_costs(asked: Study, stores: Sequence[str], models: Sequence[str], out: Path) -> None:
    """Print what every method costs on the first task of each store, and write it."""
    import pandas as pd

    from savs_analyze.across.costs import costs
    from savs_analyze.draws.draws import available
    from savs_analyze.draws.task import Task
    from savs_analyze.runs.cells import cap_settings
    from savs_analyze.runs.sweep import expand
    from savs_stores import open_store

    found = []
    for path in expand(stores):
        opened = open_store(path)
        vectors = opened[next(name for name in opened.models if name in (models or opened.models))]
        task = Task(vectors, next(iter(opened.benchmark.tasks)))
        settings = cap_settings(asked.ask().settings, len(vectors.heads), len(vectors.heads.layers))
        most = min(available(opened.samples, opened.benchmark, task.task, vectors.usable).values())
        found += [costs(task, settings, shots).assign(task=task.name) for shots in asked.shots if shots <= most]
    rows = pd.concat(found)[["task", "shots", "setting", *COSTS]]
    rows.to_csv(out, index=False)
    shown = {"learn": "{:.3f} s", "answer": "{:.3f} ms", "heads": "{:,}", "reads": "{:,.1f} kB"}
    people = rows.assign(bytes_read=rows["bytes_read"] / 1000).rename(columns=dict(zip(COSTS, shown, strict=True)))
    for name, words in shown.items():
        people[name] = people[name].map(words.format)
    notes = [
        "Each alone on the first draw: processor time to learn, and to answer one sample; heads and bytes read for it."
    ]
    print_rows(rows, TableFormat.table, people, notes)


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


def heads(
    store: StoresOption,
    out: Annotated[Path, typer.Option("--out", help="The file: NAME.json, for sweep --heads.")],
    model: Annotated[str, typer.Option("--model", help="Default: the one that all stores have.")] = "",
    k: Annotated[int, typer.Option("--k", min=1, help="Heads to keep.")] = 20,
    shots: ShotsOption = 20,
    draws: DrawsOption = 5,
    allow_partial: PartialOption = False,
) -> None:
    """Find the heads that answer by class vectors on some tasks, for hec-t-fixed on other ones."""
    from savs_analyze.across.found_heads import find_heads
    from savs_analyze.across.transfer import tasks_of
    from savs_analyze.methods.recipes import FIXED
    from savs_analyze.runs.found_heads import FORMAT
    from savs_analyze.runs.results import refuse_store
    from savs_analyze.runs.sweep import expand
    from savs_stores import open_store

    refuse_store(out)
    terminal.check_output(out, (".json",), [FORMAT])
    tasks = tasks_of([open_store(path, allow_partial) for path in expand(store)], model)
    found = find_heads(tasks, k, shots, draws)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(found.written(), encoding="utf-8")
    print(out)
    used = {(one["benchmark"], one["task"]) for one in found.found_on}
    lacking = [task.name for task in tasks if (task.vectors.store.benchmark.name, task.task) not in used]
    if lacking:
        terminal.say(f"left out, as classes have no class vectors: {', '.join(lacking)}", file=sys.stderr)
    command = terminal.command("savs-analyze", "sweep", "--store", "STORE", "--method", FIXED, "--heads", out)
    terminal.say(f"next, on other tasks: {command}", file=sys.stderr)


def methods(form: TableFormatOption = TableFormat.table, include: IncludeOption = None) -> None:
    """List the methods: formula, source, hyperparameters, and which provably predict the same."""
    import pandas as pd

    from savs_analyze.methods.recipes import METHODS
    from savs_analyze.methods.rooms import add_rooms, from_outside
    from savs_analyze.methods.settings import make_setting

    add_rooms(include or ())
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


def _run(
    asked: Study,
    stores: list[str],
    folder: Path,
    how: tuple[Protocol, Arithmetic] = (Protocol.ours, Arithmetic.double),
    draws: int = 5,
    models: Sequence[str] = (),
    jobs: int | None = None,
) -> None:
    """Sweep as a study asks."""
    from savs_analyze.cli.progress import CellProgress
    from savs_analyze.findings.groups import is_asked
    from savs_analyze.runs.request import Data, Execution, every_setting
    from savs_analyze.runs.sweep import expand, sweep

    protocol, arithmetic = how
    data = Data(
        expand(stores),
        models=models,
        shots=asked.shots,
        draws=draws,
        validation=protocol.validation(asked.validation),
        keep_leaks=bool(protocol.code),
        wanted=is_asked if asked.systems else every_setting,
    )
    with CellProgress() as progress:
        ask, execution = asked.ask(protocol.code, arithmetic.code), Execution(folder, jobs)
        sweep(ask, data, execution, command=terminal.command_line(), on_cells=progress.update)


def _wordings(asked: Study, patterns: list[str]) -> dict[str, str]:
    """Return the wordings of the stores for a study that compares them; tell what a study does otherwise."""
    from savs_analyze.findings.prompts import wordings_of
    from savs_analyze.runs.sweep import expand
    from savs_stores import open_store

    stores = [open_store(path) for path in expand(patterns)] if asked.wordings or asked.most_classes else []
    for store in stores:
        classes = store.benchmark.most_classes
        if asked.most_classes and classes > asked.most_classes:
            most = f"the protocol takes {asked.most_classes:,} of them at a time, here all are told apart"
            terminal.say(f"{store.benchmark.name} has {classes:,} classes: {most}", file=sys.stderr)
    return wordings_of(stores) if asked.wordings else {}


def _compare_wordings(folder: Path, wordings: dict[str, str]) -> None:
    """Print what another wording changes, and write it beside the results."""
    from savs_analyze.findings.prompts import compare_wordings
    from savs_analyze.report.layout import differences
    from savs_analyze.report.notes import TESTED
    from savs_analyze.runs.results import Results, replaced
    from savs_analyze.runs.spreadsheet import csv_text

    compared = compare_wordings(Results(folder).loaded(), wordings)
    notes = ["Differences in points, of each method by itself: holm is corrected for its pairs of wordings.", *TESTED]
    print_rows(compared, TableFormat.table, differences(compared), notes)
    with replaced(folder / "prompts.csv") as beside:
        beside.write_text(csv_text(compared), encoding="utf-8")
    terminal.say(folder / "prompts.csv", file=sys.stderr)
