"""Where a store lies: the place that a path, a URL or a Zarr store names."""

from __future__ import annotations

import glob
import re
from fnmatch import fnmatchcase
from pathlib import Path

from zarr.abc.store import Store as ZarrStore
from zarr.storage import LocalStore

from savs_stores.errors import StoreError
from savs_stores.place.folder import Folder
from savs_stores.place.keys import Place, StorePath
from savs_stores.place.remote import open_url


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
