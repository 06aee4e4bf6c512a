"""A folder on a disk: built beside where it will be, flushed, read without Zarr where that is faster."""

from __future__ import annotations

import glob
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float16
from zarr.storage import LocalStore

from savs_stores.errors import StoreError
from savs_stores.format.checksums import Check
from savs_stores.format.plan import ShardPlan
from savs_stores.place import disk, ranged
from savs_stores.place import local as direct
from savs_stores.place.building import alone, remove_building
from savs_stores.place.keys import Place, StorePath

GROUP = "zarr.json"
ZARR_FILES = (GROUP, ".zgroup", ".zarray")


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
        return [0 if (found := disk.regular(self.root / key)) is None else found.st_size for key in keys]

    def fetch(self, largest: Mapping[str, int]) -> dict[str, bytes | None]:
        return {key: disk.content(self.root / key, most) for key, most in largest.items()}

    def read(
        self, array: str, plan: ShardPlan, samples: np.ndarray, heads: Sequence[int], check: Check | None = None
    ) -> Float16[np.ndarray, "head sample dim"]:
        if hasattr(os, "preadv"):
            return direct.read(self.root / array, plan, samples, heads, check)
        return ranged.read(LocalStore(self.root), f"{self}/", array, plan, samples, heads, check)

    def check_packed(self, array: str, plan: ShardPlan, shard: int, heads: Sequence[int], codec: str) -> None:
        file = self.root / array / direct.shard_key(shard)
        if disk.regular(file) is not None:
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
        with alone(root) as certain:
            remove_building(root, certain)
            try:
                yield building
                for file in building.rglob("*"):
                    disk.flush(file, within=building)
                try:
                    building.rename(final)
                except OSError:  # not empty: another process was quicker by a hair
                    if final.exists():
                        raise FileExistsError(final) from None
                    raise
                disk.flush(final, within=final.parent)
            finally:
                shutil.rmtree(building, ignore_errors=True)

    def flush(self, array: str, chunk: str) -> None:
        disk.flush(self.root / array / chunk, within=self.root / array)

    def remove_leftovers(self, group: str) -> None:
        root = self.root.resolve()
        if any(root.parent.glob(f".{glob.escape(root.name)}.*building*")):
            with suppress(BlockingIOError), alone(root, wait=False) as certain:
                remove_building(root, certain)
        for leftover in disk.old((self.root / group).rglob("*.partial")):  # of zarr, killed in the middle of a file
            leftover.unlink(missing_ok=True)


def enclosing_store(path: Path) -> Path | None:
    """Return the Zarr group that a path is, or that it lies in, None where it is in none."""
    path = path.resolve()
    around = [folder for folder in (path, *path.parents) if any((folder / name).is_file() for name in ZARR_FILES)]
    return around[-1] if around else None
