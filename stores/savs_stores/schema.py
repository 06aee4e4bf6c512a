"""The words of the format: names, axes, types, codes. `stores/README.md` is its prose."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec

from savs_stores.errors import StoreError
from savs_stores.remote import faults_in_words

FORMAT = "savs"
FORMAT_VERSION = 1
SPLITS = ("pool", "test", "either")
# What computes a layer's heads: attention to the prompt, to the picture, with a gate behind it, or no attention at all.
HEAD_KINDS = ("unknown", "self", "cross", "gated", "linear")
CODECS = {"none": None, "blosc-lz4-bitshuffle": BloscCodec(cname="lz4", shuffle="bitshuffle", typesize=2)}
ALLOWED_CODECS = {"bytes", "crc32c", "zstd", "blosc", "sharding_indexed", "vlen-utf8"}


class Status(IntEnum):
    """What became of a sample."""

    PENDING = 0
    OK = 1
    IMAGE_MISSING = 2
    NOT_AN_IMAGE = 3
    IMAGE_CORRUPT = 4
    IMAGE_TOO_LARGE = 5
    IMAGE_UNSUPPORTED = 6
    REJECTED = 7
    NON_FINITE = 8
    OUT_OF_MEMORY = 9
    TOO_LONG = 10


@dataclass(frozen=True)
class ArraySpec:
    """One array of a group: its axes, its type, and what it holds where nothing was written."""

    axes: tuple[str, ...]
    dtype: Any
    fill: Any


# The sample table, in the root group.
TABLE = {
    "sample_id": ArraySpec(("sample",), np.dtypes.StringDType(), ""),
    "task": ArraySpec(("sample",), np.dtype("int16"), -1),
    "label": ArraySpec(("sample",), np.dtype("int16"), -1),
    "split": ArraySpec(("sample",), np.dtype("uint8"), 255),
    "group": ArraySpec(("sample",), np.dtype("int32"), -1),
    "slot": ArraySpec(("sample",), np.dtype("int8"), -1),
    "options": ArraySpec(("sample", "option"), np.dtype("int16"), -1),
    "image_hash": ArraySpec(("sample", "image"), np.dtype("uint64"), 0),
    "prompt_hash": ArraySpec(("sample",), np.dtype("uint64"), 0),
}

# What stands beside the vectors in a model's group; written shard by shard.
PER_SAMPLE = {
    "status": ArraySpec(("sample",), np.dtype("uint8"), int(Status.PENDING)),
    "n_tokens": ArraySpec(("sample",), np.dtype("int32"), -1),
    "absmax": ArraySpec(("sample",), np.dtype("float32"), float("nan")),
    "logits": ArraySpec(("sample", "class"), np.dtype("float32"), float("nan")),
}
PER_HEAD = {
    "layer": ArraySpec(("head",), np.dtype("int16"), -1),
    "head_in_layer": ArraySpec(("head",), np.dtype("int16"), -1),
    "head_dim": ArraySpec(("head",), np.dtype("int16"), -1),
    "kind": ArraySpec(("head",), np.dtype("uint8"), 0),
}
# Stores from before an array was part of the format do not have it; its fill value is what they say.
ADDED = ("kind", "shard_provenance")
HEADS = ArraySpec(("sample", "head", "dim"), np.dtype("float16"), float("nan"))
PER_SHARD = {
    "shard_provenance": ArraySpec(("shard",), np.dtypes.StringDType(), ""),
    "shard_crc32c": ArraySpec(("shard",), np.dtype("uint32"), 0),
}
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def check_model_name(name: str) -> str:
    """Return the name; raises `StoreError` where it could not be a folder beside the sample table."""
    if not MODEL_NAME.fullmatch(name) or name in TABLE:
        raise StoreError(f"{name!r} cannot name a model: use small letters, digits, '.', '_', '-', and no array's name")
    return name


@contextmanager
def zarr_errors_in_words(where: Any) -> Iterator[None]:
    """Turn what zarr and its codecs raise over damaged bytes into a `StoreError` that names the place."""
    try:
        with faults_in_words(where):
            yield
    except StoreError:
        raise
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        raise StoreError(f"{where} cannot be read, it is damaged: {type(error).__name__}: {error}") from error


def check_array(group: zarr.Group, name: str, spec: ArraySpec) -> zarr.Array:
    """Return an array of a group after comparing its type, axes and codecs with the format.

    Raises `StoreError` naming the array and the difference; nothing of the array has been read then.
    """
    where = f"{group.store_path}/{name}"
    with zarr_errors_in_words(where):
        array = group.get(name)
    if not isinstance(array, zarr.Array):
        raise StoreError(f"{where} is missing: this is not a complete savs store")
    if array.dtype != spec.dtype and str(array.dtype) != str(spec.dtype):
        raise StoreError(f"{where} has type {array.dtype}, the format says {spec.dtype}")
    found_axes = getattr(array.metadata, "dimension_names", None)
    if found_axes != spec.axes:
        raise StoreError(f"{where} has axes {found_axes}, the format says {spec.axes}")
    codecs = codec_names(array.metadata.to_dict().get("codecs", ()))
    if not codecs <= ALLOWED_CODECS:
        raise StoreError(f"{where} uses codecs {sorted(codecs - ALLOWED_CODECS)}, which a savs store does not")
    return array


def read_array(group: zarr.Group, name: str, spec: ArraySpec) -> Any:
    """Return all values of an array after checking it. Raises `StoreError` also for damaged bytes."""
    array = check_array(group, name, spec)
    with zarr_errors_in_words(f"{group.store_path}/{name}"):
        return array[...]


def read_arrays(group: zarr.Group, specs: Mapping[str, ArraySpec]) -> dict[str, Any]:
    """Return all values of arrays of equal length; one that came later into the format may be missing."""
    found = {
        name: read_array(group, name, spec) for name, spec in specs.items() if not (name in ADDED and name not in group)
    }
    length = len(next(iter(found.values())))
    return {name: found.get(name, np.full(length, spec.fill, spec.dtype)) for name, spec in specs.items()}


def codec_names(codecs: Any) -> set[str]:
    """Return the names of all codecs, also those inside a sharding codec."""
    names = set()
    for codec in codecs:
        names.add(codec["name"])
        inner = codec.get("configuration", {})
        names |= codec_names(inner.get("codecs", ())) | codec_names(inner.get("index_codecs", ()))
    return names
