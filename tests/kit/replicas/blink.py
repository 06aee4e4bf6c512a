"""A replica of blink: its files as they are published, and what is read from them."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pyarrow as pa

from kit.replicas.replica import Replica
from kit.replicas.writing import LETTERS, PICTURE, THINGS, cell, write_parquet

# Pictures, letters and the question of every task; {} is another word in every sample.
BLINK = {
    "Art_Style": (3, 2, "Which picture is painted like the first one?"),
    "Counting": (1, 4, "How many {} are in the image?"),
    "Forensic_Detection": (4, 4, "Which picture is a photo?"),
    "Functional_Correspondence": (2, 4, "Which point of the second picture is used like the one of the first?"),
    "IQ_Test": (1, 4, "Which picture comes next?"),
    "Jigsaw": (3, 2, "Which picture is the missing corner?"),
    "Multi-view_Reasoning": (2, 2, "Did the camera move to the left or to the right?"),
    "Object_Localization": (1, 2, "Which box holds the {}?"),
    "Relative_Depth": (1, 2, "Which point is closer to the camera?"),
    "Relative_Reflectance": (1, 3, "Which point is darker?"),
    "Semantic_Correspondence": (2, 4, "Which point of the second picture means the same?"),
    "Spatial_Relation": (1, 2, "Are the {} below the flower?"),
    "Visual_Correspondence": (2, 4, "Which point of the second picture is the same?"),
    "Visual_Similarity": (3, 2, "Which picture is like the first one?"),
}


CHOICES = ("the first", "the second", "the third", "the fourth")


BLINK_TYPES = {
    "idx": pa.string(),
    "question": pa.string(),
    "sub_task": pa.string(),
    **{f"image_{place}": PICTURE for place in (1, 2, 3, 4)},
    "choices": pa.list_(pa.string()),
    "answer": pa.string(),
    "prompt": pa.string(),
}


def write(folder: Path) -> None:
    numbers = count()
    for task, (pictures, letters, question) in BLINK.items():
        rows = [_row(task, row, pictures, letters, question, numbers) for row in range(3 * letters)]
        features = {f"image_{place}": {"_type": "Image"} for place in (1, 2, 3, 4)}
        write_parquet(folder / task / "val-00000-of-00001.parquet", BLINK_TYPES, rows, features)
        hidden = [row | {"idx": row["idx"].replace("val", "test"), "answer": "hidden"} for row in rows[:2]]
        write_parquet(folder / task / "test-00000-of-00001.parquet", BLINK_TYPES, hidden, features)


def _row(task: str, row: int, pictures: int, letters: int, question: str, numbers: Iterator[int]) -> dict:
    choices = list(CHOICES[:letters])
    asked = question.format(THINGS[row])
    form = "PNG" if task == "IQ_Test" else "JPEG"
    images = [cell(next(numbers), form) if place < pictures else None for place in range(4)]
    printed = " ".join(f"({letter}) {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
    return {
        "idx": f"val_{task}_{row + 1}",
        "question": asked,
        "sub_task": task,
        **{f"image_{place}": image for place, image in enumerate(images, 1)},
        "choices": choices,
        "answer": f"({LETTERS[row % letters]})",
        "prompt": f"Look closely. {asked}\nSelect from the following choices.\n{printed}\n",
    }


REPLICA = Replica(
    name="blink",
    write=write,
    counts={"either": 1901},
    classes="2 to 4",
    prompts={
        "val_Counting_2": "Look closely. How many leaves are in the image?\n"
        "Select from the following choices.\n(A) the first (B) the second (C) the third (D) the fourth",
    },
)
