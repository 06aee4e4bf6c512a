"""Which experts each token goes to: where two are almost equally wanted, rounding chooses between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from savs_harvest.models.layers import decoder_of

NAME = "experts"


def expert_layers(model: nn.Module) -> list[nn.Module]:
    """Return the mixtures of experts of a model's decoder, those that are told which experts to take."""
    return [part for name, part in decoder_of(model).named_modules() if name.rpartition(".")[2] == NAME]


@contextmanager
def chosen(layers: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Give the numbers of experts [token, choice], sorted, of each call inside the block, in order."""
    choices: list[Tensor] = []

    def keep(_module: nn.Module, given: tuple[object, ...]) -> None:
        numbers = (each for each in given if isinstance(each, Tensor) and not each.is_floating_point())
        if (found := next(numbers, None)) is not None:
            choices.append(found.reshape(-1, found.shape[-1]).sort(dim=-1).values)

    with ExitStack() as hooks:
        for layer in layers:
            hooks.callback(layer.register_forward_pre_hook(keep).remove)
        yield choices


def flips(alone: Sequence[Sequence[Tensor]], together: Sequence[Tensor]) -> tuple[int, int]:
    """Return how many tokens go to other experts in a padded batch than alone, of how many.

    `alone` are the choices of each sample, a layer each; `together` those of the batch, its rows padded on the right.
    """
    changed = total = 0
    for layer, batch in enumerate(together):
        rows = batch.view(len(alone), -1, batch.shape[-1])
        for row, sample in zip(rows, alone, strict=True):
            own = sample[layer]
            changed += int((row[: len(own)] != own).any(dim=-1).sum())
            total += len(own)
    return changed, total


def told(changed: int, total: int) -> tuple[str, ...]:
    """Return what is worth knowing of it, nothing where no token changed its experts."""
    share = f"{changed:,} of {total:,} choices of experts in the trial"
    return (f"{share} are others beside other samples: two experts are as good as equal there",) if changed else ()
