"""Reading local uncompressed shards with `preadv` alone: a shard file is one raw array.

    file of shard i = head 0 [sample, dim] | head 1 [sample, dim] | ... | index: (offset, bytes) per head, CRC

zarr decodes every inner chunk in Python; here whole runs of heads arrive in one `preadv`.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from jaxtyping import Float16

from savs_stores.errors import StoreError
from savs_stores.format.checksums import Check
from savs_stores.format.layout import HEADER_BYTES, inflated_bytes
from savs_stores.format.plan import ShardPlan

READERS = 4
MOST_BUFFERS = 512
# Brought at a time where chunks are checked: what fits into the processor's cache is checked at many times the speed.
MOST_CHECKED = 2**20
ABSENT = np.uint64(2**64 - 1)
MOST_OFFSET = 2**62
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


def is_plain(document: Mapping[str, Any], plan: ShardPlan) -> bool:
    """Tell whether shards of an array, by its zarr.json, are raw arrays, which need no decoding."""
    codecs: list[dict[str, Any]] = json.loads(json.dumps(document["codecs"]))
    chunk_shape = codecs[0]["configuration"].pop("chunk_shape", None)
    # Where every inner chunk is written, the order of writing does not change the bytes of one chunk.
    codecs[0]["configuration"].pop("subchunk_write_order", None)
    return codecs == PLAIN_CODECS and chunk_shape == [plan.shard_samples, 1, plan.dim]


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
    array_path: Path, plan: ShardPlan, samples: np.ndarray, heads: Sequence[int], check: Check | None = None
) -> Float16[np.ndarray, "head sample dim"]:
    """Return the vectors of sorted, distinct samples and heads, heads first.

    With a `check`, whole chunks are read and given to it. Raises `StoreError` where a shard file is missing, cut
    short, or its index is damaged, and what the check raises.
    """
    out = np.empty((len(heads), len(samples), plan.dim), dtype="<f2")
    jobs = [
        _Job(array_path, plan, shard, rows, heads, out[:, part], check)
        for shard, rows, part in shard_rows(plan, samples)
    ]
    if len(jobs) == 1:
        jobs[0].run()
    else:
        with ThreadPoolExecutor(READERS) as pool:
            list(pool.map(_Job.run, jobs))
    return out.view(np.float16)


def span(plan: ShardPlan, shard: int, rows: np.ndarray, checked: bool) -> range:
    """Return the rows of a shard that are read: from the first to the last wanted one, or all, to be checked."""
    return range(len(plan.rows(shard))) if checked else range(int(rows[0]), int(rows[-1]) + 1)


@dataclass(frozen=True)
class _Job:
    """One shard of which parts are asked for, and where they go."""

    array_path: Path
    plan: ShardPlan
    shard: int
    rows: np.ndarray
    heads: Sequence[int]
    out: np.ndarray
    check: Check | None

    def run(self) -> None:
        path = self.array_path / shard_key(self.shard)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a named pipe would be waited for
        except FileNotFoundError:
            raise StoreError(f"{path} is missing although its record exists; {VERIFY}") from None
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise StoreError(f"{path} is no file; {VERIFY}")
            size = found.st_size
            index = os.pread(descriptor, self.plan.index_bytes, max(0, size - self.plan.index_bytes))
            self._read(descriptor, path, head_offsets(index, path, self.plan))
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int, path: Path, offsets: np.ndarray) -> None:
        plan, heads, checked = self.plan, self.heads, self.check is not None
        wanted = span(plan, self.shard, self.rows, checked)
        dense = len(wanted) == len(self.rows)
        most = min(MOST_BUFFERS, max(1, MOST_CHECKED // plan.chunk_bytes)) if checked else MOST_BUFFERS
        whole = len(wanted) == plan.shard_samples
        runs = runs_in_file(heads, offsets, plan, whole, most)
        # Where other rows are wanted than are read, they are read beside and picked.
        beside = None if dense else np.empty((max(map(len, runs)), len(wanted), plan.dim), "<f2")
        for run in runs:
            target = self.out[run.start : run.stop] if beside is None else beside[: len(run)]
            _read_exactly(descriptor, path, target, int(offsets[heads[run.start]]) + wanted.start * plan.row_bytes)
            if self.check is not None:
                self.check(self.shard, heads[run.start : run.stop], target)
            if beside is not None:
                self.out[run.start : run.stop] = target[:, picked(self.rows - wanted.start)]


def picked(rows: np.ndarray) -> np.ndarray | slice:
    """Return rows as what picks them with one copy less where they are neighbours."""
    first, last = int(rows[0]), int(rows[-1])
    return slice(first, last + 1) if last - first + 1 == len(rows) else rows


def head_offsets(index: bytes | memoryview, path: Path | str, plan: ShardPlan) -> np.ndarray:
    """Return where each head's chunk starts [head], from the index at the end of a shard.

    Raises `StoreError` where it is none, or heads are lacking.
    """
    places = chunk_places(index, path, plan)
    if (places[:, 1] != plan.chunk_bytes).any():
        raise StoreError(f"{path} lacks heads; {VERIFY}")
    return places[:, 0]


def chunk_places(index: bytes | memoryview, path: Path | str, plan: ShardPlan) -> np.ndarray:
    """Return where each head's chunk starts and how long it is [head, 2]; raises as `head_offsets`."""
    table, checksum = bytes(index[:-4]), index[-4:]
    if len(index) < plan.index_bytes or google_crc32c.value(table) != int.from_bytes(checksum, "little"):
        raise StoreError(f"{path} is cut short or damaged; {VERIFY}")
    places = np.frombuffer(table, "<u8").reshape(plan.heads, 2)
    if (places == ABSENT).any():
        raise StoreError(f"{path} lacks heads; {VERIFY}")
    return places


def check_packed(path: Path, plan: ShardPlan, heads: Sequence[int], codec: str) -> None:
    """Raise `StoreError` where a compressed chunk of a shard says that it stands for more or less than a chunk.

    A few bytes can stand for gigabytes; this is asked before they are decoded.
    """
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - plan.index_bytes))
        places = chunk_places(file.read(), path, plan)
        for head in heads:
            file.seek(int(min(places[head, 0], MOST_OFFSET)))
            found = inflated_bytes(codec, file.read(HEADER_BYTES), int(places[head, 1]))
            if found != plan.chunk_bytes:
                raise StoreError(f"{path} holds {found} bytes of a head, its array says {plan.chunk_bytes}; {VERIFY}")


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
