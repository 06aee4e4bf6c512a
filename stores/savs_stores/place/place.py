"""Where a store lies: a folder, or keys of a Zarr store in memory or behind a URL. Every difference is here."""

from __future__ import annotations

import asyncio
import errno
import glob
import os
import re
import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float16
from zarr.abc.store import RangeByteRequest
from zarr.abc.store import Store as ZarrStore
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync
from zarr.storage import LocalStore, MemoryStore

from savs_stores.errors import StoreError
from savs_stores.format.checksums import Check
from savs_stores.format.plan import ShardPlan
from savs_stores.place import local as direct
from savs_stores.place import ranged
from savs_stores.place.remote import open_url
from savs_stores.terminal import size as in_words

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

StorePath: TypeAlias = str | Path | ZarrStore
LEFTOVER_SECONDS = 600
GROUP = "zarr.json"
ZARR_FILES = (GROUP, ".zgroup", ".zarray")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


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


def enclosing_store(path: Path) -> Path | None:
    """Return the Zarr group that a path is, or that it lies in, None where it is in none."""
    path = path.resolve()
    around = [folder for folder in (path, *path.parents) if any((folder / name).is_file() for name in ZARR_FILES)]
    return around[-1] if around else None


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
                    _check_size(f"{self}/{key}", await self.zarr.getsize(key), most)
                    found = await self.zarr.get(key, prototype)
            if found is not None and len(found) > most:
                _check_size(f"{self}/{key}", await self.zarr.getsize(key), most)
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

    def check_alone(self) -> None:
        if not self.exists() and (store := enclosing_store(self.root.resolve().parent)):
            raise StoreError(f"{self} is in the store {store}, which a store in it would break: name another place")

    def names(self) -> set[str]:
        return {path.name for path in self.root.iterdir()}

    def sizes(self, keys: Sequence[str]) -> list[int]:
        return [0 if (found := _regular(self.root / key)) is None else found.st_size for key in keys]

    def fetch(self, largest: Mapping[str, int]) -> dict[str, bytes | None]:
        return {key: _content(self.root / key, most) for key, most in largest.items()}

    def read(
        self, array: str, plan: ShardPlan, samples: np.ndarray, heads: Sequence[int], check: Check | None = None
    ) -> Float16[np.ndarray, "head sample dim"]:
        if hasattr(os, "preadv"):
            return direct.read(self.root / array, plan, samples, heads, check)
        return ranged.read(LocalStore(self.root), f"{self}/", array, plan, samples, heads, check)

    def check_packed(self, array: str, plan: ShardPlan, shard: int, heads: Sequence[int], codec: str) -> None:
        file = self.root / array / direct.shard_key(shard)
        if _regular(file) is not None:
            direct.check_packed(file, plan, heads, codec)

    def free(self) -> int | None:
        there = next(folder for folder in (self.root, *self.root.absolute().parents) if folder.is_dir())
        return shutil.disk_usage(there).free

    @contextmanager
    def building(self, group: str = "") -> Iterator[Any]:
        root = self.root.resolve()  # beside what a link leads to: nothing is renamed from one disk to another
        final = root / group
        building = root.with_name(f".{root.name}.{uuid.uuid4().hex[:8]}.building")
        try:
            building.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise StoreError(f"{self} cannot be made: {root.parent} is no folder") from None
        with _alone(root) as certain:
            _remove_building(root, certain)
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
        root = self.root.resolve()
        if any(root.parent.glob(f".{glob.escape(root.name)}.*building*")):
            with suppress(BlockingIOError), _alone(root, wait=False) as certain:
                _remove_building(root, certain)
        for leftover in _old((self.root / group).rglob("*.partial")):  # of zarr, killed in the middle of a file
            leftover.unlink(missing_ok=True)


@contextmanager
def _alone(root: Path, wait: bool = True) -> Iterator[bool]:
    """Keep all others from building in a store; yield whether that is certain: not every disk knows locks.

    The lock goes with the process that holds it, on this machine or another one. Raises BlockingIOError where it is
    held by another and there is no time to `wait`.
    """
    lock = root.with_name(f".{root.name}.building.lock")
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            certain = _lock(descriptor, wait)
            # Who held it before has removed it: then the one locked is no longer the one that all others find.
            with suppress(FileNotFoundError):
                if not certain or os.path.samestat(os.fstat(descriptor), lock.stat()):
                    break
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    try:
        yield certain
    finally:
        if certain:  # while it is held: who waits for it looks whether it is still there
            lock.unlink(missing_ok=True)
        os.close(descriptor)
        if not certain:
            lock.unlink(missing_ok=True)


def _lock(descriptor: int, wait: bool) -> bool:
    """Lock a file; return whether that can be done here."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _remove_building(root: Path, certain: bool) -> None:
    """Remove what killed processes left half built: all of it where nobody else can be building."""
    found = root.parent.glob(f".{glob.escape(root.name)}.*.building")
    for leftover in found if certain else _old(found):
        shutil.rmtree(leftover, ignore_errors=True)


def _regular(path: Path) -> os.stat_result | None:
    """Return what is known of a file, None where there is none. Raises `StoreError` where something else lies there."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "thing of another kind")
        raise StoreError(f"{path} is a {kind} where a store has a file: this is no sound store")
    return found


def _content(path: Path, most: int) -> bytes | None:
    if (found := _regular(path)) is None:
        return None
    _check_size(str(path), found.st_size, most)
    return path.read_bytes()


def _check_size(where: str, found: int, most: int) -> None:
    if found > most:
        raise StoreError(f"{where} has {found:,} bytes, a savs store has at most {most:,} there: it was not read")


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
