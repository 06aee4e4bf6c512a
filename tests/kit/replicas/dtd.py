"""A replica of dtd: its files as they are published, and what is read from them."""

from itertools import count
from pathlib import Path

import numpy as np
from scipy.io import savemat

from kit.replicas.coop import write_split
from kit.replicas.replica import Replica
from kit.replicas.writing import write_lines, write_picture

TEXTURES = "banded blotchy chequered polka-dotted zigzagged".split()


def write(folder: Path) -> None:
    numbers, root = count(), folder / "dtd"
    pictures = {name: [f"{name}_{place:04}.jpg" for place in (2, 4, 5, 6, 8)] for name in TEXTURES}
    for name, found in pictures.items():
        for picture in found:
            write_picture(root / "images" / name / picture, next(numbers))
    write_split(folder / "split_zhou_DescribableTextures.json", pictures, {})
    # The ten official splits and what MATLAB reads.
    for part, place in (("train", 0), ("val", 1), ("test", 2)):
        write_lines(root / f"labels/{part}1.txt", *(f"{name}/{found[place]}" for name, found in pictures.items()))
    write_lines(root / "labels/labels_joint_anno.txt", *(f"{name}/{pictures[name][0]} {name}" for name in TEXTURES))
    (root / "imdb").mkdir()
    savemat(root / "imdb/imdb.mat", {"images": np.zeros((1, 1))})


REPLICA = Replica(
    name="dtd",
    write=write,
    counts={"pool": 2820 + 1128, "test": 1692},
    classes="47",
    prompts={
        "polka-dotted/polka-dotted_0002": "What texture pattern is visible in this image?\n"
        "A. banded B. zigzagged C. polka-dotted D. chequered Answer with the class name.",
    },
    classes_here=5,
    options=4,
    lost="it is in neither of the two papers",
)
