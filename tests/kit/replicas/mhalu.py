"""A replica of mhalu: its files as they are published, and what is read from them."""

from itertools import count
from pathlib import Path

from kit.replicas.replica import Replica
from kit.replicas.writing import write_json, write_picture


def write(folder: Path) -> None:
    numbers = count()
    for file, instances in (("MHaluBench_train.json", 3), ("MHaluBench_val-v0.2.json", 4)):
        rows = []
        for instance in range(instances):
            number = next(numbers)
            name = f"{number:06}.jpg"
            write_picture(folder / "data/image-to-text" / name, number)
            path = f"/home/authors/image-to-text/{name}" if instance else f"D:\\authors\\image-to-text\\{name}"
            wrong = ["hallucination", "non-hallucination"] if instance % 2 else ["non-hallucination", "hallucination"]
            rows.append(
                {
                    "image_path": path,
                    "response": "There is a flower. It is red.",
                    "label": "hallucination",
                    "claim_list": [f"Picture {number} has a flower.", f"The flower of picture {number} is red"],
                    "ref_claim_label": wrong,
                }
            )
        generated = {"claim_list": ["A cat was drawn."], "ref_claim_label": ["hallucination"], "label": "hallucination"}
        # Of what a model drew, the path tells of one, the folder of the other.
        write_picture(folder / f"data/text-to-image/seen-{instances}.png", next(numbers))
        for path in (f"/home/authors/text-to-image/told-{instances}.png", f"/home/authors/seen-{instances}.png"):
            rows.insert(1, {"image_path": path, **generated})
        write_json(folder / file, rows)
    write_json(folder / "MHaluBench_val-v0.1.json", [])


REPLICA = Replica(
    name="mhalu",
    write=write,
    counts={"pool": 3877, "test": 1817 + 40},
    classes="2",
    prompts={
        "pool-0-0": "Claim:Picture 0 has a flower.. Is the Claim hallucinating? Answer the question with Yes or No.",
        "test-5-1": "Claim:The flower of picture 7 is red. Is the Claim hallucinating? "
        "Answer the question with Yes or No.",
    },
)
