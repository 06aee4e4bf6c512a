"""ImageNet-1k: which of 1,000 things is in the picture, 16 of their names printed?

Russakovsky et al. 2015, arXiv 1409.0575; https://huggingface.co/datasets/ILSVRC/imagenet-1k (gated), for
non-commercial research. Its validation split is the test; the answers of its own test split are hidden.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.published import PaperSplit, Published, Tasks
from savs_benchmarks.files.rows import Row, RowError, parquet_rows, read_samples
from savs_benchmarks.files.source import Source
from savs_benchmarks.papers.classification import PROMPT, classification_sample
from savs_benchmarks.sample import DEFAULT_TASK, Sample, Split
from savs_benchmarks.wordings import hec_wordings

QUESTION = "What type of object is in the image?"
OPTIONS = 16
SPLITS: dict[str, Split] = {"train": "pool", "validation": "test"}


def tasks(folder: Path) -> Tasks:
    return {DEFAULT_TASK: tuple(sorted(_names(folder)))}


def samples(folder: Path) -> Iterator[Sample]:
    names = _names(folder)
    for part, split in SPLITS.items():
        rows = parquet_rows(sorted(folder.glob(f"data/{part}-*.parquet")), ["label"], ["image"])
        yield from read_samples(rows, partial(_sample, split, names, sorted(names)))


def _sample(split: Split, names: Sequence[str], classes: Sequence[str], row: Row) -> Iterator[Sample]:
    label = row["label"]
    if not isinstance(label, int) or not 0 <= label < len(names):
        raise RowError(f"'label' must be a number from 0 to {len(names) - 1}, got {label!r}")
    sample_id = f"{row.place.partition('.')[0]}-{row.number}"
    yield classification_sample(sample_id, row["image"], names[label], split, QUESTION, classes, OPTIONS)


def _names(folder: Path) -> list[str]:
    """Return the class names by number, from the header that the hub writes into every file."""
    import pyarrow.parquet

    file = sorted(folder.glob("data/validation-*.parquet"))[0]
    try:
        header = pyarrow.parquet.read_schema(file).metadata[b"huggingface"]
        return short_names(json.loads(header)["info"]["features"]["label"]["names"])
    except (OSError, KeyError, TypeError, ValueError, AttributeError, pyarrow.ArrowException) as error:
        raise BenchmarkError(f"{file} does not name its classes: {error!r}") from None


def short_names(names: Sequence[str]) -> list[str]:
    """Return the first of each class's synonyms, all of them where two classes begin with the same."""
    first = [name.split(",")[0] for name in names]
    count = Counter(first)
    return [short if count[short] == 1 else name for short, name in zip(first, names, strict=True)]


BENCHMARK = Published(
    name="imagenet",
    summary="which of 1,000 things, 16 printed",
    source=Source(
        page="https://huggingface.co/datasets/ILSVRC/imagenet-1k",
        revision="49e2ee26f3810fb5a7536bbf732a7b07389a47b5",
        size="about 150 GB",
        needs=("data/train-*.parquet", "data/validation-*.parquet"),
        hub="ILSVRC/imagenet-1k",
        hub_files=("data/train-*.parquet", "data/validation-*.parquet"),
        gated=True,
    ),
    licence="non-commercial research",
    metric="accuracy",
    prompt=PROMPT,
    counts={"pool": 1281167, "test": 50000},
    classes="1,000",
    tasks=tasks,
    samples=samples,
    paper=PaperSplit(lost="no code and no list was published"),
    wordings=hec_wordings("What is the main object in this photo?"),
)
