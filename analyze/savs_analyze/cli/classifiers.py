"""Fitting a classifier from a store."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs_analyze.cli.options import (
    BudgetOption,
    CardOption,
    ClassifierOption,
    HeadsOption,
    MethodOption,
    PartialOption,
    SeedOption,
    ShotsOfFitOption,
    StoreOption,
    TaskOption,
)
from savs_stores import terminal

if TYPE_CHECKING:
    from savs_analyze.fitting.store import FitRequest
    from savs_stores import ModelVectors


def fit(
    store: StoreOption,
    out: ClassifierOption,
    model: Annotated[str | None, typer.Option("--model", help="Of several models in the store, this one.")] = None,
    task: TaskOption = None,
    method: MethodOption = "auto",
    k: HeadsOption = None,
    budget: BudgetOption = 1.0,
    shots: ShotsOfFitOption = "all",
    question: Annotated[str | None, typer.Option("--question", help="What was asked, if the store is silent.")] = None,
    seed: SeedOption = 0,
    card: CardOption = False,
    allow_partial: PartialOption = False,
) -> None:
    """Fit a classifier on the labelled samples of a store, and say how good it is."""
    from savs_analyze.fitting.store import FitRequest
    from savs_stores import open_store

    check_name(out, card)
    request = FitRequest(task, method, k, budget, shots_of(shots), seed, question)
    opened = open_store(store, allow_partial)
    fit_and_tell(opened[model or _only(opened.models, store)], request, out, card)


def fit_and_tell(
    vectors: ModelVectors, request: FitRequest, out: Path, card: bool, files: Mapping[str, str] = {}
) -> None:
    """Fit, write the file and perhaps the card, and print what the classifier says of itself.

    `files` are the hashes of the model's files, where it is of the hub and they are known.
    """
    from savs_analyze.classifier.file import write_classifier
    from savs_analyze.fitting.store import fit_store
    from savs_analyze.fitting.words import describe

    classifier = fit_store(vectors, request, files)
    write_classifier(classifier, out)
    terminal.say(*describe(classifier))
    if card:
        from savs_analyze.report.card import write_card

        terminal.say(f"wrote {write_card(classifier, out)}", file=sys.stderr)
    following = terminal.command("savs-harvest", "predict", out, "PICTURES")
    terminal.say(f"{out}", f"next: {following}", file=sys.stderr)


def check_name(out: Path, card: bool = False) -> None:
    """Raise ValueError for what is no name of a classifier's file, and where other files would be replaced."""
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: a classifier's file is named NAME.safetensors")
    terminal.check_output(out, [".safetensors"], ["savs classifier"])
    if card:
        from savs_analyze.report.drawing import PNG_MARK

        terminal.check_output(out.with_suffix(".md"), [".md"], ['library_name: "savs"'])
        terminal.check_output(out.with_suffix(".png"), [".png"], [PNG_MARK])


def shots_of(word: str) -> int | None:
    if word == "all":
        return None
    if not word.isdecimal():
        raise ValueError(f"--shots {word!r} is neither a number nor 'all'")
    return int(word)


def _only(models: list[str], store: str) -> str:
    if len(models) != 1:
        raise ValueError(f"{store} holds {len(models)} models, name one: --model {' or --model '.join(models)}")
    return models[0]
