"""A replica of naturalbench: its files as they are published, and what is read from them."""

from pathlib import Path
from typing import Any

import pyarrow as pa

from kit.replicas.replica import Replica
from kit.replicas.writing import PICTURE, cell, write_parquet

NATURALBENCH_TYPES = {
    "Index": pa.int64(),
    **{f"Image_{image}": PICTURE for image in (0, 1)},
    **{f"Question_{question}": pa.string() for question in (0, 1)},
    **{f"Image_{image}_Question_{question}": pa.string() for question in (0, 1) for image in (0, 1)},
    "Question_Type": pa.string(),
}


def write(folder: Path) -> None:
    rows = [_row(index) for index in range(12)]
    features = {"Image_0": {"_type": "Image"}, "Image_1": {"_type": "Image"}}
    for shard in (0, 1):
        file = folder / f"data/train-{shard:05}-of-00002.parquet"
        write_parquet(file, NATURALBENCH_TYPES, rows[shard * 7 : shard * 7 + 7], features)


def _row(index: int) -> dict[str, Any]:
    kind = "multiple_choice" if index % 2 else "yes_no"
    one, other = ("A", "B") if index % 2 else ("Yes", "No")
    # Of every question one picture is right; in every second group it is the same picture for both.
    first, second = (one, other), (one, other) if index // 2 % 2 else (other, one)
    return {
        "Index": index,
        "Image_0": cell(2 * index),
        "Image_1": cell(2 * index + 1),
        "Question_0": f"What about the roof of {index}?",
        "Question_1": f"What about the petals of {index}?",
        "Image_0_Question_0": first[0],
        "Image_1_Question_0": first[1],
        "Image_0_Question_1": second[0],
        "Image_1_Question_1": second[1],
        "Question_Type": kind,
    }


REPLICA = Replica(
    name="naturalbench",
    write=write,
    counts={"either": 4 * 1900},
    classes="4",
    prompts={
        "0-2": "What about the petals of 0? Please answer Yes or No.",
        "1-0": "What about the roof of 1? Please output the letter corresponding to the correct option.",
    },
)
