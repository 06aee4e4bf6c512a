"""A replica of food-101: its files as they are published, and what is read from them."""

from itertools import count
from pathlib import Path

from kit.replicas.coop import write_split
from kit.replicas.replica import Replica
from kit.replicas.writing import write_json, write_lines, write_picture

DISHES = "apple_pie baby_back_ribs french_fries sushi waffles".split()


def write(folder: Path) -> None:
    numbers, root = count(), folder / "food-101"
    pictures = {name: [f"{number}{1005649 + place}.jpg" for place in range(5)] for number, name in enumerate(DISHES)}
    for name, found in pictures.items():
        for picture in found:
            write_picture(root / "images" / name / picture, next(numbers))
    write_split(folder / "split_zhou_Food101.json", pictures, {})
    for part, places in (("train", slice(3)), ("test", slice(3, None))):
        stems = {name: [f"{name}/{file[:-4]}" for file in found[places]] for name, found in pictures.items()}
        write_json(root / f"meta/{part}.json", stems)
        write_lines(root / f"meta/{part}.txt", *(stem for of_class in stems.values() for stem in of_class))
    write_lines(root / "meta/classes.txt", *DISHES)
    write_lines(root / "meta/labels.txt", *(name.replace("_", " ").capitalize() for name in DISHES))
    write_lines(root / "license_agreement.txt", "The pictures are of others.")
    write_lines(root / "README.txt", "Food-101")


REPLICA = Replica(
    name="food-101",
    write=write,
    counts={"pool": 50500 + 20200, "test": 30300},
    classes="101",
    prompts={
        "apple_pie/01005649": "What is this dish called?\n"
        "A. apple pie B. waffles C. baby back ribs D. sushi Answer with the class name.",
    },
    classes_here=5,
    options=4,
    lost="it is in neither of the two papers",
)
