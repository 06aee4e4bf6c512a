"""Batches as arithmetic: which samples run together, and how their inputs are put side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def plan_batches(lengths: Sequence[int], token_budget: int, kinds: Sequence[int] | None = None) -> list[list[int]]:
    """Return batches of sample numbers, longest first, each within the budget of padded tokens.

    A batch costs its samples times its longest length; a sample over the budget runs alone. Samples of
    different `kinds` are never in one batch.
    """
    if token_budget < 1:
        raise ValueError(f"a token budget of {token_budget} holds no sample")
    batches: list[list[int]] = []
    longest = 0
    kinds = [0] * len(lengths) if kinds is None else kinds
    for sample in sorted(range(len(lengths)), key=lambda i: (kinds[i], -lengths[i])):
        fits = batches and (len(batches[-1]) + 1) * longest <= token_budget
        if not fits or kinds[batches[-1][0]] != kinds[sample]:
            batches.append([])
            longest = lengths[sample]
        batches[-1].append(sample)
    return batches


def collate(inputs: Sequence[dict[str, Tensor]], pad_token: int) -> dict[str, Tensor]:
    """Return the model inputs of a batch from those of single samples; prompts are padded on the right.

    What belongs to tokens is padded to the longest prompt, everything else is laid end to end (and
    zero-padded where images differ in their number of tiles). Raises KeyError where samples differ in
    the kinds of input they have.
    """
    names = {name: None for sample in inputs for name in sample}
    return {name: _join(name, [sample[name] for sample in inputs], pad_token) for name in names}


def _join(name: str, tensors: list[Tensor], pad_token: int) -> Tensor:
    fill = pad_token if name == "input_ids" else 0
    widest = torch.tensor([tensor.shape[1:] for tensor in tensors]).amax(0).tolist() if tensors[0].ndim > 1 else []
    joined = tensors[0].new_full((sum(len(tensor) for tensor in tensors), *widest), fill)
    start = 0
    for tensor in tensors:
        place = (slice(start, start + len(tensor)), *(slice(0, size) for size in tensor.shape[1:]))
        joined[place] = tensor
        start += len(tensor)
    return joined
