"""What a store holds, and whether it is sound."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from savs_analyze.cli.options import (
    DrawsOption,
    Protocol,
    ProtocolOption,
    ShotsOption,
    StoreArgument,
    ValidationOption,
)
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


def draws(
    store: StoreArgument,
    shots: ShotsOption = 20,
    draws: DrawsOption = 5,
    model: Annotated[
        str, typer.Option("--model", help="Where several are in the store: whose samples have vectors.")
    ] = "",
    protocol: ProtocolOption = Protocol.ours,
    validation: ValidationOption = None,
    keep_leaks: Annotated[bool, typer.Option("--keep-leaks", help="Test also on images of the support.")] = False,
) -> None:
    """List who learns, validates and is tested in every draw of a sweep, a JSON line a sample, for any other code."""
    import json

    from savs_analyze.across.transfer import choose_name
    from savs_analyze.draws.listing import listed_draws
    from savs_analyze.draws.task import Task
    from savs_stores import open_store

    opened = open_store(store)
    vectors = opened[choose_name("model", opened.models, model)]
    tasks = [Task(vectors, task) for task in opened.benchmark.tasks]
    keep = keep_leaks or bool(protocol.code)
    for row in listed_draws(tasks, shots, draws, protocol.validation(validation), keep):
        print(json.dumps(row))
