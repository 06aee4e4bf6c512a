"""Systems side by side: one table of all models of some stores, who differs from whom, and what each costs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from savs_analyze.cli.options import TableFormat
from savs_analyze.cli.printing import print_rows
from savs_stores import terminal

if TYPE_CHECKING:
    import pandas as pd

TABLE, TESTS, FIGURE = "systems-table.csv", "systems.csv", "systems.svg"


def systems(folder: Path, stores: Sequence[str], reference: str = "") -> None:
    """Print the systems of a finished sweep, and write them, the tests and a figure of what they cost beside it."""
    from savs_analyze.findings.groups import Group
    from savs_analyze.findings.systems import compare_systems, summarize_systems
    from savs_analyze.papers.systems import beside_systems
    from savs_analyze.report.notes import TESTED
    from savs_analyze.report.systems import compared_table, draw_costs, systems_notes, systems_table
    from savs_analyze.runs.results import Results
    from savs_analyze.runs.sweep import expand
    from savs_stores import open_store

    results = Results(folder)
    opened = [open_store(path, allow_partial=True) for path in expand(stores)]
    groups = [Group.of(store[name]) for store in opened for name in store]
    cells = list(results.loaded())
    compared = compare_systems(cells, groups, reference)
    rows = beside_systems(summarize_systems(cells, groups, compared))
    print_rows(rows, TableFormat.table, systems_table(rows), systems_notes(rows, results.notes()))
    if len(compared):
        notes = ["Differences in points, on the samples that all systems of a benchmark were tested on.", *TESTED]
        print_rows(compared, TableFormat.table, compared_table(compared), notes)
    _write(rows, folder / TABLE)
    _write(compared, folder / TESTS)
    drawn = draw_costs(rows, folder / FIGURE)
    terminal.say(folder / TABLE, folder / TESTS, *([drawn] if drawn else []), file=sys.stderr)


def _write(rows: pd.DataFrame, path: Path) -> None:
    from savs_analyze.runs.results import replaced
    from savs_analyze.runs.spreadsheet import csv_text

    with replaced(path) as beside:
        beside.write_text(csv_text(rows), encoding="utf-8")
