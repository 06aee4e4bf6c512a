"""Keys of a Zarr store, in memory or behind a URL; how a folder differs stands in `folder.py`."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float16
from zarr.abc.store import RangeByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from savs_stores.format.checksums import Check
from savs_stores.format.plan import ShardPlan
from savs_stores.place import ranged
from savs_stores.place.disk import check_size
from savs_stores.terminal import size as in_words

StorePath: TypeAlias = str | Path | ZarrStore
GROUP = "zarr.json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Place:
    """Keys of a Zarr store, each of which is there as a whole or not at all, and durable once it is written."""

    def __init__(self, zarr: Any, name: str) -> None:
        self.zarr = zarr
        self.name = name

    def __str__(self) -> str:
        return self.name

    @property
    def location(self) -> str:
        """What opens the store in another process."""
        return self.name

    def exists(self) -> bool:
        return sync(self.zarr.exists(GROUP))

    def check_alone(self) -> None:
        """Raise `StoreError` where a new store would lie in another one, and break it; known of folders only."""

    def names(self) -> set[str]:
        """Return what lies here, without what lies in it."""

        async def listed() -> set[str]:
            return {name async for name in self.zarr.list_dir("")}

        return sync(listed())

    def sizes(self, keys: Sequence[str]) -> list[int]:
        """Return the bytes of each key, 0 of one that is missing."""

        async def all_sizes() -> list[int]:
            limit = asyncio.Semaphore(ranged.AT_ONCE)
            return await asyncio.gather(*(size(key, limit) for key in keys))

        async def size(key: str, limit: asyncio.Semaphore) -> int:
            with suppress(FileNotFoundError):
                async with limit:
                    return await self.zarr.getsize(key)
            return 0

        return sync(all_sizes())

    def fetch(self, largest: Mapping[str, int]) -> dict[str, bytes | None]:
        """Return what lies at each key, None where nothing does.

        Raises `StoreError` where it is larger than may be, in bytes; it has not been brought then.
        """

        async def fetch_all() -> list[bytes | None]:
            limit = asyncio.Semaphore(ranged.AT_ONCE)
            return await asyncio.gather(*(one(key, most, limit) for key, most in largest.items()))

        async def one(key: str, most: int, limit: asyncio.Semaphore) -> bytes | None:
            prototype = default_buffer_prototype()
            async with limit:
                try:
                    found = await self.zarr.get(key, prototype, RangeByteRequest(0, most + 1))
                except Exception:  # some stores refuse what lies behind the end, each with a word of its own
                    check_size(f"{self}/{key}", await self.zarr.getsize(key), most)
                    found = await self.zarr.get(key, prototype)
            if found is not None and len(found) > most:
                check_size(f"{self}/{key}", await self.zarr.getsize(key), most)
            return None if found is None else found.to_bytes()

        return dict(zip(largest, sync(fetch_all()), strict=True))

    def read(
        self, array: str, plan: ShardPlan, samples: np.ndarray, heads: Sequence[int], check: Check | None = None
    ) -> Float16[np.ndarray, "head sample dim"]:
        """Return vectors of an uncompressed array, of sorted, distinct samples and heads, each chunk checked."""
        return ranged.read(self.zarr, f"{self}/", array, plan, samples, heads, check)

    def check_packed(self, array: str, plan: ShardPlan, shard: int, heads: Sequence[int], codec: str) -> None:
        """Raise `StoreError` where compressed chunks stand for more than they should; known of folders only."""

    def free(self) -> int | None:
        """Return the bytes that can still be written, None where nobody knows."""
        return None

    @contextmanager
    def room(self, key: str, needed: int) -> Iterator[None]:
        """Say of a full disk which file it has no room for, how much it needs and how much is free."""
        try:
            yield
        except OSError as error:
            if error.errno not in FULL:
                raise
            free = self.free()
            there = "" if free is None else f", {in_words(free)} are free (a quota may leave less)"
            full = OSError(
                f"No space left for {f'{self}/{key}'.rstrip('/')}: it needs {in_words(needed)}{there}. "
                "What is finished is kept: make room and run the same command again"
            )
            full.errno = error.errno
            raise full from error

    @contextmanager
    def building(self, group: str = "") -> Iterator[Any]:
        """Yield what a group can be built in; it exists, as a whole, when that is left without an error.

        Raises FileExistsError where the group has meanwhile been made by another process.
        """
        built = MemoryStore()
        yield built
        if not sync(self._publish(built, f"{group}/" if group else "")):
            raise FileExistsError(f"{self}/{group}")

    async def _publish(self, built: MemoryStore, prefix: str) -> bool:
        """Copy a group, its metadata last; say whether it is this one that exists now."""
        prototype = default_buffer_prototype()
        if await self.zarr.exists(prefix + GROUP):
            return False
        keys = [key async for key in built.list() if key != GROUP]
        contents = await asyncio.gather(*(built.get(key, prototype) for key in [*keys, GROUP]))
        await asyncio.gather(
            *(self.zarr.set(prefix + key, content) for key, content in zip(keys, contents, strict=False))
        )
        await self.zarr.set_if_not_exists(prefix + GROUP, contents[-1])
        found = await self.zarr.get(prefix + GROUP, prototype)
        return found is not None and found.to_bytes() == contents[-1].to_bytes()

    def flush(self, array: str, chunk: str) -> None:
        """Bring a chunk of an array, and the folders it lies in, to the disk. A key is durable once it is written."""

    def remove_leftovers(self, group: str) -> None:
        """Remove what killed writers left beside the store and in a group. Of a key there is nothing or all."""
