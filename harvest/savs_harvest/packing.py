"""Attention over samples that lie in one row without padding: each sees itself only.

Where torch's kernel for sequences of varying length runs, this is one call of it, elsewhere one call a sample.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

NAME = "savs_packed"
# What torch's kernel for varying lengths is made for.
KERNEL_TYPES = (torch.float16, torch.bfloat16)
KERNEL_CAPABILITY = (8, 0)
WIDEST_HEAD, HEAD_STEP = 256, 8

# Bounds of the samples in the row that is running, and the same on the model's device. Not handed through the model:
# some families give what they do not know to their vision towers as well.
_bounds: list[int] = []
_placed: list[Tensor] = []


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
def segments(bounds: Sequence[int], placed: Int[Tensor, " bound"]) -> Iterator[None]:
    """Say where the samples of the row lie that runs inside the block; `placed` are the bounds on the model's device.

    Copied in every layer, they would make the processor wait for the GPU each time.
    """
    _bounds[:], _placed[:] = bounds, [placed]
    try:
        yield
    finally:
        _bounds.clear()
        _placed.clear()


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
    if kernel := _kernel_for(query):
        placed = _placed[0] if _bounds else torch.tensor(bounds, dtype=torch.int32, device=query.device)
        return _attend_varlen(kernel, query, key, value, bounds, placed, scaling), None
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


@cache
def _kernel() -> Callable[..., Any] | None:
    """Return torch's attention over varying lengths, None where this torch has none or none for grouped heads."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    return varlen_attn if "enable_gqa" in inspect.signature(varlen_attn).parameters else None


def _kernel_for(query: Tensor) -> Callable[..., Any] | None:
    """Return the kernel where there is a GPU that can run it on these heads."""
    head_dim = query.shape[-1]
    made_for = query.dtype in KERNEL_TYPES and head_dim % HEAD_STEP == 0 and head_dim <= WIDEST_HEAD
    if query.is_cuda and made_for and torch.cuda.get_device_capability(query.device) >= KERNEL_CAPABILITY:
        return _kernel()
    return None


def _attend_varlen(
    kernel: Callable[..., Any],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bounds: Sequence[int],
    placed: Int[Tensor, " bound"],
    scaling: float | None,
) -> Tensor:
    longest = max(stop - start for start, stop in pairwise(bounds))
    rows = [tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value)]
    output = kernel(
        *rows,
        placed,
        placed,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return output[None]
