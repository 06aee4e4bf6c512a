"""Fitting a classifier from a store."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from savs_stores import terminal


def fit(
    store: Annotated[str, typer.Option("--store", help="A store: stores/NAME.zarr, or a URL.")],
    out: Annotated[Path, typer.Option("--out", help="The classifier's file: NAME.safetensors.")],
    model: Annotated[str | None, typer.Option("--model", help="Of several models in the store, this one.")] = None,
    task: Annotated[str | None, typer.Option("--task", help="Of several tasks, this one.")] = None,
    method: Annotated[
        str, typer.Option("--method", help="From `savs-analyze methods`; auto: the best of four.")
    ] = "auto",
    k: Annotated[int | None, typer.Option("--k", min=1, help="Heads that vote; not with auto.")] = None,
    budget: Annotated[float, typer.Option("--budget", help="Only heads of this share of the layers: 0.67.")] = 1.0,
    shots: Annotated[
        str, typer.Option("--shots", help="Labelled samples a class that are learnt from, or all.")
    ] = "all",
    question: Annotated[
        str | None, typer.Option("--question", help="What was asked, where the store does not say.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the folds, and of shots.")] = 0,
    card: Annotated[bool, typer.Option("--card", help="Write a model card beside it: NAME.md and a figure.")] = False,
    allow_partial: Annotated[bool, typer.Option("--allow-partial", help="Use the finished part of a harvest.")] = False,
) -> None:
    """Fit a classifier on all labelled samples of a store, and say how good it is."""
    from savs_analyze.classifier.file import write_classifier
    from savs_analyze.fitting.store import FitRequest, fit_store
    from savs_analyze.fitting.words import describe
    from savs_stores import open_store

    check_name(out)
    request = FitRequest(task, method, k, budget, _shots(shots), seed, question)
    opened = open_store(store, allow_partial)
    classifier = fit_store(opened[model or _only(opened.models, store)], request)
    write_classifier(classifier, out)
    terminal.say(*describe(classifier))
    if card:
        from savs_analyze.report.card import write_card

        terminal.say(f"wrote {write_card(classifier, out)}", file=sys.stderr)
    terminal.say(f"wrote {out}; answer for new pictures with: ", file=sys.stderr)
    terminal.say(f"  {terminal.command('savs-harvest', 'predict', out, 'PICTURES')}", file=sys.stderr)


def check_name(out: Path) -> None:
    """Raise ValueError for what is no name of a classifier's file."""
    if out.suffix != ".safetensors":
        raise ValueError(f"{out}: a classifier's file is named NAME.safetensors")
    if out.is_dir():
        raise ValueError(f"{out} is a folder: name another file")


def _shots(word: str) -> int | None:
    if word == "all":
        return None
    if not word.isdecimal():
        raise ValueError(f"--shots {word!r} is neither a number nor 'all'")
    return int(word)


def _only(models: list[str], store: str) -> str:
    if len(models) != 1:
        raise ValueError(f"{store} holds {len(models)} models, name one: --model {' or --model '.join(models)}")
    return models[0]
