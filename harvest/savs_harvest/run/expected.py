"""The model that a classifier was fitted on: found, confirmed, loaded as far as it is needed, and no other.

Nothing that a classifier's file says is loaded before it is looked at: a folder never, a download when it is confirmed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.checkpoints import HUB_FILES, file_hashes, files_hash, load_config, read_json
from savs_harvest.models.loading import LoadedModel
from savs_harvest.models.quantized import on_load
from savs_harvest.models.residuals import HOOK
from savs_harvest.models.shards import left_out
from savs_harvest.models.specs import HEADS, RESIDUAL, SCHEMES, ModelSpec, at_site, find_model, quantized
from savs_harvest.models.tiny import CHECKPOINT
from savs_harvest.models.tiny_clip import CHECKPOINT as CLIP_CHECKPOINT
from savs_harvest.run.encoding import Encoder
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import head_table, identity
from savs_stores import MismatchError
from savs_stores.format.fingerprint import differences

HUB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")
COMMIT = re.compile(r"[0-9a-f]{40}")
# What moves vectors by rounding only: told and allowed. What says nothing of vectors.
TOLD = ("dtype", "attention", "batching", "padding", "compiled")
SILENT = ("logits", "answers")
FILES = ("weights", "configs")
BY_LAYER = ("heads", "layers_without_heads")
# The models of this package, which need not be named.
EMBEDDED = {"tiny": CHECKPOINT, "tiny-clip": CLIP_CHECKPOINT}


@dataclass(frozen=True)
class Expected:
    """What a classifier needs: its model's name, all that made its vectors, and of which `heads`, (layer, place).

    `files` are the hashes of a model of the hub, by which a copy in a folder is known; they may be missing.
    """

    name: str
    identity: Mapping[str, Any]
    heads: Sequence[tuple[int, int]]
    dim: int
    files: Mapping[str, Any] = field(default_factory=dict)

    @property
    def hub_id(self) -> str | None:
        """The model of the hub that was fitted; None for a folder."""
        found = self.identity.get("model")
        return None if found is None else str(found)

    @cached_property
    def known_files(self) -> dict[str, Any]:
        """The hashes of its files, as the classifier's file says or of the hub's cache here; {} where neither knows."""
        if self.hub_id is None:
            return {name: self.identity.get(name) for name in FILES}
        return {name: self.files[name] for name in FILES} if set(FILES) <= set(self.files) else hub_files(self.identity)

    @property
    def scheme(self) -> str | None:
        """What its weights were quantised by when it was loaded; None where they were not, or in its own files."""
        said = self.identity.get("quantization")
        return next((scheme for scheme in SCHEMES if said == on_load(scheme).identity()), None)

    @property
    def layers(self) -> int:
        """How many layers, from the first, have all heads that are needed."""
        return 1 + max(layer for layer, _ in self.heads)

    def settings(self, token_budget: int | None = None, workers: int = 0) -> Settings:
        """Return how its samples are asked: by the parity and on the date of those that were learnt from."""
        parity = self.identity.get("parity")
        words = tuple(map(str, parity)) if isinstance(parity, list) else ()
        usual = Settings(token_budget=token_budget, logits=False, parity=words, workers=workers)
        date = self.identity.get("date")
        return replace(usual, date=date) if isinstance(date, str) else usual


@dataclass(frozen=True)
class Choice:
    """What a person chooses of the model: which (None: the one that the file names), and how it computes."""

    model: str | None = None
    adapter: str | None = None
    revision: str | None = None
    dtype: str | None = None
    device: str = "auto"
    device_map: str | None = None


def load_expected(expected: Expected, choice: Choice, confirmed: Callable[[str], bool]) -> LoadedModel:
    """Return the model, loaded up to the last layer that is needed.

    `confirmed` is asked before a model that nobody but the file names is downloaded. Raises `MismatchError` with the
    fields in which the model is another one, or where none may be loaded.
    """
    site = RESIDUAL if expected.identity.get("hook") == HOOK else HEADS
    spec = at_site(quantized(_find(expected, choice), expected.scheme), site)
    _check_source(expected, spec)
    if choice.model is None and not is_here(spec, expected.layers) and not confirmed(spec.checkpoint):
        raise MismatchError(
            f"the classifier's file names the model {spec.checkpoint}, which would be downloaded: if that is what you "
            f"want, say so with --yes, or name the model yourself with --model {spec.checkpoint}"
        )
    dtype = choice.dtype or str(expected.identity.get("dtype") or "") or None
    layers = expected.layers if spec.site == HEADS else None  # hidden states go through the norm behind the last layer
    loaded = load_model(spec, choice.device, dtype, choice.revision, layers=layers, device_map=choice.device_map)
    return _confirmed(expected, loaded)


def told(expected: Expected, loaded: LoadedModel, settings: Settings) -> list[str]:
    """Return in what the vectors may differ by rounding from those that were learnt from."""
    found = identity(loaded, settings)
    pair = ({name: fields.get(name) for name in TOLD} for fields in (expected.identity, found))
    return list(map(_worded, differences(*pair)))


def encoder_of(expected: Expected, loaded: LoadedModel, settings: Settings) -> Encoder:
    """Return what gives the vectors of the heads that are needed, in their order. Raises `MismatchError`."""
    table = head_table(loaded)
    pairs = zip(table.layer.tolist(), table.head_in_layer.tolist(), strict=True)
    places = {pair: place for place, pair in enumerate(pairs)}
    wanted = [(int(layer), int(head)) for layer, head in expected.heads]
    if missing := [pair for pair in wanted if pair not in places]:
        raise MismatchError(f"{loaded.name} has no head {missing[0][1]} in layer {missing[0][0]}: it is another model")
    return Encoder(loaded, settings, [places[pair] for pair in wanted])


def widened(vectors: np.ndarray, dim: int) -> np.ndarray:
    """Return vectors as wide as those that were learnt from: the widest head may be in a layer that is not loaded."""
    return np.pad(vectors[:, :, :dim], ((0, 0), (0, 0), (0, max(0, dim - vectors.shape[2]))))


def is_here(spec: ModelSpec, layers: int | None = None) -> bool:
    """Return whether all files of a model, or all that so many first layers need, are on this machine."""
    return Path(spec.checkpoint).is_dir() or _cached(spec.checkpoint, spec.revision, layers, spec.adapter) is not None


def hub_files(identity: Mapping[str, Any]) -> dict[str, str]:
    """Return the hashes of a hub model's files in the cache here; {} where they are not, and for a folder."""
    name, revision = str(identity.get("model")), str(identity.get("revision"))
    found = _cached(name, revision) if HUB_ID.fullmatch(name) and COMMIT.fullmatch(revision) else None
    return file_hashes(found) if found else {}


def _cached(name: str, revision: str | None, layers: int | None = None, adapter: str | None = None) -> Path | None:
    """Return the folder of a model of the hub, None where it is not whole in the cache. Nothing is downloaded."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = Path(snapshot_download(name, revision=revision, allow_patterns=HUB_FILES, local_files_only=True))
    except (LocalEntryNotFoundError, ValueError):
        return None
    return found if _has_weights(found, layers, adapter) else None


def _has_weights(folder: Path, layers: int | None, adapter: str | None = None) -> bool:
    if not (folder / "config.json").exists():
        return False
    without = left_out(folder, load_config(folder, str(folder)), layers, adapter) if layers else frozenset()
    indexes = list(folder.glob("*.safetensors.index.json"))
    names = {str(name) for path in indexes for name in read_json(path).get("weight_map", {}).values()}
    return all((folder / name).exists() for name in names - without) if names else any(folder.glob("*.safetensors"))


def _find(expected: Expected, choice: Choice) -> ModelSpec:
    """Return the model that a person names, else the one of the hub, or of this package, that the file names."""
    named, revision = (expected.identity.get(name) for name in ("model", "revision"))
    if choice.model is not None:
        spec = find_model(choice.model, choice.adapter)
        pinned = revision if spec.checkpoint == named and isinstance(revision, str) else spec.revision
        return replace(spec, revision=choice.revision or pinned)
    if expected.identity.get("adapter") and not choice.adapter:
        raise MismatchError("the classifier was fitted on a model with an adapter: name it with --adapter")
    for embedded, folder in EMBEDDED.items():
        if named is None and expected.identity.get("weights") == files_hash(folder, "*.safetensors"):
            return find_model(embedded, choice.adapter)
    if not isinstance(named, str) or not HUB_ID.fullmatch(named) or not COMMIT.fullmatch(str(revision)):
        raise MismatchError(
            f"the classifier was fitted on a model of a folder, {expected.name!r}: no folder is loaded because a file "
            "says so, name it with --model"
        )
    if Path(named).exists():
        raise MismatchError(f"the classifier names {named} of the hub, and a folder here has that name: say --model")
    return replace(find_model(named, choice.adapter), revision=choice.revision or str(revision))


def _check_source(expected: Expected, spec: ModelSpec) -> None:
    """Raise `MismatchError` where it is plain, before anything is loaded, that it is another model, or may be.

    A folder and a model of the hub may be one model: that is proven by the hashes of their files, or not at all.
    """
    fitted, now = expected.hub_id, None if Path(spec.checkpoint).is_dir() else spec.checkpoint
    advice = ""
    if now is None and fitted is not None:
        if expected.known_files:
            return
        brought = f"hf download {fitted} --revision {expected.identity.get('revision')}"
        advice = (
            "\nThis folder may be a copy of it, but neither the classifier's file nor a cache here has the hashes of "
            f"its files to prove that: leave --model out ({brought} brings it), or fit again with savs-harvest fit, "
            "which writes them"
        )
    if fitted is None and now is not None:
        if is_here(spec):
            return
        advice = f"\nIt may be a copy of the folder that was fitted: hf download {now}, and its files are compared"
    _refuse(differences({"model": fitted}, {"model": now}), advice)


def _confirmed(expected: Expected, loaded: LoadedModel) -> LoadedModel:
    """Return the model where it is the one that was fitted, by its name on the hub or by its files."""
    fitted, found = expected.identity, identity(loaded, expected.settings())
    copy = (expected.hub_id is None) != (found["model"] is None)
    if copy:
        hashes = file_hashes(loaded.folder) if found["model"] else {name: found[name] for name in FILES}
        fitted, found = _by_files(fitted, expected.known_files), _by_files(found, hashes)
    _refuse(differences(_fields(fitted, expected.layers), _fields(found, expected.layers)))
    said = f"its files are, byte for byte, those of {expected.hub_id or 'the folder'} that was fitted"
    return replace(loaded, remarks=(*loaded.remarks, said)) if copy else loaded


def _by_files(identity: Mapping[str, Any], hashes: Mapping[str, Any]) -> dict[str, Any]:
    return {**identity, "model": None, "revision": None, **hashes}


def _fields(identity: Mapping[str, Any], layers: int) -> dict[str, Any]:
    """Return what has to be equal: of layers, those that are needed; the rules for pictures one by one."""
    fields = {name: value for name, value in identity.items() if name not in (*TOLD, *SILENT)}
    for name in BY_LAYER:
        if isinstance(rows := fields.get(name), list):
            fields[name] = [row for row in rows if _layer(row) < layers]
    if isinstance(rules := fields.get("image_processor"), dict):
        fields |= {f"image_processor {name}": value for name, value in rules.items()}
        del fields["image_processor"]
    return fields


def _layer(row: Any) -> int:
    return row[0] if isinstance(row, list) and row and isinstance(row[0], int) else -1


def _refuse(lines: Sequence[str], advice: str = "") -> None:
    if lines:
        listed = "".join(f"\n  {_worded(line)}" for line in lines)
        raise MismatchError(
            f"this is not the model that the classifier was fitted on, its vectors differ:{listed}{advice}"
        )


def _worded(line: str) -> str:
    return line.replace(" in the store, ", " when it was fitted, ")
