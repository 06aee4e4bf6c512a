"""A model that ends early: the layers behind the last heads that are needed are never read from its files."""

from __future__ import annotations

from typing import Any

from savs_harvest.models.families import rules

# Lists with an entry a layer, by the end of their names; and lists of numbers of layers.
OF_EVERY_LAYER, NUMBERS = "layer_types", "cross_attention_layers"
# Where the first layers depend on how many there are, or weights of all layers lie in one.
TIED_TO_DEPTH = ("num_kv_shared_layers", "hidden_size_per_layer_input")


def shorten(config: Any, layers: int, adapter: str | None = None) -> str:
    """Let a model of this configuration have its first `layers` layers only; return why it cannot, "" where it can.

    Families are shortened for which a test proves that the vectors of the layers that stay are the same to the bit.
    """
    text = config.get_text_config()
    if layers >= text.num_hidden_layers:
        return ""
    if adapter:
        return f"its adapter changes all layers: {text.num_hidden_layers} are loaded where {layers} would do"
    if not rules(config).shortens or any(getattr(text, name, None) for name in TIED_TO_DEPTH):
        return f"{config.model_type} has to be loaded whole: {text.num_hidden_layers} layers where {layers} would do"
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and name.endswith(OF_EVERY_LAYER):
            setattr(text, name, value[:layers])
        if isinstance(value, list) and name == NUMBERS:
            setattr(text, name, [layer for layer in value if layer < layers])
    text.num_hidden_layers = layers
    return ""
