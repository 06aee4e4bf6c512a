"""A benchmark written out as JSON lines, so that any other code can ask the same of the same pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.pictures.pictures import Picture, StoredPicture
from savs_benchmarks.sample import Sample


def export(samples: Iterable[Sample], file: Path, force: bool = False) -> Path:
    """Write samples as JSON lines; return the folder that the paths of their pictures begin at.

    Pictures that are files stay where they are. Those that are not, in memory or inside a table, are written once each
    into a folder beside, losslessly. `load_own` of the file gives the same samples again, from that folder.
    All is written or nothing. Raises OSError where a picture cannot be read, `BenchmarkError` for a text that is no
    UTF-8, and where something is there already that is not to be replaced by `force`.
    """
    check_free(file, force)
    samples = list(samples)
    on_disk = [picture for sample in samples for picture in sample.images if isinstance(picture, Path)]
    file.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=file.parent, prefix=".savs-export-") as begun:
        beside = PicturesBeside(pictures_folder(file), Path(begun) / "pictures")
        # A folder that holds all of them, and what is written beside where anything is.
        folders = [*(path.resolve().parent for path in on_disk), *beside.root(samples)]
        root = Path(os.path.commonpath(folders or [file.resolve().parent]))
        with (Path(begun) / "lines").open("wb") as lines:
            for sample in samples:
                pictures = [beside.path_of(picture).relative_to(root).as_posix() for picture in sample.images]
                lines.write(line_of(row_of(sample, pictures)))
        beside.finish()
        (Path(begun) / "lines").replace(file)
    return root


def check_free(file: Path, force: bool) -> None:
    """Raise `BenchmarkError` where a file or its folder of pictures is there, unless by `force` it is replaced."""
    folder = pictures_folder(file)
    for path in (file, folder):
        if os.path.lexists(path) and not force:
            raise BenchmarkError(f"{path} is there already: name another file, or say --force to write in its place")
    if os.path.lexists(folder) and not folder.is_dir():
        raise BenchmarkError(f"{folder} is where pictures would be written, and is no folder: name another file")


def pictures_folder(file: Path) -> Path:
    """Return the folder beside a file for pictures that are no files."""
    return file.resolve().with_name(f"{file.stem}-pictures")


def line_of(row: Mapping[str, Any]) -> bytes:
    """Return a row as a line of JSON in UTF-8. Raises `BenchmarkError` naming the text that has no UTF-8."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        texts = [*row.get("images", []), *map(str, row.values())]
        odd = next(text for text in texts if any("\ud800" <= character <= "\udfff" for character in text))
        raise BenchmarkError(f"{odd!r} cannot be written in UTF-8, as JSON lines are: rename it") from None


def row_of(sample: Sample, pictures: list[str]) -> dict[str, Any]:
    """Return what a line says of a sample; what it has not is left out."""
    row: dict[str, Any] = {
        "id": sample.sample_id,
        "images": pictures,
        "question": sample.question,
        "label": sample.label,
    }
    row |= {"split": sample.split, "task": sample.task, "group": sample.group, "slot": sample.slot}
    row |= {"options": list(sample.options)}
    return {name: value for name, value in row.items() if value not in (None, "", [])}


class PicturesBeside:
    """The folder for pictures that are no files; each is written once, and all of them are `begun` elsewhere."""

    def __init__(self, folder: Path, begun: Path) -> None:
        self.folder, self.begun = folder, begun
        self.written: dict[object, str] = {}

    def root(self, samples: Iterable[Sample]) -> Iterator[Path]:
        """Yield where paths begin, if any picture has to be written."""
        if any(not isinstance(picture, Path) for sample in samples for picture in sample.images):
            yield self.folder.parent

    def path_of(self, picture: Picture) -> Path:
        """Return where a picture is, or will be when all is finished."""
        if isinstance(picture, Path):
            return picture.resolve()
        key = picture if isinstance(picture, StoredPicture) else id(picture)
        if key not in self.written:
            self.begun.mkdir(exist_ok=True)
            self.written[key] = self._write(picture)
        return self.folder / self.written[key]

    def finish(self) -> None:
        """Put the pictures where they belong; other files of a folder that is there stay."""
        if self.written:
            self.folder.mkdir(exist_ok=True)
        for name in self.written.values():
            (self.begun / name).replace(self.folder / name)

    def _write(self, picture: Image.Image | StoredPicture) -> str:
        name = f"{len(self.written):06d}"
        if isinstance(picture, StoredPicture):
            content = picture.read()
            if content is None:
                raise OSError(f"{picture} holds no picture")
            (self.begun / name).write_bytes(content)  # whatever its format: it is known by its first bytes
            return name
        picture.save(self.begun / f"{name}.png")
        return f"{name}.png"
