"""Quantised models: whether a checkpoint's scheme can run here, quantising on load, and what it means for batches."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from savs_harvest.errors import ModelError
from savs_harvest.models.families import Family
from savs_harvest.models.specs import BNB4, BNB8, ModelSpec

# What reads the checkpoints of a method, by their modules and as pip knows them; the first is the method's own.
PACKAGES = {
    "bitsandbytes": {"bitsandbytes": "bitsandbytes", "accelerate": "accelerate"},
    "torchao": {"torchao": "torchao", "accelerate": "accelerate"},
    "compressed-tensors": {"compressed_tensors": "compressed-tensors", "accelerate": "accelerate"},
    "awq": {"gptqmodel": "gptqmodel", "accelerate": "accelerate"},
    "gptq": {"gptqmodel": "gptqmodel", "optimum": "optimum", "accelerate": "accelerate"},
    "fp8": {"accelerate": "accelerate"},
}
BITSANDBYTES, FP8 = "bitsandbytes", "fp8"
# Where a scheme quantises what layers are given: the way to do so that looks at one token at a time.
BY_TOKEN = "token"
ON_LOAD, IN_FILES = "on load", "in the checkpoint"
# How many weights of a quantised model one number of its files may hold: of two bits each.
LEAST_BITS = 2
# Bits of a weight in memory, with what its block's scale takes of them: NF4 with its scales quantised again, and int8.
BITS = {BNB4: 4.127, BNB8: 8.0}


@dataclass(frozen=True)
class Quantization:
    """How the weights of a model are quantised: the method, its settings as `config.json` has them, and when."""

    method: str
    settings: Mapping[str, Any]
    made: str = IN_FILES

    @property
    def packages(self) -> Mapping[str, str]:
        return PACKAGES[self.method]

    @property
    def mixes_tokens(self) -> bool:
        """Whether what a layer computes of one token depends on the other tokens of the call.

        So it does in LLM.int8 (arXiv 2208.07339), where a column that is large in any token is left as it is, and
        where what a layer is given is quantised by one scale.
        """
        if self.method == BITSANDBYTES:
            return bool(self.settings.get("load_in_8bit")) and self.settings.get("llm_int8_threshold", 6.0) > 0
        if self.method == "torchao":
            return any("Dynamic" in name for name in _names(self.settings.get("quant_type")))
        if self.method == "compressed-tensors":
            return any(
                bool(given.get("dynamic")) and given.get("strategy") != BY_TOKEN
                for group in (self.settings.get("config_groups") or {}).values()
                if (given := group.get("input_activations"))
            )
        return False

    @property
    def dequantised(self) -> bool:
        """Whether its weights are back in the type that the model computes in once it is loaded."""
        return self.method == FP8

    def identity(self) -> dict[str, Any]:
        """Return what two harvests must have in common, to be of one model."""
        return {"method": self.method, "made": self.made, "settings": dict(self.settings)}

    def versions(self) -> dict[str, str]:
        """Return the versions of the packages that compute it: what shards should have in common."""
        return {name: version(name) for name in self.packages.values()}

    def remarks(self) -> tuple[str, ...]:
        if not self.mixes_tokens:
            return ()
        words = "its quantised layers look at all tokens of a call: every sample runs alone, and nothing is left out"
        return (words,)

    def rules(self, family: Family) -> Family:
        """Return what its family allows where its layers compute like this."""
        if not self.mixes_tokens:
            return family
        return replace(family, causal=False, alone=True, shares=False, packs=False, packs_pictures=False, mixes=True)


def find_quantization(spec: ModelSpec, config: Any) -> Quantization | None:
    """Return how a model is, or is to be, quantised, None where it is not.

    Raises `ModelError` for a method that is not known, one whose package is missing, and where what is quantised
    already is to be quantised on load.
    """
    settings = _settings(config)
    if settings is None:
        found = None if spec.quantize is None else on_load(spec.quantize)
    else:
        found = Quantization(_method(spec, settings), settings)
        if spec.quantize is not None:
            raise ModelError(f"{spec.checkpoint} is quantised already, by {found.method}: leave out --quantize")
    if found:
        _check_packages(spec, found)
    return found


def _settings(config: Any) -> dict[str, Any] | None:
    """Return what a configuration says of quantisation, of its own or of its language model."""
    parts = (config, config.get_text_config())
    found = next((kept for part in parts if (kept := getattr(part, "quantization_config", None))), None)
    return None if found is None else deepcopy(found if isinstance(found, dict) else found.to_dict())


def _method(spec: ModelSpec, settings: Mapping[str, Any]) -> str:
    """Return the method of a checkpoint. transformers would take the files of an unknown one for plain weights."""
    bits = any(settings.get(name) for name in ("load_in_4bit", "load_in_8bit"))
    method = BITSANDBYTES if bits else settings.get("quant_method")
    if method not in PACKAGES:
        raise ModelError(
            f"{spec.checkpoint} is quantised by {method!r} (config.json): savs reads {', '.join(PACKAGES)}"
        )
    return str(method)


def _check_packages(spec: ModelSpec, found: Quantization) -> None:
    missing = [name for module, name in found.packages.items() if find_spec(module) is None]
    if not missing:
        return
    by_extra = found.method == BITSANDBYTES
    install = "pip install 'savs[harvest,quantized]'" if by_extra else f"pip install {' '.join(missing)}"
    by = f"to be quantised by {found.method}"
    if found.made == IN_FILES:
        by = f"quantised by {found.method} (config.json)"
    raise ModelError(f"{spec.checkpoint} is {by}, which needs {' and '.join(missing)}: {install}")


def on_load(scheme: str) -> Quantization:
    """Return a scheme of `--quantize`: NF4 as in QLoRA (arXiv 2305.14314), or LLM.int8 (arXiv 2208.07339)."""
    if scheme == BNB8:
        settings: dict[str, Any] = {"load_in_8bit": True, "llm_int8_threshold": 6.0}
    else:
        settings = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
    return Quantization(BITSANDBYTES, settings, ON_LOAD)


def loading_options(found: Quantization | None, config: Any, dtype: torch.dtype) -> dict[str, Any]:
    """Return what `from_pretrained` is told of quantisation, and make ready what computes it.

    A checkpoint in FP8 gets its weights back in the type that it computes in: its own products come from the hub, and
    round what they are given.
    """
    if found is None:
        return {}
    if found.method == BITSANDBYTES:
        import_bitsandbytes()
    if found.made == ON_LOAD:
        from transformers import BitsAndBytesConfig

        four = {"bnb_4bit_compute_dtype": dtype} if found.settings.get("load_in_4bit") else {}
        return {"quantization_config": BitsAndBytesConfig(**found.settings, **four)}
    if found.dequantised:
        for part in (config, config.get_text_config()):
            if getattr(part, "quantization_config", None):
                part.quantization_config = {**found.settings, "dequantize": True}
    return {}


def quantizer_of(found: Quantization | None, config: Any, dtype: torch.dtype, empty: Any) -> Any:
    """Return what tells the sizes of quantised layers, and pack those of a model without weights; None for others."""
    if found is None or found.dequantised:
        return None
    from transformers.quantizers import AutoHfQuantizer

    options = loading_options(found, config, dtype)
    told = options.get("quantization_config") or found.settings
    quantizer = AutoHfQuantizer.from_config(told, pre_quantized=found.made == IN_FILES)
    quantizer.preprocess_model(model=empty, dtype=dtype, device_map=None)
    return quantizer


def import_bitsandbytes() -> None:
    """Import bitsandbytes, where it is installed, without the kernels that it would fetch from the hub."""
    if find_spec(BITSANDBYTES) is None or BITSANDBYTES in sys.modules:
        return
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it says which kernels it has not got
    before = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]  # so that importing it fails
    try:
        import bitsandbytes  # noqa: F401
    finally:
        del sys.modules["kernels"]
        if before is not None:
            sys.modules["kernels"] = before


def compute_in_own_type(model: nn.Module, dtype: torch.dtype) -> None:
    """Let the 4-bit layers of bitsandbytes compute in the model's type, on every processor.

    On some they would pack their weights anew at the first call, and compute in bfloat16 from then on, whatever the
    type; a checkpoint says in which type it was made, which need not be the one that is asked for.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            packed: Any = module
            packed.support_avx512bf16_for_cpu = False
            packed.compute_dtype, packed.compute_type_is_set = dtype, True


def is_linear(module: nn.Module) -> bool:
    """Tell whether a module is one product with a matrix of weights, however they are packed."""
    return isinstance(module, nn.Linear) or (in_features(module) is not None and hasattr(module, "out_features"))


def in_features(module: Any) -> int | None:
    """Return how wide the input of a module is where it says so: of packed weights no shape tells it."""
    width = getattr(module, "in_features", None)
    return width if isinstance(width, int) else None


def held(dtype: str, numbers: int, packed: bool) -> int:
    """Return how many weights some numbers of a file may hold: one each, more where integers hold packed ones.

    `dtype` is as safetensors writes it: I32, U8, BF16.
    """
    bits = int(dtype[1:]) if packed and dtype[:1] in "IU" and dtype[1:].isdecimal() else LEAST_BITS
    return numbers * bits // LEAST_BITS


def memory_of(model: nn.Module, scheme: str | None) -> int:
    """Return the bytes that the weights of an empty model take once they are quantised on load.

    All linear layers are, but the output embedding.
    """
    getter = getattr(model, "get_output_embeddings", None)
    kept = {id(weight) for weight in getter().parameters()} if getter and getter() is not None else set()
    quantised = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Linear) and id(module.weight) not in kept
    }
    bits = BITS.get(scheme or "", 0.0)
    return sum(
        round(weight.numel() * bits / 8) if bits and id(weight) in quantised else weight.nbytes
        for weight in model.parameters()
    )


def _names(kept: Any) -> Iterator[str]:
    """Yield all texts in settings, wherever they stand."""
    if isinstance(kept, str):
        yield kept
    for part in kept.values() if isinstance(kept, dict) else kept if isinstance(kept, list | tuple) else ():
        yield from _names(part)
