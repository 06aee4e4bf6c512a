"""One process at a time builds in a folder; what killed ones left half built is removed."""

from __future__ import annotations

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from savs_stores.place.disk import old

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def alone(root: Path, wait: bool = True) -> Iterator[bool]:
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


def remove_building(root: Path, certain: bool) -> None:
    """Remove what killed processes left half built: all of it where nobody else can be building."""
    found = root.parent.glob(f".{glob.escape(root.name)}.*.building")
    for leftover in found if certain else old(found):
        shutil.rmtree(leftover, ignore_errors=True)
