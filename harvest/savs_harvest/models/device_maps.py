"""A model that is larger than one GPU, or than memory: its layers over GPUs, this machine's memory and its disk.

accelerate runs it so: layers on a GPU compute there, those in memory or on disk are brought to the first device of the
map, one at a time. What is captured is the same: a device map is how vectors are made, and no part of what they are.
"""

from __future__ import annotations

import difflib
import json
import re
import shutil
import warnings
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, TypeAlias

import torch
from torch import nn

from savs_harvest.errors import ModelError
from savs_harvest.models.layers import decoder_layers
from savs_harvest.models.quantized import is_linear

# Parts of a model by the names of their modules, and where each goes: "cuda:0", "cpu", "disk".
DeviceMap: TypeAlias = dict[str, str]
AUTO, BALANCED = "auto", "balanced"
CPU, DISK = "cpu", "disk"
OFFLOADED = (CPU, DISK)
# Tokens of a call that room is left for beside the weights: as many as a harvest puts into one by itself.
TOKENS = {"cuda": 16_384, "cpu": 1_024}
INSTALL = "--device-map needs the package accelerate: pip install 'savs[harvest,devices]'"
# Said by accelerate of a weight that is no module's own, and lies where the map says.
NO_MODULES = "The following device_map keys do not match any submodules"
NUMBERED = re.compile(r"(.+)\.(\d+)")


def read_device_map(said: str, gpus: int | None = None) -> str | DeviceMap:
    """Return `auto` or `balanced`, or what a file says: JSON, {"module prefix": device}.

    A device is "cuda:0" or 0, "cpu", "disk"; the prefix "" stands for all that has none. Raises `ModelError` for
    anything else, for a GPU beyond so many (None: those of this machine), and where accelerate is missing.
    """
    if find_spec("accelerate") is None:
        raise ModelError(INSTALL)
    if said in (AUTO, BALANCED):
        return said
    try:
        found = json.loads(Path(said).read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"--device-map is auto, balanced or a file: {said} cannot be read ({error.strerror})"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{said} is not JSON: {error}") from None
    if not isinstance(found, dict) or not found:
        raise ModelError(
            f'{said} holds no device map: {{"module prefix": device}}, as {{"": "cuda:0", "lm_head": "cpu"}}'
        )
    return {prefix: _device(said, prefix, device, gpus) for prefix, device in found.items()}


def _device(file: str, prefix: str, device: Any, gpus: int | None) -> str:
    """Return the name of a device. Raises `ModelError` where it is none, or there are not so many."""
    if device in OFFLOADED:
        return str(device)
    number = device if isinstance(device, int) and not isinstance(device, bool) else None
    if isinstance(device, str) and (named := re.fullmatch(r"cuda(?::(\d+))?", device)):
        number = int(named[1] or 0)
    if number is None or number < 0:
        raise ModelError(f"{file} puts {prefix!r} on {device!r}: a device is cuda:0, cuda:1 ..., cpu or disk")
    there = f"there are {gpus} GPUs"
    if gpus is None:
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        there = f"torch sees {gpus} GPUs on this machine"
    if number >= gpus:
        raise ModelError(f"{file} puts {prefix!r} on {device!r}: {there}")
    return f"cuda:{number}"


def memory_here(model: Any) -> dict[int | str, int]:
    """Return the bytes that weights may take: of each GPU by its number, and of memory.

    It is what is free, less the room for a call where the model computes.
    """
    from accelerate.utils import get_max_memory

    found: dict[int | str, int] = get_max_memory()
    computes = [device for device in found if device != CPU] or [CPU]
    room = call_bytes(model, TOKENS["cuda" if computes != [CPU] else CPU])
    return {device: max(0, free - room) if device in computes else free for device, free in found.items()}


def free_memory() -> int:
    """Return the bytes of memory that are free."""
    from psutil import virtual_memory  # accelerate brings it

    return int(virtual_memory().available)


def call_bytes(model: Any, tokens: int) -> int:
    """Return about how many bytes a call of so many tokens takes beside the weights.

    They are the outputs of all linear parts of the widest layer, where of a mixture of experts those that are fused
    count as nothing, and of its residual stream.
    """
    text = model.config.get_text_config()
    widths = [_outputs(layer) for layer in decoder_layers(model)]
    size = torch.empty(0, dtype=model.dtype).element_size()
    return tokens * size * (max(widths, default=0) + 4 * int(text.hidden_size))


def _outputs(layer: nn.Module) -> int:
    linear: list[Any] = [part for part in layer.modules() if is_linear(part)]
    return sum(int(part.out_features) for part in linear)


def spread(model: Any, how: str, memory: Mapping[int | str, int], quantizer: Any = None) -> DeviceMap:
    """Return where the layers of a model without weights go: as many on GPUs as fit, then in memory, then on disk.

    A layer is never divided. `auto` takes one GPU where the model fits on it, `balanced` all of them alike; where it
    does not fit on one, both do the same. `memory` is how many bytes weights may take of each GPU, by its number, and
    of "cpu"; the sizes of quantised layers are those that the `quantizer` of transformers says.
    """
    from transformers.integrations.accelerate import compute_module_sizes, get_balanced_memory, infer_auto_device_map

    whole = model._no_split_modules
    first = next((device for device in memory if device != CPU), CPU)
    sizes = compute_module_sizes(model, quantizer)[0]
    if how == AUTO and sizes[""] <= memory[first]:
        return {"": _named(first)}
    limits = dict(memory)
    if first != CPU:
        limits = get_balanced_memory(model, dict(memory), whole, quantizer)
    found = infer_auto_device_map(model, limits, whole, clean_result=False, hf_quantizer=quantizer)
    return joined(model, {name: _named(device) for name, device in found.items()})


def bytes_of(model: Any, device_map: Mapping[str, str], quantizer: Any = None) -> dict[str, int]:
    """Return the bytes of a model's weights on each device of its map."""
    from transformers.integrations.accelerate import compute_module_sizes

    sizes = compute_module_sizes(model, quantizer, only_modules=False)[0]
    found = dict.fromkeys(device_map.values(), 0)
    for name, device in device_map.items():
        found[device] += int(sizes.get(name, 0))  # a tied embedding counts where its weight is
    return found


def filled(model: Any, said: Mapping[str, str], file: str) -> DeviceMap:
    """Return a device map of a file with every part of the model by its own name: the longest prefix says where.

    Raises `ModelError` for a prefix that names no part of the model, for a part without a device, for a layer on
    several GPUs, and for a model of which nothing is in memory.
    """
    names = {"", *(name for name, _ in model.named_modules()), *(name for name, _ in model.named_parameters())}
    for prefix in said:
        if prefix not in names:
            close = difflib.get_close_matches(prefix, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ModelError(f"{file}: the model has no part {prefix!r}{hint}")
    by_weight = _by_weight(model, said, file)
    if not set(by_weight.values()) - {DISK}:
        raise ModelError(f"{file} leaves the whole model on disk: some part has to be in memory or on a GPU")
    _refuse_divided(model, by_weight, file)
    return joined(model, by_weight)


def _by_weight(model: Any, said: Mapping[str, str], file: str) -> DeviceMap:
    """Return where each weight goes: a tied one with the weight that it is."""
    found = {name: _of_longest(said, name, file) for name, _ in _tensors(model)}
    return found | {name: found[source] for name, source in model.all_tied_weights_keys.items() if name in found}


def _of_longest(said: Mapping[str, str], name: str, file: str) -> str:
    parts = name.split(".")
    for length in range(len(parts), -1, -1):
        if (device := said.get(".".join(parts[:length]))) is not None:
            return device
    raise ModelError(f'{file} says of {name} not where it goes: add a prefix of it, or "" for all that is left')


def _refuse_divided(model: Any, by_weight: Mapping[str, str], file: str) -> None:
    """Refuse a layer that would compute on several devices: what it adds to is on one."""
    main = main_device(by_weight)
    for name, module in model.named_modules():
        if type(module).__name__ in model._no_split_modules:
            inside = {by_weight[one] for one in by_weight if one.startswith(f"{name}.")}
            computes = {str(main) if device in OFFLOADED else device for device in inside}
            if len(computes) > 1:
                raise ModelError(f"{file} divides {name} over {', '.join(sorted(computes))}: a layer is on one device")


def joined(model: Any, by_part: Mapping[str, str]) -> DeviceMap:
    """Return a device map of the fewest parts, each with a name that is the beginning of no other part's."""
    by_weight = _by_weight(model, by_part, "the device map")
    main = str(main_device(by_weight))

    def parts(module: nn.Module, prefix: str) -> Iterator[tuple[str, str]]:
        inside = {name: device for name, device in by_weight.items() if not prefix or name.startswith(f"{prefix}.")}
        if not inside:
            return
        if len(set(inside.values())) == 1:
            yield prefix, next(iter(inside.values()))
            return
        for name, child in module.named_children():
            yield from parts(child, f"{prefix}.{name}" if prefix else name)
        for name, _ in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
            own = f"{prefix}.{name}" if prefix else name
            yield own, main if by_weight[own] in OFFLOADED else by_weight[own]  # nothing brings it where it is read

    return dict(parts(model, ""))


def _tensors(model: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _named(device: int | str | torch.device) -> str:
    return f"cuda:{device}" if isinstance(device, int) else str(device)


def main_device(device_map: Mapping[str, str]) -> torch.device:
    """Return where a model's inputs go, and where what is captured is kept: its first GPU, or the processor."""
    return torch.device(next((device for device in device_map.values() if device not in OFFLOADED), CPU))


def dispatch(model: Any, device_map: Mapping[str, str]) -> None:
    """Divide a model that is in memory: what goes to disk is written to a folder that is gone with the model."""
    from accelerate import dispatch_model

    with scratch_of_model() as (folder, keep), warnings.catch_warnings():
        warnings.filterwarnings("ignore", NO_MODULES)
        skip = model._skip_keys_device_placement
        dispatch_model(model, dict(device_map), offload_dir=str(folder), skip_keys=skip)
        keep(model)


@contextmanager
def scratch_of_model() -> Iterator[tuple[Path, Callable[[object], None]]]:
    """Give a folder for weights of a model, and what ties it to the model: it is gone with it, at once without one."""
    folder, kept = Path(mkdtemp(prefix="savs-")), []
    try:
        yield folder, lambda model: kept.append(weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True))
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def is_dispatched(device_map: Mapping[str, str]) -> bool:
    """Tell whether a device map divides a model, or leaves parts of it on disk: then accelerate moves what it needs."""
    return len(set(device_map.values())) > 1


def described(device_map: Mapping[str, str]) -> dict[str, str]:
    """Return in words which parts of a model lie on each device: `model.visual, model.layers.0-13`."""
    return {
        device: ", ".join(_runs([name for name, of in device_map.items() if of == device]))
        for device in dict.fromkeys(device_map.values())
    }


def _runs(names: list[str]) -> Iterator[str]:
    """Yield names in order, neighbours that differ in their number only as one: `layers.0-13`."""
    numbered = [(found[1], int(found[2])) if (found := NUMBERED.fullmatch(name)) else (name, -1) for name in names]
    for (stem, _), run in groupby(enumerate(numbered), key=lambda one: (one[1][0], one[1][1] - one[0])):
        numbers = [number for _, (_, number) in run]
        if numbers[0] < 0:
            yield stem or "all of it"
        else:
            yield f"{stem}.{numbers[0]}" + (f"-{numbers[-1]}" if len(numbers) > 1 else "")
