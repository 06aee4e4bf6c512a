"""Attention over samples that lie in one row without padding: each sees itself only.

On a GPU this is one call of torch's kernel for sequences of varying length, elsewhere one call a sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

NAME = "savs_packed"

# Bounds of the samples in the row that is running. Not handed through the model: some families
# give what they do not know to their vision towers as well.
_bounds: list[int] = []


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Let the language model attend by segments inside the block; pictures are read as before."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    before = model.config._attn_implementation
    text = model.config.get_text_config()
    text_before = text._attn_implementation
    key = next(name for name in model.config.sub_configs if getattr(model.config, name) is text)
    model.set_attn_implementation({key: NAME})
    try:
        yield
    finally:
        model.set_attn_implementation({"": before, key: text_before})


@contextmanager
def segments(bounds: Sequence[int]) -> Iterator[None]:
    """Say where the samples of the row lie that runs inside the block."""
    _bounds[:] = bounds
    try:
        yield
    finally:
        _bounds.clear()


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return the attention output [1, token, head, dim] of heads [1, head, token, dim], causal inside each segment."""
    bounds = _bounds or [0, query.shape[2]]
    if query.is_cuda:
        return _attend_varlen(query, key, value, bounds, scaling), None
    parts = [
        scaled_dot_product_attention(
            query[:, :, start:stop],
            key[:, :, start:stop],
            value[:, :, start:stop],
            is_causal=True,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )
        for start, stop in pairwise(bounds)
    ]
    return torch.cat(parts, dim=2).transpose(1, 2), None


def _attend_varlen(query: Tensor, key: Tensor, value: Tensor, places: Sequence[int], scaling: float | None) -> Tensor:
    from torch.nn.attention.varlen import varlen_attn

    bounds = torch.tensor(places, dtype=torch.int32, device=query.device)
    longest = max(stop - start for start, stop in pairwise(places))
    rows = [tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)]
    output = varlen_attn(
        rows[0],
        rows[1],
        rows[2],
        bounds,
        bounds,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(output, Tensor)  # it is a tuple only where more is asked for
    return output[None]
