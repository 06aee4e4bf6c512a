"""The last tokens of samples in what the layers of a model are given, on whichever device each layer is."""

from __future__ import annotations

import torch
from jaxtyping import Int
from torch import Tensor


class Places:
    """Where the token of each sample stands that is read: in row `rows[i]` at `last[i]`; without rows, one a sample.

    A model's layers may lie on several devices. The places are copied to each of them once, and no copy from one GPU
    to another is waited for.
    """

    def __init__(self, last: Int[Tensor, " sample"], rows: Int[Tensor, " sample"] | None = None) -> None:
        rows = torch.arange(len(last), device=last.device) if rows is None else rows
        self.device = last.device
        self._on = {last.device: (rows, last)}

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return rows and places on a device."""
        if device not in self._on:
            rows, last = self._on[self.device]
            self._on[device] = moved(rows, device), moved(last, device)
        return self._on[device]

    def read(self, hidden: Tensor) -> Tensor:
        """Return [sample, ...] of what a layer is given or gives, [row, token, ...], on the layer's device."""
        return hidden[self.on(hidden.device)]

    def read_home(self, hidden: Tensor) -> Tensor:
        """Return the same on the device of the places themselves."""
        return moved(self.read(hidden), self.device)

    def put(self, values: Tensor, into: Tensor) -> Tensor:
        """Return [row, token, ...] with values [sample, ...] in these places."""
        into[self.on(into.device)] = values
        return into


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on another device. Of two GPUs, one waits for the other, and the processor for neither."""
    return tensor.to(device, non_blocking=tensor.device.type == device.type)
