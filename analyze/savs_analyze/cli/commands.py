"""The command line of the analysis: parse, call one function, print. A command is a function and a line here."""

from __future__ import annotations

from typing import Annotated

import typer

from savs_analyze.cli import classifiers, pictures, results, stores, sweeps
from savs_analyze.cli.command import StoreCommand
from savs_analyze.cli.help import WholeHelp
from savs_stores import terminal

app = typer.Typer(
    help="Classify from stores of head vectors, as often as you like, on a CPU. The word --store may be left out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its tables cut words
    cls=WholeHelp,
    add_completion=False,
)


@app.callback()
def main(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=terminal.print_version, is_eager=True)
    ] = False,
) -> None:
    """Classify from stores of head vectors, as often as you like, on a CPU."""


COMMANDS = (
    stores.info,
    stores.verify,
    stores.join,
    stores.draws,
    classifiers.fit,
    sweeps.sweep,
    sweeps.study,
    sweeps.demo,
    sweeps.methods,
    sweeps.heads,
    results.table,
    results.answers,
    results.compare,
    results.hyperparameters,
    results.stability,
    results.audit,
    results.compare_paper,
    pictures.figures,
    pictures.transfer,
    pictures.projection,
    pictures.report,
)
for command in COMMANDS:
    app.command(command.__name__.replace("_", "-"), cls=StoreCommand)(command)


def entry() -> None:
    terminal.run_app(app)
