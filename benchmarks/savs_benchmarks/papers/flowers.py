"""Flowers-102: which of 102 flowers is in the picture?

Nilsback and Zisserman 2008; https://www.robots.ox.ac.uk/~vgg/data/flowers/102/, no licence stated.
The pool is the official training and validation split: 20 pictures a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.published import PaperSplit, Published
from savs_benchmarks.files.rows import Row, RowError, read_samples
from savs_benchmarks.files.source import Download, Source
from savs_benchmarks.papers.classification import PROMPT, classification_sample
from savs_benchmarks.sample import DEFAULT_TASK, Sample, Split
from savs_benchmarks.wordings import hec_wordings

QUESTION = "What type of flower is in the image?"
# In the order of the labels 1 to 102.
NAMES = tuple(
    """pink primrose, hard-leaved pocket orchid, canterbury bells, sweet pea, english marigold, tiger lily, moon orchid,
    bird of paradise, monkshood, globe thistle, snapdragon, colt's foot, king protea, spear thistle, yellow iris,
    globe-flower, purple coneflower, peruvian lily, balloon flower, giant white arum lily, fire lily, pincushion flower,
    fritillary, red ginger, grape hyacinth, corn poppy, prince of wales feathers, stemless gentian, artichoke,
    sweet william, carnation, garden phlox, love in the mist, mexican aster, alpine sea holly, ruby-lipped cattleya,
    cape flower, great masterwort, siam tulip, lenten rose, barbeton daisy, daffodil, sword lily, poinsettia,
    bolero deep blue, wallflower, marigold, buttercup, oxeye daisy, common dandelion, petunia, wild pansy, primula,
    sunflower, pelargonium, bishop of llandaff, gaura, geranium, orange dahlia, pink-yellow dahlia, cautleya spicata,
    japanese anemone, black-eyed susan, silverbush, californian poppy, osteospermum, spring crocus, bearded iris,
    windflower, tree poppy, gazania, azalea, water lily, rose, thorn apple, morning glory, passion flower, lotus,
    toad lily, anthurium, frangipani, clematis, hibiscus, columbine, desert-rose, tree mallow, magnolia, cyclamen,
    watercress, canna lily, hippeastrum, bee balm, ball moss, foxglove, bougainvillea, camellia, mallow,
    mexican petunia, bromelia, blanket flower, trumpet creeper, blackberry lily""".replace("\n    ", " ").split(", ")
)
CLASSES = tuple(sorted(NAMES))
SPLITS: dict[str, Split] = {"trnid": "pool", "valid": "pool", "tstid": "test"}
URL = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"


def samples(folder: Path) -> Iterator[Sample]:
    labels = _matrix(folder / "imagelabels.mat", "labels")
    for name, split in SPLITS.items():
        numbers = _matrix(folder / "setid.mat", name)
        rows = (Row({"image": number}, f"setid.mat, {name} {place}", place) for place, number in enumerate(numbers))
        yield from read_samples(rows, partial(_sample, folder / "jpg", split, labels))


def _sample(pictures: Path, split: Split, labels: list[int], row: Row) -> Iterator[Sample]:
    number = row["image"]
    if not 1 <= number <= len(labels) or not 1 <= labels[number - 1] <= len(NAMES):
        raise RowError(f"picture {number} has no label between 1 and {len(NAMES)} in imagelabels.mat")
    stem = f"image_{number:05}"
    yield classification_sample(stem, pictures / f"{stem}.jpg", NAMES[labels[number - 1] - 1], split, QUESTION, CLASSES)


def _matrix(file: Path, name: str) -> list[int]:
    from scipy.io import loadmat

    try:
        content: dict[str, Any] = loadmat(file)
        return content[name].ravel().astype(int).tolist()
    except PermissionError as error:
        raise BenchmarkError(f"{file} cannot be read: {error}") from None
    except Exception as error:  # damaged bytes make scipy raise whatever they happen to hit
        raise BenchmarkError(f"{file} holds no list {name!r}: {error}") from None


BENCHMARK = Published(
    name="flowers",
    summary="which of 102 flowers, four printed",
    source=Source(
        page=f"{URL}/",
        revision="2009",
        size="0.3 GB",
        needs=("jpg/*.jpg", "imagelabels.mat", "setid.mat"),
        downloads=(
            Download(f"{URL}/102flowers.tgz", "md5:52808999861908f626f3c1f4e79d11fa", ("jpg/*.jpg",)),
            Download(f"{URL}/imagelabels.mat", "md5:e0620be6f572b9609742df49c70aed4d"),
            Download(f"{URL}/setid.mat", "md5:a5357ecc9cb78c4bef273ce3793fc85c"),
        ),
    ),
    licence="not stated",
    metric="accuracy",
    prompt=PROMPT,
    counts={"pool": 2040, "test": 6149},
    classes="102",
    tasks={DEFAULT_TASK: CLASSES},
    samples=samples,
    paper=PaperSplit(lost="no code and no list was published"),
    wordings=hec_wordings("What is the species of this flower?", ending=""),
)
