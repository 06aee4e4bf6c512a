"""A replica of sugarcrepe: its files as they are published, and what is read from them."""

from pathlib import Path

from kit.replicas.replica import Replica
from kit.replicas.writing import THINGS, write_json, write_picture


def write(folder: Path) -> None:
    kinds = ("add_att", "add_obj", "replace_att", "replace_obj", "replace_rel", "swap_att", "swap_obj")
    for place, kind in enumerate(kinds):
        pairs = {}
        for key in range(2):
            number = 2 * place + key - (kind == "swap_obj")  # some pictures serve in two files
            write_picture(folder / f"val2017/{number:012}.jpg", number)
            pairs[str(key)] = {
                "filename": f"{number:012}.jpg",
                "caption": f"A {THINGS[key]} next to a flower, {kind}.",
                "negative_caption": f"A flower on {THINGS[key]}, {kind}.",
            }
        write_json(folder / f"{kind}.json", pairs)


REPLICA = Replica(
    name="sugarcrepe",
    write=write,
    counts={"either": 2 * (692 + 2062 + 788 + 1652 + 1406 + 666 + 245)},
    classes="2",
    prompts={
        "swap_att-1-1": "Does this image show 'A flower on leaves, swap_att.'? Please answer with Yes or No.",
    },
)
