"""The command line of the harvest: parse, call one function, print. A command is a function and a line here."""

from __future__ import annotations

from typing import Annotated

import typer

from savs_analyze.cli.help import WholeHelp
from savs_harvest.cli import ask, fit, plans, predict, runs, systems
from savs_harvest.cli.data import data_app
from savs_harvest.cli.tune import tune_app
from savs_stores import terminal

app = typer.Typer(
    help="Run a (vision-)language model over a benchmark and keep every head's last-token output.",
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
    """Run a (vision-)language model over a benchmark and keep every head's last-token output."""


COMMANDS = (
    runs.run,
    systems.generate,
    systems.vqascore,
    ask.ask,
    runs.demo,
    predict.predict,
    plans.plan,
    plans.models,
)
for command in COMMANDS:
    app.command()(command)
app.command(context_settings=fit.SETTINGS)(fit.fit)
app.add_typer(data_app, name="data")
app.add_typer(tune_app, name="tune")


def entry() -> None:
    terminal.run_app(app, install="savs[harvest]")
