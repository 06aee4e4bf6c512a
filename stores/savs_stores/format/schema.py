"""The words of the format: names, axes, types, codes. `stores/README.md` is its prose."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from zarr.codecs import BloscCodec

from savs_stores.errors import StoreError

FORMAT = "savs"
FORMAT_VERSION = 2
# Stores of version 1 have no checksums that a read could be compared with.
VERSIONS = (1, 2)
SPLITS = ("pool", "test", "either")
# What computes a layer's heads: attention to the prompt, to the picture, with a gate behind it, or no attention at all.
# Where no head is meant: what an encoder gives for a picture or a text, a layer's hidden state, what a system answers.
HEAD_KINDS = (
    *("unknown", "self", "cross", "gated", "linear", "embedding", "residual", "answer"),
    *("latent", "shared"),
)
CODECS = {"none": None, "blosc-lz4-bitshuffle": BloscCodec(cname="lz4", shuffle="bitshuffle", typesize=2)}
ALLOWED_CODECS = {"bytes", "crc32c", "zstd", "blosc", "sharding_indexed", "vlen-utf8"}
# Labels are int16.
MOST_CLASSES = 2**15 - 1


def check_codec(name: str) -> None:
    """Raise `StoreError` for a codec that stores are not written with."""
    if name not in CODECS:
        raise StoreError(f"unknown codec {name!r}; there are {', '.join(CODECS)}")


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
    sharded: bool = False


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

# What may stand beside the sample table, for people: in no hash of the samples.
TEXTS = {
    "image_path": ArraySpec(("sample", "image"), np.dtypes.StringDType(), ""),
    "question": ArraySpec(("sample",), np.dtypes.StringDType(), ""),
}
TEXTS_HASH = "texts_hash"

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
ADDED = ("kind", "shard_provenance", "chunk_crc32c")
HEADS = ArraySpec(("sample", "head", "dim"), np.dtype("float16"), float("nan"), sharded=True)
# What may stand in a model's group besides, written as a whole: the vectors of texts that name classes.
CLASS_HEADS = ArraySpec(("named_class", "head", "dim"), np.dtype("float16"), float("nan"), sharded=True)
PER_SHARD = {
    "shard_provenance": ArraySpec(("shard",), np.dtypes.StringDType(), ""),
    "chunk_crc32c": ArraySpec(("shard", "chunk"), np.dtype("uint32"), 0),
    "shard_crc32c": ArraySpec(("shard",), np.dtype("uint32"), 0),
}
MODEL = {**PER_HEAD, **PER_SAMPLE, "heads": HEADS, **PER_SHARD}
MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


def check_model_name(name: str) -> str:
    """Return the name; raises `StoreError` where it could not be a folder beside the sample table."""
    if not MODEL_NAME.fullmatch(name) or name in (*TABLE, *TEXTS):
        raise StoreError(f"{name!r} cannot name a model: use small letters, digits, '.', '_', '-', and no array's name")
    return name
