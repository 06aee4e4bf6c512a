"""Tables of a folder of results, and checking it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from savs_analyze.cli.options import (
    AllSettingsOption,
    IncludeOption,
    ResultsArgument,
    SourcesOption,
    TableFormat,
    TableFormatOption,
    WordsOption,
)
from savs_analyze.cli.printing import print_rows
from savs_stores import terminal


def table(
    results: ResultsArgument,
    form: TableFormatOption = TableFormat.table,
    all_metrics: Annotated[
        bool,
        typer.Option(
            "--all-metrics",
            help="Also balanced accuracy, macro-F1, AUROC, log loss and others; csv and json have them.",
        ),
    ] = False,
    all_settings: AllSettingsOption = False,
    include: IncludeOption = None,
) -> None:
    """Print means over draws with 95 % intervals, of each method with the hyperparameters that validation chooses."""
    from savs_analyze.findings.findings import Findings
    from savs_analyze.report.layout import MOST_COLUMNS, columns_of, listed, spread
    from savs_analyze.report.notes import footnotes, score_notes

    found = Findings.of_folder(results, all_settings, include or ())
    summary = found.table(all_metrics or form is not TableFormat.table)
    notes = footnotes(found.cells, found.choices, found.compared, found.notes)
    notes += score_notes(found.cells) if all_metrics else []
    lay_out = spread if columns_of(summary).nunique() <= MOST_COLUMNS else listed
    print_rows(summary, form, lay_out(summary, all_metrics), notes, lambda: listed(summary, all_metrics))


def answers(
    results: ResultsArgument,
    form: Annotated[terminal.Format | None, typer.Option("--format", help="How to print it; default: table.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="A file to write instead: NAME.csv or NAME.json, by its ending.")
    ] = None,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="Only where the answer of most draws, or of as many by the score, is wrong.")
    ] = False,
    doubtful: Annotated[
        int | None,
        typer.Option(
            "--doubtful",
            min=1,
            help="So many that fewest draws agree on, of as many those of the smallest margin, on either side of 0.",
        ),
    ] = None,
    label: Annotated[str, typer.Option("--class", help="Only samples of this class, or taken for it.")] = "",
    task: Annotated[str, typer.Option("--task", help="Only this task.")] = "",
    method: Annotated[str, typer.Option("--method", help="Only this method, as `table --format csv` names it.")] = "",
    shots: Annotated[int | None, typer.Option("--shots", min=0, help="Only results of so many shots.")] = None,
    all_settings: AllSettingsOption = False,
    store: SourcesOption = None,
    include: IncludeOption = None,
) -> None:
    """List every tested sample: its picture, question, true class, class said, scores, draws, right or wrong."""
    from savs_analyze.findings.answers import Wanted, answer_rows, answers_of, as_texts, is_ours, json_text
    from savs_analyze.findings.findings import Findings
    from savs_analyze.report.layout import answers_table
    from savs_analyze.report.notes import answer_notes
    from savs_analyze.runs.results import Results, refuse_store, replaced
    from savs_analyze.runs.sources import find_sources
    from savs_analyze.runs.spreadsheet import csv_text

    if out is not None:
        refuse_store(out)
        terminal.check_output(out, (".csv", ".json"), lambda line: is_ours(line, out.stat().st_size))
        if form is not None and form.value != out.suffix[1:].lower():
            raise ValueError(f"--out {out} and --format {form.value} are two formats: leave out --format")
    found = Findings.of_folder(results, all_settings, include or ())
    sources = find_sources(Results(results), (cell.facts for cell in found.cells), store or ())
    every = answers_of(found.cells, found.choices)
    rows = answer_rows(every, sources, Wanted(wrong, doubtful, label, task, method, shots))
    shown = TableFormat(out.suffix[1:].lower() if out else form or "table")
    printed = as_texts(rows) if shown is TableFormat.csv else rows
    if out is None:
        print_rows(printed, shown, answers_table(rows), answer_notes(rows, sources))
        return
    with replaced(out) as beside:
        beside.write_text(csv_text(printed) if shown is TableFormat.csv else json_text(printed), encoding="utf-8")
    terminal.say(out)


def compare(
    results: ResultsArgument, form: TableFormatOption = TableFormat.table, include: IncludeOption = None
) -> None:
    """Test which methods differ on the same samples, corrected for how many pairs there are."""
    from savs_analyze.findings.findings import Findings
    from savs_analyze.report.layout import differences
    from savs_analyze.report.notes import TESTED

    compared = Findings.of_folder(results, include=include or ()).compare()
    print_rows(compared, form, differences(compared), ["Differences in points.", *TESTED])


def hyperparameters(
    results: ResultsArgument, form: TableFormatOption = TableFormat.table, include: IncludeOption = None
) -> None:
    """Print the hyperparameters that the validation samples choose for every method and model."""
    from savs_analyze.findings.findings import Findings

    table = Findings.of_folder(results, include=include or ()).hyperparameters
    note = "The best mean over benchmarks, equally weighted, of the first metric on the validation samples, in percent."
    print_rows(table, form, table, [note])


def stability(
    results: ResultsArgument, form: TableFormatOption = TableFormat.table, include: IncludeOption = None
) -> None:
    """Print how alike the heads are that different draws select."""
    from savs_analyze.findings.findings import Findings

    found = Findings.of_folder(results, include=include or ()).stability
    notes = ["Jaccard: mean over pairs of draws of heads in both over heads in either; by chance: of random heads."]
    people = found.assign(**{name: found[name].map("{:.2f}".format) for name in ("jaccard", "by chance")})
    print_rows(found, form, people, notes)


def audit(
    results: ResultsArgument,
    seed: Annotated[int | None, typer.Option("--seed", help="Which cell to compute again; default: any.")] = None,
    form: WordsOption = terminal.Words.text,
    include: IncludeOption = None,
) -> None:
    """Check that results are what their stores give: files, rows, stores, and one random cell computed again."""
    from savs_analyze.methods.rooms import add_rooms
    from savs_analyze.runs.audit import audit

    add_rooms(include or ())
    findings = list(audit(results, seed))
    wrong = any(finding.sound is False for finding in findings)
    if form is terminal.Words.json:
        found = [{"checked": one.checked, "sound": one.sound, "words": one.words} for one in findings]
        terminal.print_json({"results": str(results), "sound": not wrong, "findings": found})
    else:
        for finding in findings:
            state = {True: "sound", False: "WRONG", None: "not checked"}[finding.sound]
            terminal.say(f"{finding.checked:<8}{state:<13}{finding.words}")
    if wrong:
        raise typer.Exit(terminal.FAILED)


def compare_paper(results: ResultsArgument, form: TableFormatOption = TableFormat.table) -> None:
    """Print results beside the published numbers, and whether they agree within the noise of both."""
    from savs_analyze.papers.published import beside_published, without_counterpart
    from savs_analyze.report.layout import papers_table
    from savs_analyze.report.notes import papers_notes
    from savs_analyze.runs.results import Results

    cells = list(Results(results).loaded())
    compared = beside_published(cells)
    if compared.empty:
        terminal.say(without_counterpart(cells), file=sys.stderr)
    print_rows(compared, form, papers_table(compared), papers_notes(compared))
