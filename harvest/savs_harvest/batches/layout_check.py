"""How samples may run together, tried once on the loaded model: what is not as exact as alone is not done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from savs_harvest.batches.batching import Batching, Groups
from savs_harvest.batches.buffers import Buffers
from savs_harvest.batches.packing import packed_attention
from savs_harvest.batches.runner import Runner
from savs_harvest.errors import ModelError
from savs_harvest.models.checkpoints import loading
from savs_harvest.models.encoders import load_encoder, names_encoder
from savs_harvest.models.families import Family
from savs_harvest.models.inputs import Inputs
from savs_harvest.models.loading import LoadedModel, load_checkpoint
from savs_harvest.models.prompts import prepare, sample_pictures
from savs_harvest.models.specs import ModelSpec

# How far the vectors of a sample may lie from those it has alone, of their own length. Rounding moves them by some
# 1e-5 in float32, and by up to a tenth in the half types of large models; a wrong mask by all of it.
FARTHEST = {torch.float32: 0.01, torch.float16: 0.3, torch.bfloat16: 0.3}
# Two questions about one picture, one about another, if any, all of other lengths.
QUESTIONS = ((64, 48), "yes"), ((64, 48), "is it yes or no ? say yes or no"), ((48, 72), "say what it is")
BATCH: Groups = [[0], [1], [2]]
SHARED: Groups = [[0, 1], [2]]


def load_model(
    spec: ModelSpec,
    device: str = "auto",
    dtype: str | None = None,
    revision: str | None = None,
    local_rank: int = 0,
    layers: int | None = None,
    device_map: str | None = None,
) -> LoadedModel:
    """Load a checkpoint and try how its samples may run together; an encoder's embeddings have no layers to leave out.

    Raises `ModelError` as `load_checkpoint` and `load_encoder`.
    """
    if names_encoder(spec, revision):
        if device_map:
            raise ModelError(f"{spec.name} is an encoder: --device-map is for models that answer")
        return load_encoder(spec, device, dtype, revision, local_rank)
    loaded = load_checkpoint(spec, device, dtype, revision, local_rank, layers, device_map)
    with loading(spec.checkpoint, "model", loaded.folder):
        return verified(loaded)


def verified(loaded: LoadedModel) -> LoadedModel:
    """Return the model with the rules of its family that hold for it; what does not hold is among its remarks.

    Every way to run samples together is compared with the samples alone: padded (with a mask where it does not hold
    without one), as branches of one row, packed. Nothing of this depends on the samples of a benchmark.
    """
    inputs = [prepare(loaded.processor, sample_pictures(loaded.processor, size), words) for size, words in QUESTIONS]
    dtype = loaded.model.dtype
    prepared = [{name: t.to(dtype) if t.is_floating_point() else t for name, t in each.items()} for each in inputs]
    alone = torch.cat([vectors_of(loaded, Batching(1), [[[0]]], [each]) for each in prepared])
    family, remarks = loaded.family, list(loaded.remarks)

    def holds(tried: Family, batching: Batching, groups: Groups) -> bool:
        found = vectors_of(replace(loaded, family=tried), batching, [groups], prepared)
        return _farthest(found, alone) <= FARTHEST[dtype]

    if family.causal and not holds(family, Batching(1), BATCH):
        family = replace(family, causal=False)
        remarks.append("padded prompts differ from single ones without a mask: they run with one")
    if not family.alone and not holds(family, Batching(1), BATCH):
        family = replace(family, alone=True, shares=False, packs=False)
        remarks.append("samples that run together differ from single ones: every sample runs alone")
    if family.shares and not holds(family, Batching(1), SHARED):
        family = replace(family, shares=False)
        remarks.append("questions that share a picture differ from single ones: each runs with its own")
    if family.packs and not holds(family, Batching(1, pack=True), BATCH):
        family = replace(family, packs=False, packs_pictures=False)
        remarks.append("packed samples differ from single ones: this model is not packed")
    return replace(loaded, family=family, remarks=tuple(remarks))


def vectors_of(loaded: LoadedModel, batching: Batching, batches: Sequence[Groups], samples: Sequence[Inputs]) -> Tensor:
    """Return the vectors [sample, head * dim] of samples that run as these batches say; NaN where they do not run."""
    heads = sum(projection.heads for projection in loaded.projections)
    shape = heads, max(projection.head_dim for projection in loaded.projections)
    buffers = Buffers.empty(loaded, len(samples), shape, 1)
    buffers.vectors.fill_(torch.nan)
    around: Any = packed_attention(loaded.model) if batching.pack else nullcontext()
    with around:
        for groups in batches:
            Runner(loaded, batching).once(groups, dict(enumerate(samples)), buffers)
    return buffers.vectors.flatten(1).float()


def _farthest(found: Tensor, alone: Tensor) -> float:
    """Return the largest distance of a sample from itself alone, of its own length; infinite where it did not run.

    What overflows alone as well proves nothing.
    """
    proven = alone.isfinite()
    distance = (found - alone).where(proven, 0.0).norm(dim=1) / alone.where(proven, 0.0).norm(dim=1)
    return float(distance[proven.any(1)].nan_to_num(torch.inf).max()) if proven.any() else 0.0
