"""How a harvest is done, whatever the model, the benchmark and the store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch

from savs_harvest import TOKEN_BUDGETS
from savs_harvest.asking.class_texts import check_class_prompt
from savs_harvest.asking.encoder_inputs import EncoderPreparer
from savs_harvest.asking.few_shot import InContext
from savs_harvest.asking.preparing import Preparer
from savs_harvest.batches.batching import Batching
from savs_harvest.batches.embedding import EncoderBatching, EncoderRunner
from savs_harvest.batches.packing import packed_attention
from savs_harvest.batches.runner import Runner
from savs_harvest.errors import ModelError
from savs_harvest.models.compiled import compilable, compiled_layers
from savs_harvest.models.device_maps import is_dispatched
from savs_harvest.models.encoders import LoadedEncoder
from savs_harvest.models.loading import LoadedModel
from savs_harvest.models.prompts import check_parity
from savs_harvest.models.templates import DATE, check_date

# What says how a prompt is made, or how prompts run together: an encoder has none. (field, option)
OF_PROMPTS = (
    *(("token_budget", "--batch-tokens"), ("share", "--no-share"), ("pack", "--pack"), ("compile", "--compile")),
    *(("parity", "--parity"), ("in_context", "--icl"), ("date", "--date")),
)


@dataclass(frozen=True)
class Settings:
    """How a harvest is done, apart from the model, the benchmark and the store.

    `logits` says whether zero-shot log-probabilities are computed; `workers` prepare samples ahead of the model.
    Without a token budget, the device has its own. `date` is what chat templates take for today.
    `class_prompt` is what class vectors are made of, with {class} and perhaps {question}: None for the usual one, ""
    for none.
    """

    token_budget: int | None = None
    share: bool = True
    pack: bool = False
    compile: bool = False
    logits: bool = True
    parity: tuple[str, ...] = ()
    in_context: InContext = field(default_factory=InContext)
    workers: int = 0
    date: str = DATE
    class_prompt: str | None = None

    def batching(self, device: torch.device) -> Batching:
        budget = (
            TOKEN_BUDGETS.get(device.type, TOKEN_BUDGETS["cuda"]) if self.token_budget is None else self.token_budget
        )
        return Batching(budget, self.share, self.pack)


def default_workers(device: torch.device) -> int:
    """Return how many processes prepare samples: none beside a model on the CPU, which they would only slow down."""
    if device.type == "cpu":
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(4, cores // max(1, torch.cuda.device_count()) - 1))


def batching_of(model: LoadedModel, settings: Settings) -> Batching | EncoderBatching:
    """Return how samples of this model are put together."""
    return EncoderBatching() if isinstance(model, LoadedEncoder) else settings.batching(model.device)


def runner_of(model: LoadedModel, settings: Settings) -> Runner | EncoderRunner:
    """Return what runs batches of this model."""
    if isinstance(model, LoadedEncoder):
        return EncoderRunner(model, EncoderBatching())
    return Runner(model, settings.batching(model.device))


def preparer_of(model: LoadedModel, settings: Settings) -> Preparer | EncoderPreparer:
    """Return what makes this model's inputs of questions."""
    if isinstance(model, LoadedEncoder):
        return EncoderPreparer(model.folder, model.model.dtype, model.processor)
    single_tile, own = model.family.tiles_one_picture, model.processor
    one_picture = model.family.one_picture
    return Preparer(model.folder, model.model.dtype, settings.parity, single_tile, own, settings.date, one_picture)


@contextmanager
def prepared_for(model: LoadedModel, settings: Settings) -> Iterator[None]:
    """Let the model attend and compute as the settings say while the block is open."""
    with ExitStack() as around:
        around.enter_context(packed_attention(model.model) if settings.pack else nullcontext())
        around.enter_context(compiled_layers(model.model) if settings.compile else nullcontext())
        yield


def check_settings(model: LoadedModel, settings: Settings) -> None:
    """Raise `ModelError` or ValueError where the model cannot be run as it is asked for."""
    family = model.model.config.model_type
    if isinstance(model, LoadedEncoder):
        _refuse_for_encoder(model.name, settings)
    check_parity(family, settings.parity)
    check_date(settings.date)
    check_class_prompt(settings.class_prompt, settings.in_context.shots)
    if settings.pack and not model.family.packs:
        raise ModelError(f"{family} cannot be packed: leave out --pack")
    if settings.compile and is_dispatched(model.device_map):
        raise ModelError("layers on several devices are not compiled: leave out --compile, or --device-map")
    if settings.compile and not compilable(model.model):
        raise ModelError(f"{family} has no part that can be compiled: leave out --compile")


def _refuse_for_encoder(name: str, settings: Settings) -> None:
    usual = Settings()
    if said := [option for field, option in OF_PROMPTS if getattr(settings, field) != getattr(usual, field)]:
        raise ModelError(f"{name} is an encoder, which reads pictures and texts without a prompt: leave out {said[0]}")
