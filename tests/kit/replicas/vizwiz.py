"""A replica of vizwiz: its files as they are published, and what is read from them."""

from itertools import count
from pathlib import Path
from typing import Any

from kit.replicas.replica import Replica
from kit.replicas.writing import write_json, write_picture


def write(folder: Path) -> None:
    numbers = count()
    for part, answers in (("train", 6), ("val", 5), ("test", 2)):
        rows = []
        for place in range(answers):
            number = next(numbers)
            name = f"VizWiz_{part}_{place:08}.jpg"
            write_picture(folder / part / name, number)
            row: dict[str, Any] = {"image": name, "question": f"What is written on can {number}?"}
            if part != "test":
                row |= {
                    "answers": [{"answer": "soup", "answer_confidence": "yes"}] * 10,
                    "answer_type": "other" if place % 2 else "unanswerable",
                    "answerable": place % 2,
                }
            rows.append(row)
        write_json(folder / f"Annotations/{part}.json", rows)


REPLICA = Replica(
    name="vizwiz",
    write=write,
    counts={"pool": 20523, "test": 2934 + 1385},
    classes="2",
    prompts={
        "VizWiz_val_00000001": "What is written on can 7?\n"
        "When the provided information is insufficient, respond with Unanswerable.\n"
        "Answer the question using a single word or phrase.",
    },
)
