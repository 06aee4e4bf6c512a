"""A replica of caltech-101: its files as they are published, and what is read from them."""

import io
import tarfile
from itertools import count
from pathlib import Path

from kit.replicas.coop import write_split
from kit.replicas.replica import Replica
from kit.replicas.writing import write_lines, write_picture

# The folders, and how CoOp calls those that it calls otherwise; two are no class there.
THINGS = "Faces Leopards Motorbikes accordion airplanes crocodile_head".split()
NAMES = {"Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike", "airplanes": "airplane"}
NO_CLASSES = ("BACKGROUND_Google", "Faces_easy")


def write(folder: Path) -> None:
    numbers, root = count(), folder / "caltech-101"
    pictures = {name: [f"image_{place:04}.jpg" for place in range(1, 6)] for name in (*THINGS, *NO_CLASSES)}
    for name, found in pictures.items():
        for picture in found:
            write_picture(root / "101_ObjectCategories" / name / picture, next(numbers))
    write_lines(root / "101_ObjectCategories/BACKGROUND_Google/tmp")
    write_split(folder / "split_zhou_Caltech101.json", {name: pictures[name] for name in THINGS}, NAMES)
    write_lines(root / "show_annotation.m", "function show_annotation")
    with tarfile.open(root / "Annotations.tar", "w") as opened:
        opened.addfile(tarfile.TarInfo("Annotations/Faces_2/annotation_0001.mat"), io.BytesIO())


REPLICA = Replica(
    name="caltech-101",
    write=write,
    counts={"pool": 4128 + 1649, "test": 2465},
    classes="100",
    prompts={
        "crocodile_head/image_0005": "What is the main object in this photo?\n"
        "A. airplane B. motorbike C. crocodile head D. accordion Answer with the class name.",
    },
    classes_here=6,
    options=4,
    lost="it is in neither of the two papers",
)
