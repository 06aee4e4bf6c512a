"""Capturing heads: the input of every attention output projection at the last prompt token.

projections = find_projections(model)
with capture_heads(projections, last_real_token(mask)) as vectors, torch.inference_mode():
    model(**inputs)
vectors                                   # [sample, head, dim]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from savs_harvest.errors import ModelError
from savs_harvest.models.last_position import last_position_only
from savs_harvest.models.layers import decoder_layers, decoder_of
from savs_harvest.models.places import Places, moved
from savs_harvest.models.quantized import in_features, is_linear

# What families of transformers call the two ends of an attention layer.
OUTPUT_NAMES = ("o_proj", "out_proj", "dense", "c_proj", "wo", "o")
QUERY_NAMES = ("q_proj", "query_key_value", "qkv_proj", "q_b_proj", "c_attn", "wqkv", "q")
WIDTH_NAMES = ("v_head_dim", "head_v_dim", "head_dim", "attention_head_size")
COUNT_NAMES = ("num_heads", "num_attention_heads", "n_heads", "n_head")
KINDS = {
    "linear": re.compile(r"DeltaNet|Mamba|LinearAttention|ShortConv", re.IGNORECASE),
    "cross": re.compile(r"cross", re.IGNORECASE),
}
# What makes keys and values: of its own, of a few numbers a token, or of nothing, where another layer makes them.
KEYS = re.compile(r"(^|_)(k|kv|qkv|key|c_attn|wqkv)(_|$)", re.IGNORECASE)
LATENT = re.compile(r"^kv_(a|b)_proj|^kv_(down|up)_proj")
NOT_LANGUAGE = re.compile(r"vision|visual|image|perceiver|qformer|resampler|audio|encoder", re.IGNORECASE)


@dataclass(frozen=True)
class Projection:
    """The output projection of one attention layer; its input is the heads' outputs side by side.

    `dtype` is the type of its input, where packed weights do not say it.
    """

    layer: int
    name: str
    attention: nn.Module
    module: Any
    heads: int
    head_dim: int
    kind: str = "unknown"
    dtype: torch.dtype | None = None

    @property
    def captured_dtype(self) -> torch.dtype:
        """The type of what is captured: that of the layer's weights, where they are packed the model's."""
        return self.dtype or next(self.module.parameters()).dtype

    def read(self, hidden: Float[Tensor, "sample width"]) -> Float[Tensor, "sample head dim"]:
        """Return the heads in what the module is given."""
        return hidden.view(len(hidden), self.heads, self.head_dim)


class _Captured(Exception):
    """Ends a forward pass: the last projection has been reached."""


def last_real_token(attention_mask: Int[Tensor, "sample token"]) -> Int[Tensor, " sample"]:
    """Return the place of the last token that is no padding, whichever side the padding is on."""
    places = torch.arange(attention_mask.shape[1], device=attention_mask.device)
    return (places * (attention_mask != 0)).argmax(dim=1)


def find_projections(model: Any) -> list[Projection]:
    """Return the output projections of the language model's attention layers, in order of the layers.

    They are found by their shape in the module tree, not by configuration values: the width of a head
    is not always hidden size / heads. Raises `ModelError` where no attention layer is found.
    """
    decoder = decoder_of(model)
    found: list[Projection] = []
    for name, attention in decoder.named_modules():
        children = dict(attention.named_children())
        output = next((children[child] for child in OUTPUT_NAMES if child in children), None)
        if output is None or NOT_LANGUAGE.search(name) or not any(child in children for child in QUERY_NAMES):
            continue
        output = _matrix(name, output)
        width = _width(output)
        head_dim = _head_dim(name, attention, decoder, width)
        layer, kind = getattr(attention, "layer_idx", len(found)), _kind(name, attention)
        dtype = None if says_type(output) else model.dtype
        found.append(Projection(layer, name, attention, output, width // head_dim, head_dim, kind, dtype))
    if not found:
        raise ModelError(f"no attention output projection was found in {type(model).__name__}")
    return sorted(found, key=lambda projection: projection.layer)


def _matrix(name: str, output: Any) -> Any:
    """Return the product with the weights of an output projection: all of it, or its last part where it gates first.

    Whether it is the last is proven by `check_capture`. Raises `ModelError` where there is no one matrix of weights.
    """
    product = getattr(output, "linear", output)
    if not is_linear(product) and getattr(getattr(product, "weight", None), "ndim", None) != 2:
        raise ModelError(f"{name}: its output projection, a {type(output).__name__}, has no single matrix of weights")
    return product


def _width(output: Any) -> int:
    """Return how wide the input of a projection is: by its word, as weights may be packed, else by its weights."""
    said = in_features(output)
    # a Conv1D of GPT-2 holds its weights turned
    return said if said is not None else int(getattr(output, "nx", output.weight.shape[1]))


def says_type(output: Any) -> bool:
    """Tell whether the weights of a projection are of the type that it computes in: not where they are packed."""
    weight = next(output.parameters(), None)
    return weight is not None and weight.is_floating_point() and weight.element_size() > 1


def _head_dim(name: str, attention: nn.Module, decoder: Any, width: int) -> int:
    """Return how wide the heads of a layer are: from the layer, else from their number in its model's configuration.

    Raises `ModelError` where neither says it, or where such heads do not fill the projection.
    """
    known = _first(attention, WIDTH_NAMES)
    configs = (getattr(attention, "config", None), getattr(decoder, "config", None))
    count = _first(attention, COUNT_NAMES) or next((n for c in configs if (n := _first(c, COUNT_NAMES))), None)
    if known is None and count is None:
        raise ModelError(f"{name}: neither the layer nor its configuration says how many heads it has")
    if width % (known or count or 1):
        heads = f"heads {known} wide" if known else f"{count} heads"
        raise ModelError(f"{name}: a projection {width} wide does not hold {heads}")
    return known or width // (count or 1)


def _kind(name: str, attention: nn.Module) -> str:
    """Return the kind that names and parts give away; a gate behind the attention is measured, see `check_capture`."""
    words = f"{name} {type(attention).__name__}"
    if kind := next((kind for kind, pattern in KINDS.items() if pattern.search(words)), None):
        return kind
    parts = [part for part, _ in attention.named_children()]
    makes_keys = any(KEYS.search(part) for part in parts if "norm" not in part)
    if getattr(attention, "is_kv_shared_layer", False) or not makes_keys:
        return "shared"
    return "latent" if any(map(LATENT.search, parts)) else "unknown"


def layers_without_heads(model: Any, projections: Sequence[Projection]) -> dict[int, str]:
    """Return the decoder's layers that have no attention heads, with the class that stands in their place."""
    with_heads = {projection.layer for projection in projections}
    layers = enumerate(decoder_layers(model))
    return {number: type(next(layer.children())).__name__ for number, layer in layers if number not in with_heads}


def _first(holder: Any, names: Sequence[str]) -> int | None:
    return next((int(value) for name in names if isinstance(value := getattr(holder, name, None), int) and value), None)


@contextmanager
def capture_heads(
    projections: Sequence[Projection],
    last: Int[Tensor, " sample"],
    rows: Int[Tensor, " sample"] | None = None,
    stop: bool = False,
) -> Iterator[Float[Tensor, "sample head dim"]]:
    """Yield an array [sample, head, dim] that the model call inside the block fills.

    Heads of all layers lie on one axis in order of (layer, head); heads narrower than the widest are
    zero-padded. Only the wanted token is kept of each layer, so memory does not grow with the prompt.
    `rows` says in which row of the batch each sample's last token is, where that is not one row a sample.
    With `stop`, the block ends inside the model call as soon as the last projection is reached: nothing
    that comes after it is computed.
    """
    places = Places(last, rows)
    shape = (len(last), sum(p.heads for p in projections), max(p.head_dim for p in projections))
    vectors = torch.zeros(shape, dtype=projections[0].captured_dtype, device=last.device)

    def keep(projection: Projection, start: int) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            outputs = moved(projection.read(places.read(inputs[0])), vectors.device)
            vectors[:, start : start + projection.heads, : projection.head_dim] = outputs
            if stop and projection is projections[-1]:
                raise _Captured

        return hook

    with ExitStack() as hooks:
        start = 0
        for projection in projections:
            handle = projection.module.register_forward_pre_hook(keep(projection, start))
            hooks.callback(handle.remove)
            start += projection.heads
        with suppress(_Captured):
            yield vectors


def check_capture(
    model: nn.Module, projections: Sequence[Projection], inputs: Mapping[str, Tensor], tolerance: float = 1e-2
) -> list[Projection]:
    """Run the model once and compare every projection of its captured heads with the attention's own output.

    Returns the projections in the order in which they run, with the kind of each: that which names and parts give
    away, else "self", where the captured heads are, to the bit, what the attention function returned, "gated" where
    they are not. Raises `ModelError` naming the first layer where `o_proj(captured) == attention output` does not
    hold, relative to the size of the output: its heads cannot be captured at its output projection; whose attention
    function returned other heads than were found; or that runs more or less than once, or not for the tokens of the
    prompt.
    A sample that overflows proves nothing and is left out.

    The projection is that of the loaded model, with its own weights, and it is given all tokens that it was given in
    the model, the captured heads in their places: what quantisation does to either is the same on both sides.
    """
    places = Places(last := last_real_token(inputs["attention_mask"]))
    given: dict[str, Tensor] = {}
    outputs: dict[str, Tensor] = {}
    attended: dict[nn.Module, Tensor] = {}
    ran: list[Projection] = []

    def keep_given(projection: Projection) -> Callable[..., None]:
        def hook(_module: nn.Module, each: tuple[Tensor, ...]) -> None:
            _check_places(projection, each[0], inputs["attention_mask"].shape)
            ran.append(projection)
            given[projection.name] = each[0].clone()

        return hook

    def keep_output(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: tuple, output: Tensor | tuple[Tensor, ...]) -> None:
            outputs[name] = places.read_home(output[0] if isinstance(output, tuple) else output)

        return hook

    with ExitStack() as hooks:
        for projection in projections:
            hooks.callback(projection.module.register_forward_pre_hook(keep_given(projection)).remove)
            hooks.callback(projection.attention.register_forward_hook(keep_output(projection.name)).remove)
        vectors = hooks.enter_context(capture_heads(projections, last))
        hooks.enter_context(last_position_only(model, last))
        hooks.enter_context(_tapped_attention(attended))
        with torch.inference_mode():
            model(**inputs, use_cache=False)
    order = _order(projections, ran)
    start = 0
    labelled = []
    for projection in projections:
        heads = vectors[:, start : start + projection.heads, : projection.head_dim].flatten(1)
        start += projection.heads
        labelled.append(replace(projection, kind=_measured_kind(projection, heads, attended, places)))
        with torch.inference_mode():
            whole = places.put(moved(heads, given[projection.name].device), given[projection.name])
            expected, found = outputs[projection.name].float(), places.read_home(projection.module(whole)).float()
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
    return _numbered([labelled[place] for place in order])


def _check_places(projection: Projection, given: Tensor, tokens: torch.Size) -> None:
    """Raise `ModelError` where the places of a layer's heads are not those of the prompt's tokens."""
    if given.ndim != 3:
        raise ModelError(f"{projection.name}: its heads come in {given.ndim} dimensions, not a row of tokens a sample")
    if given.shape[:2] != tokens:
        raise ModelError(
            f"{projection.name}: it computes {given.shape[1]} places of a prompt of {tokens[1]} tokens: which is that "
            "of the last token is not known"
        )


def _order(projections: Sequence[Projection], ran: Sequence[Projection]) -> list[int]:
    """Return the places of the projections in the order in which they ran. Raises `ModelError` for one not run once."""
    names = [projection.name for projection in ran]
    for projection in projections:
        if (times := names.count(projection.name)) != 1:
            often = f"{times} times" if times else "not at all"
            raise ModelError(f"{projection.name}: this layer runs {often} for a prompt: it gives no one vector a head")
    place = {projection.name: number for number, projection in enumerate(projections)}
    return [place[name] for name in names]


def _numbered(projections: list[Projection]) -> list[Projection]:
    """Return projections that run with the numbers of their layers, or one by one where these do not go up."""
    layers = [projection.layer for projection in projections]
    if layers == sorted(layers):
        return projections
    return [replace(projection, layer=number) for number, projection in enumerate(projections)]


def _measured_kind(projection: Projection, heads: Tensor, attended: Mapping[nn.Module, Tensor], places: Places) -> str:
    if projection.attention not in attended:  # computed without the attention function of transformers
        return projection.kind
    returned = attended[projection.attention]
    if returned.ndim == 4 and returned.shape[2:] != (projection.heads, projection.head_dim):
        raise ModelError(
            f"{projection.name}: its attention returned {returned.shape[2]} heads of {returned.shape[3]}, but "
            f"{projection.heads} heads of {projection.head_dim} were found"
        )
    returned = places.read_home(returned.flatten(2))
    if not torch.equal(returned.nan_to_num(), heads.nan_to_num()):
        return "gated"
    return "self" if projection.kind == "unknown" else projection.kind


@contextmanager
def _tapped_attention(attended: dict[nn.Module, Tensor]) -> Iterator[None]:
    """Keep what the attention functions of transformers return inside the block, by attention module."""
    from transformers import AttentionInterface

    original = AttentionInterface.get_interface

    def get_interface(self: Any, *names: Any) -> Callable[..., Any]:
        function = original(self, *names)

        def tapped(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            output, *rest = function(module, *args, **kwargs)
            attended[module] = output
            return (output, *rest)

        return tapped

    AttentionInterface.get_interface = get_interface
    try:
        yield
    finally:
        AttentionInterface.get_interface = original
