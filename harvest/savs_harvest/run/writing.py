"""Where the vectors of a harvest go: the model's group in a store, under its name and fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs_benchmarks.pictures.pictures import POLICY
from savs_harvest.asking.index import Index
from savs_harvest.models.answers import Answered, ways
from savs_harvest.models.encoders import LoadedEncoder
from savs_harvest.models.licences import find_licence
from savs_harvest.models.loading import LoadedModel
from savs_harvest.models.prompts import prompt_hash
from savs_harvest.run.settings import Settings, batching_of
from savs_stores import HeadTable, MismatchError, ModelWriter, add_model, create_store
from savs_stores.format.schema import check_codec, check_model_name

SIMILARITIES = "log-softmax over classes of the model's own logits, scaled cosines of picture and texts"


@dataclass(frozen=True)
class Keeping:
    """How a store keeps a model: its name (None: the model's own), samples a shard, codec.

    `command` is what finishes it, for whoever finds the store unfinished. With `retry`, samples that failed before are
    run again.
    """

    name: str | None = None
    shard_samples: int | None = None
    codec: str = "none"
    command: str = ""
    retry: bool = False

    def name_of(self, model: str, settings: Settings) -> str:
        return self.name or model + settings.in_context.suffix

    def check(self, model: LoadedModel, settings: Settings) -> None:
        """Raise ValueError for a codec that is none, or a name that cannot be one."""
        check_codec(self.codec)
        check_model_name(self.name_of(model.name, settings))


def identity(model: LoadedModel, settings: Settings, answers: Mapping[str, Answered] = {}) -> dict[str, Any]:
    """Return the fields behind the fingerprint of a harvest: the model's and those of the run."""
    common = {
        **model.identity,
        **batching_of(model, settings).describe(model.family),
        "images": POLICY,
        "answers": ways(answers),
    }
    if isinstance(model, LoadedEncoder):
        return common | {"logits": SIMILARITIES if answers else "none"}
    return common | {
        "compiled": settings.compile,
        "logits": "last position" if settings.logits else "none",
        "date": settings.date,
        "prompt": prompt_hash(model.processor, settings.parity, settings.date),
        "parity": sorted(settings.parity),
        "in_context": settings.in_context.to_json() if settings.in_context.shots else None,
    }


def head_table(model: LoadedModel) -> HeadTable:
    return HeadTable.from_layers(model.layers)


def open_writer(
    model: LoadedModel,
    index: Index,
    store: str | Path,
    settings: Settings,
    keeping: Keeping,
    answers: Mapping[str, Answered],
) -> ModelWriter:
    """Create the store and the model's group where they are not there yet; both are checked where they are."""
    create_store(store, index.info, index.table, index.texts)
    licence = find_licence(model.folder)
    made = {"command": keeping.command, "remarks": list(model.remarks), **({"licence": licence} if licence else {})}
    try:
        return add_model(
            store,
            keeping.name_of(model.name, settings),
            identity(model, settings, answers),
            head_table(model),
            made,
            shard_samples=keeping.shard_samples,
            codec=keeping.codec,
        )
    except MismatchError as error:
        if "\n  batching:" in str(error):
            error.add_note("the number of tokens is set by --batch-tokens")
        raise
