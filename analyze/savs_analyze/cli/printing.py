"""Tables on the terminal, or in the format that was asked for."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from savs_analyze.cli.options import TableFormat
from savs_analyze.runs.spreadsheet import csv_text
from savs_stores.terminal import printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

INDENT, BETWEEN = "    ", "   "
UNBOUNDED = 10_000  # of a pipe, and of Markdown
# What LaTeX does not print as it stands.
LATEX = str.maketrans(
    {name: f"\\{name}" for name in "&%$#_{}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "°": r"\textdegree{}"}
)
WORDS = (
    *"benchmark model task metric method setting system other formula source hyperparameters target takes".split(),
    *"verdict sample picture question wording true said scores".split(),
    "published in",
)


def print_rows(
    rows: pd.DataFrame,
    form: TableFormat,
    people: pd.DataFrame,
    notes: list[str],
    longer: Callable[[], pd.DataFrame] | None = None,
) -> None:
    """Print rows for programs as they are, for people as they are laid out.

    `longer` gives the layout with more lines and fewer columns, for where `people` is too wide. Names may be a store's
    own words: none of them is markup, a formula or an order to the terminal.
    """
    if form is TableFormat.csv:
        print(csv_text(rows), end="")
    elif form is TableFormat.json:  # which escapes all that is not ASCII
        print(rows.to_json(orient="records", indent=1, double_precision=15))
    elif form is TableFormat.latex:
        styled = people.astype(str).style.hide(axis="index")
        escaped = styled.format(_in_latex).format_index(_in_latex, axis="columns")
        print(escaped.to_latex(hrules=True, convert_css=False), end="")
    elif form is TableFormat.markdown:
        _print_markdown(people, notes)
    else:
        _print_table(people, notes, longer)


def _print_markdown(table: pd.DataFrame, notes: list[str]) -> None:
    console = _console(UNBOUNDED)
    console.print(_drawn(table, markdown=True))
    for note in notes:
        console.print(f"\n{_in_markdown(note)}", highlight=False)


def _print_table(table: pd.DataFrame, notes: list[str], longer: Callable[[], pd.DataFrame] | None) -> None:
    """Print a table so that nothing is cut: as wide as it is where it fits, else in parts, else line by line.

    A pipe has no width, so there the table takes what it needs.
    """
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else UNBOUNDED
    console = _console(width)
    if longer is not None and _width(table) > width:
        table = longer()
    for part in _parts(table, width):
        console.print(part, highlight=False)
    for note in notes:
        console.print(printable(note), highlight=False)


def _parts(table: pd.DataFrame, width: int) -> Iterator[Table | str]:
    """Yield the table, or its lines below what the first columns say, each once, or every line as a list."""
    most = _headings(table)
    for headed in range(most + 1):
        if _width(table.iloc[:, headed:]) <= width:
            for heading, lines in _below_headings(table, headed):
                yield from _wrapped(heading, width)
                yield _drawn(lines)
            return
    for heading, lines in _below_headings(table, most):
        yield from _wrapped(heading, width)
        for line in lines.itertuples(index=False):
            yield from _listed(line, list(lines.columns), width)
        yield ""


def _headings(table: pd.DataFrame) -> int:
    """Return how many first columns can stand above lines: what is said of several, before the setting."""
    names = list(table.columns)
    leading = [*(name in (*WORDS, "shots") for name in names), False].index(False)
    most = names.index("setting") if "setting" in names[:leading] else max(0, leading - 1)
    while most and 2 * _runs(table, most).max() > len(table):
        most -= 1
    return most


def _runs(table: pd.DataFrame, headed: int) -> pd.Series:
    """Return the number of the run that each line is of, of lines that say the same in so many first columns."""
    first = table.iloc[:, :headed].astype(str)
    return (first != first.shift()).any(axis=1).cumsum()


def _below_headings(table: pd.DataFrame, headed: int) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield runs of lines: what they all say in so many first columns, and the other columns."""
    if not headed:
        yield "", table
        return
    for _, lines in table.groupby(_runs(table, headed).to_numpy(), sort=False):
        said = lines.iloc[0, :headed].items()
        yield ", ".join(f"{name} {printable(str(value))}" for name, value in said), lines.iloc[:, headed:]


def _listed(line: Sequence, names: Sequence[str], width: int) -> Iterator[str]:
    """Yield a line of a table as text: what it is of, and below it what each column says, none of it torn apart."""
    from rich.cells import cell_len

    yield from _wrapped(printable(str(line[0])), width)
    said = [f"{name} {printable(str(value))}" for name, value in zip(names[1:], line[1:], strict=True) if str(value)]
    lines: list[str] = []
    for words in said:
        if lines and cell_len(lines[-1]) + cell_len(words) + len(BETWEEN) <= width:
            lines[-1] += BETWEEN + words
        else:
            lines += _wrapped(words, width, INDENT)
    yield from lines


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    """Return a text in lines, folded between words where it can be."""
    from rich.text import Text

    lines = Text(text, overflow="fold").wrap(_console(width), max(1, width - len(indent)))
    return [f"{indent}{line.plain.rstrip()}" for line in lines if line.plain]


def _drawn(table: pd.DataFrame, markdown: bool = False) -> Table:
    from rich import box
    from rich.table import Table

    written = _in_markdown if markdown else printable
    drawn = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD, pad_edge=markdown)
    for name in table.columns:
        words = name in WORDS or name.startswith("same")
        heading = written(str(name)) if words or markdown else written(str(name)).replace(", ", ",\n")
        drawn.add_column(heading, justify="left" if words else "right", no_wrap=True)
    for row in table.itertuples(index=False):
        drawn.add_row(*(written(str(value)) for value in row))
    return drawn


def _width(table: pd.DataFrame) -> int:
    """Return how wide a table is."""
    from rich.measure import Measurement

    console = _console(UNBOUNDED)
    return Measurement.get(console, console.options, _drawn(table)).maximum


def _console(width: int) -> Console:
    from rich.console import Console

    return Console(width=width, markup=False, emoji=False)


def _in_latex(text: str) -> str:
    """Return a text that is no command and ends no cell, nor begins as an option of the line end before it."""
    escaped = printable(str(text)).translate(LATEX)
    return f"{{{escaped[0]}}}{escaped[1:]}" if escaped.startswith(("[", "*")) else escaped


def _in_markdown(text: str) -> str:
    """Return a text that ends no cell, and is no tag and no link."""
    return printable(text).replace("|", "\\|").replace("<", "&lt;").replace("](", "]\\(")
