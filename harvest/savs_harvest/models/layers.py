"""The decoder of a model and its layers, whatever its family calls them."""

from __future__ import annotations

from typing import Any

from torch import nn

NAMES = ("layers", "h", "blocks")


def decoder_of(model: Any) -> Any:
    """Return the part of a model that writes: the language model without its output embedding."""
    return model.get_decoder() if hasattr(model, "get_decoder") else model


def decoder_layers(model: Any) -> list[nn.Module]:
    """Return the layers of a model's decoder, in order; none where they are called something else."""
    decoder = decoder_of(model)
    return list(next((found for name in NAMES if (found := getattr(decoder, name, None)) is not None), []))
