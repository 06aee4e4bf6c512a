"""The decoder of a model and its layers, whatever its family calls them."""

from __future__ import annotations

from typing import Any

from torch import nn

NAMES = ("layers", "h", "blocks")
# A model in a model, each with a decoder of its own: never this deep.
DEEPEST = 8


def decoder_of(model: Any) -> Any:
    """Return the part of a model that writes: the language model without its output embedding, however deep it lies."""
    decoder = model
    for _ in range(DEEPEST):
        inner = decoder.get_decoder() if hasattr(decoder, "get_decoder") else decoder
        if inner is decoder or inner is None:
            break
        decoder = inner
    return decoder


def decoder_layers(model: Any) -> list[nn.Module]:
    """Return the layers of a model's decoder, in order; none where they are called something else."""
    decoder = decoder_of(model)
    return list(next((found for name in NAMES if (found := getattr(decoder, name, None)) is not None), []))
