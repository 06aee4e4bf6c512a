"""Image classification as CoOp divides it: one JSON file lists the pictures of train, val and test with their classes.

Zhou et al. 2022, arXiv 2109.01134; https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md has the files.
Its train and val are the pool.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.published import Tasks
from savs_benchmarks.files.rows import Row, RowError, read_json, read_samples
from savs_benchmarks.files.source import Download
from savs_benchmarks.papers.classification import classification_sample
from savs_benchmarks.sample import DEFAULT_TASK, Sample, Split

COPY = (
    "https://raw.githubusercontent.com/linzhiqiu/cross_modal_adaptation/ac9077ee4e422f768c9b9109551468605e33ec9a/splits"
)
SPLITS: dict[str, Split] = {"train": "pool", "val": "pool", "test": "test"}


def split_download(file: str, digest: str | None) -> Download:
    """Return where a split is fetched: not from CoOp's Google Drive, from the copy in the code of arXiv 2301.06267."""
    return Download(f"{COPY}/{file}", digest)


def tasks(folder: Path, file: str) -> Tasks:
    return {DEFAULT_TASK: _classes(folder / file)}


def samples(folder: Path, file: str, pictures: str, question: str) -> Iterator[Sample]:
    """Yield the samples of a split file; the folder `pictures` holds one of each class, however deep it lies."""
    root = next(folder.glob(f"**/{pictures}"))
    of_folders: dict[str, str] = {}
    ask = partial(_sample, root, question, _classes(folder / file), of_folders)
    yield from read_samples(_rows(folder / file), ask)


def _sample(
    root: Path, question: str, classes: Sequence[str], of_folders: dict[str, str], row: Row
) -> Iterator[Sample]:
    picture, label = row.picture("image", root), _words(row.text("class"))
    known = of_folders.setdefault(picture.parent.name, label)
    if label != known:
        raise RowError(f"'class' is {label!r}, that of pictures before in {picture.parent.name} is {known!r}")
    sample_id = row.text("image").rpartition(".")[0]
    yield classification_sample(sample_id, picture, label, SPLITS[row.text("split")], question, classes)


def _classes(file: Path) -> tuple[str, ...]:
    """Return the classes of all rows that name one; what is wrong with the others is told when they are read."""
    names = (row.values.get("class") for row in _rows(file))
    return tuple(sorted({_words(name) for name in names if isinstance(name, str) and name.strip()}))


def _words(name: str) -> str:
    return name.strip().replace("_", " ")


def _rows(file: Path) -> Iterator[Row]:
    """Yield [picture, number, class] of every part as a row. Raises `BenchmarkError` for a file of another kind."""
    content = read_json(file)
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in SPLITS):
        raise BenchmarkError(f"{file} must hold an object with the lists {', '.join(SPLITS)}")
    for part in SPLITS:
        for number, entry in enumerate(content[part]):
            values = dict(zip(("image", "number", "class"), entry, strict=False)) if isinstance(entry, list) else {}
            yield Row({**values, "split": part}, f"{file.name}, {part} {number}", number)
