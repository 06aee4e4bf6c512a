"""From labelled pictures to a classifier, in one command."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from savs_analyze.cli.options import (
    BudgetOption,
    CardOption,
    ClassifierOption,
    HeadsOption,
    MethodOption,
    SeedOption,
    ShotsOfFitOption,
    TaskOption,
)
from savs_harvest.cli.runs import BEFORE_MODEL, HARVESTED
from savs_stores import terminal

if TYPE_CHECKING:
    from savs_analyze.fitting.store import FitRequest
    from savs_benchmarks import Benchmark

# All other words are options of `run`.
SETTINGS = {"allow_extra_args": True, "ignore_unknown_options": True}


def fit(
    context: typer.Context,
    out: ClassifierOption,
    method: MethodOption = "auto",
    k: HeadsOption = None,
    budget: BudgetOption = 1.0,
    shots: ShotsOfFitOption = "all",
    task: TaskOption = None,
    seed: SeedOption = 0,
    card: CardOption = False,
) -> None:
    """Harvest labelled pictures, fit a classifier, say how good it is; options of `run` hold too: --model, --data."""
    from savs_analyze.cli.classifiers import check_name, fit_and_tell, shots_of
    from savs_analyze.fitting.store import FitRequest
    from savs_stores import open_store

    check_name(out, card)
    request = FitRequest(task, method, k, budget, shots_of(shots), seed)
    _ = request.settings  # what is wrong with it is said before anything is harvested
    context.meta[BEFORE_MODEL] = partial(_check_labels, request)
    store, name, code = _harvested(context)
    from savs_harvest.run.expected import hub_files  # with torch, which takes seconds

    vectors = open_store(store)[name]
    fit_and_tell(vectors, request, Path(out), card, hub_files(vectors.identity))
    if code:
        raise typer.Exit(code)


def _check_labels(request: FitRequest, benchmark: Benchmark) -> None:
    """Say what would make the fit poor; raise ValueError where it is impossible. No picture is read for it."""
    from savs_analyze.fitting.store import check_labels
    from savs_benchmarks import check
    from savs_harvest.asking.index import index_unseen

    index = index_unseen(benchmark, check(benchmark))
    for line in check_labels(index.info, index.table, request):
        terminal.say(f"fit: {line}", file=sys.stderr)


def _harvested(context: typer.Context) -> tuple[str, str, int]:
    """Run the harvest that the other words ask for; return its store, the model's name in it, and its exit code."""
    group: Any = context.find_root().command
    harvest, code = group.commands["run"], terminal.DONE
    with harvest.make_context("run", list(context.args), parent=context.parent) as asked:
        try:
            harvest.invoke(asked)
        except typer.Exit as stop:  # some pictures failed: the others are enough, or the fit says what is not
            code = stop.exit_code
        return (*asked.meta[HARVESTED], code)
