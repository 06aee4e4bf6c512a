"""What a store holds, and whether it is sound."""

from __future__ import annotations

import sys

import typer

from savs_analyze.cli.options import StoreArgument
from savs_stores import terminal


def info(store: StoreArgument) -> None:
    """Say what a store holds: benchmark, samples, models."""
    from savs_stores import open_store

    print(open_store(store))


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
