import numpy as np
import pytest

from savs_stores import BenchmarkInfo, write_store

CLASSES = {2: ["cat", "dog"], 4: ["ant", "bee", "cat", "dog"], 10: [f"class {i}" for i in range(10)]}


@pytest.fixture
def generator():
    return np.random.default_rng(0)


def planted(generator, labels, classes, layers=3, heads=4, dim=8, informative=3, noise=1.0):
    """Return vectors [sample, layer, head, dim]: noise, and in the first heads of layer 0 a direction a class."""
    vectors = generator.normal(size=(len(labels), layers, heads, dim)) * noise
    directions = generator.normal(size=(classes, informative, dim)) * 2
    vectors[:, 0, :informative] += directions[labels]
    return vectors


@pytest.fixture
def make_store(tmp_path, generator):
    """Return a function that writes a planted store: `count` samples a class in the pool and in the test split."""

    def make(name="toy", classes=2, count=30, split=("pool", "test"), logits=None, change=None, **columns):
        names = CLASSES[classes]
        labels = np.tile(np.repeat(np.arange(classes), count), 2)
        vectors = planted(generator, labels, classes)
        if change is not None:
            change(vectors)
        table = {"label": [names[i] for i in labels], "split": np.repeat(split, classes * count).tolist(), **columns}
        return write_store(
            tmp_path / f"{name}.zarr",
            benchmark=BenchmarkInfo(name, {"all": names}, metric="accuracy"),
            samples=table,
            model="planted",
            heads=vectors,
            logits=logits,
            shard_samples=16,
        )

    return make
