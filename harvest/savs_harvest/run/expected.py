"""The model that a classifier was fitted on: found, confirmed, loaded as far as it is needed, and no other.

Nothing that a classifier's file says is loaded before it is looked at: a folder never, a download when it is confirmed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.checkpoints import HUB_FILES, files_hash, read_json
from savs_harvest.models.loading import LoadedModel
from savs_harvest.models.specs import ModelSpec, find_model
from savs_harvest.models.tiny import CHECKPOINT
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
BY_LAYER = ("heads", "layers_without_heads")


@dataclass(frozen=True)
class Expected:
    """What a classifier needs: its model's name, all that made its vectors, and of which `heads`, (layer, place)."""

    name: str
    identity: Mapping[str, Any]
    heads: Sequence[tuple[int, int]]
    dim: int

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


def load_expected(expected: Expected, choice: Choice, confirmed: Callable[[str], bool]) -> LoadedModel:
    """Return the model, loaded up to the last layer that is needed.

    `confirmed` is asked before a model that nobody but the file names is downloaded. Raises `MismatchError` with the
    fields in which the model is another one, or where none may be loaded.
    """
    spec = _find(expected, choice)
    _refuse(differences(*({"model": one} for one in _hub_ids(expected, spec))))
    if choice.model is None and not is_here(spec) and not confirmed(spec.checkpoint):
        raise MismatchError(
            f"the classifier's file names the model {spec.checkpoint}, which would be downloaded: if that is what you "
            f"want, say so with --yes, or name the model yourself with --model {spec.checkpoint}"
        )
    dtype = choice.dtype or str(expected.identity.get("dtype") or "") or None
    loaded = load_model(spec, choice.device, dtype, choice.revision, layers=expected.layers)
    _refuse(_compared(expected, identity(loaded, expected.settings())))
    return loaded


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


def is_here(spec: ModelSpec) -> bool:
    """Return whether all files of a model are on this machine."""
    if Path(spec.checkpoint).is_dir():
        return True
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        found = snapshot_download(
            spec.checkpoint, revision=spec.revision, allow_patterns=HUB_FILES, local_files_only=True
        )
    except (LocalEntryNotFoundError, ValueError):
        return False
    return _has_weights(Path(found))


def _has_weights(folder: Path) -> bool:
    indexes = list(folder.glob("*.safetensors.index.json"))
    names = {str(name) for path in indexes for name in read_json(path).get("weight_map", {}).values()}
    whole = all((folder / name).exists() for name in names) if names else any(folder.glob("*.safetensors"))
    return (folder / "config.json").exists() and whole


def _find(expected: Expected, choice: Choice) -> ModelSpec:
    """Return the model that a person names, else the one of the hub, or of this package, that the file names."""
    named, revision = (expected.identity.get(name) for name in ("model", "revision"))
    if choice.model is not None:
        spec = find_model(choice.model, choice.adapter)
        pinned = revision if spec.checkpoint == named and isinstance(revision, str) else spec.revision
        return replace(spec, revision=choice.revision or pinned)
    if expected.identity.get("adapter") and not choice.adapter:
        raise MismatchError("the classifier was fitted on a model with an adapter: name it with --adapter")
    if named is None and expected.identity.get("weights") == files_hash(CHECKPOINT, "*.safetensors"):
        return find_model("tiny", choice.adapter)
    if not isinstance(named, str) or not HUB_ID.fullmatch(named) or not COMMIT.fullmatch(str(revision)):
        raise MismatchError(
            f"the classifier was fitted on a model of a folder, {expected.name!r}: no folder is loaded because a file "
            "says so, name it with --model"
        )
    if Path(named).exists():
        raise MismatchError(f"the classifier names {named} of the hub, and a folder here has that name: say --model")
    return replace(find_model(named, choice.adapter), revision=choice.revision or str(revision))


def _hub_ids(expected: Expected, spec: ModelSpec) -> tuple[Any, Any]:
    """Return which models of the hub are meant, before anything is loaded."""
    return expected.identity.get("model"), None if Path(spec.checkpoint).is_dir() else spec.checkpoint


def _compared(expected: Expected, found: Mapping[str, Any]) -> list[str]:
    return differences(_fields(expected.identity, expected.layers), _fields(found, expected.layers))


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


def _refuse(lines: Sequence[str]) -> None:
    if lines:
        listed = "".join(f"\n  {_worded(line)}" for line in lines)
        raise MismatchError(f"this is not the model that the classifier was fitted on, its vectors differ:{listed}")


def _worded(line: str) -> str:
    return line.replace(" in the store, ", " when it was fitted, ")
