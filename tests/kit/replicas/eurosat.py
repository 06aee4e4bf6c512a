"""A replica of eurosat: its files as they are published, and what is read from them."""

from itertools import count
from pathlib import Path

from kit.replicas.replica import Replica
from kit.replicas.writing import write_picture

LAND = "AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop Residential River SeaLake"


def write(folder: Path) -> None:
    numbers = count()
    for name in LAND.split():
        for place in range(1, 5):
            write_picture(folder / f"2750/{name}/{name}_{place}.jpg", next(numbers))


REPLICA = Replica(
    name="eurosat",
    write=write,
    counts={"either": 27000},
    classes="10",
    prompts={
        "AnnualCrop_1": "What type of remote sensing image does the given image belong to?\n"
        "A. Residential B. AnnualCrop C. Pasture D. HerbaceousVegetation Answer with the class name.",
    },
    options=4,
)
