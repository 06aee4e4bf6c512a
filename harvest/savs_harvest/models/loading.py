"""How a model is loaded, and what makes its vectors comparable."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from savs_harvest.errors import ModelError
from savs_harvest.models.adapters import WEIGHTS, find_adapter, merge
from savs_harvest.models.checkpoints import WITHOUT_WEIGHTS, checkpoint_folder, file_hashes, load_config, loading
from savs_harvest.models.device_maps import (
    CPU,
    DISK,
    NO_MODULES,
    OFFLOADED,
    DeviceMap,
    described,
    dispatch,
    filled,
    free_memory,
    is_dispatched,
    main_device,
    memory_here,
    read_device_map,
    scratch_of_model,
    spread,
)
from savs_harvest.models.families import Family, rules
from savs_harvest.models.heads import Projection, check_capture, find_projections, layers_without_heads
from savs_harvest.models.kinds import auto_model
from savs_harvest.models.patches import use_patch_products
from savs_harvest.models.prompts import check_template, prepare, sample_pictures, tokens_before
from savs_harvest.models.quantized import (
    Quantization,
    compute_in_own_type,
    find_quantization,
    held,
    loading_options,
    quantizer_of,
)
from savs_harvest.models.residuals import HOOK, check_residuals, find_residuals
from savs_harvest.models.shards import is_behind, left_out, without_files
from savs_harvest.models.shortened import shorten
from savs_harvest.models.specs import DTYPES, RESIDUAL, ModelSpec, check_dtype
from savs_harvest.models.tuned import read_tuned_on
from savs_stores.format.fingerprint import canonical
from savs_stores.terminal import size

# Positions whose frequencies follow from the longest prompt of a call, or of all calls before it.
SWITCHING_ROPE = ("dynamic", "longrope")
# What may compute attention: PyTorch's own function, or products of matrices where a family's code has no place for it.
ATTENTION = ("sdpa", "eager")
# How often one weight of a file may stand in a model: tied embeddings are kept once.
SHARED = 2


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to harvest, with every field that makes its vectors comparable or not."""

    name: str
    model: Any
    processor: Any
    projections: list[Projection]
    identity: Mapping[str, Any]
    folder: Path
    # How its samples may run together, and what is worth knowing of it, in words.
    family: Family
    remarks: tuple[str, ...] = ()
    # What shards should have in common beside this machine's own versions, though vectors do not depend on it.
    made_with: Mapping[str, str] = field(default_factory=dict)
    # Where its parts are, where they are on several devices.
    device_map: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads_pictures(self) -> bool:
        """Whether it reads pictures, or words alone."""
        return self.processor.image_processor is not None

    @property
    def device(self) -> torch.device:
        """Where its inputs go, and what is captured comes from."""
        return main_device(self.device_map) if self.device_map else next(self.model.parameters()).device

    @property
    def layers(self) -> list[tuple[int, int, int, str]]:
        """Layer, heads, width and kind of all that has heads, in their order on the head axis."""
        return [(p.layer, p.heads, p.head_dim, p.kind) for p in self.projections]


def load_checkpoint(
    spec: ModelSpec,
    device: str = "auto",
    dtype: str | None = None,
    revision: str | None = None,
    local_rank: int = 0,
    layers: int | None = None,
    device_map: str | None = None,
) -> LoadedModel:
    """Load a checkpoint for inference: safetensors only, no code from the checkpoint, no weight missing.

    Its adapter is merged into the weights, or computes beside them where these are quantised. With `layers`, heads of
    so many first layers are captured, and those behind them are not loaded where that changes nothing, see `shorten`.
    With a device map (`auto`, `balanced` or a file), its layers go to several devices, see `read_device_map`.
    Raises `ModelError` where the checkpoint lacks weights (transformers would fill them at random), needs code of its
    own, has no chat template, no attention output projections, or positions that depend on other prompts; or where it
    is quantised in a way that cannot run here.
    """
    from savs_harvest.models.processors import read_processor

    said = _read_map(device_map, device)
    place = place_of(device, local_rank)
    # What lies on disk is read from the checkpoint's own files, which have to be there as they are.
    folder, without = _fetched(spec, revision, None if said else layers)
    config = load_config(folder, spec.checkpoint)
    _refuse_switching_rope(spec, config)
    _refuse_encoder_decoder(spec, config)
    torch_dtype = torch_dtype_of(dtype or spec.dtype or own_dtype(spec, config))
    quantization = find_quantization(spec, config)
    adapter = find_adapter(spec.adapter) if spec.adapter else None
    whole = shorten(config, layers, spec.adapter) if layers else ""
    placing = Placing(place, quantization)
    # What is merged has to be in memory: such a model is divided afterwards.
    merged = adapter is not None and quantization is None
    if said:
        placing = placing.spread(spec, folder, config, torch_dtype, said, device_map or "", merged)
        place = placing.place
    model = load_weights(spec, folder, config, torch_dtype, without, Placing(torch.device(CPU)) if merged else placing)
    if adapter:
        model = merge(model, adapter, beside=not merged)
    if merged and placing.device_map:
        dispatch(model, placing.device_map)
    processor, remarks = read_processor(folder)
    with _naming(spec):
        check_template(processor)
        tokens_before(processor.tokenizer)
    model = (model if placing.at_once else model.to(place)).eval()
    use_patch_products(model)
    with loading(spec.checkpoint, "processor", folder):
        probe = _probe(model, processor, place)
    with loading(spec.checkpoint, "model", folder):
        check = check_residuals if spec.site == RESIDUAL else check_capture
        projections = check(model, places_of(spec, model), probe)
    identity = _identity(spec, folder, model, processor, projections)
    identity["adapter"] = adapter.digest if adapter else None
    if quantization:
        identity["quantization"] = quantization.identity()
    if adapter and (tuned_on := read_tuned_on(adapter.folder / WEIGHTS)):
        identity["tuned_on"] = tuned_on.identity()
    remarks += adapter.remarks(spec.checkpoint) if adapter else ()
    remarks += (whole,) if whole else ()
    family, made_with = rules(model.config), placing.made_with()
    if quantization:
        family = quantization.rules(family)
        remarks += quantization.remarks()
    wanted = [projection for projection in projections if layers is None or projection.layer < layers]
    return LoadedModel(
        spec.name, model, processor, wanted, identity, folder, family, remarks, made_with, placing.device_map
    )


@contextmanager
def _naming(spec: ModelSpec) -> Iterator[None]:
    """Let a `ModelError` inside the block begin with the name of the checkpoint."""
    try:
        yield
    except ModelError as error:
        raise ModelError(f"{spec.checkpoint}: {error}") from error


def own_dtype(spec: ModelSpec, config: Any) -> str:
    """Return the type that a checkpoint says it computes in, float32 where it says none.

    Raises `ModelError` where it is one that savs does not compute in.
    """
    found = next((kind for part in (config, config.get_text_config()) if (kind := getattr(part, "dtype", None))), None)
    name = str(found or "float32").removeprefix("torch.")
    if name not in DTYPES:
        raise ModelError(
            f"{spec.checkpoint} is of type {name}: say with --dtype in what to compute, {', '.join(DTYPES)}"
        )
    return name


def _fetched(spec: ModelSpec, revision: str | None, layers: int | None) -> tuple[Path, frozenset[str]]:
    """Return the folder of a checkpoint, and the files of weights that are not needed: these are not downloaded."""
    if layers is None or Path(spec.checkpoint).is_dir():
        return checkpoint_folder(spec, revision), frozenset()
    folder = checkpoint_folder(spec, revision, WITHOUT_WEIGHTS)
    without = left_out(folder, load_config(folder, spec.checkpoint), layers, spec.adapter)
    return checkpoint_folder(spec, folder.name, without=without), without  # the same commit, whatever comes between


def _read_map(device_map: str | None, device: str) -> str | DeviceMap | None:
    """Return what is said of where layers go. Raises `ModelError` where that is said twice."""
    if device_map is None:
        return None
    if device != "auto":
        raise ModelError(f"--device-map says where the layers go: leave out --device {device}")
    return read_device_map(device_map)


@dataclass(frozen=True)
class Placing:
    """Where weights go when they are read, if at once: quantised ones, and those of a device map."""

    place: torch.device
    quantization: Quantization | None = None
    device_map: Mapping[str, str] = field(default_factory=dict)

    @property
    def at_once(self) -> bool:
        return bool(self.quantization or self.device_map)

    def spread(
        self,
        spec: ModelSpec,
        folder: Path,
        config: Any,
        dtype: torch.dtype,
        said: str | DeviceMap,
        file: str,
        merged: bool = False,
    ) -> Placing:
        """Return the same with a device map for this model.

        Raises `ModelError` where it cannot be, and where an adapter is to be merged into more than there is memory for.
        """
        empty = _empty(spec, folder, deepcopy(config), dtype)
        if merged and (taken := sum(weight.nbytes for weight in empty.parameters())) > (free := free_memory()):
            raise ModelError(
                f"{spec.checkpoint} takes {size(taken)} and is in memory as a whole while its adapter is merged, but "
                f"{size(free)} are free: merge it elsewhere (peft's merge_and_unload), save it, and name that folder"
            )
        if isinstance(said, str):
            quantizer = quantizer_of(self.quantization, config, dtype, empty)
            device_map = spread(empty, said, memory_here(empty), quantizer)
        else:
            device_map = filled(empty, said, file)
        place, off = main_device(device_map), {*device_map.values()} & {*OFFLOADED}
        if self.quantization and not self.quantization.dequantised and off - {place.type}:
            raise ModelError(
                f"{spec.checkpoint} does not fit on the GPUs here, and quantised layers compute where they lie: "
                "take fewer bits, more GPUs, or no --quantize"
                if isinstance(said, str)
                else f"{file} puts quantised layers on {' and '.join(sorted(off))}: they compute where they lie"
            )
        return replace(self, place=place, device_map=device_map)

    def options(self, config: Any, dtype: torch.dtype, scratch: Path | None) -> dict[str, Any]:
        """Return what `from_pretrained` is told of it; what it writes of weights for the disk goes to `scratch`."""
        if not self.at_once:
            return {}
        device_map = dict(self.device_map) or {"": str(self.place)}
        quantised = loading_options(self.quantization, config, dtype)
        return {"device_map": device_map, "offload_folder": scratch and str(scratch), **quantised}

    def made_with(self) -> dict[str, str]:
        """Return what shards should have in common: the packages that compute quantised layers, and the device map."""
        found = self.quantization.versions() if self.quantization else {}
        if is_dispatched(self.device_map):
            parts = (f"{device}: {names}" for device, names in described(self.device_map).items())
            found |= {"accelerate": version("accelerate"), "device_map": "; ".join(parts)}
        return found


def load_weights(
    spec: ModelSpec,
    folder: Path,
    config: Any,
    dtype: torch.dtype,
    without: Collection[str] = (),
    placing: Placing | None = None,
) -> Any:
    """Return the model of a configuration with all its weights, and with no attention but transformers' own.

    Without some files, what lies behind its last layer is filled at random: nothing that is read depends on it.
    """
    quantised = placing is not None and placing.quantization is not None
    _refuse_without_weights(spec, folder, config, dtype, quantised)
    with _scratch(placing) as (scratch, keep):
        options = placing.options(config, dtype, scratch) if placing else {}
        with ExitStack() as around:
            place = around.enter_context(without_files(folder, without))
            around.enter_context(loading(spec.checkpoint, "weights", folder))
            around.enter_context(warnings.catch_warnings())
            warnings.filterwarnings("ignore", NO_MODULES)
            model, found = auto_model(config).from_pretrained(
                place,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                **options,
            )
        keep(model)
    if quantised:
        compute_in_own_type(model, dtype)
    layers = config.get_text_config().num_hidden_layers
    if missing := sorted(name for name in found["missing_keys"] if not (without and is_behind(name, layers))):
        raise ModelError(
            f"{spec.checkpoint} lacks {len(missing)} weights, first {missing[0]}: the files are not complete"
        )
    _refuse_other_attention(spec, model)
    return model


@contextmanager
def _scratch(placing: Placing | None) -> Iterator[tuple[Path | None, Callable[[object], None]]]:
    """Give a folder for weights that are kept on disk in another form than in their files, and what ties it to a model.

    None where nothing is kept on disk.
    """
    if placing is None or DISK not in placing.device_map.values():
        yield None, lambda model: None
        return
    with scratch_of_model() as found:
        yield found


def _refuse_other_attention(spec: ModelSpec, model: nn.Module) -> None:
    configs = {id(module.config): module.config for module in model.modules() if hasattr(module, "config")}
    for config in configs.values():
        attention = getattr(config, "_attn_implementation", None)
        if attention and attention not in ATTENTION:
            raise ModelError(f"{spec.checkpoint} computes attention by {attention!r}; there are {', '.join(ATTENTION)}")


def find_device(local_rank: int) -> str:
    """Return this process's GPU: of those it sees, the one of its rank on this machine; the CPU where there is none."""
    return f"cuda:{local_rank % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"


def place_of(device: str, local_rank: int = 0) -> torch.device:
    """Return the device of this name, `auto` included. Raises `ModelError` where this machine has none."""
    return torch.device(find_device(local_rank) if device == "auto" else _check_device(device))


def empty_model(spec: ModelSpec, revision: str | None = None, dtype: str | None = None) -> nn.Module:
    """Return the model without its weights, in the type it would compute in; needs its configuration only."""
    folder = checkpoint_folder(spec, revision)
    if spec.adapter:  # it changes no shape, but may be refused
        find_adapter(spec.adapter)
    config = load_config(folder, spec.checkpoint, encoders=True)
    _refuse_switching_rope(spec, config)
    return _empty(spec, folder, config, torch_dtype_of(dtype or spec.dtype or own_dtype(spec, config)))


def _empty(spec: ModelSpec, folder: Path, config: Any, torch_dtype: torch.dtype) -> Any:
    with loading(spec.checkpoint, "configuration", folder), torch.device("meta"):
        return auto_model(config).from_config(config, dtype=torch_dtype, trust_remote_code=False)


def _refuse_without_weights(
    spec: ModelSpec, folder: Path, config: Any, dtype: torch.dtype, quantised: bool = False
) -> None:
    """Refuse a configuration of a far larger model than its files hold: it would be filled at random, and kill us."""
    needed = sum(parameter.numel() for parameter in _empty(spec, folder, deepcopy(config), dtype).parameters())
    packed, found = quantised and spec.quantize is None, 0
    with loading(spec.checkpoint, "weights", folder):
        for path in folder.glob("*.safetensors"):
            with safe_open(path, "pt") as file:
                parts = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
                found += sum(held(part.get_dtype(), prod(part.get_shape()), packed) for part in parts)
    if found and needed > found * SHARED:
        most = "at most " if packed else ""
        raise ModelError(
            f"{spec.checkpoint} is a model of {needed:,} weights by its config.json, and its files hold {most}{found:,}"
        )


def _probe(model: Any, processor: Any, place: torch.device) -> dict[str, Tensor]:
    """Return the inputs of a prompt to prove the capture on: a picture that is nowhere flat, if any, and a word."""
    inputs = prepare(processor, sample_pictures(processor, (64, 48)), "yes")
    kinds = {name: model.dtype if tensor.is_floating_point() else None for name, tensor in inputs.items()}
    return {name: tensor.to(place, kinds[name]) for name, tensor in inputs.items()}


def torch_dtype_of(name: str) -> torch.dtype:
    check_dtype(name)
    return getattr(torch, name)


def _check_device(name: str) -> str:
    """Return the device; raises `ModelError` where this machine has none of that name."""
    try:
        found = torch.device(name)
    except RuntimeError:
        found = None
    if found is None or found.type not in ("cpu", "cuda"):
        raise ModelError(f"unknown device {name!r}; there are auto, cpu, cuda, cuda:1 ...")
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found.type == "cuda" and (found.index or 0) >= gpus:
        raise ModelError(f"there is no device {name!r}: torch sees {gpus} GPUs on this machine")
    return name


def _refuse_switching_rope(spec: ModelSpec, config: Any) -> None:
    for rope_type in _rope_types(config.to_dict()):
        if rope_type in SWITCHING_ROPE:
            raise ModelError(
                f"{spec.checkpoint} has rotary positions of type {rope_type!r}: they depend on the longest prompt of a "
                "batch or of those before it, so no vector would be that of its sample alone"
            )


def _refuse_encoder_decoder(spec: ModelSpec, config: Any) -> None:
    if any(getattr(part, "is_encoder_decoder", False) for part in (config, config.get_text_config())):
        raise ModelError(
            f"{spec.checkpoint} is an encoder with a decoder ({config.model_type}): an encoder reads its prompt, a "
            "decoder begins its answer anew, so no head writes at the prompt's last token"
        )


def _rope_types(content: Any, inside: bool = False) -> Iterator[str]:
    """Yield the types of all rotary positions of a configuration, also of its parts and of single kinds of layers."""
    if isinstance(content, dict):
        if inside:
            yield from (content[name] for name in ("rope_type", "type") if isinstance(content.get(name), str))
        for name, value in content.items():
            yield from _rope_types(value, inside or name in ("rope_parameters", "rope_scaling"))


def places_of(spec: ModelSpec, model: Any) -> list[Projection]:
    """Return where what is wanted of a model is captured: its heads, or its hidden states."""
    return find_residuals(model) if spec.site == RESIDUAL else find_projections(model)


def _identity(
    spec: ModelSpec, folder: Path, model: Any, processor: Any, projections: list[Projection]
) -> dict[str, Any]:
    """Return every field that must be equal for two vectors to be comparable."""
    pictures = processor.image_processor
    return {
        **model_identity(spec, folder, model),
        "heads": [[p.layer, p.heads, p.head_dim, p.kind] for p in projections],
        "layers_without_heads": [[layer, name] for layer, name in layers_without_heads(model, projections).items()],
        "hook": HOOK if spec.site == RESIDUAL else "input of the attention output projection",
        "token": "last of the prompt",
        "chat_template": text_hash(processor.chat_template or processor.tokenizer.chat_template),
        "tokenizer": text_hash(processor.tokenizer.backend_tokenizer.to_str()),
        "image_processor": json.loads(pictures.to_json_string()) if pictures else None,
        "image_backend": type(pictures).__name__ if pictures else None,
        "control_tokens": "sanitized",
    }


def model_identity(spec: ModelSpec, folder: Path, model: Any) -> dict[str, Any]:
    """Return the fields that say which weights they are, and in what they compute."""
    from_hub = not Path(spec.checkpoint).is_dir()
    return {
        "model": spec.checkpoint if from_hub else None,  # a folder may be renamed: its files say what it is
        "revision": folder.name if from_hub else None,
        **({"weights": None, "configs": None} if from_hub else file_hashes(folder)),
        "model_type": model.config.model_type,
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": model.config._attn_implementation,
    }


def text_hash(text: str | Mapping[str, str]) -> str:
    """Return the hash of a text, or of several by name, as the chat templates of some checkpoints are."""
    return sha256(text.encode() if isinstance(text, str) else canonical(text)).hexdigest()


def quiet_libraries() -> None:
    """Keep the libraries' progress bars and advice out of our own output."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    for name in ("huggingface_hub", "accelerate"):
        logging.getLogger(name).setLevel(logging.ERROR)
