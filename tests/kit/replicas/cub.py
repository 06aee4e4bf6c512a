"""A replica of cub: its files as they are published, and what is read from them."""

from pathlib import Path

from kit.replicas.replica import Replica
from kit.replicas.writing import write_lines, write_picture

BIRDS = {
    1: "Black_footed_Albatross",
    2: "Laysan_Albatross",
    3: "Sooty_Albatross",
    29: "American_Crow",
    30: "Fish_Crow",
    36: "Northern_Flicker",
}


def write(folder: Path) -> None:
    root = folder / "CUB_200_2011"
    images, labels, splits = [], [], []
    for number, name in BIRDS.items():
        for place in range(5):
            image = len(images) + 1
            file = f"{number:03}.{name}/{name}_{place:04}_{1000 + image}.jpg"
            write_picture(root / "images" / file, image)
            images.append(f"{image} {file}")
            labels.append(f"{image} {number}")
            splits.append(f"{image} {int(place in (1, 2, 4))}")
    write_lines(root / "classes.txt", *(f"{number} {number:03}.{name}" for number, name in BIRDS.items()))
    write_lines(root / "images.txt", *images)
    write_lines(root / "image_class_labels.txt", *labels)
    write_lines(root / "train_test_split.txt", *splits)


REPLICA = Replica(
    name="cub",
    write=write,
    counts={"pool": 5994, "test": 5794},
    classes="200",
    prompts={
        "Fish_Crow_0000_1021": "What type of bird is in the image?\n"
        "A. American Crow B. Fish Crow C. Sooty Albatross D. Black footed Albatross Answer with the class name.",
    },
    classes_here=6,
    options=4,
    lost="no code and no list",
)
