"""A store of made-up vectors in which a few heads, known beforehand, tell the classes apart."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np

from savs_stores import BenchmarkInfo, Store, open_store, write_store

# (layer, head)
INFORMATIVE = ((0, 5), (2, 11), (3, 3), (3, 20), (4, 8), (5, 17))


def write_planted(
    path: Path,
    classes: int = 10,
    pool: int = 30,
    test: int = 30,
    layers: int = 6,
    heads: int = 28,
    dim: int = 64,
    informative: Collection[tuple[int, int]] = INFORMATIVE,
    strength: int | float = 0.6,
) -> Store:
    """Write the store, `pool` and `test` samples a class, and return it; its model is called `planted`.

    As in real models every head has its own scale, mean and large dimensions, and shares a latent with the others;
    the informative ones have a mean a class besides. There are no logits.
    """
    generator = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(classes), pool), np.repeat(np.arange(classes), test)])
    latent = generator.normal(size=(len(labels), 16))
    vectors = np.empty((len(labels), layers, heads, dim), dtype=np.float16)
    for layer in range(layers):
        for head in range(heads):
            found = generator.normal(size=(len(labels), dim)) + latent @ generator.normal(size=(16, dim)) / 4
            if (layer, head) in informative:
                found += strength * generator.normal(size=(classes, dim))[labels]
            large = np.where(np.arange(dim) < 3, 4, 1)
            found = (found + 3 * generator.normal(size=dim)) * large * 10 ** generator.uniform(-1, 0)
            vectors[:, layer, head] = found
    names = [f"class {number:0{max(2, len(str(classes - 1)))}}" for number in range(classes)]
    benchmark = BenchmarkInfo(
        path.stem, {"all": names}, source="made up: random vectors, a few heads of which tell the classes apart"
    )
    split = np.repeat(["pool", "test"], [classes * pool, classes * test]).tolist()
    samples = {"label": [names[label] for label in labels], "split": split}
    write_store(path, benchmark=benchmark, samples=samples, model="planted", heads=vectors)
    return open_store(path)
