"""The parts of a model that torch may compile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from savs_harvest.models.layers import decoder_layers


def compilable(model: Any) -> list[nn.Module]:
    """Return the feed-forward part of every layer but the last.

    Not the attention, whose projections carry the hooks that capture heads; not the last layer's, which has hooks too.
    """
    parts = (getattr(layer, "mlp", None) for layer in decoder_layers(model)[:-1])
    return [part for part in parts if isinstance(part, nn.Module)]


@contextmanager
def compiled_layers(model: Any) -> Iterator[None]:
    """Let torch compile the feed-forward parts inside the block, once for any length."""
    parts = compilable(model)
    for part in parts:
        part.compile(dynamic=True)
    try:
        yield
    finally:
        for part in parts:
            part._compiled_call_impl = None
