"""Checksums of a shard: one of every inner chunk and of every array beside the vectors, and one over them all."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import google_crc32c
import numpy as np
from jaxtyping import Float16, UInt32

from savs_stores.format.schema import PER_SAMPLE
from savs_stores.format.shard import Shard

# Called with a shard, its heads and their chunks [head, sample, dim], all real samples of the shard.
Check = Callable[[int, Sequence[int], Float16[np.ndarray, "head sample dim"]], None]
# What stands behind the heads on the axis of the checksums.
BESIDE = tuple(PER_SAMPLE)


def crc32c(values: np.ndarray) -> int:
    """Return the CRC-32C of an array's values, little-endian, in their order."""
    content = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<")).view()
    content.flags.writeable = False  # only what cannot change is taken as it lies there
    return int(google_crc32c.value(content))


def wrong_heads(chunks: Float16[np.ndarray, "head sample dim"], sums: UInt32[np.ndarray, " head"]) -> list[int]:
    """Return the places of the heads whose vectors do not have these checksums."""
    return [
        place
        for place, (chunk, wanted) in enumerate(zip(chunks, sums.tolist(), strict=True))
        if crc32c(chunk) != wanted
    ]


def checksums(content: Shard) -> UInt32[np.ndarray, " chunk"]:
    """Return the checksums of a shard: of the vectors of each head [sample, dim], then of `BESIDE`."""
    heads = [crc32c(content.heads[:, head]) for head in range(content.heads.shape[1])]
    beside = [crc32c(getattr(content, name)) for name in PER_SAMPLE]
    return np.array([*heads, *beside], dtype=np.uint32)


def record(index_hash: str, fingerprint: str, shard: int, sums: UInt32[np.ndarray, " chunk"]) -> int:
    """Return the CRC-32C of what a shard is of, which it is, and its checksums; never 0 (0 says: not harvested).

    A shard of other samples, another model or another place has another record. How it was made is in neither: the
    same vectors have the same checksums and the same record.
    """
    of = f"{index_hash}\n{fingerprint}\n{shard}\n".encode()
    return int(google_crc32c.value(of + sums.astype("<u4").tobytes())) or 0xFFFFFFFF
