"""A replica of naturalbench-retrieval: its files as they are published, and what is read from them."""

from pathlib import Path

from kit.replicas.replica import Replica
from kit.replicas.writing import THINGS, write_json, write_picture


def write(folder: Path) -> None:
    rows = []
    for index in range(12):
        names = [f"{index}_{image}.jpg" for image in (0, 1)]
        for image, name in enumerate(names):
            write_picture(folder / "NaturalBench-Retrieval/images" / name, 2 * index + image)
        captions = {f"caption_{caption}": f"{THINGS[index]}, taken {caption + 1} times" for caption in (0, 1)}
        rows.append({"index": index, "image_0": names[0], "image_1": names[1], **captions})
    write_json(folder / "NaturalBench-Retrieval/metadata.json", rows)


REPLICA = Replica(
    name="naturalbench-retrieval",
    write=write,
    counts={"either": 4 * 950},
    classes="2",
    prompts={
        "1-3": "Does this image show 'leaves, taken 2 times'? Answer with Yes or No.",
    },
)
