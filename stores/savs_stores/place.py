"""Where a store lies: a folder, or keys of a Zarr store in memory or behind a URL. Every difference is here."""

from __future__ import annotations

import asyncio
import glob
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float16
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore

from savs_stores import direct, ranged
from savs_stores.errors import StoreError
from savs_stores.plan import ShardPlan
from savs_stores.remote import open_url

StorePath: TypeAlias = str | Path | ZarrStore
LEFTOVER_SECONDS = 600
GROUP = "zarr.json"


def place_of(path: StorePath) -> Place:
    """Return the place that a path, a URL or a Zarr store names.

    Raises `StoreError` where what is behind a URL cannot be reached.
    """
    if isinstance(path, LocalStore):
        return Folder(Path(path.root), path)
    if isinstance(path, ZarrStore):
        return Place(path, str(path))
    if "://" in str(path):
        return Place(open_url(str(path)), str(path))
    if re.match(r"\w{2,}:/", str(path)):
        raise StoreError(f"{path} was a URL before pathlib took a slash from it: give it as a string")
    return Folder(Path(path), path)


def find_stores(pattern: str) -> list[str]:
    """Return the paths or URLs that a pattern such as `stores/*.zarr` names, sorted.

    A name that is no pattern, or that is there to the letter, is returned as it is; of a URL, only the last part
    can be a pattern.
    """
    if not glob.has_magic(pattern) or Path(pattern).exists():
        return [pattern]
    if "://" not in pattern:
        return sorted(glob.glob(pattern))  # noqa: PTH207
    folder, _, wanted = pattern.rstrip("/").rpartition("/")
    if glob.has_magic(folder):
        raise StoreError(f"{pattern}: of a URL, only the last part can be a pattern")
    return sorted(f"{folder}/{name}" for name in place_of(folder).names() if fnmatchcase(name, wanted))


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

    def read(
        self, array: str, plan: ShardPlan, samples: np.ndarray, heads: Sequence[int]
    ) -> Float16[np.ndarray, "head sample dim"]:
        """Return vectors of an uncompressed array, of sorted, distinct samples and heads."""
        return ranged.read(self.zarr, f"{self}/", array, plan, samples, heads)

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
        """Remove what a killed writer left in a group. Of a key there is nothing or all."""


class Folder(Place):
    """A folder on a disk: written under another name first, flushed, and read without Zarr where that is faster."""

    def __init__(self, root: Path, zarr: StorePath) -> None:
        super().__init__(zarr, str(root))
        self.root = root

    @property
    def location(self) -> str:
        return str(self.root.absolute())

    def exists(self) -> bool:
        return self.root.exists()

    def names(self) -> set[str]:
        return {path.name for path in self.root.iterdir()}

    def sizes(self, keys: Sequence[str]) -> list[int]:
        files = [self.root / key for key in keys]
        return [file.stat().st_size if file.exists() else 0 for file in files]

    def read(
        self, array: str, plan: ShardPlan, samples: np.ndarray, heads: Sequence[int]
    ) -> Float16[np.ndarray, "head sample dim"]:
        if hasattr(os, "preadv"):
            return direct.read(self.root / array, plan, samples, heads)
        return ranged.read(LocalStore(self.root), f"{self}/", array, plan, samples, heads)

    @contextmanager
    def building(self, group: str = "") -> Iterator[Any]:
        root = self.root.resolve()  # beside what a link leads to: nothing is renamed from one disk to another
        final = root / group
        building = root.with_name(f".{root.name}.{uuid.uuid4().hex[:8]}.building")
        try:
            building.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise StoreError(f"{self} cannot be made: {root.parent} is no folder") from None
        for leftover in _old(building.parent.glob(f".{root.name}.*.building")):
            shutil.rmtree(leftover, ignore_errors=True)
        try:
            yield building
            for file in building.rglob("*"):
                _flush(file, within=building)
            try:
                building.rename(final)
            except OSError:  # not empty: another process was quicker by a hair
                if final.exists():
                    raise FileExistsError(final) from None
                raise
            _flush(final, within=final.parent)
        finally:
            shutil.rmtree(building, ignore_errors=True)

    def flush(self, array: str, chunk: str) -> None:
        _flush(self.root / array / chunk, within=self.root / array)

    def remove_leftovers(self, group: str) -> None:
        """Remove what zarr leaves behind when it is killed in the middle of a file."""
        for leftover in _old((self.root / group).rglob("*.partial")):
            leftover.unlink(missing_ok=True)


def _old(leftovers: Iterable[Path]) -> Iterator[Path]:
    """Yield those that no process can be writing any more."""
    for leftover in leftovers:
        with suppress(FileNotFoundError):  # another writer was quicker
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                yield leftover


def _flush(path: Path, within: Path) -> None:
    """Bring a file and its entries in all folders up to `within` to the disk."""
    for target in (path, *(parent for parent in path.parents if parent.is_relative_to(within))):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
