"""A replica of flowers: its files as they are published, and what is read from them."""

from pathlib import Path

import numpy as np
from scipy.io import savemat

from kit.replicas.replica import Replica
from kit.replicas.writing import write_picture


def write(folder: Path) -> None:
    # Pictures lie sorted by class, three of each; the lists name them out of order.
    labels = np.repeat(np.arange(1, 103), 3)
    for number in range(1, len(labels) + 1):
        write_picture(folder / f"jpg/image_{number:05}.jpg", number)
    first = np.random.default_rng(0).permutation(np.arange(1, len(labels), 3))
    savemat(folder / "imagelabels.mat", {"labels": labels[None].astype(np.uint8)}, do_compression=True)
    parts = {name: (first[None] + shift).astype(np.uint16) for shift, name in enumerate(("trnid", "valid", "tstid"))}
    savemat(folder / "setid.mat", parts, do_compression=True)


REPLICA = Replica(
    name="flowers",
    write=write,
    counts={"pool": 10 * 102 * 2, "test": 6149},
    classes="102",
    prompts={
        "image_00253": "What type of flower is in the image?\n"
        "A. geranium B. foxglove C. desert-rose D. pelargonium Answer with the class name.",
    },
    options=4,
    lost="no code and no list",
)
