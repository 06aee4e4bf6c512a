"""How samples may run together, tried once on the loaded model: what is not as exact as alone is not done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL.Image import Image, Transpose
from torch import Tensor

from savs_harvest.batches.batching import Batching, Groups
from savs_harvest.batches.buffers import Buffers
from savs_harvest.batches.experts import chosen, expert_layers, flips, told
from savs_harvest.batches.layouts import branch_masks, shared
from savs_harvest.batches.packing import attend, packed_attention
from savs_harvest.batches.proof import listening, may_share_rows, sees
from savs_harvest.batches.runner import Runner
from savs_harvest.errors import ModelError
from savs_harvest.models.checkpoints import loading
from savs_harvest.models.encoders import load_encoder, names_encoder
from savs_harvest.models.families import FAMILIES, Family
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
# Of a family that no test knows: two questions about two pictures as well.
OF_TWO = "are both equal", "say which is larger , the first or the second"
BATCH_OF_MORE: Groups = [[3], *BATCH, [4]]
SHARED_OF_MORE: Groups = [[0, 1], [2], [3, 4]]


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
    without one), as branches of one row, packed. What no rule allows is tried too, where the model's structure may
    allow it, and done only if every layer's attention is proven to see what it should, see `proof`. Nothing of this
    depends on the samples of a benchmark.
    """
    trial = _Trial.of(loaded)
    family, remarks = loaded.family, list(loaded.remarks)
    if family.causal and not trial.holds(family, Batching(1), BATCH):
        family = replace(family, causal=False)
        remarks.append("padded prompts differ from single ones without a mask: they run with one")
    if not family.alone and not trial.holds(family, Batching(1), BATCH):
        family = replace(family, alone=True, shares=False, packs=False)
        remarks.append("samples that run together differ from single ones: every sample runs alone")
    if family.shares and not trial.holds(family, Batching(1), SHARED):
        family = replace(family, shares=False)
        remarks.append("questions that share a picture differ from single ones: each runs with its own")
    if family.packs and not trial.holds(family, Batching(1, pack=True), BATCH):
        family = replace(family, packs=False, packs_pictures=False)
        remarks.append("packed samples differ from single ones: this model is not packed")
    if loaded.model.config.model_type not in FAMILIES and loaded.reads_pictures and not family.alone:
        family, known = _of_unknown(replace(loaded, family=family), trial)
        remarks += known
    remarks += trial.flipped_experts(family)
    return replace(loaded, family=family, remarks=tuple(remarks))


def _of_unknown(loaded: LoadedModel, trial: _Trial) -> tuple[Family, list[str]]:
    """Return what a family allows that no rule says anything of, and what is worth knowing of it."""
    family, remarks = loaded.family, []
    more = trial.with_two_pictures()
    if len(more.prepared) > len(trial.prepared) and trial.ignores_the_second():
        family, more = replace(family, one_picture=True), trial
        remarks.append("of several pictures it reads the first only: prompts with more than one are refused")
    if len(more.prepared) > len(trial.prepared) and not more.holds(family, Batching(1), BATCH_OF_MORE):
        family = replace(family, same_pictures=True)
        remarks.append("samples with other numbers of pictures differ from single ones: only equal ones run together")
    if may_share_rows(loaded) and trial.is_causal(family):
        groups = SHARED_OF_MORE if len(more.prepared) > len(trial.prepared) else SHARED
        family = replace(family, shares=more.proves_sharing(family, groups))
        family = replace(family, packs=more.proves_packing(family))
    return family, remarks


@dataclass(frozen=True)
class _Trial:
    """A loaded model, prompts to try it with, and what each gives alone."""

    loaded: LoadedModel
    prepared: list[Inputs]
    alone: Tensor

    @classmethod
    def of(cls, loaded: LoadedModel) -> _Trial:
        asked = [(sample_pictures(loaded.processor, size), words) for size, words in QUESTIONS]
        return cls(loaded, [], torch.empty(0)).and_of(asked)

    def and_of(self, asked: Sequence[tuple[list[Image], str]]) -> _Trial:
        """Return the trial with more questions about pictures."""
        dtype = self.loaded.model.dtype
        inputs = [prepare(self.loaded.processor, pictures, words) for pictures, words in asked]
        more = [{name: t.to(dtype) if t.is_floating_point() else t for name, t in each.items()} for each in inputs]
        alone = [vectors_of(self.loaded, Batching(1), [[[0]]], [each]) for each in more]
        return _Trial(
            self.loaded, [*self.prepared, *more], torch.cat([*([self.alone] if self.prepared else []), *alone])
        )

    def ignores_the_second(self) -> bool:
        """Tell whether a prompt with two pictures gives the same to the bit whatever the second one shows."""
        first, second = (sample_pictures(self.loaded.processor, size) for size, _ in (QUESTIONS[0], QUESTIONS[2]))
        turned = [picture.transpose(Transpose.FLIP_LEFT_RIGHT).point(lambda value: 255 - value) for picture in second]
        both = self.and_of([([*first, *shown], OF_TWO[0]) for shown in (second, turned)])
        return bool((both.alone[-2] == both.alone[-1]).all())

    def with_two_pictures(self) -> _Trial:
        """Return the trial with two questions about two pictures, itself where the model takes no two."""
        both = [
            picture
            for size, _ in (QUESTIONS[0], QUESTIONS[2])
            for picture in sample_pictures(self.loaded.processor, size)
        ]
        try:
            found = self.and_of([(both, words) for words in OF_TWO])
        except (ValueError, RuntimeError, TypeError, IndexError, KeyError):
            return self
        return found if bool(found.alone.isfinite().all()) else self

    def holds(self, family: Family, batching: Batching, groups: Groups) -> bool:
        """Tell whether samples that run as the groups say are what they are alone."""
        places = [place for group in groups for place in group]
        inputs = [self.prepared[place] for place in places]
        renumbered = iter(range(len(places)))
        found = vectors_of(
            replace(self.loaded, family=family),
            batching,
            [[[next(renumbered) for _ in group] for group in groups]],
            inputs,
        )
        return _farthest(found, self.alone[places]) <= FARTHEST[self.loaded.model.dtype]

    def is_causal(self, family: Family) -> bool:
        """Tell whether every token of a sample alone sees all before it, in every layer."""
        with listening() as heard:
            vectors_of(replace(self.loaded, family=family), Batching(1), [[[0]]], self.prepared[:1])
        return sees(self.loaded, heard, [None])

    def proves_sharing(self, family: Family, groups: Groups) -> bool:
        """Tell whether questions may be branches of one row: every layer sees the mask of branches, and is as exact."""
        family = replace(family, shares=True)
        runner = Runner(replace(self.loaded, family=family), Batching(1))
        if runner.image_token is None:
            return False
        ready = [[runner.with_positions(self.prepared[place]) for place in group] for group in groups]
        layout = shared(ready, runner.pad_token, runner.image_token)
        if layout is None or layout.branches is None:
            return False
        with listening() as heard:
            exact = self._tried(family, Batching(1), groups)
        return exact and sees(self.loaded, heard, [branch_masks(layout.branches)])

    def proves_packing(self, family: Family) -> bool:
        """Tell whether samples may lie in one row: our own attention computes every layer, and it is as exact."""
        with listening() as heard:
            exact = self._tried(replace(family, packs=True), Batching(1, pack=True), BATCH)
        return exact and sees(self.loaded, heard, [None], attend)

    def flipped_experts(self, family: Family) -> tuple[str, ...]:
        """Return in words how many choices of experts differ beside other samples; nothing where none does."""
        if family.alone or not (layers := expert_layers(self.loaded.model)):
            return ()
        loaded, alone = replace(self.loaded, family=family), []
        for sample in self.prepared[: len(BATCH)]:
            with chosen(layers) as found:
                vectors_of(loaded, Batching(1), [[[0]]], [sample])
            alone.append(found)
        with chosen(layers) as together:
            vectors_of(loaded, Batching(1), [BATCH], self.prepared[: len(BATCH)])
        return told(*flips(alone, together))

    def _tried(self, family: Family, batching: Batching, groups: Groups) -> bool:
        """Tell whether it holds; what a family's code does not take at all does not hold."""
        try:
            return self.holds(family, batching, groups)
        except ModelError:
            raise
        except Exception:  # code that nobody has seen fails in any way there is
            return False


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
