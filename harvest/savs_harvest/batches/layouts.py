"""How the prompts of several samples lie side by side in one model call, and where each one's last token is.

Padded: a row a sample, padding on the right. Shared: a row a picture, its questions one behind the other and blind
to each other. Packed: one row for all, without padding.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from savs_harvest.models.heads import last_real_token
from savs_harvest.models.inputs import Inputs, per_token

POSITIONS = "position_ids"


@dataclass(frozen=True)
class Layout:
    """Model inputs of several samples; the last token of sample i stands at `last[i]` in row `rows[i]`.

    `segments` are the bounds of the samples in a packed row; otherwise empty. `branches` say of shared rows which
    branch each token belongs to; the mask that follows is made where the model is, being many times larger.
    """

    inputs: dict[str, Tensor]
    rows: Int[Tensor, " sample"]
    last: Int[Tensor, " sample"]
    segments: list[int] = field(default_factory=list)
    branches: Int[Tensor, "row token"] | None = None


def rope_positions(model: Any, inputs: Inputs) -> Tensor | None:
    """Return the positions [axis, 1, token] of one sample in a model that counts pictures in two dimensions.

    They are always given to such a model: it would otherwise take them from the sample that ran before.
    """
    holders = (getattr(model, "model", None), model)
    index = next((found for each in holders if (found := getattr(each, "get_rope_index", None)) is not None), None)
    if index is None:
        return None
    known = inspect.signature(index).parameters
    return index(**{name: tensor for name, tensor in inputs.items() if name in known})[0]


def positions(sample: Inputs) -> int:
    """Return how many positions a sample takes: its tokens, fewer where pictures are counted in two dimensions."""
    return int(sample[POSITIONS].max()) + 1 if POSITIONS in sample else sample["input_ids"].shape[1]


def collate(samples: Sequence[Inputs], pad_token: int) -> dict[str, Tensor]:
    """Return the model inputs of a batch from those of single samples; prompts are padded on the right.

    What belongs to tokens is padded to the longest prompt, everything else is laid end to end (and
    zero-padded where images differ in their number of tiles). Raises KeyError where samples differ in
    the kinds of input they have.
    """
    names = {name: None for sample in samples for name in sample}
    return {name: _join(name, [sample[name] for sample in samples], pad_token) for name in names}


def padded(samples: Sequence[Inputs], pad_token: int, mask: bool) -> Layout:
    """Return the samples as rows, padded on the right; `mask` says whether the model is told what is padding."""
    inputs = collate(samples, pad_token)
    last = last_real_token(inputs["attention_mask"])
    if not mask:
        del inputs["attention_mask"]
    return Layout(inputs, torch.arange(len(samples)), last)


def common_prefix(samples: Sequence[Inputs]) -> int:
    """Return how many tokens the prompts have in common at their beginning."""
    shortest = min(sample["input_ids"].shape[1] for sample in samples)
    ids = torch.cat([sample["input_ids"][:, :shortest] for sample in samples])
    differs = (ids != ids[0]).any(0)
    return int(differs.int().argmax()) if differs.any() else shortest


def shared(groups: Sequence[Sequence[Inputs]], pad_token: int, image_token: int) -> Layout | None:
    """Return groups of samples with the same pictures as rows: what they have in common once, then each one's rest.

    None where a picture stands behind a word in which the prompts differ.
    """
    rows = []
    for samples in groups:
        prefix = common_prefix(samples)
        if any((sample["input_ids"][:, prefix:] == image_token).any() for sample in samples):
            return None
        rows.append(_branches(samples, prefix))
    inputs = collate([row for row, _, _ in rows], pad_token)
    del inputs["attention_mask"]
    width = inputs["input_ids"].shape[1]
    return Layout(
        inputs,
        torch.tensor([number for number, (_, _, last) in enumerate(rows) for _ in last]),
        torch.tensor([place for _, _, last in rows for place in last]),
        branches=torch.stack([branch_numbers(bounds, width) for _, bounds, _ in rows]),
    )


def branch_numbers(bounds: Sequence[int], width: int) -> Int[Tensor, " token"]:
    """Return the branch of every token: 0 in the common prefix, i between bounds i - 1 and i, -1 behind the last."""
    place = torch.arange(width)
    branch = torch.bucketize(place, torch.tensor(bounds), right=True)
    return branch.masked_fill(place >= bounds[-1], -1)


def branch_masks(branches: Int[Tensor, "row token"]) -> Bool[Tensor, "row 1 token token"]:
    """Return which token sees which: what is before it in the prefix or in its own branch; padding sees itself only."""
    asks, seen = branches[:, None, :, None], branches[:, None, None, :]
    place = torch.arange(branches.shape[1], device=branches.device)
    before = (place[:, None] >= place) & (asks >= 0)
    return (before & ((asks == seen) | (seen == 0))) | (place[:, None] == place)


def _branches(samples: Sequence[Inputs], prefix: int) -> tuple[dict[str, Tensor], list[int], list[int]]:
    """Return one row of inputs, the bounds of its branches, and each sample's last place."""
    first = dict(samples[0])
    counted = [sample.get(POSITIONS, _count(sample)) for sample in samples]
    for name in (*_of_tokens(samples), POSITIONS):
        each = counted if name == POSITIONS else [sample[name] for sample in samples if name in sample]
        if each:
            first[name] = torch.cat([each[0][..., :prefix], *(tensor[..., prefix:] for tensor in each)], dim=-1)
    bounds, last = [prefix], []
    for sample in samples:
        bounds.append(bounds[-1] + sample["input_ids"].shape[1] - prefix)
        last.append(bounds[-1] - 1 if bounds[-1] > bounds[-2] else prefix - 1)
    return first, bounds, last


def packed(samples: Sequence[Inputs]) -> Layout:
    """Return the samples in one row, one behind the other; every one counts its positions from its own start."""
    names = {name: None for sample in samples for name in sample if name != "attention_mask"}
    inputs, of_tokens = {}, (*_of_tokens(samples), POSITIONS)
    for name in names:
        each = [sample[name] for sample in samples]
        inputs[name] = torch.cat(each, dim=-1) if name in of_tokens else _join(name, each, 0)
    if POSITIONS not in inputs:
        inputs[POSITIONS] = torch.cat([_count(sample) for sample in samples], dim=-1)
    ends = torch.tensor([sample["input_ids"].shape[1] for sample in samples]).cumsum(0)
    return Layout(inputs, torch.zeros(len(samples), dtype=torch.long), ends - 1, [0, *ends.tolist()])


def _of_tokens(samples: Sequence[Inputs]) -> frozenset[str]:
    """Return the names of what belongs to tokens in each of the samples that has it."""
    other = {name for sample in samples for name in set(sample) - per_token(sample)}
    return frozenset(name for sample in samples for name in sample) - other


def _count(sample: Inputs) -> Int[Tensor, "1 token"]:
    return torch.arange(sample["input_ids"].shape[1])[None]


def _join(name: str, tensors: list[Tensor], pad_token: int) -> Tensor:
    if name == POSITIONS and tensors[0].ndim == 3:  # [axis, sample, token]
        return _join("", [tensor.transpose(0, 1) for tensor in tensors], 0).transpose(0, 1)
    if len({tensor.shape[1:] for tensor in tensors}) == 1:
        return torch.cat(tensors)
    fill = pad_token if name == "input_ids" else 0
    widest = torch.tensor([tensor.shape[1:] for tensor in tensors]).amax(0).tolist()
    joined = tensors[0].new_full((sum(len(tensor) for tensor in tensors), *widest), fill)
    start = 0
    for tensor in tensors:
        place = (slice(start, start + len(tensor)), *(slice(0, size) for size in tensor.shape[1:]))
        joined[place] = tensor
        start += len(tensor)
    return joined
