"""A benchmark written out as JSON lines, so that any other code can ask the same of the same pictures."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from PIL import Image

from savs_benchmarks.pictures.pictures import Picture, StoredPicture
from savs_benchmarks.sample import Sample


def export(samples: Iterable[Sample], file: Path) -> Path:
    """Write samples as JSON lines; return the folder that the paths of their pictures begin at.

    Pictures that are files stay where they are. Those that are not, in memory or inside a table, are written once each
    into a folder beside, losslessly. `load_own` of the file gives the same samples again, from that folder.
    Raises OSError where a picture cannot be read.
    """
    samples = list(samples)
    on_disk = [picture for sample in samples for picture in sample.images if isinstance(picture, Path)]
    beside = PicturesBeside(file)
    # A folder that holds all of them, and what is written beside where anything is.
    root = Path(os.path.commonpath([*(path.resolve().parent for path in on_disk), *beside.root(samples)]))
    begun = file.with_name(f".{file.name}.begun")
    with begun.open("w", encoding="utf-8") as lines:
        for sample in samples:
            pictures = [beside.path_of(picture).resolve().relative_to(root).as_posix() for picture in sample.images]
            lines.write(json.dumps(row_of(sample, pictures), ensure_ascii=False) + "\n")
    begun.replace(file)
    return root


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
    """The folder for pictures that are no files; each is written once."""

    def __init__(self, file: Path) -> None:
        self.folder = file.resolve().with_name(f"{file.stem}-pictures")
        self.written: dict[object, Path] = {}

    def root(self, samples: Iterable[Sample]) -> Iterator[Path]:
        """Yield where paths begin, if any picture has to be written."""
        if any(not isinstance(picture, Path) for sample in samples for picture in sample.images):
            yield self.folder.parent

    def path_of(self, picture: Picture) -> Path:
        if isinstance(picture, Path):
            return picture
        key = picture if isinstance(picture, StoredPicture) else id(picture)
        if key not in self.written:
            self.folder.mkdir(exist_ok=True)
            self.written[key] = self._write(picture)
        return self.written[key]

    def _write(self, picture: Image.Image | StoredPicture) -> Path:
        path = self.folder / f"{len(self.written):06d}"
        if isinstance(picture, StoredPicture):
            content = picture.read()
            if content is None:
                raise OSError(f"{picture} holds no picture")
            path.write_bytes(content)  # whatever its format: it is known by its first bytes
            return path
        path = path.with_suffix(".png")
        picture.save(path)
        return path
