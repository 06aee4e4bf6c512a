"""A replica of pets: its files as they are published, and what is read from them."""

from itertools import count
from pathlib import Path

import numpy as np
from scipy.io import savemat

from kit.replicas.replica import Replica
from kit.replicas.writing import write_lines, write_picture

CATS = """Abyssinian Bengal Birman Bombay British_Shorthair Egyptian_Mau Maine_Coon Persian Ragdoll Russian_Blue
    Siamese Sphynx"""


DOGS = """american_bulldog american_pit_bull_terrier basset_hound beagle boxer chihuahua english_cocker_spaniel
    english_setter german_shorthaired great_pyrenees havanese japanese_chin keeshond leonberger miniature_pinscher
    newfoundland pomeranian pug saint_bernard samoyed scottish_terrier shiba_inu staffordshire_bull_terrier
    wheaten_terrier yorkshire_terrier"""


def write(folder: Path) -> None:
    breeds = [(name, 1) for name in CATS.split()] + [(name, 2) for name in DOGS.split()]
    breeds.sort(key=lambda breed: breed[0].lower())
    numbers = count()
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    for number, (name, species) in enumerate(breeds, 1):
        for place, part in ((100, "trainval"), (20, "trainval"), (3, "test")):
            write_picture(folder / f"images/{name}_{place}.jpg", next(numbers))
            lists[part].append(f"{name}_{place} {number} {species} {number}")
    write_picture(folder / "images/pug_7.jpg", next(numbers))  # in neither list
    savemat(folder / "images/Abyssinian_100.mat", {"x": np.zeros((1, 1))})  # the archive holds such files
    heading = ("#Image CLASS-ID SPECIES BREED ID", "#SPECIES: 1:Cat 2:Dog", "#")
    for part, lines in lists.items():
        write_lines(folder / f"annotations/{part}.txt", *heading, *lines)
    write_lines(folder / "annotations/list.txt", *heading, *lists["trainval"], *lists["test"])


REPLICA = Replica(
    name="pets",
    write=write,
    counts={"pool": 3680, "test": 3669},
    classes="37",
    prompts={
        "Abyssinian_100": "What type of animal is in the image?\n"
        "A. leonberger B. samoyed C. Abyssinian D. Bengal Answer with the class name.",
    },
    options=4,
)
