"""After the heads are captured: only what the logits of the last tokens need is computed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from savs_harvest.models.layers import decoder_layers


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
    rows = torch.arange(len(last), device=last.device) if rows is None else rows

    def cut(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0][rows, last].unsqueeze(1), *inputs[1:])

    with ExitStack() as hooks:
        hooks.callback(model.get_output_embeddings().register_forward_pre_hook(cut).remove)
        for module in token_wise:
            hooks.enter_context(_narrowed(module, last, rows))
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
    with_weights = [part for part in module.modules() if any(True for _ in part.parameters(recurse=False))]
    return all(isinstance(part, nn.Linear) for part in with_weights)


@contextmanager
def _narrowed(module: nn.Module, last: Tensor, rows: Tensor) -> Iterator[None]:
    shape: list[int] = []

    def cut(_module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        shape[:] = inputs[0].shape[:2]
        return (inputs[0][rows, last].unsqueeze(0), *inputs[1:])

    def spread(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        full = output.new_zeros((*shape, output.shape[-1]))
        full[rows, last] = output[0]
        return full

    handles = module.register_forward_pre_hook(cut), module.register_forward_hook(spread)
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
