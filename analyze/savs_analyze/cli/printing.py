"""Tables on the terminal, or in the format that was asked for."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from savs_analyze.cli.options import TableFormat
from savs_analyze.runs.spreadsheet import csv_text
from savs_stores.terminal import printable

if TYPE_CHECKING:
    import pandas as pd

WORDS = (
    *"benchmark model task metric method setting other formula source hyperparameters target takes verdict".split(),
    "published in",
)


def print_rows(rows: pd.DataFrame, form: TableFormat, people: pd.DataFrame, notes: list[str]) -> None:
    """Print rows for programs as they are, for people as they are laid out.

    Names may be a store's own words: none of them is markup, a formula or an order to the terminal.
    """
    if form is TableFormat.csv:
        print(csv_text(rows), end="")
    elif form is TableFormat.json:  # which escapes all that is not ASCII
        print(rows.to_json(orient="records", indent=1, double_precision=15))
    elif form is TableFormat.latex:
        styled = people.astype(str).map(printable).rename(columns=printable).style.hide(axis="index")
        escaped = styled.format(escape="latex").format_index(escape="latex", axis="columns")
        print(escaped.to_latex(hrules=True, convert_css=False), end="")
    else:
        _print_table(people, notes, markdown=form is TableFormat.markdown)


def _print_table(table: pd.DataFrame, notes: list[str], markdown: bool = False) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    # A pipe has no width, so the table takes what it needs; on a narrow terminal, numbers fold.
    console = Console(width=None if sys.stdout.isatty() and not markdown else 1000, markup=False, emoji=False)
    written = _in_markdown if markdown else printable
    printed = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD, pad_edge=markdown)
    for name in table.columns:
        words = name in WORDS or name.startswith("same")
        heading = written(str(name)) if words or markdown else written(str(name)).replace(", ", ",\n")
        printed.add_column(heading, justify="left" if words else "right", no_wrap=words, overflow="fold")
    for row in table.itertuples(index=False):
        printed.add_row(*(written(str(value)) for value in row))
    console.print(printed)
    for note in notes:
        console.print(f"\n{_in_markdown(note)}" if markdown else printable(note), highlight=False)


def _in_markdown(text: str) -> str:
    """Return a text that ends no cell, and is no tag and no link."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;").replace("](", "]\\(")
