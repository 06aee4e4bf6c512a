"""What a store keeps for people: where each picture was found, and what was asked of it. No absolute path is in it.

Ids are another matter: those of rows without ids of their own, that name their pictures by absolute paths, are these.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from savs_benchmarks import Benchmark, Sample
from savs_benchmarks.pictures.pictures import Picture, StoredPicture
from savs_harvest.asking.hashing import distinct, key_of
from savs_stores import SampleTexts
from savs_stores.format.texts import LENGTH_BYTES, MOST_TEXT_BYTES


def texts_of(benchmark: Benchmark, samples: Sequence[Sample]) -> SampleTexts:
    """Return the question of every sample, and of every picture its path from the folder of this process.

    Of a picture that is not below it, the path from the folder of the data, else from the one that all others are
    below; "" where it is no file. No folder above the homes of users is a beginning of paths: of a picture that is
    below none other only the name is kept, with its folder where names repeat.
    """
    shown = distinct(samples)
    files = {file for picture in shown if (file := _file(picture)) is not None}
    elsewhere = {file.parent for file in files}
    roots = [Path.cwd(), *([benchmark.folder.resolve()] if benchmark.folder else [])]
    roots += [common] if (common := _common(elsewhere)) else []
    roots = [root for root in roots if not _above_homes(root)]
    counts = Counter(file.name for file in files)
    named = {key_of(picture): _name(picture, roots, counts) for picture in shown}
    names = [[named[key_of(picture)] for picture in sample.images] for sample in samples]
    asked = [sample.question for sample in samples]
    size = sum(LENGTH_BYTES + len(words.encode("utf-8", "backslashreplace")) for words in asked)
    if size > MOST_TEXT_BYTES:  # as where each lists a thousand classes: only the paths can be kept
        asked = [""] * len(asked)
    return SampleTexts.from_columns(names, asked)


def _file(picture: Picture) -> Path | None:
    found = picture.file if isinstance(picture, StoredPicture) else picture
    return Path(os.path.abspath(found)) if isinstance(found, Path) else None  # noqa: PTH100  links stay links


def _common(folders: set[Path]) -> Path | None:
    try:
        return Path(os.path.commonpath(folders)) if folders else None
    except ValueError:  # several drives
        return None


def _above_homes(folder: Path) -> bool:
    return folder in {Path(folder.anchor), Path("/home"), Path("/Users"), *Path.home().parents}


def _name(picture: Picture, roots: Sequence[Path], counts: Mapping[str, int]) -> str:
    file = _file(picture)
    if file is None:
        return ""
    above = file.parent.parent
    last = file.parent if counts[file.name] == 1 or _above_homes(above) else above
    root = next((root for root in roots if file.is_relative_to(root)), last)
    name = file.relative_to(root).as_posix()
    return f"{name}, row {picture.row}, {picture.column}" if isinstance(picture, StoredPicture) else name
