"""What can be run, and what it would take, without running it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from savs_harvest.cli.chosen import OFFICIAL, Choice, choosing, default_store
from savs_harvest.cli.options import (
    SITE,
    AdapterOption,
    DataOption,
    DeviceMapOption,
    DtypeOption,
    ModelOption,
    NameOption,
    QuantizeOption,
    RevisionOption,
    ShardOption,
    SiteOption,
    StoreOption,
    WordsOption,
)
from savs_stores import terminal

if TYPE_CHECKING:
    from savs_harvest.models.specs import ModelSpec


@choosing
def plan(
    model: ModelOption,
    data: DataOption,
    store: StoreOption = None,
    chosen: Choice = OFFICIAL,
    name: NameOption = None,
    revision: RevisionOption = None,
    adapter: AdapterOption = None,
    quantize: QuantizeOption = None,
    site: SiteOption = SITE,
    shard_samples: ShardOption = None,
    dtype: DtypeOption = None,
    device_map: DeviceMapOption = None,
    gpus: Annotated[
        str | None, typer.Option("--gpus", help="Say what would go where on such GPUs: 2x80GB, or 80GB,24GB.")
    ] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="With how much memory beside them: 64GB.")] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Load the model and run ten batches for the time.")
    ] = False,
    form: WordsOption = terminal.Words.text,
) -> None:
    """Show what a harvest would do, without doing it: samples, shards, bytes, memory, time."""
    from savs_harvest.models.specs import at_site, check_dtype, check_scheme, check_site, find_model, quantized

    # What is named wrongly is told before torch is imported, which takes seconds.
    check_dtype(dtype)
    check_scheme(quantize)
    check_site(site)
    spec = at_site(quantized(find_model(model, adapter), quantize), site)
    benchmark = chosen.of(data).find()

    from savs_harvest.batches.layout_check import load_model
    from savs_harvest.models.loading import quiet_libraries
    from savs_harvest.run.forecast import begun_model, forecast, measured_time
    from savs_harvest.run.settings import Settings

    quiet_libraries()
    division = None
    if device_map is not None or gpus is not None or memory is not None:
        from savs_harvest.run.dividing import divide, read_machine

        division = divide(spec, device_map, read_machine(gpus, memory), revision, dtype)
    place, shown_name = store or default_store(benchmark.name), name or spec.name
    found = forecast(spec, benchmark, place, shown_name, revision, shard_samples, dtype)
    lines, numbers = found.lines, found.numbers
    if division:
        lines += division.lines()
        numbers |= division.numbers()
    if form is terminal.Words.text:
        _tell(lines)
    if measure:
        begun = begun_model(place, shown_name, benchmark, list(benchmark.samples()))
        samples = begun.plan.shard_samples if begun else shard_samples
        loaded = load_model(spec, dtype=dtype, revision=revision, device_map=None if gpus else device_map)
        lines.append(("measured", measured_time(loaded, benchmark, Settings(), samples)))
        if form is terminal.Words.text:
            _tell(lines[-1:])
    if form is terminal.Words.json:
        named = {"data": data, "store": str(place), "name": shown_name}
        words = {label.replace(" ", "_"): value for label, value in lines}
        terminal.print_json({**named, **words, "numbers": numbers})


def _tell(lines: Sequence[tuple[str, str]]) -> None:
    for label, value in lines:
        print(f"{label:<10} {value}")


def models(form: WordsOption = terminal.Words.text) -> None:
    """List the models that have a short name."""
    from savs_harvest.models.specs import MODELS

    if form is terminal.Words.json:
        terminal.print_json([_described(spec) for spec in MODELS.values()])
        return
    for spec in MODELS.values():
        where = "in this package" if Path(spec.checkpoint).is_dir() else spec.checkpoint
        print(f"{spec.name:<14} {where:<42} {spec.dtype or '':<9} {spec.summary}")
    print(
        "any other    a hub id owner/name, or a folder with a checkpoint; language models, too, and encoders",
        file=sys.stderr,
    )


def _described(spec: ModelSpec) -> dict[str, Any]:
    """Return a model for programs; one of this package has no place on the hub."""
    embedded = Path(spec.checkpoint).is_dir()
    return {
        "name": spec.name,
        "hub_id": None if embedded else spec.checkpoint,
        "revision": spec.revision,
        "embedded": embedded,
        "dtype": spec.dtype,
        "summary": spec.summary,
    }
