"""Which layers of a model go where, and what does not fit: said without its weights, and without the GPUs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from savs_harvest.errors import ModelError
from savs_harvest.models.device_maps import (
    AUTO,
    CPU,
    DISK,
    OFFLOADED,
    TOKENS,
    DeviceMap,
    bytes_of,
    call_bytes,
    described,
    filled,
    main_device,
    memory_here,
    read_device_map,
    spread,
)
from savs_harvest.models.kinds import is_encoder
from savs_harvest.models.loading import empty_model
from savs_harvest.models.quantized import find_quantization, quantizer_of
from savs_harvest.models.specs import ModelSpec
from savs_stores.terminal import size

UNITS = {"MB": 10**6, "MiB": 2**20, "GB": 10**9, "GiB": 2**30}
MEMORY = re.compile(r"(?:(\d+)x)?(\d+(?:\.\d+)?)(MB|MiB|GB|GiB)")
# GPUs of one machine that are planned for at most.
MOST_GPUS = 1024


@dataclass(frozen=True)
class Machine:
    """The bytes of each GPU and of memory, as a person says them; None where this machine's own are meant."""

    gpus: tuple[int, ...] | None = None
    memory: int | None = None

    def limits(self, room: int, here: Mapping[int | str, int]) -> dict[int | str, int]:
        """Return what weights may take of each: of what is said, less the room for a call where the model computes."""
        gpus: dict[int | str, int] = {device: free for device, free in here.items() if isinstance(device, int)}
        if self.gpus is not None:
            gpus = {number: max(0, each - room) for number, each in enumerate(self.gpus)}
        memory = here.get(CPU, 0) if self.memory is None else max(0, self.memory - (0 if gpus else room))
        return {**gpus, CPU: memory}


def read_machine(gpus: str | None, memory: str | None) -> Machine:
    """Return a machine of words: `2x80GB`, `80GB,24GB` for the GPUs, `64GB` for memory. Raises ValueError."""
    each: list[int] = []
    for part in gpus.split(",") if gpus else ():
        count, bytes_each = _bytes("--gpus", part.strip(), "2x80GB, or 80GB,24GB")
        each += [bytes_each] * count
    if gpus is not None and not 0 < len(each) <= MOST_GPUS:
        raise ValueError(f"--gpus names 1 to {MOST_GPUS} GPUs, got {gpus!r}")
    count, of_memory = _bytes("--memory", memory, "64GB") if memory is not None else (1, None)
    if count != 1:
        raise ValueError(f"--memory is one size, as 64GB, got {memory!r}")
    return Machine(tuple(each) if gpus is not None else None, of_memory)


def _bytes(option: str, words: str, example: str) -> tuple[int, int]:
    found = MEMORY.fullmatch(words)
    if not found or int(found[1] or 1) > MOST_GPUS:
        raise ValueError(f"{option} is a size with its unit, as {example}; got {words!r}")
    return int(found[1] or 1), round(float(found[2]) * UNITS[found[3]])


@dataclass(frozen=True)
class Division:
    """Where the parts of a model go, what they take and may take there, and how much room a call gets beside them."""

    device_map: DeviceMap
    taken: Mapping[str, int]
    limits: Mapping[str, int]
    room: int
    tokens: int

    @property
    def too_large(self) -> dict[str, int]:
        """The bytes that are too many, by device."""
        return {device: over for device, count in self.taken.items() if (over := count - self._limit(device)) > 0}

    def _limit(self, device: str) -> int:
        return self.taken[device] if device == DISK else self.limits.get(device, 0)

    def lines(self) -> list[tuple[str, str]]:
        """Return it in (label, value) lines for people."""
        names, main = described(self.device_map), str(main_device(self.device_map))
        found = [("devices", f"{size(self.room)} of each is room for a call of {self.tokens:,} tokens")]
        for device, parts in names.items():
            of = "" if device == DISK else f" of {size(self._limit(device))}"
            moved = f", brought to {main} in every call" if device in OFFLOADED and device != main else ""
            found.append((device, f"{size(self.taken[device])}{of}{moved}: {parts}"))
        for device, over in self.too_large.items():
            found.append(("too large", f"{device} lacks {size(over)}"))
        if not self.too_large:
            slow = {*names} & {*OFFLOADED} - {main}
            words = f"with what is on {' and '.join(sorted(slow))} read again in every call" if slow else "all of it"
            found.append(("fits", words))
        return found

    def numbers(self) -> dict[str, int | float]:
        return {f"{device.replace(':', '_')}_bytes": count for device, count in self.taken.items()}


def divide(
    spec: ModelSpec, said: str | None, machine: Machine, revision: str | None = None, dtype: str | None = None
) -> Division:
    """Return how a model would be divided over a machine; needs its configuration only.

    `said` is `auto`, `balanced` or a file, see `read_device_map`. Raises `ModelError` for an encoder.
    """
    said = said or AUTO
    found = read_device_map(said, None if machine.gpus is None else len(machine.gpus))
    model: Any = empty_model(spec, revision, dtype)
    if is_encoder(model.config):
        raise ModelError(f"{spec.name} is an encoder: --device-map is for models that answer")
    quantizer = quantizer_of(find_quantization(spec, model.config), model.config, model.dtype, model)
    here = memory_here(model)
    on_gpus = machine.gpus is not None or any(isinstance(device, int) for device in here)
    tokens = TOKENS["cuda" if on_gpus else CPU]
    room = call_bytes(model, tokens)
    limits = machine.limits(room, here)
    device_map = spread(model, found, limits, quantizer) if isinstance(found, str) else filled(model, found, said)
    named = {f"cuda:{device}" if isinstance(device, int) else device: count for device, count in limits.items()}
    return Division(device_map, bytes_of(model, device_map, quantizer), named, room, tokens)
