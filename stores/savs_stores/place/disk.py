"""Files and folders of a disk: what lies there, bringing it there for good, and what is left over."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from savs_stores.errors import StoreError

LEFTOVER_SECONDS = 600
KINDS = {
    stat.S_IFDIR: "folder",
    stat.S_IFIFO: "named pipe",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def regular(path: Path) -> os.stat_result | None:
    """Return what is known of a file, None where there is none. Raises `StoreError` where something else lies there."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "thing of another kind")
        raise StoreError(f"{path} is a {kind} where a store has a file: this is no sound store")
    return found


def content(path: Path, most: int) -> bytes | None:
    if (found := regular(path)) is None:
        return None
    check_size(str(path), found.st_size, most)
    return path.read_bytes()


def check_size(where: str, found: int, most: int) -> None:
    if found > most:
        raise StoreError(f"{where} has {found:,} bytes, a savs store has at most {most:,} there: it was not read")


def old(leftovers: Iterable[Path]) -> Iterator[Path]:
    """Yield those that no process can be writing any more."""
    for leftover in leftovers:
        with suppress(FileNotFoundError):  # another writer was quicker
            if time.time() - leftover.stat().st_mtime > LEFTOVER_SECONDS:
                yield leftover


def flush(path: Path, within: Path) -> None:
    """Bring a file and its entries in all folders up to `within` to the disk."""
    for target in (path, *(parent for parent in path.parents if parent.is_relative_to(within))):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
