"""Tuning a model on the support of a draw."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from savs_harvest import DATE
from savs_harvest.cli.chosen import OFFICIAL, Choice, add_benchmarks, choosing, default_store
from savs_harvest.cli.options import (
    DataOption,
    DtypeOption,
    IncludeOption,
    ModelOption,
    QuantizeOption,
    RevisionOption,
    StoreOption,
)
from savs_harvest.cli.resume import options_said
from savs_stores import terminal

if TYPE_CHECKING:
    import numpy as np

    from savs_harvest.models.tuned import TunedOn
    from savs_harvest.run.work import Work

ADAPTERS = Path("adapters")
# The options that a harvest of what was tuned has not, or is told otherwise.
OF_TUNING = (
    *("store", "shots", "draw", "out", "rank", "alpha", "rate", "epochs", "batch", "seed"),
    "gradient_checkpointing",
)
tune_app = typer.Typer(help="Tune a model on the support of a draw.", no_args_is_help=True, rich_markup_mode=None)


@tune_app.callback()
def main() -> None:
    """Tune a model on the support of a draw."""


@tune_app.command()
@choosing
def lora(
    context: typer.Context,
    model: ModelOption,
    data: DataOption,
    store: StoreOption = None,
    shots: Annotated[int, typer.Option(min=1, help="Samples of every class that it learns from.")] = 20,
    draw: Annotated[int, typer.Option(min=0, help="Which draw of savs-analyze.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", help="Default: adapters/DATA-lora-drawN.")] = None,
    rank: Annotated[int, typer.Option(min=1, help="Of the adapters.")] = 8,
    alpha: Annotated[int | None, typer.Option(min=1, help="Default: twice the rank.")] = None,
    rate: Annotated[
        list[float] | None, typer.Option("--rate", help="Of learning; the best of several. Repeat.")
    ] = None,
    epochs: Annotated[int, typer.Option(min=0, help="Passes over the support.")] = 4,
    batch: Annotated[int, typer.Option(min=1, help="Examples a step.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Of the beginning, the order, and what is held out.")] = 0,
    gradient_checkpointing: Annotated[
        bool, typer.Option("--gradient-checkpointing", help="Less memory, more time.")
    ] = False,
    chosen: Choice = OFFICIAL,
    dtype: DtypeOption = None,
    quantize: QuantizeOption = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    revision: RevisionOption = None,
    include: IncludeOption = None,
) -> None:
    """Train LoRA adapters on a draw's support, question by question, on the answer's tokens alone.

    The same command resumes. Harvest with --adapter then: what it was tuned on is never tested.
    """
    from savs_harvest.models.specs import check_dtype, check_scheme, find_model, quantized

    add_benchmarks(include)
    check_dtype(dtype)
    check_scheme(quantize)
    spec = quantized(find_model(model), quantize)
    benchmark = chosen.of(data).fetched()
    place = store or default_store(benchmark.name)
    rows = _support(place, spec.name, shots, draw)

    from savs_harvest.cli.progress import TuneProgress
    from savs_harvest.models.loading import load_checkpoint, quiet_libraries
    from savs_harvest.run.harvest import find_work
    from savs_harvest.run.settings import Settings
    from savs_harvest.tuning.examples import make_examples
    from savs_harvest.tuning.lora import RATES, Lora, tune

    settings = Lora(rank, alpha or 2 * rank, tuple(rate or RATES), epochs, batch, seed, gradient_checkpointing)
    folder = out or ADAPTERS / f"{benchmark.name}-lora-draw{draw}"
    quiet_libraries()
    work = find_work(
        load_checkpoint(spec, device, dtype, revision), benchmark, Settings(logits=False, class_prompt="", date=DATE)
    )
    tuned_on = _tuned_on(work, place, rows, shots, draw)
    labels = _labels(work, rows)
    examples = make_examples(work, rows.tolist())
    with TuneProgress(f"tuning {spec.name} on {benchmark.name}") as progress:
        found = tune(work.model, examples, labels, settings, tuned_on, folder, progress.epochs)
    for one, loss in found.held_out.items():
        taken = " (chosen)" if one == found.rate else ""
        print(f"rate {one:g}: loss {loss:.3f} on the held-out quarter of the support{taken}", file=sys.stderr)
    if len(settings.rates) > 1 and not found.held_out:
        print(
            f"no class has examples to hold out (--shots 4): the first rate is taken, {found.rate:g}", file=sys.stderr
        )
    print(f"{len(examples):,} examples, loss {found.loss:.3f} in the last epoch", file=sys.stderr)
    print(folder)
    words = *options_said(context, OF_TUNING), "--adapter", folder, "--store", place
    terminal.say(f"next: {terminal.command('savs-harvest', 'run', *words)}", file=sys.stderr)


def _support(place: str, name: str, shots: int, draw: int) -> np.ndarray:
    """Return the rows of a draw's support, of all tasks of a store. Raises ValueError where it lacks the model."""
    import numpy as np

    from savs_analyze.draws.task import Task
    from savs_stores import StoreError, open_store

    try:
        vectors = open_store(place)[name]
    except (StoreError, KeyError) as error:
        raise ValueError(
            f"the draws of {place} follow from the samples that {name} could read: harvest them first ({error})"
        ) from error
    tasks = [Task(vectors, task) for task, classes in vectors.store.benchmark.tasks.items() if classes]
    if not tasks:
        raise ValueError(f"{place}: no sample has a label, so there is nothing to learn")
    return np.unique(np.concatenate([task.draw(shots, draw).support for task in tasks]))


def _labels(work: Work, rows: np.ndarray) -> np.ndarray:
    """Return a number for each class of each task."""
    import numpy as np

    table = work.index.table
    return np.unique(np.stack([table.task[rows], table.label[rows]], axis=1), axis=0, return_inverse=True)[1].ravel()


def _tuned_on(work: Work, place: str, rows: np.ndarray, shots: int, draw: int) -> TunedOn:
    """Return what the adapter will have seen. Raises ValueError where the store holds other samples than the data."""
    from savs_harvest.models.tuned import TunedOn
    from savs_stores import open_store

    table = work.index.table
    index_hash = table.index_hash(work.index.info)
    if index_hash != open_store(place).index_hash:
        raise ValueError(f"{place} holds other samples than --data gives: harvest them again, or name another --store")
    hashes = {int(one) for one in table.image_hash[rows].ravel()} - {0}
    pictures = sorted(f"{one:016x}" for one in hashes)
    ids = [str(work.samples[row].sample_id) for row in rows.tolist()]
    return TunedOn(work.benchmark.name, index_hash, shots, draw, ids, pictures)
