"""What a store keeps for people: where each picture was found, and what was asked of it. No absolute path is in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from savs_benchmarks import Benchmark, Sample
from savs_benchmarks.pictures.pictures import Picture, StoredPicture
from savs_stores import SampleTexts


def texts_of(benchmark: Benchmark, samples: Sequence[Sample]) -> SampleTexts:
    """Return the question of every sample, and of every picture its path from the folder of this process.

    Of a picture that is not below it, the path from the folder of the data, else from the one that all others are
    below; "" where it is no file.
    """
    files = [_file(picture) for sample in samples for picture in sample.images]
    elsewhere = {file.parent for file in files if file is not None}
    roots = [Path.cwd(), *([benchmark.folder.resolve()] if benchmark.folder else [])]
    roots += [common] if (common := _common(elsewhere)) else []
    names = [[_name(picture, roots) for picture in sample.images] for sample in samples]
    return SampleTexts.from_columns(names, [sample.question for sample in samples])


def _file(picture: Picture) -> Path | None:
    found = picture.file if isinstance(picture, StoredPicture) else picture
    return Path(os.path.abspath(found)) if isinstance(found, Path) else None  # noqa: PTH100  links stay links


def _common(folders: set[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath(folders)) if folders else None
    except ValueError:  # several drives
        return None


def _name(picture: Picture, roots: Sequence[Path]) -> str:
    file = _file(picture)
    if file is None:
        return ""
    root = next((root for root in roots if file.is_relative_to(root)), file.parent)
    name = file.relative_to(root).as_posix()
    return f"{name}, row {picture.row}, {picture.column}" if isinstance(picture, StoredPicture) else name
