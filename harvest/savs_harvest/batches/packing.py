"""Attention over samples, or their pictures, that lie in one row without padding: each sees itself only.

Where torch's kernel for sequences of varying length runs, this is one call of it, elsewhere one call a sample.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from savs_harvest.models.families import rules
from savs_harvest.models.places import moved

NAME = "savs_packed"
# transformers tells the bounds of pictures to functions with this word in their name; others it calls once a picture.
PICTURES_NAME = "savs_flash_pictures"
# What torch's kernel for varying lengths is made for.
KERNEL_TYPES = (torch.float16, torch.bfloat16)
KERNEL_CAPABILITY = (8, 0)
WIDEST_HEAD, HEAD_STEP = 256, 8


@dataclass(frozen=True)
class Row:
    """The bounds of the samples in one row, also on the model's device.

    Copied there in every layer, they would make the processor wait for the GPU each time.
    """

    bounds: Sequence[int]
    placed: Int[Tensor, " bound"]
    _elsewhere: dict[torch.device, Tensor] = field(default_factory=dict)

    @classmethod
    def of_one(cls, query: Tensor) -> Row:
        """Return the row that is one sample."""
        bounds = [0, query.shape[2]]
        return cls(bounds, torch.tensor(bounds, dtype=torch.int32, device=query.device))

    def on(self, device: torch.device) -> Int[Tensor, " bound"]:
        """Return the bounds on a device: the layers of a model may be on several."""
        if self.placed.device != device:
            placed = self._elsewhere.get(device)
            if placed is None:
                placed = self._elsewhere[device] = moved(self.placed, device)
            return placed
        return self.placed

    @property
    def longest(self) -> int:
        return max(stop - start for start, stop in pairwise(self.bounds))


# Not handed through the model: some families give what they do not know to their vision towers as well.
_running: ContextVar[Row | None] = ContextVar("the row that runs", default=None)


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Let the language model attend by segments inside the block, and a vision tower that packs pictures by those."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    AttentionInterface.register(PICTURES_NAME, attend_pictures)
    config, text = model.config, model.config.get_text_config()
    names = {next((name for name in config.sub_configs if getattr(config, name) is text), ""): NAME}
    if rules(config).packs_pictures:
        names["vision_config"] = PICTURES_NAME
    before = {"": config._attn_implementation}
    before |= {name: getattr(config, name)._attn_implementation for name in names if name}
    model.set_attn_implementation(names)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def segments(bounds: Sequence[int], placed: Int[Tensor, " bound"]) -> Iterator[None]:
    """Say where the samples of the row lie that runs inside the block, and where its bounds are on the device."""
    token = _running.set(Row(bounds, placed))
    try:
        yield
    finally:
        _running.reset(token)


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
    row = _running.get() or Row.of_one(query)
    if kernel := _kernel_for(query):
        return _attend_varlen(
            kernel, (query, key, value), row.on(query.device), row.longest, scaling, causal=True
        ), None
    return _attend_one_by_one((query, key, value), row.bounds, scaling, causal=True), None


def attend_pictures(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    cu_seq_lens_q: Tensor,
    max_length_q: int,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return the attention output [1, patch, head, dim] of heads [1, head, patch, dim]: a picture sees itself only."""
    if kernel := _kernel_for(query):
        return _attend_varlen(kernel, (query, key, value), cu_seq_lens_q, max_length_q, scaling, causal=False), None
    return _attend_one_by_one((query, key, value), cu_seq_lens_q.tolist(), scaling, causal=False), None


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


def _attend_one_by_one(
    heads: tuple[Tensor, Tensor, Tensor], bounds: Sequence[int], scaling: float | None, causal: bool
) -> Tensor:
    grouped, parts = heads[0].shape[1] != heads[1].shape[1], []
    for start, stop in pairwise(bounds):
        query, key, value = (tensor[:, :, start:stop] for tensor in heads)
        parts.append(
            scaled_dot_product_attention(query, key, value, is_causal=causal, scale=scaling, enable_gqa=grouped)
        )
    return torch.cat(parts, dim=2).transpose(1, 2)


def _attend_varlen(
    kernel: Callable[..., Any],
    heads: tuple[Tensor, Tensor, Tensor],
    bounds: Int[Tensor, " bound"],
    longest: int,
    scaling: float | None,
    causal: bool,
) -> Tensor:
    output = kernel(
        *(tensor[0].transpose(0, 1).contiguous() for tensor in heads),
        bounds,
        bounds,
        longest,
        longest,
        scale=scaling,
        window_size=(-1, 0 if causal else -1),
        enable_gqa=heads[0].shape[1] != heads[1].shape[1],
    )
    return output[None]
