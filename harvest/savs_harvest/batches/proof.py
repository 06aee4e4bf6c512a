"""What every layer lets a token see, read where attention is computed: proven for any type, however it rounds.

Numbers alone prove little in half precision, where a model may differ from itself by a tenth. What a layer's attention
is told does not round: alone, that a token sees all before it; as a branch of a shared row, what the branch may see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from savs_harvest.models.families import changes_far_away
from savs_harvest.models.heads import layers_without_heads
from savs_harvest.models.layers import decoder_of
from savs_harvest.models.loading import LoadedModel

# What attends to all that a mask lets it see, and to nothing else.
MASKED_KINDS = ("self", "gated", "latent", "shared")


@dataclass(frozen=True)
class Told:
    """What one call of an attention function was told: its mask, None for all before a token if `causal`."""

    function: Any
    mask: Tensor | None
    causal: bool
    tokens: int

    def seen(self) -> Bool[Tensor, "row 1 token token"] | None:
        """Return which token sees which, None where more is said than that."""
        if self.mask is None:
            every = torch.ones(1, 1, self.tokens, self.tokens, dtype=torch.bool)
            return every.tril() if self.causal else every
        if self.mask.dtype == torch.bool:
            return self.mask
        seen = self.mask >= 0
        return None if self.mask[seen].any() else seen


def may_share_rows(loaded: LoadedModel) -> bool:
    """Tell whether nothing but masks and positions says what a token sees: what has states or windows, or picks, never.

    A model that only words are put into has no pictures to share.
    """
    config, model = loaded.model.config, loaded.model
    masked = all(projection.kind in MASKED_KINDS for projection in loaded.projections)
    picks = any(name.rpartition(".")[2] == "indexer" for name, _ in decoder_of(model).named_modules())
    whole = not layers_without_heads(model, loaded.projections)
    composed = config.get_text_config() is not config
    return masked and whole and composed and not picks and not changes_far_away(config)


@contextmanager
def listening() -> Iterator[dict[nn.Module, list[Told]]]:
    """Give what attention functions of transformers are told inside the block, by attention module."""
    from transformers import AttentionInterface

    told: dict[nn.Module, list[Told]] = {}
    original = AttentionInterface.get_interface

    def get_interface(self: Any, *names: Any) -> Callable[..., Any]:
        function = original(self, *names)

        def listened(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, *rest: Any, **named: Any) -> Any:
            mask = rest[0] if rest else named.get("attention_mask")
            causal = named.get("is_causal")
            causal = bool(getattr(module, "is_causal", True) if causal is None else causal)
            told.setdefault(module, []).append(Told(function, mask, causal, query.shape[2]))
            return function(module, query, key, value, *rest, **named)

        return listened

    AttentionInterface.get_interface = get_interface
    try:
        yield told
    finally:
        AttentionInterface.get_interface = original


def sees(
    loaded: LoadedModel,
    told: dict[nn.Module, list[Told]],
    expected: Sequence[Bool[Tensor, "row 1 token token"] | None],
    function: Any = None,
) -> bool:
    """Tell whether each layer let every token see, call by call, what is expected; None stands for all before it.

    With `function`, it is this one that computed the attention, whatever it was told.
    """
    for projection in loaded.projections:
        calls = told.get(projection.attention, [])
        if len(calls) != len(expected):
            return False
        for call, wanted in zip(calls, expected, strict=True):
            if function is not None:
                if call.function is not function:
                    return False
                continue
            seen = call.seen()
            plain = torch.ones(1, 1, call.tokens, call.tokens, dtype=torch.bool).tril() if wanted is None else wanted
            if seen is None or seen.shape[-2:] != plain.shape[-2:] or bool((seen != plain.to(seen.device)).any()):
                return False
    return True
