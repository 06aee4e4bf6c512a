"""Hidden states in the place of heads: the output of every layer at the last prompt token, through the final norm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from savs_harvest.errors import ModelError
from savs_harvest.models.heads import Projection, capture_heads, last_real_token, says_type
from savs_harvest.models.layers import decoder_layers, decoder_of
from savs_harvest.models.places import Places, moved

HOOK = "output of each layer, through the final norm"
# What families of transformers call the norm behind the last layer.
NORM_NAMES = ("norm", "final_layernorm", "final_layer_norm", "ln_f", "final_norm")


@dataclass(frozen=True)
class Residual(Projection):
    """The hidden state behind a layer: what the module after it, a layer or the final norm, is given."""

    norm: nn.Module | None = None

    def read(self, hidden: Float[Tensor, "sample width"]) -> Float[Tensor, "sample head dim"]:
        assert self.norm is not None
        return self.norm.forward(hidden)[:, None]  # not called: this may run in a hook of the norm itself


def find_residuals(model: Any) -> list[Projection]:
    """Return the places of all hidden states, in order of the layers.

    Raises `ModelError` where the decoder's layers, or the norm behind them, are not found.
    """
    decoder, layers = decoder_of(model), decoder_layers(model)
    norm = next((found for name in NORM_NAMES if (found := getattr(decoder, name, None)) is not None), None)
    if not layers or norm is None:
        raise ModelError(f"no layers with a norm behind them were found in {type(decoder).__name__}")
    width = model.config.get_text_config().hidden_size
    return [
        Residual(number, f"layer {number}", layer, behind, 1, width, "residual", _type(model, behind), norm)
        for number, (layer, behind) in enumerate(zip(layers, [*layers[1:], norm], strict=True))
    ]


def _type(model: Any, module: nn.Module) -> torch.dtype | None:
    return None if says_type(module) else model.dtype


def check_residuals(
    model: Any, residuals: Sequence[Projection], inputs: Mapping[str, Tensor], tolerance: float = 1e-2
) -> list[Projection]:
    """Run the model once and compare what is captured with its own `output_hidden_states`.

    The last of these is normed already. Raises `ModelError` naming the first layer where they differ, relative to
    their size.
    """
    places = Places(last := last_real_token(inputs["attention_mask"]))
    with capture_heads(residuals, last) as vectors, torch.inference_mode():
        states = model(**inputs, use_cache=False, output_hidden_states=True).hidden_states[1:]
        own = [places.read_home(state) for state in states]
        normed = [each.read(state)[:, 0] for each, state in zip(residuals[:-1], own[:-1], strict=True)]
        expected = [moved(state, last.device) for state in (*normed, own[-1])]
        for number, (residual, state) in enumerate(zip(residuals, expected, strict=True)):
            found, state = vectors[:, number].float(), state.float()
            if not torch.allclose(found, state, rtol=0, atol=tolerance * float(state.abs().max())):
                raise ModelError(f"{residual.name}: what is captured differs from the model's own hidden state")
    return list(residuals)
