"""What the zarr.json of an array says, compared with the format before anything of the array is read. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

from numcodecs import Blosc, Zstd

from savs_stores.errors import StoreError
from savs_stores.faults import zarr_errors_in_words
from savs_stores.format.schema import ALLOWED_CODECS, ArraySpec

# What a column, or one chunk of what is written shard by shard, may hold when it is decoded.
MOST_BYTES = 256 * 2**20
MOST_CHUNKS = 2**17
TEXT_BYTES = 4  # a text has at least its length
CHECKSUM_BYTES = 4
HEADER_BYTES = 18  # of zstd, the longer one
SERIALIZERS, COMPRESSORS = ("bytes", "vlen-utf8"), ("zstd", "blosc")
KEYS = {"name": "default", "configuration": {"separator": "/"}}


@dataclass(frozen=True)
class Layout:
    """How an array is cut; `inner` is the shape of the chunks in a shard, of vectors alone."""

    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    codecs: tuple[str, ...]
    item_bytes: int
    inner: tuple[int, ...] = ()

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk when it is decoded, of texts the least."""
        return prod(self.chunks) * self.item_bytes

    @property
    def total_bytes(self) -> int:
        return prod(self.shape) * self.item_bytes

    @property
    def most_packed(self) -> int:
        """Bytes that the file of a chunk may have."""
        return MOST_BYTES if self.codecs[0] == "vlen-utf8" else self.chunk_bytes + self.chunk_bytes // 64 + 4096

    @property
    def counts(self) -> tuple[int, ...]:
        """Chunks along each axis."""
        return tuple(-(-length // chunk) for length, chunk in zip(self.shape, self.chunks, strict=True))

    def chunk_keys(self) -> Iterator[tuple[int, str]]:
        """Yield of each chunk its number along the first axis, and where it lies within its array."""
        for index in product(*map(range, self.counts)):
            yield index[0], "/".join(["c", *map(str, index)])


def layout_of(where: str, document: Mapping[str, Any], spec: ArraySpec) -> Layout:
    """Return how an array is cut. Raises `StoreError` naming the place and what the format does not know."""
    with zarr_errors_in_words(where):
        found, wanted = document["data_type"], "string" if spec.dtype.kind == "T" else str(spec.dtype)
        if found != wanted:
            raise StoreError(f"{where} has type {str(found)[:80]}, the format says {wanted}")
        axes = document.get("dimension_names")
        if (axes := tuple(axes) if isinstance(axes, list) else axes) != spec.axes:
            raise StoreError(f"{where} has axes {str(axes)[:80]}, the format says {spec.axes}")
        if document["chunk_grid"]["name"] != "regular" or document["chunk_key_encoding"] != KEYS:
            raise StoreError(f"{where} names its chunks otherwise than the format says")
        shape = _lengths(where, document["shape"], spec)
        chunks = _lengths(where, document["chunk_grid"]["configuration"]["chunk_shape"], spec)
        codecs = document["codecs"]
        if not (names := codec_names(codecs)) <= ALLOWED_CODECS:
            raise StoreError(f"{where} uses codecs {sorted(names - ALLOWED_CODECS)}, which a savs store does not")
        if spec.sharded:
            if [codec["name"] for codec in codecs] != ["sharding_indexed"]:
                raise StoreError(f"{where} is not sharded: this is no savs store")
            sharding = codecs[0]["configuration"]
            inner, codecs = _lengths(where, sharding["chunk_shape"], spec), sharding["codecs"]
            index = [codec["name"] for codec in sharding["index_codecs"]]
            if (index, sharding.get("index_location", "end")) != (["bytes", "crc32c"], "end"):
                raise StoreError(f"{where} has no index with a checksum at the end of its shards")
        else:
            inner = ()
        order = tuple(str(codec["name"]) for codec in codecs)
    if not _in_order(order):
        raise StoreError(f"{where} uses the codecs {', '.join(order)} in an order that a savs store does not")
    layout = Layout(shape, chunks, order, TEXT_BYTES if spec.dtype.kind == "T" else spec.dtype.itemsize, inner)
    check_size(where, layout)
    return layout


def check_size(where: str, layout: Layout) -> None:
    """Raise `StoreError` where a store declares more than can be."""
    if prod(layout.counts) > MOST_CHUNKS:
        raise StoreError(f"{where} declares {prod(layout.counts):,} chunks: a savs store has at most {MOST_CHUNKS:,}")
    one = prod(layout.inner) * layout.item_bytes if layout.inner else layout.chunk_bytes
    if one > MOST_BYTES:
        shape = " x ".join(f"{length:,}" for length in layout.inner or layout.chunks)
        raise StoreError(f"{where} declares chunks of {shape}, {one:,} bytes: a savs store has at most {MOST_BYTES:,}")


def check_inflated(where: str, layout: Layout, content: bytes) -> None:
    """Raise `StoreError` where a chunk would be decoded to another number of bytes than its array declares.

    A few bytes can stand for gigabytes: how many is asked of their head, and they are not decoded for it.
    """
    text = layout.codecs[0] == "vlen-utf8"
    checksum = CHECKSUM_BYTES if layout.codecs[-1] == "crc32c" else 0
    packed = next((name for name in layout.codecs if name in COMPRESSORS), "")
    length = len(content) - checksum
    inflated = inflated_bytes(packed, content, length) if packed else length
    if inflated is None:
        raise StoreError(f"{where} cannot be read, it is damaged: it does not begin as {packed} does")
    if inflated > MOST_BYTES or (not text and inflated != layout.chunk_bytes):
        raise StoreError(
            f"{where} cannot be read, it is damaged: it holds {inflated:,} bytes, its array says {layout.chunk_bytes:,}"
        )
    if text:
        with zarr_errors_in_words(where):
            decode = {"zstd": Zstd().decode, "blosc": Blosc().decode}.get(packed, bytes)
            count = int.from_bytes(bytes(decode(content[:length]))[:4], "little")
        if count != prod(layout.chunks):
            raise StoreError(f"{where} cannot be read, it is damaged: it holds {count:,} texts")


def inflated_bytes(codec: str, content: bytes, length: int) -> int | None:
    """Return the bytes that so many compressed ones stand for, by how they begin; None where they do not say."""
    if codec == "blosc":
        sound = len(content) >= 16 and int.from_bytes(content[12:16], "little") == length
        return int.from_bytes(content[4:8], "little") if sound else None
    # RFC 8878, 3.1.1: the magic number, a byte of flags, perhaps a window and a dictionary, the content's size.
    if len(content) < 6 or content[:4] != b"\x28\xb5\x2f\xfd":
        return None
    flags = content[4]
    alone = flags >> 5 & 1
    size = (alone, 2, 4, 8)[flags >> 6]
    start = 5 + (not alone) + (0, 1, 2, 4)[flags & 3]
    if not size or len(content) < start + size:
        return None
    return int.from_bytes(content[start : start + size], "little") + 256 * (size == 2)


def codec_names(codecs: Any) -> set[str]:
    """Return the names of all codecs, also those inside a sharding codec."""
    names = set()
    for codec in codecs:
        names.add(codec["name"])
        inner = codec.get("configuration", {})
        names |= codec_names(inner.get("codecs", ())) | codec_names(inner.get("index_codecs", ()))
    return names


def _lengths(where: str, found: Any, spec: ArraySpec) -> tuple[int, ...]:
    if not isinstance(found, list) or len(found) != len(spec.axes):
        raise StoreError(f"{where} has the shape {str(found)[:80]}, the format says {spec.axes}")
    if not all(type(length) is int and 0 < length < 2**63 for length in found):
        raise StoreError(f"{where} has the shape {str(found)[:80]}: lengths are whole numbers above 0")
    return tuple(found)


def _in_order(codecs: tuple[str, ...]) -> bool:
    """Tell whether values become bytes once, are compressed at most once, and get a checksum at most last."""
    first, *rest = codecs or ("",)
    if rest and rest[-1] == "crc32c":
        rest.pop()
    return first in SERIALIZERS and (not rest or (len(rest) == 1 and rest[0] in COMPRESSORS))
