"""Reading local uncompressed shards with `preadv` alone: a shard file is one raw array.

    file of shard i = head 0 [sample, dim] | head 1 [sample, dim] | ... | index: (offset, bytes) per head, CRC

zarr decodes every inner chunk in Python; here whole runs of heads arrive in one `preadv`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import zarr
from jaxtyping import Float16

from savs_stores.errors import StoreError
from savs_stores.plan import ShardPlan

READERS = 4
MOST_BUFFERS = 512
ABSENT = np.uint64(2**64 - 1)
VERIFY = "'savs-analyze verify' lists all faults"
PLAIN_CODECS = [
    {
        "name": "sharding_indexed",
        "configuration": {
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
            "index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}],
            "index_location": "end",
        },
    }
]


def is_plain(array: zarr.Array, plan: ShardPlan) -> bool:
    """Tell whether shards of this array are raw arrays, which need no decoding."""
    metadata: dict[str, Any] = json.loads(json.dumps(array.metadata.to_dict()))
    codecs = metadata["codecs"]
    chunk_shape = codecs[0]["configuration"].pop("chunk_shape", None)
    # Where every inner chunk is written, the order of writing does not change the bytes of one chunk.
    codecs[0]["configuration"].pop("subchunk_write_order", None)
    return (
        codecs == PLAIN_CODECS
        and chunk_shape == [plan.shard_samples, 1, plan.dim]
        and array.shards == (plan.shard_samples, plan.heads, plan.dim)
        and metadata["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
    )


def shard_key(shard: int) -> str:
    """Return where a shard lies within its array."""
    return f"c/{shard}/0/0"


def shard_rows(plan: ShardPlan, samples: np.ndarray) -> Iterator[tuple[int, np.ndarray, slice]]:
    """Yield each shard that holds some of sorted samples, their rows in it, and their places among the samples."""
    start = 0
    while start < len(samples):
        shard = plan.shard_of(int(samples[start]))
        stop = start + int(np.searchsorted(samples[start:], plan.rows(shard).stop))
        yield shard, samples[start:stop] - plan.rows(shard).start, slice(start, stop)
        start = stop


def read(
    array_path: Path, plan: ShardPlan, samples: np.ndarray, heads: Sequence[int]
) -> Float16[np.ndarray, "head sample dim"]:
    """Return the vectors of sorted, distinct samples and heads, heads first.

    Raises `StoreError` where a shard file is missing, cut short, or its index is damaged.
    """
    out = np.empty((len(heads), len(samples), plan.dim), dtype="<f2")
    jobs = [(array_path, plan, shard, rows, heads, out[:, part]) for shard, rows, part in shard_rows(plan, samples)]
    if len(jobs) == 1:
        _read_shard(*jobs[0])
    else:
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(lambda job: _read_shard(*job), jobs))
    return out.view(np.float16)


def _read_shard(
    array_path: Path, plan: ShardPlan, shard: int, rows: np.ndarray, heads: Sequence[int], out: np.ndarray
) -> None:
    path = array_path / shard_key(shard)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        raise StoreError(f"{path} is missing although its record exists; {VERIFY}") from None
    try:
        size = os.fstat(descriptor).st_size
        index = os.pread(descriptor, plan.index_bytes, max(0, size - plan.index_bytes))
        offsets = head_offsets(index, path, plan)
        first, count = int(rows[0]), int(rows[-1] - rows[0]) + 1
        dense = count == len(rows)
        for run in runs_in_file(heads, offsets, plan, whole=dense and count == plan.shard_samples):
            # Sparse rows: read from the first to the last wanted one, then pick.
            target = out[run.start : run.stop] if dense else np.empty((len(run), count, plan.dim), out.dtype)
            _read_exactly(descriptor, path, target, int(offsets[heads[run.start]]) + first * plan.row_bytes)
            if not dense:
                out[run.start : run.stop] = target[:, rows - first]
    finally:
        os.close(descriptor)


def head_offsets(index: bytes | memoryview, path: Path | str, plan: ShardPlan) -> np.ndarray:
    """Return where each head's chunk starts [head], from the index at the end of a shard.

    Raises `StoreError` where it is none, or heads are lacking.
    """
    table, checksum = bytes(index[:-4]), index[-4:]
    if len(index) < plan.index_bytes or google_crc32c.value(table) != int.from_bytes(checksum, "little"):
        raise StoreError(f"{path} is cut short or damaged; {VERIFY}")
    entries = np.frombuffer(table, "<u8").reshape(plan.heads, 2)
    if (entries[:, 0] == ABSENT).any() or (entries[:, 1] != plan.chunk_bytes).any():
        raise StoreError(f"{path} lacks heads; {VERIFY}")
    return entries[:, 0]


def runs_in_file(
    heads: Sequence[int], offsets: np.ndarray, plan: ShardPlan, whole: bool, most: int = MOST_BUFFERS
) -> list[range]:
    """Return runs of places in `heads` whose wanted rows lie side by side in the file: only `whole` chunks do."""
    found: list[range] = []
    for place, head in enumerate(heads):
        beside = (
            whole
            and place > 0
            and head == heads[place - 1] + 1
            and offsets[head] == offsets[head - 1] + plan.chunk_bytes
        )
        if beside and len(found[-1]) < most:
            found[-1] = range(found[-1].start, place + 1)
        else:
            found.append(range(place, place + 1))
    return found


def _read_exactly(descriptor: int, path: Path, target: np.ndarray, offset: int) -> None:
    buffers = [memoryview(part.reshape(-1).view(np.uint8)) for part in target]
    end = offset + sum(len(buffer) for buffer in buffers)
    while offset < end:  # one call may bring less than it is asked for, and never more than 2 GiB
        count = os.preadv(descriptor, buffers, offset)
        if not count:
            raise StoreError(f"{path} ends before byte {end}; {VERIFY}")
        offset += count
        while buffers and count >= len(buffers[0]):
            count -= len(buffers.pop(0))
        if count:
            buffers[0] = buffers[0][count:]
