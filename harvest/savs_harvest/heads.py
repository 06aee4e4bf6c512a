"""Capturing heads: the input of every attention output projection at the last prompt token.

projections = find_projections(model)
with capture_heads(projections, last_real_token(mask)) as vectors, torch.inference_mode():
    model(**inputs)
vectors                                   # [sample, head, dim]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from savs_harvest.errors import ModelError

# What families of transformers call the two ends of an attention layer.
OUTPUT_NAMES = ("o_proj", "out_proj", "dense", "c_proj", "wo", "o")
QUERY_NAMES = ("q_proj", "query_key_value", "qkv_proj", "q_b_proj", "c_attn", "wqkv", "q")
WIDTH_NAMES = ("v_head_dim", "head_v_dim", "head_dim", "attention_head_size")
COUNT_NAMES = ("num_heads", "num_attention_heads", "n_heads")
NOT_LANGUAGE = re.compile(r"vision|visual|image|perceiver|qformer|resampler|audio|encoder", re.IGNORECASE)


@dataclass(frozen=True)
class Projection:
    """The output projection of one attention layer; its input is the heads' outputs side by side."""

    layer: int
    name: str
    attention: nn.Module
    module: nn.Linear
    heads: int
    head_dim: int


def find_projections(model: Any) -> list[Projection]:
    """Return the output projections of the language model's attention layers, in order of the layers.

    They are found by their shape in the module tree, not by configuration values: the width of a head
    is not always hidden size / heads. Raises `ModelError` where no attention layer is found.
    """
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model
    found: list[Projection] = []
    for name, attention in decoder.named_modules():
        children = dict(attention.named_children())
        output = next((children[child] for child in OUTPUT_NAMES if child in children), None)
        if output is None or NOT_LANGUAGE.search(name) or not any(child in children for child in QUERY_NAMES):
            continue
        width = output.weight.shape[1]
        head_dim = _first(attention, WIDTH_NAMES) or width // (_first(attention, COUNT_NAMES) or 1)
        if width % head_dim:
            raise ModelError(f"{name}: a projection {width} wide does not hold heads {head_dim} wide")
        layer = getattr(attention, "layer_idx", len(found))
        found.append(Projection(layer, name, attention, output, width // head_dim, head_dim))
    if not found:
        raise ModelError(f"no attention output projection was found in {type(model).__name__}")
    return sorted(found, key=lambda projection: projection.layer)


def _first(module: nn.Module, names: Sequence[str]) -> int | None:
    return next((int(value) for name in names if (value := getattr(module, name, None))), None)


def last_real_token(attention_mask: Int[Tensor, "sample token"]) -> Int[Tensor, " sample"]:
    """Return the place of the last token that is no padding, whichever side the padding is on."""
    places = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return (places * (attention_mask != 0)).argmax(dim=1)


@contextmanager
def capture_heads(
    projections: Sequence[Projection], last: Int[Tensor, " sample"]
) -> Iterator[Float[Tensor, "sample head dim"]]:
    """Yield an array [sample, head, dim] that the model call inside the block fills.

    Heads of all layers lie on one axis in order of (layer, head); heads narrower than the widest are
    zero-padded. Only the wanted token is kept of each layer, so memory does not grow with the prompt.
    """
    rows = torch.arange(len(last), device=last.device)
    weight = projections[0].module.weight
    shape = (len(last), sum(p.heads for p in projections), max(p.head_dim for p in projections))
    vectors = torch.zeros(shape, dtype=weight.dtype, device=weight.device)

    def keep(projection: Projection, start: int) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            outputs = inputs[0][rows, last].view(len(last), projection.heads, projection.head_dim)
            vectors[:, start : start + projection.heads, : projection.head_dim] = outputs

        return hook

    with ExitStack() as hooks:
        start = 0
        for projection in projections:
            handle = projection.module.register_forward_pre_hook(keep(projection, start))
            hooks.callback(handle.remove)
            start += projection.heads
        yield vectors


@contextmanager
def last_position_only(model: Any, last: Int[Tensor, " sample"]) -> Iterator[None]:
    """Let the model compute logits of one token a sample: they come as [sample, 1, word].

    The hidden states are cut in front of the output embedding, so that whatever the model does to its
    logits afterwards still happens, and no [sample, token, word] array is ever made.
    """
    rows = torch.arange(len(last), device=last.device)

    def cut(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][rows, last].unsqueeze(1), *inputs[1:])

    handle = model.get_output_embeddings().register_forward_pre_hook(cut)
    try:
        yield
    finally:
        handle.remove()


def check_capture(
    model: nn.Module, projections: Sequence[Projection], inputs: dict[str, Tensor], tolerance: float = 1e-2
) -> None:
    """Run the model once and compare every projection of its captured heads with the attention's own output.

    Raises `ModelError` naming the first layer where `o_proj(captured) == attention output` does not hold,
    relative to the size of the output; then the layer is no attention layer, or a gate follows it. A sample
    that overflows proves nothing and is left out.
    """
    last = last_real_token(inputs["attention_mask"])
    rows = torch.arange(len(last), device=last.device)
    outputs: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor | tuple[Tensor, ...]) -> None:
            outputs[name] = (output[0] if isinstance(output, tuple) else output)[rows, last]

        return hook

    with ExitStack() as hooks:
        for projection in projections:
            hooks.callback(projection.attention.register_forward_hook(keep(projection.name)).remove)
        vectors = hooks.enter_context(capture_heads(projections, last))
        hooks.enter_context(last_position_only(model, last))
        with torch.inference_mode():
            model(**inputs, use_cache=False)
    start = 0
    for projection in projections:
        heads = vectors[:, start : start + projection.heads, : projection.head_dim].flatten(1)
        start += projection.heads
        with torch.inference_mode():
            expected, found = outputs[projection.name].float(), projection.module(heads).float()
        finite = expected.isfinite().all(1)
        if not finite.any():
            continue
        expected, found = expected[finite], found[finite]
        if not torch.allclose(found, expected, rtol=0, atol=tolerance * float(expected.abs().max())):
            raise ModelError(
                f"{projection.name}: the projection of the captured heads differs from the attention's output by "
                f"{float((found - expected).abs().max()):.3g} (largest value {float(expected.abs().max()):.3g}); "
                "this layer's heads cannot be captured at its output projection"
            )
