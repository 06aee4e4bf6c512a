"""Where the names of pictures begin: a table of hundreds of thousands of rows names few folders, and pictures again."""

from __future__ import annotations

import os
from pathlib import Path

from savs_benchmarks.pictures.pictures import resolve_inside


class PictureRoot:
    """A folder below which pictures are named; each name, and each folder on the way, is looked up once.

    It is made for one reading of a table: what changes meanwhile is not seen.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._paths: dict[str, Path] = {}
        self._folders: dict[str, Path] = {}
        self._files: dict[Path, bool] = {}

    def find(self, name: str) -> Path:
        """Return the path of a name; raises as `resolve_inside`, to which it is equal."""
        if (found := self._paths.get(name)) is None:
            found = self._paths[name] = self._looked_up(name)
        return found

    def has(self, picture: Path) -> bool:
        """Tell whether there is such a file."""
        if (found := self._files.get(picture)) is None:
            found = self._files[picture] = picture.is_file()
        return found

    def _looked_up(self, name: str) -> Path:
        folder, last = os.path.split(name)
        plain = last not in ("", ".", "..") and "\0" not in name and "://" not in name
        if plain and folder in self._folders and not os.path.islink(found := self._folders[folder] / last):  # noqa: PTH114
            return found
        found = resolve_inside(self.root, name)
        if plain and not os.path.islink(self.root / name):  # noqa: PTH114  it stays silent where a name is too long
            self._folders[folder] = found.parent
        return found
