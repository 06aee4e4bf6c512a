"""A replica of imagenet: its files as they are published, and what is read from them."""

from itertools import count
from pathlib import Path

import pyarrow as pa

from kit.replicas.replica import Replica
from kit.replicas.writing import PICTURE, cell, write_parquet

IMAGENET = (
    "tench, Tinca tinca",
    "goldfish, Carassius auratus",
    "great white shark, white shark, man-eater, man-eating shark, Carcharodon carcharias",
    "cock",
    "hen",
    "ostrich, Struthio camelus",
    "brambling, Fringilla montifringilla",
    "robin, American robin, Turdus migratorius",
    "jay",
    "magpie",
    "kite",
    "vulture",
    "axolotl, mud puppy, Ambystoma mexicanum",
    "tree frog, tree-frog",
    "mud turtle",
    "Gila monster, Heloderma suspectum",
    "maillot",
    "maillot, tank suit",
    "daisy",
    "toilet tissue, toilet paper, bathroom tissue",
)


IMAGENET_TYPES = {"image": PICTURE, "label": pa.int64()}


IMAGENET_FEATURES = {"image": {"_type": "Image"}, "label": {"names": IMAGENET, "_type": "ClassLabel"}}


def write(folder: Path) -> None:
    numbers = count()
    labels = {
        "train-00000-of-00002": [*range(0, 20, 2)] * 2,
        "train-00001-of-00002": [*range(1, 20, 2)] * 3,
        "validation-00000-of-00002": [*range(13)],
        "validation-00001-of-00002": [*range(13, 20)],
        "test-00000-of-00001": [-1, -1],
    }
    for file, found in labels.items():
        rows = [{"image": cell(next(numbers)), "label": label} for label in found]
        write_parquet(folder / f"data/{file}.parquet", IMAGENET_TYPES, rows, IMAGENET_FEATURES, group=8)


REPLICA = Replica(
    name="imagenet",
    write=write,
    counts={"pool": 1281167, "test": 50000},
    classes="1,000",
    prompts={
        "train-00000-of-00002-0": "What type of object is in the image?\n"
        "A. ostrich B. daisy C. vulture D. hen E. great white shark F. toilet tissue G. robin H. cock I. Gila monster "
        "J. kite K. axolotl L. magpie M. tench N. maillot O. jay P. maillot, tank suit Answer with the class name.",
    },
    classes_here=20,
    options=16,
    lost="no code and no list",
)
