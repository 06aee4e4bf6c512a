"""A LoRA adapter as a named part of a model: read as data, merged into the weights by the peft library."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from savs_harvest.errors import ModelError
from savs_harvest.models.checkpoints import ADAPTER_CONFIG, files_hash, find_folder, in_words, read_json
from savs_harvest.models.quantized import import_bitsandbytes

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."  # before the name of every weight
# Of adapter_config.json, what says how the weights are computed: all that peft is given.
SETTINGS = (
    *("r", "lora_alpha", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "fan_in_fan_out"),
    *("target_modules", "exclude_modules", "target_parameters", "layers_to_transform", "layers_pattern"),
    *("bias", "lora_bias", "modules_to_save"),
)
# What tells of its making only, or stands in every file: the default of megatron_core is a module to import.
TOLD_ONLY = (
    *("peft_type", "task_type", "peft_version", "auto_mapping", "base_model_name_or_path", "revision"),
    *("inference_mode", "lora_dropout", "init_lora_weights", "loftq_config", "eva_config", "corda_config"),
    *("lora_ga_config", "megatron_core", "qalora_group_size", "runtime_config"),
)
# Ways to begin training that leave the model's own weights as they are; the others put a part of them into the adapter.
KEEPS_BASE = (None, True, False, "gaussian", "eva", "orthogonal")


@dataclass(frozen=True)
class Adapter:
    """A LoRA adapter: where it was asked for, its folder, and what its configuration says."""

    name: str
    folder: Path
    config: Mapping[str, Any]

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of its configuration and weights."""
        return files_hash(self.folder, ADAPTER_CONFIG, WEIGHTS)

    def remarks(self, checkpoint: str) -> tuple[str, ...]:
        """Return in words that it was made for a model of another name, which may be the same by another name."""
        base = str(self.config.get("base_model_name_or_path") or "")
        if not base or Path(base).name.lower() == Path(checkpoint).resolve().name.lower():
            return ()
        own, made_for, merged_into = map(_without_folders, (self.name, base, checkpoint))
        return (f"the adapter {own} was made for {made_for}, and is merged into {merged_into}",)


def _without_folders(name: str) -> str:
    """Return a hub id as it is, of a folder its own name: remarks are kept in the store, which may be given away."""
    return Path(name).name if Path(name).is_absolute() or Path(name).exists() else name


def find_adapter(name: str) -> Adapter:
    """Return the adapter of a folder or hub id. Raises `ModelError` where it is no LoRA that can be merged as it is."""
    folder = find_folder(name, [ADAPTER_CONFIG, WEIGHTS])
    if not (folder / ADAPTER_CONFIG).exists():
        raise ModelError(f"{name} is no adapter: it has no {ADAPTER_CONFIG}")
    if not (folder / WEIGHTS).exists():
        pickled = (
            " (adapter_model.bin is a pickle, which may run code)" if (folder / "adapter_model.bin").exists() else ""
        )
        raise ModelError(f"{name} has no {WEIGHTS}{pickled}: save the adapter with safe_serialization=True")
    config = read_json(folder / ADAPTER_CONFIG)
    _refuse_other_kinds(folder / ADAPTER_CONFIG, config)
    return Adapter(name, folder, config)


def _refuse_other_kinds(path: Path, config: Mapping[str, Any]) -> None:
    if (kind := config.get("peft_type")) != "LORA":
        raise ModelError(f"{path} is of type {kind!r}; adapters of type 'LORA' can be merged")
    if (begun := config.get("init_lora_weights")) not in KEEPS_BASE:
        raise ModelError(
            f"{path} was begun by {begun!r}, which changes the model's own weights as well: save it from peft with "
            "path_initial_model_for_weight_conversion, as plain LoRA"
        )
    for name, value in config.items():
        if value and name not in (*SETTINGS, *TOLD_ONLY):
            raise ModelError(f"{path} asks for {name}, which is more than plain LoRA: it is not known how to merge it")


def merge(model: Any, adapter: Adapter, beside: bool = False) -> Any:
    """Return the model with the adapter in its weights, in the model's own type.

    With `beside`, the adapter's products stay beside those of the weights and are added to them: quantised weights
    with an adapter in them would be quantised again, and no longer be what it was tuned on.
    Raises `ModelError` where peft is missing, where a weight of the adapter fits no module of the model, where one
    that it says it has is not in its file, or where it changes a weight that two modules share.
    """
    with _merging(adapter), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peft only warns of is refused below
        import_bitsandbytes()  # peft does, where it is installed
        from peft import LoraConfig, get_peft_model, set_peft_model_state_dict
        from safetensors.torch import load_file

        shared = _shared_weights(model)
        weights = _in_todays_names(model, load_file(adapter.folder / WEIGHTS))
        settings = {name: adapter.config[name] for name in SETTINGS if adapter.config.get(name) is not None}
        with_adapter = get_peft_model(model, LoraConfig(**settings))
        found: Any = set_peft_model_state_dict(with_adapter, weights)
        if found.unexpected_keys:
            _refuse(adapter, "has {} weights that fit no module of the model, first {}", found.unexpected_keys)
        if missing := [name for name in found.missing_keys if "lora_" in name or "modules_to_save" in name]:
            _refuse(adapter, "lacks {} weights that its configuration names, first {}", missing)
        if tied := [name for name, module in with_adapter.named_modules() if _base_weight(module) in shared]:
            _refuse(adapter, "changes {} weights that another module shares, first {}", tied)
        merged = with_adapter.base_model.model if beside else with_adapter.merge_and_unload(safe_merge=True)
        merged.__dict__.pop("peft_config", None)
        return merged.requires_grad_(False)


def _in_todays_names(model: Any, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the weights by the names of the loaded model: transformers has renamed modules since some were made.

    As it renames the weights of a checkpoint; peft does so for some families only.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.core_model_loading import WeightRenaming, rename_source_key

    renamings = [one for one in get_model_conversion_mapping(model) if isinstance(one, WeightRenaming)]
    known = {name for named in (model.named_modules(), model.named_parameters()) for name, _ in named}

    def renamed(name: str) -> str:
        own = name.removeprefix(PREFIX)
        return name if own.partition(".lora_")[0] in known else PREFIX + rename_source_key(own, renamings, [])[0]

    by_name = {renamed(name): weight for name, weight in weights.items()}
    if len(by_name) < len(weights):
        raise ValueError("two of its weights have one name in this version of transformers")
    return by_name


@contextmanager
def _merging(adapter: Adapter) -> Iterator[None]:
    try:
        yield
    except (ModelError, MemoryError, torch.OutOfMemoryError):
        raise
    except ModuleNotFoundError as error:
        if error.name != "peft":
            raise
        raise ModelError("--adapter needs the package peft: pip install 'savs[harvest,adapter]'") from None
    except Exception as error:
        raise ModelError(f"adapter {adapter.name} ({WEIGHTS}, {ADAPTER_CONFIG}): {in_words(error)}") from error


def _refuse(adapter: Adapter, words: str, names: list[str]) -> None:
    first = min(names).removeprefix(PREFIX).replace(".default", "")
    raise ModelError(f"adapter {adapter.name} {words.format(len(names), first)}")


def _shared_weights(model: nn.Module) -> set[int]:
    """Return the ids of the weights that more than one module has, as tied embeddings."""
    holders = Counter(id(weight) for _, weight in model.named_parameters(remove_duplicate=False))
    return {weight for weight, count in holders.items() if count > 1}


def _base_weight(module: nn.Module) -> int | None:
    """Return the id of the weight that an adapter's layer changes."""
    weight = getattr(getattr(module, "base_layer", None), "weight", None)
    return None if weight is None else id(weight)
