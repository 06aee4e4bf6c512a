"""A checkpoint as a folder of files: where it is, what its files may say. It is data: nothing in it is ever run."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import cache
from hashlib import sha256
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from savs_harvest.errors import HubError, ModelError
from savs_harvest.models.kinds import answering, is_encoder, reads_pictures
from savs_harvest.models.specs import GGUF

if TYPE_CHECKING:
    from savs_harvest.models.specs import ModelSpec

WITHOUT_WEIGHTS = ["*.json", "*.jinja", "*.txt", "*.model", "README.md"]
HUB_FILES = [*WITHOUT_WEIGHTS, "*.safetensors"]
HASH_BLOCK_BYTES = 2**24
ADAPTER_CONFIG = "adapter_config.json"
# Far more than any JSON file of a checkpoint has: the largest tokenizers take 35 MB, and a dozen levels.
JSON_BYTES = 2**28
JSON_DEPTH = 100
# Files of which transformers reads fields by name, without a look at what it has read.
OBJECTS = (
    *("config.json", "config.*.json", "generation_config.json", "processor_config.json", "*preprocessor_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"),
    *("chat_template.json", "*.index.json", ADAPTER_CONFIG),
)
# What can go wrong with a part of a model, and the files it is made of.
PARTS = {
    "configuration": ("loaded", ("config.json",)),
    "weights": ("loaded", ("*.safetensors", "*.safetensors.index.json", "config.json", "generation_config.json")),
    "processor": ("used", ("*processor_config.json", "tokenizer*.json", "*.jinja", "chat_template.json", "*.model")),
    "model": ("run", ("config.json", "*processor_config.json", "tokenizer*.json")),
}
# Where a class of its own may be asked for: what names the class of transformers instead.
CLASS_NAMES = {
    "AutoProcessor": "processor_class",
    "AutoImageProcessor": "image_processor_type",
    "AutoTokenizer": "tokenizer_class",
}
OPEN_CLIP_CONFIG, WEIGHTS = "open_clip_config.json", "*.safetensors"
SHARDS_OF_PROCESSES = "shard-*-model-*.safetensors"


def checkpoint_folder(
    spec: ModelSpec, revision: str | None = None, patterns: Sequence[str] = HUB_FILES, without: Collection[str] = ()
) -> Path:
    """Return the local folder of a checkpoint, downloaded from the hub where it is not here yet.

    Of the hub, only files of these patterns are brought, and none that is to be done `without`. Raises `HubError`
    naming the ways to bring the files when the hub cannot be reached, `ModelError` naming the file that cannot be
    right, see `check_files`.
    """
    folder = find_folder(spec.checkpoint, patterns, revision or spec.revision, without)
    check_files(folder, spec.checkpoint)
    return folder


def find_folder(name: str, patterns: Sequence[str], revision: str | None = None, without: Collection[str] = ()) -> Path:
    """Return the folder of this name, or that of a hub id once its files are here. Raises `HubError`."""
    return Path(name) if Path(name).is_dir() else _download(name, patterns, revision, without)


def _download(name: str, patterns: Sequence[str], revision: str | None, without: Collection[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    pinned = f" --revision {revision}" if revision else ""
    try:
        wanted, unwanted = list(patterns), sorted(without) or None
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted, ignore_patterns=unwanted))
    except LocalEntryNotFoundError:
        raise HubError(
            f"the Hugging Face hub cannot be reached and {name} is not in the local cache.\n"
            f"On a machine with a connection run: hf download {name}{pinned}\n"
            "then bring its cache here (HF_HOME), or name the folder of the files instead"
        ) from None
    except HfHubHTTPError as error:
        raise HubError(f"the Hugging Face hub refuses {name} (revision {revision or 'main'}): {error}") from None
    except HFValidationError:
        raise ModelError(f"{name!r} is neither a folder nor an id of the Hugging Face hub (owner/name)") from None


def check_files(folder: Path, name: str) -> None:
    """Look at a checkpoint's files before transformers does.

    Raises `ModelError` for an adapter beside weights or alone, for a JSON file that is not what it should be (see
    `read_json_files`), for code of its own that transformers has no class for, and for what is not in the folder.
    """
    _refuse_adapter(folder, name)
    _refuse_gguf(folder, name)
    _refuse_open_clip(folder, name)
    contents = read_json_files(folder)
    for file_name, content in contents.items():
        _refuse_code(folder / file_name, content, contents)
    _refuse_other_weights(folder, contents)
    if contents.get("processor_config.json", {}).get("audio_tokenizer") or "audio_tokenizer_config.json" in contents:
        raise ModelError(f"{folder} asks for an audio tokenizer, a model of another checkpoint: it is never fetched")


def _refuse_adapter(folder: Path, name: str) -> None:
    if not (folder / ADAPTER_CONFIG).exists():
        return
    if (folder / "config.json").exists():
        raise ModelError(
            f"{name} has {ADAPTER_CONFIG} beside its weights, and nothing says whether they have the adapter in them. "
            f"If so, remove {ADAPTER_CONFIG}; if not, move it and its adapter_model.safetensors into a folder of their "
            "own and add --adapter FOLDER"
        )
    base = read_json(folder / ADAPTER_CONFIG).get("base_model_name_or_path") or "BASE"
    raise ModelError(f"{name} holds an adapter only, not a model: use --model {base} --adapter {name}")


def _refuse_gguf(folder: Path, name: str) -> None:
    if (found := next(folder.glob("*.gguf"), None)) and not (folder / "config.json").exists():
        raise ModelError(f"{name} holds {found.name}: {GGUF}")


def _refuse_open_clip(folder: Path, name: str) -> None:
    if (folder / OPEN_CLIP_CONFIG).exists() and not ((folder / "config.json").exists() and any(folder.glob(WEIGHTS))):
        raise ModelError(
            f"{name} is laid out for open_clip: convert it to a CLIPModel of transformers, save model and processor "
            "with save_pretrained, and name that folder"
        )


def read_json_files(folder: Path) -> dict[str, Any]:
    """Return what every *.json of a folder holds, by the file's name. Raises `ModelError`, see `read_json`."""
    return {path.name: read_json(path) for path in sorted(folder.glob("*.json"))}


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises `ModelError` naming the file where it cannot be read, is larger than 256 MB, is nested deeper than 100
    levels, or is no object where it has to be one.
    """
    try:
        if path.stat().st_size > JSON_BYTES:
            raise ModelError(f"{path} has {path.stat().st_size:,} bytes: no JSON file of a checkpoint is that large")
        content = json.loads(path.read_text(encoding="utf-8"))
        for depth, _ in enumerate(_levels(content)):
            if depth >= JSON_DEPTH:
                raise RecursionError
    except RecursionError:
        raise ModelError(f"{path} is nested deeper than {JSON_DEPTH} levels") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from None
    except ModelError:
        raise
    except ValueError as error:
        raise ModelError(f"{path} is not JSON: {error}") from None
    if not isinstance(content, dict) and any(fnmatch(path.name, pattern) for pattern in OBJECTS):
        raise ModelError(f"{path} holds no JSON object but a {type(content).__name__}")
    return content


def _levels(content: Any) -> Iterator[list[Any]]:
    """Yield the objects and lists of a JSON document, level by level."""
    level = [content] if isinstance(content, dict | list) else []
    while level:
        yield level
        inside = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for values in inside for inner in values if isinstance(inner, dict | list)]


def _refuse_code(path: Path, content: Any, contents: Mapping[str, Any]) -> None:
    """Refuse code of its own where transformers has nothing in its place; where it has, that is what runs."""
    parts = (part for level in _levels(content) for part in level if isinstance(part, dict) and "auto_map" in part)
    for part in parts:
        for kind, references in _asked_for(path, part["auto_map"]).items():
            if not _is_native(kind, references, part, path.name, contents):
                raise ModelError(
                    f"{path} asks for {' or '.join(references)} (auto_map): code of its own, which is never run, and "
                    "this version of transformers has nothing in its place"
                )


def _asked_for(path: Path, auto_map: Any) -> dict[str, list[str]]:
    """Return the classes that an auto_map asks for, by the kind of class: one, several, or one for each backend."""
    by_kind = {"AutoTokenizer": auto_map} if isinstance(auto_map, list) else auto_map  # as old tokenizers have it
    if not isinstance(by_kind, dict):
        raise ModelError(f"{path} has an auto_map that is no object but a {type(auto_map).__name__}")
    several = {
        kind: list(asked.values()) if isinstance(asked, dict) else asked if isinstance(asked, list) else [asked]
        for kind, asked in by_kind.items()
    }
    return {kind: found for kind, asked in several.items() if (found := [one for one in asked if isinstance(one, str)])}


def _is_native(
    kind: str, references: list[str], part: Mapping[str, Any], file_name: str, contents: Mapping[str, Any]
) -> bool:
    """Return whether transformers has a class of its own where a part of a file asks for one, or never looks there."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    if file_name == "config.json":
        if kind != "AutoConfig" and not kind.startswith("AutoModel"):
            return True
        inner = part is not contents[file_name]  # its class follows from the whole where it names no type
        family = part.get("model_type")
        return (isinstance(family, str) and family in CONFIG_MAPPING_NAMES) or (inner and "model_type" not in part)
    if kind not in CLASS_NAMES:
        return True
    field = CLASS_NAMES[kind]
    # What is named beside the map counts, then what any file names, then the class itself that is asked for.
    beside = [part[field]] if isinstance(part.get(field), str) else []
    names = beside or _named(field, contents) or [reference.rpartition(".")[2] for reference in references]
    return any(map(_has_class, names))


def _named(field: str, contents: Mapping[str, Any]) -> list[str]:
    """Return what a field holds wherever it stands in the files of a checkpoint."""
    parts = (part for level in _levels(contents) for part in level if isinstance(part, dict))
    return [part[field] for part in parts if isinstance(part.get(field), str)]


def _has_class(name: str) -> bool:
    return not _classes().isdisjoint((name, name.removesuffix("Fast"), f"{name}Fast"))


@cache
def _classes() -> set[str]:
    """Return the names of all classes of transformers, also of those it hides where torchvision is missing."""
    import transformers
    from transformers.models.auto.processing_auto import PROCESSOR_MAPPING_NAMES

    return {*dir(transformers), *PROCESSOR_MAPPING_NAMES.values()}


def _refuse_other_weights(folder: Path, contents: Mapping[str, Any]) -> None:
    """Refuse weights that the folder's hash would not see, and those that no process alone can read."""
    if found := next(folder.glob(SHARDS_OF_PROCESSES), None):
        raise ModelError(f"{found} is one process's part of a training run's weights: save the model as a whole first")
    named = {"config.json": [contents.get("config.json", {}).get("transformers_weights")]}
    for file_name, content in contents.items():
        if file_name.endswith(".safetensors.index.json"):
            weights = content.get("weight_map")
            if not isinstance(weights, dict):
                raise ModelError(f"{folder / file_name} has no weight_map, which says where each weight is")
            named[file_name] = list(weights.values())
    for file_name, names in named.items():
        for name in names:
            if name is not None and (not isinstance(name, str) or Path(name).name != name):
                raise ModelError(f"{folder / file_name} names weights that are not in its folder: {name!r}")


@contextmanager
def loading(name: str | Path, part: str, folder: Path | None = None) -> Iterator[None]:
    """Let whatever fails inside the block be a `ModelError` that names the checkpoint, the part and its files.

    transformers answers odd files with any error there is. Want of memory is passed on as it is.
    """
    import torch

    try:
        yield
    except (ModelError, HubError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        done, patterns = PARTS[part]
        found = [file.name for pattern in patterns for file in sorted((folder or Path(name)).glob(pattern))]
        files = f" ({', '.join(dict.fromkeys(found))})" if found else ""
        raise ModelError(f"{name}: its {part}{files} cannot be {done}: {in_words(error)}") from error


def in_words(error: Exception) -> str:
    """Return an error as a line of bounded length, without transformers' advice to trust the checkpoint's code."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if "trust_remote_code" in str(error):
        return "it asks to run code of its own, which savs never does"
    return shorten(f"{type(error).__name__}: {error}", 600, placeholder=" ...")


def load_config(folder: Path, name: str, encoders: bool = False) -> Any:
    """Return a checkpoint's configuration, rid of all it says of how attention and experts are to be computed.

    Such a word may name a kernel to fetch from the hub, and vectors depend on it: each part of the model gets what
    transformers takes by default, PyTorch's own attention where its code allows it. Raises `ModelError`, also for an
    encoder unless `encoders` are asked for.
    """
    from transformers import AutoConfig

    with loading(name, "configuration", folder):
        config = answering(AutoConfig.from_pretrained(folder, trust_remote_code=False))
        for part in configurations(config):
            part._attn_implementation_internal = part._experts_implementation_internal = None
    if encoders and is_encoder(config):
        return config
    try:
        reads_pictures(config)
    except ModelError as error:
        raise ModelError(f"{name} is {error}") from None
    return config


def configurations(config: Any) -> Iterator[Any]:
    """Yield a configuration and those of its parts, wherever they are kept."""
    from transformers import PreTrainedConfig

    if isinstance(config, PreTrainedConfig):
        yield config
        config = vars(config)
    if isinstance(config, dict | list | tuple):
        for part in config.values() if isinstance(config, dict) else config:
            yield from configurations(part)


def file_hashes(folder: Path) -> dict[str, str]:
    """Return what the files of a checkpoint are known by: its weights and its configurations."""
    return {"weights": files_hash(folder, "*.safetensors"), "configs": files_hash(folder, "*config*.json")}


def files_hash(folder: Path, *patterns: str) -> str:
    """Return the SHA-256 of the files of these patterns, one after the other."""
    digest = sha256()
    for pattern in patterns:
        for path in sorted(folder.glob(pattern)):
            with path.open("rb") as file:
                while block := file.read(HASH_BLOCK_BYTES):
                    digest.update(block)
    return digest.hexdigest()
