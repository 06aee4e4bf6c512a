"""Model inputs of one sample, and tokens of words before or behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Inputs = Mapping[str, Tensor]

# Which pictures each token sees, in families that look at them from beside the prompt: [sample, token, picture, tile].
CROSS_MASK = "cross_attention_mask"


def per_token(sample: Inputs) -> frozenset[str]:
    """Return the names of what a sample has a whole number of for each token; all else belongs to its pictures."""
    tokens = sample["input_ids"].shape
    return frozenset(
        name for name, tensor in sample.items() if tensor.shape == tokens and not tensor.is_floating_point()
    )


def shows_pictures(sample: Inputs) -> bool:
    """Tell whether a sample shows pictures, or is words alone."""
    return any(name.startswith("pixel_values") for name in sample)


def begun_with(tokens: Sequence[int], sample: Inputs) -> dict[str, Tensor]:
    """Return a sample with more tokens of words in front of it."""
    return _with(tokens, sample, front=True)


def ended_with(tokens: Sequence[int], sample: Inputs, token_type: int = 0) -> dict[str, Tensor]:
    """Return a sample with more tokens of words behind it, which see the pictures that its last token sees."""
    return _with(tokens, sample, front=False, token_type=token_type)


def _with(tokens: Sequence[int], sample: Inputs, front: bool, token_type: int = 0) -> dict[str, Tensor]:
    if not tokens:
        return dict(sample)
    found = dict(sample)
    for name in per_token(sample) | ({CROSS_MASK} & set(sample)):
        tensor = sample[name]
        if name == CROSS_MASK:
            more = (tensor[:, :1] if front else tensor[:, -1:]).expand(-1, len(tokens), *tensor.shape[2:])
        elif name == "input_ids":
            more = tensor.new_tensor([tokens])
        else:
            more = tensor.new_full((1, len(tokens)), {"attention_mask": 1, "token_type_ids": token_type}.get(name, 0))
        found[name] = torch.cat([more, tensor] if front else [tensor, more], dim=1)
    return found
