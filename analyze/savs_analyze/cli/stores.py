"""What a store holds, and whether it is sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from savs_analyze.cli.options import StoreArgument
from savs_stores import terminal


def info(
    store: Annotated[str, typer.Argument(help="A store: stores/NAME.zarr, or a URL; or a classifier's file.")],
) -> None:
    """Say what a store holds, or what a classifier knows of itself."""
    if store.endswith(".safetensors"):
        from savs_analyze.classifier.file import read_classifier
        from savs_analyze.fitting.words import describe

        terminal.say(f"<savs classifier {store}>", *describe(read_classifier(Path(store))))
        return
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


def join(
    stores: Annotated[list[str], typer.Argument(help="Stores of one benchmark: stores/NAME.zarr, or URLs.")],
    out: Annotated[str, typer.Option("--out", help="The new store.")],
) -> None:
    """Join stores of one definition of a benchmark into one, with the models that all of them hold."""
    from savs_stores import join_stores

    print(join_stores(stores, out))
