"""Oxford-IIIT Pets: which of 37 breeds of cats and dogs is in the picture?

Parkhi et al. 2012; https://www.robots.ox.ac.uk/~vgg/data/pets/, CC BY-SA 4.0.
A class is the whole name; the first paper's code took its first word, which merges four breeds into two classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.rows import Row, known, read_samples, text_rows
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.papers.classification import PROMPT, classification_sample
from savs_benchmarks.sample import DEFAULT_TASK, Sample, Split
from savs_benchmarks.wordings import hec_wordings

QUESTION = "What type of animal is in the image?"
CLASSES = tuple(
    """Abyssinian, Bengal, Birman, Bombay, British Shorthair, Egyptian Mau, Maine Coon, Persian, Ragdoll, Russian Blue,
    Siamese, Sphynx, american bulldog, american pit bull terrier, basset hound, beagle, boxer, chihuahua,
    english cocker spaniel, english setter, german shorthaired, great pyrenees, havanese, japanese chin, keeshond,
    leonberger, miniature pinscher, newfoundland, pomeranian, pug, saint bernard, samoyed, scottish terrier, shiba inu,
    staffordshire bull terrier, wheaten terrier, yorkshire terrier""".replace("\n    ", " ").split(", ")
)
FILES: dict[str, Split] = {"trainval": "pool", "test": "test"}


def samples(folder: Path) -> Iterator[Sample]:
    for file, split in FILES.items():
        rows = text_rows(folder / "annotations" / f"{file}.txt", ["image"])
        yield from read_samples(rows, partial(_sample, folder / "images", split))


def _sample(pictures: Path, split: Split, row: Row) -> Iterator[Sample]:
    stem = row.text("image")
    breed = known(stem.rpartition("_")[0].replace("_", " "), CLASSES, "image")
    picture = Row({"image": f"{stem}.jpg"}, row.place, row.number).picture("image", pictures)
    yield classification_sample(stem, picture, breed, split, QUESTION, CLASSES)


def _all_pictures(folder: Path) -> Iterator[Sample]:
    files = sorted((folder / "images").glob("*.jpg"))
    rows = (Row({"image": file.stem}, file.name, number) for number, file in enumerate(files))
    yield from read_samples(rows, partial(_sample, folder / "images", "either"))


BENCHMARK = Published(
    name="pets",
    summary="which of 37 breeds of cats and dogs, four printed",
    source=Source(
        page="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        revision="2012",
        size="0.8 GB",
        needs=("annotations/trainval.txt", "annotations/test.txt", "images/*.jpg"),
        downloads=(
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
                "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c",
                ("images/*.jpg",),
            ),
            Download(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
                "md5:95a8c909bbe2e81eed6a22bccdf3f68f",
                ("annotations/trainval.txt", "annotations/test.txt"),
            ),
        ),
    ),
    licence="CC BY-SA 4.0",
    metric="accuracy",
    prompt=PROMPT,
    counts={"pool": 3680, "test": 3669},
    classes="37",
    tasks={DEFAULT_TASK: CLASSES},
    samples=samples,
    paper=PaperSplit(
        samples=_all_pictures,
        begins="\n",
        lost="which 740 pictures were the support, and the printed options; the first paper had 35 classes",
    ),
    wordings=hec_wordings("What breed is the animal in this image?"),
)
