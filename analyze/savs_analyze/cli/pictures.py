"""Figures and the report."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from savs_analyze.cli.options import (
    DrawsOption,
    IncludeOption,
    PartialOption,
    ResultsArgument,
    ShotsOption,
    SourcesOption,
    StoreOption,
    StoresOption,
    TableFormat,
    TableFormatOption,
)
from savs_analyze.cli.printing import print_rows
from savs_stores import terminal


def figures(
    results: ResultsArgument,
    out: Annotated[
        Path | None, typer.Option("--out", help="The maps; default: RESULTS/heads.svg. The diagram lies beside it.")
    ] = None,
    k: Annotated[
        int | None, typer.Option("--k", min=1, help="Heads counted as selected; default: all that vote.")
    ] = None,
    include: IncludeOption = None,
) -> None:
    """Draw which heads are selected, layer by head, and how far the probabilities of the best methods are true."""
    from savs_analyze.findings.findings import Findings
    from savs_analyze.report.drawing import check_figure
    from savs_analyze.report.head_maps import draw_head_maps, most_heads, selection_frequency
    from savs_analyze.report.reliability import diagrams, draw_reliability

    path = out or results / "heads.svg"
    second = path.with_name(f"{f'{path.stem}-' if out else ''}reliability{path.suffix}")
    if out is not None:
        check_figure(path)
        check_figure(second)
    found = Findings.of_folder(results, include=include or ())
    heads = k or most_heads(found.cells)
    print(draw_head_maps(selection_frequency(found.cells, heads), heads, path))
    if every := diagrams(found):
        print(draw_reliability(every, second))
    else:
        terminal.say("no reliability diagram: these results keep no scores", file=sys.stderr)


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
    from savs_analyze.papers.published import beside_transfer
    from savs_analyze.report.across import draw_transfer
    from savs_analyze.report.drawing import check_figure
    from savs_analyze.report.layout import transfer_table
    from savs_analyze.report.notes import transfer_notes
    from savs_analyze.runs.sweep import expand
    from savs_stores import open_store

    check_figure(out)
    tasks = transfers.tasks_of([open_store(path, allow_partial) for path in expand(store)], model)
    rows = beside_transfer(transfers.transfer(tasks, k, shots, draws))
    print_rows(rows, form, transfer_table(rows), transfer_notes(rows))
    print(draw_transfer(rows, out), file=sys.stderr)


def projection(
    store: StoreOption,
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
    from savs_analyze.report.drawing import check_figure
    from savs_stores import open_store

    path = out or Path("results") / f"{Path(store).stem}-projection.svg"
    check_figure(path)
    of = task_of(open_store(store, allow_partial), model, task)
    found = project(of, parse_head(head) if head else None, shots)
    for plane in found.planes:
        terminal.say(plane)
    print(draw_projection(found, path))


def report(
    results: ResultsArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Default: RESULTS/report.html.")] = None,
    store: SourcesOption = None,
    image_root: Annotated[
        list[Path] | None,
        typer.Option("--image-root", help="Where pictures are, if not below this folder; repeatable."),
    ] = None,
    include: IncludeOption = None,
) -> None:
    """Write all of it as one HTML page that needs nothing else: tables, head maps, curves, classes."""
    from savs_analyze.report.page import write_report
    from savs_analyze.report.thumbnails import Thumbnails
    from savs_analyze.runs.results import refuse_store

    if out is not None:
        refuse_store(out)
        terminal.check_output(out, (".html", ".htm"), ["savs report</title>"])
    pictures = Thumbnails(image_root or ())
    print(write_report(results, out or results / "report.html", include or (), store or (), pictures))
    for note in pictures.notes():
        terminal.say(note, file=sys.stderr)
