"""CUB-200-2011: which of 200 birds is in the picture?

Wah et al. 2011; https://www.vision.caltech.edu/datasets/cub_200_2011/, for non-commercial research.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from savs_benchmarks.files.published import PaperSplit, Published, Tasks
from savs_benchmarks.files.rows import Row, RowError, read_samples, text_rows
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.papers.classification import PROMPT, classification_sample
from savs_benchmarks.sample import DEFAULT_TASK, Sample, Split
from savs_benchmarks.wordings import hec_wordings

QUESTION = "What type of bird is in the image?"
FOLDER = "CUB_200_2011"
SPLITS: dict[str, Split] = {"1": "pool", "0": "test"}


def tasks(folder: Path) -> Tasks:
    return {DEFAULT_TASK: tuple(sorted(_names(folder).values()))}


def samples(folder: Path) -> Iterator[Sample]:
    names = _names(folder)
    labels = {image: names.get(label, "") for image, label in _pairs(folder, "image_class_labels").items()}
    splits = _pairs(folder, "train_test_split")
    rows = text_rows(folder / FOLDER / "images.txt", ["number", "image"])
    yield from read_samples(rows, partial(_sample, folder, labels, splits, sorted(names.values())))


def _sample(
    folder: Path, labels: Mapping[str, str], splits: Mapping[str, str], classes: list[str], row: Row
) -> Iterator[Sample]:
    number, picture = row.text("number"), row.picture("image", folder / FOLDER / "images")
    if not labels.get(number):
        raise RowError(f"picture {number} has no class in image_class_labels.txt that classes.txt names")
    if splits.get(number) not in SPLITS:
        raise RowError(f"picture {number} is neither 0 nor 1 in train_test_split.txt")
    yield classification_sample(picture.stem, picture, labels[number], SPLITS[splits[number]], QUESTION, classes)


def _names(folder: Path) -> dict[str, str]:
    """Return the names by class number: 030.Fish_Crow is Fish Crow."""
    return {number: name.partition(".")[2].replace("_", " ") for number, name in _pairs(folder, "classes").items()}


def _pairs(folder: Path, file: str) -> dict[str, str]:
    rows = text_rows(folder / FOLDER / f"{file}.txt", ["number", "value"])
    return {row.values["number"]: row.values.get("value", "") for row in rows}


BENCHMARK = Published(
    name="cub",
    summary="which of 200 birds, four printed",
    source=Source(
        page="https://www.vision.caltech.edu/datasets/cub_200_2011/",
        revision="2011",
        size="1.2 GB",
        needs=(
            *(f"{FOLDER}/{file}.txt" for file in ("images", "image_class_labels", "train_test_split", "classes")),
            f"{FOLDER}/images/*/*.jpg",
        ),
        downloads=(
            Download(
                "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
                "md5:97eceeb196236b17998738112f37df78",
                (f"{FOLDER}/classes.txt", f"{FOLDER}/images/*/*.jpg"),
            ),
        ),
    ),
    licence="non-commercial research",
    metric="accuracy",
    prompt=PROMPT,
    counts={"pool": 5994, "test": 5794},
    classes="200",
    tasks=tasks,
    samples=samples,
    paper=PaperSplit(lost="no code and no list was published"),
    wordings=hec_wordings("What is the species of this bird?"),
)
