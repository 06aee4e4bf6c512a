"""Model inputs of one sample, and tokens of words before or behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Inputs = Mapping[str, Tensor]

# What belongs to tokens, in every family that shares prefixes or packs; all else belongs to pictures.
PER_TOKEN = ("input_ids", "attention_mask", "mm_token_type_ids", "token_type_ids")
# Which pictures each token sees, in families that look at them from beside the prompt: [sample, token, picture, tile].
CROSS_MASK = "cross_attention_mask"


def shows_pictures(sample: Inputs) -> bool:
    """Tell whether a sample shows pictures, or is words alone."""
    return any(name.startswith("pixel_values") for name in sample)


def begun_with(tokens: Sequence[int], sample: Inputs) -> dict[str, Tensor]:
    """Return a sample with more tokens of words in front of it."""
    return {name: _joined(name, tokens, tensor, front=True) for name, tensor in sample.items()}


def ended_with(tokens: Sequence[int], sample: Inputs, token_type: int = 0) -> dict[str, Tensor]:
    """Return a sample with more tokens of words behind it, which see the pictures that its last token sees."""
    return {name: _joined(name, tokens, tensor, False, token_type) for name, tensor in sample.items()}


def _joined(name: str, tokens: Sequence[int], tensor: Tensor, front: bool, token_type: int = 0) -> Tensor:
    if name == CROSS_MASK:
        more = (tensor[:, :1] if front else tensor[:, -1:]).expand(-1, len(tokens), *tensor.shape[2:])
    elif name == "input_ids":
        more = tensor.new_tensor([tokens])
    elif name in PER_TOKEN:
        fill = {"attention_mask": 1, "token_type_ids": token_type}.get(name, 0)
        more = tensor.new_full((1, len(tokens)), fill)
    else:
        return tensor
    return torch.cat([more, tensor] if front else [tensor, more], dim=1) if tokens else tensor
