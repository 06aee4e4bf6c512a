"""One shard in memory: the vectors of a run of samples and what stands beside them."""

from __future__ import annotations

from dataclasses import dataclass

import google_crc32c
import numpy as np
from jaxtyping import Float, Float16, Float32, Int32, UInt8

from savs_stores.format.schema import PER_SAMPLE, Status

LARGEST = float(np.finfo(np.float16).max)


@dataclass
class Shard:
    """What one shard holds; every array has the shard's samples as its first axis."""

    heads: Float16[np.ndarray, "sample head dim"]
    status: UInt8[np.ndarray, " sample"]
    n_tokens: Int32[np.ndarray, " sample"]
    absmax: Float32[np.ndarray, " sample"]
    logits: Float32[np.ndarray, "sample class"]

    @classmethod
    def empty(cls, samples: int, heads: int, dim: int, classes: int) -> Shard:
        """Return a shard in which nothing has been harvested yet."""
        beside = {
            name: np.full((samples, *[classes] * (len(spec.axes) - 1)), spec.fill, spec.dtype)
            for name, spec in PER_SAMPLE.items()
        }
        return cls(heads=np.full((samples, heads, dim), np.nan, np.float16), **beside)

    def put(self, row: int, vectors: Float[np.ndarray, "head dim"]) -> None:
        """Store one sample's vectors, or record it as `NON_FINITE` where float16 cannot hold them."""
        largest = np.abs(vectors).max()
        with np.errstate(over="ignore"):
            self.absmax[row] = largest
        if np.isfinite(vectors).all() and largest <= LARGEST:
            self.heads[row] = vectors
            self.status[row] = Status.OK
        else:
            self.status[row] = Status.NON_FINITE

    def record(self) -> int:
        """Return the CRC-32C of the shard's content, never 0 (0 says: not harvested).

        The vectors are taken as [head, sample, dim], the order of the file, so that the record of
        an uncompressed shard can be checked without moving a byte.
        """
        checksum = google_crc32c.Checksum()
        for head in range(self.heads.shape[1]):
            checksum.update(np.ascontiguousarray(self.heads[:, head], dtype="<f2").tobytes())
        for name, spec in PER_SAMPLE.items():
            checksum.update(np.ascontiguousarray(getattr(self, name), spec.dtype.newbyteorder("<")).tobytes())
        return int.from_bytes(checksum.digest(), "big") or 0xFFFFFFFF
