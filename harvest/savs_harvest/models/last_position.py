"""After the heads are captured: only what the logits of the last tokens need is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from jaxtyping import Int
from torch import Tensor, nn

from savs_harvest.models.layers import decoder_layers
from savs_harvest.models.places import Places
from savs_harvest.models.quantized import is_linear


@contextmanager
def last_position_only(
    model: Any,
    last: Int[Tensor, " sample"],
    rows: Int[Tensor, " sample"] | None = None,
    token_wise: Sequence[nn.Module] = (),
) -> Iterator[None]:
    """Let the model compute logits of one token a sample: they come as [sample, 1, word].

    The hidden states are cut in front of the output embedding, so that whatever the model does to its
    logits afterwards still happens, and no [sample, token, word] array is ever made. The modules of
    `token_wise` (see `token_wise_rest`) compute these tokens only as well, and give zeros for all others.
    """
    places = Places(last, rows)

    def cut(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (places.read(inputs[0]).unsqueeze(1), *inputs[1:])

    with ExitStack() as hooks:
        hooks.callback(model.get_output_embeddings().register_forward_pre_hook(cut).remove)
        for module in token_wise:
            hooks.enter_context(_narrowed(module, places))
        yield


def token_wise_rest(model: Any, projection: nn.Module) -> list[nn.Module]:
    """Return the modules behind the last heads that treat every token by itself, where nothing else reads theirs.

    They are the last output projection and the feed-forward part of its layer, a mixture of experts excepted.
    Empty where that layer is not the decoder's last.
    """
    layers = decoder_layers(model)
    if not layers or projection not in set(layers[-1].modules()):
        return []
    feed_forward = getattr(layers[-1], "mlp", None)
    return [projection, *([feed_forward] if feed_forward is not None and _linear_only(feed_forward) else [])]


def _linear_only(module: nn.Module) -> bool:
    with_weights = [part for part in module.modules() if any(_tensors(part))]
    return all(map(is_linear, with_weights))


def _tensors(module: nn.Module) -> Iterator[bool]:
    """Yield True for each weight of a module itself: packed ones are buffers."""
    yield from (True for _ in module.parameters(recurse=False))
    yield from (True for _ in module.buffers(recurse=False))


@contextmanager
def _narrowed(module: nn.Module, places: Places) -> Iterator[None]:
    shape: list[int] = []

    def cut(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        shape[:] = inputs[0].shape[:2]
        return (places.read(inputs[0]).unsqueeze(0), *inputs[1:])

    def spread(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return places.put(output[0], output.new_zeros((*shape, output.shape[-1])))

    handles = module.register_forward_pre_hook(cut), module.register_forward_hook(spread)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
