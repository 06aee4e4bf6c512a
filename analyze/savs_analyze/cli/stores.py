"""What a store holds, and whether it is sound."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from savs_analyze.cli.options import (
    DrawsOption,
    KeepLeaksOption,
    Protocol,
    ProtocolOption,
    ShotsOption,
    StoreOption,
    ValidationOption,
    WordsOption,
)
from savs_stores import terminal


def info(
    store: Annotated[str, typer.Option("--store", help="A store: stores/NAME.zarr, or a URL; or a classifier's file.")],
    form: WordsOption = terminal.Words.text,
) -> None:
    """Say what a store holds, or what a classifier knows of itself."""
    if store.endswith(".safetensors"):
        from savs_analyze.classifier.file import read_classifier
        from savs_analyze.fitting.words import describe

        classifier = read_classifier(Path(store))
        if form is terminal.Words.json:
            heads = {"heads": classifier.heads.tolist(), "dim": classifier.dim}
            terminal.print_json({"classifier": store, **asdict(classifier.about), **heads})
        else:
            terminal.say(f"<savs classifier {store}>", *describe(classifier))
        return
    from savs_stores import facts_of, open_store

    opened = open_store(store)
    if form is terminal.Words.json:
        terminal.print_json(facts_of(opened))
    else:
        print(opened)


def verify(store: StoreOption, form: WordsOption = terminal.Words.text) -> None:
    """Check every byte of a store against its records."""
    from savs_stores import open_store
    from savs_stores import verify as faults_of

    faults = list(faults_of(open_store(store, allow_partial=True, strict=False)))
    if form is terminal.Words.json:
        terminal.print_json({"store": store, "sound": not faults, "faults": faults})
    else:
        terminal.say(*faults)
    if faults:
        raise typer.Exit(terminal.FAILED)
    print(f"{store} is sound", file=sys.stderr)


def join(
    store: Annotated[list[str], typer.Option("--store", help="A store of one benchmark, or a URL; repeatable.")],
    out: Annotated[str, typer.Option("--out", help="The new store.")],
) -> None:
    """Join stores of one definition of a benchmark into one, with the models that all of them hold."""
    from savs_stores import join_stores

    print(join_stores(store, out))


def draws(
    store: StoreOption,
    shots: ShotsOption = 20,
    draws: DrawsOption = 5,
    model: Annotated[
        str, typer.Option("--model", help="Where several are in the store: whose samples have vectors.")
    ] = "",
    protocol: ProtocolOption = Protocol.ours,
    validation: ValidationOption = None,
    keep_leaks: KeepLeaksOption = False,
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
