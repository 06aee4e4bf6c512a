"""Reading uncompressed shards of any Zarr store by byte ranges: the wanted heads alone, many requests at once.

zarr asks for the inner chunks of a shard one after the other, which far from the disk is one delay after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float16
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.core.sync import sync

from savs_stores.errors import StoreError
from savs_stores.format.checksums import Check
from savs_stores.format.plan import ShardPlan
from savs_stores.place.local import VERIFY, head_offsets, picked, runs_in_file, shard_key, shard_rows, span

AT_ONCE = 32
MOST_BYTES = 4 * 2**20


def read(
    store: ZarrStore,
    where: str,
    array: str,
    plan: ShardPlan,
    samples: np.ndarray,
    heads: Sequence[int],
    check: Check | None = None,
) -> Float16[np.ndarray, "head sample dim"]:
    """Return the vectors of sorted, distinct samples and heads, heads first.

    With a `check`, whole chunks are brought and given to it. Raises `StoreError`, naming the place after `where`, if
    a shard is missing, cut short, or its index is damaged, and what the check raises.
    """
    out = np.empty((len(heads), len(samples), plan.dim), dtype="<f2")

    async def read_all() -> None:
        limit = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(
            *(
                _Shard(store, where, array, shard, plan, limit).read(rows, heads, out[:, part], check)
                for shard, rows, part in shard_rows(plan, samples)
            )
        )

    sync(read_all())
    return out.view(np.float16)


class _Shard:
    """One shard of which parts are asked for."""

    def __init__(
        self, store: ZarrStore, where: str, array: str, shard: int, plan: ShardPlan, limit: asyncio.Semaphore
    ) -> None:
        self.store, self.shard, self.plan, self.limit = store, shard, plan, limit
        self.key = f"{array}/{shard_key(shard)}"
        self.where = where + self.key

    async def read(self, rows: np.ndarray, heads: Sequence[int], out: np.ndarray, check: Check | None) -> None:
        offsets = head_offsets(await self.fetch(SuffixByteRequest(self.plan.index_bytes)), self.where, self.plan)
        wanted = span(self.plan, self.shard, rows, check is not None)
        most = max(1, MOST_BYTES // self.plan.chunk_bytes)

        async def bring(run: range) -> None:
            start = int(offsets[heads[run.start]]) + wanted.start * self.plan.row_bytes
            found = await self.fetch(RangeByteRequest(start, start + len(run) * len(wanted) * self.plan.row_bytes))
            block = np.frombuffer(found, "<f2").reshape(len(run), len(wanted), self.plan.dim)
            if check is not None:
                check(self.shard, heads[run.start : run.stop], block)
            out[run.start : run.stop] = block[:, picked(rows - wanted.start)]

        whole = len(wanted) == self.plan.shard_samples
        await asyncio.gather(*(bring(run) for run in runs_in_file(heads, offsets, self.plan, whole, most)))

    async def fetch(self, wanted: RangeByteRequest | SuffixByteRequest) -> memoryview:
        """Return the bytes asked for; of a suffix, those that are there."""
        async with self.limit:
            try:
                found: Buffer | None = await self.store.get(self.key, default_buffer_prototype(), wanted)
            except Exception:  # some stores refuse what lies behind the end, each with a word of its own
                end = wanted.end if isinstance(wanted, RangeByteRequest) else wanted.suffix
                if await self.store.getsize(self.key) >= end:
                    raise
                found = default_buffer_prototype().buffer.from_bytes(b"")
        if found is None:
            raise StoreError(f"{self.where} is missing although its record exists; {VERIFY}")
        if isinstance(wanted, RangeByteRequest) and len(found) < wanted.end - wanted.start:
            raise StoreError(f"{self.where} ends before byte {wanted.end}; {VERIFY}")
        return memoryview(found.as_buffer_like())
