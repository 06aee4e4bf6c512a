from functools import cache, partial
from itertools import product

import numpy as np
import pytest

from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.methods.protocols import PROTOCOLS
from savs_analyze.parts.selection import Scoring
from savs_analyze.parts.transform import NONE, Transform
from savs_analyze.votes.similarity import KERNELS, Similarity
from savs_analyze.votes.vote import VOTES
from savs_stores import BenchmarkInfo, write_store

CLASSES = {2: ["cat", "dog"], 4: ["ant", "bee", "cat", "dog"], 10: [f"class {i}" for i in range(10)]}


@pytest.fixture(scope="module", autouse=True)
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture
def generator():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def problem():
    """Return a function that makes random vectors and labels: every class has samples, heads know something of it."""

    def make(seed, classes=3, per_class=4, heads=6, dim=5, pull=0.5):
        generator = np.random.default_rng(seed)
        labels = generator.permutation(np.repeat(np.arange(classes), per_class))
        directions = generator.normal(size=(classes, heads, dim)) * pull
        return generator.normal(size=(len(labels), heads, dim)) + directions[labels], labels

    return make


@pytest.fixture(scope="session")
def every_recipe():
    def recipes(k):
        """Return every recipe that the parts can be put together to, named or not."""
        kinds = [*(Similarity(name, 0.3, 0.2) for name in KERNELS), Similarity("rbf", saturating=True)]
        recipes = []
        for kind, transform, criterion, leave_one_out, vote, order in product(
            kinds,
            [NONE, Transform("penalty"), Transform("artanh", 0.4, 1.2)],
            ["count", "balanced", "margin", "score", "recall", "one-vs-rest"],
            [False, True],
            VOTES,
            [None, PROTOCOLS["extension"]],
        ):
            per_class = criterion if criterion in ("recall", "one-vs-rest") else ""
            fits = bool(per_class) == VOTES[vote].per_class
            makes_sense = transform.name != "artanh" or kind.name == "cosine"
            if fits and makes_sense and (criterion, transform) != ("score", NONE):
                scoring = Scoring(kind, transform, "count" if per_class else criterion, leave_one_out, per_class)
                recipes.append(Savs(k, scoring, vote=vote, voting=kind, temperature=0.7, protocol=order))
        return recipes

    return recipes


def planted(generator, labels, classes, layers=3, heads=4, dim=8, informative=3, noise=1.0):
    """Return vectors [sample, layer, head, dim]: noise, and in the first heads of layer 0 a direction a class."""
    vectors = generator.normal(size=(len(labels), layers, heads, dim)) * noise
    directions = generator.normal(size=(classes, informative, dim)) * 2
    vectors[:, 0, :informative] += directions[labels]
    return vectors


def _write_toy(
    folder,
    generator,
    name="toy",
    classes=2,
    count=30,
    split=("pool", "test"),
    logits=None,
    change=None,
    identity=None,
    class_order=None,
    **columns,
):
    names = CLASSES[classes]
    labels = np.tile(np.repeat(np.arange(classes), count), 2)
    vectors = planted(generator, labels, classes)
    if change is not None:
        change(vectors)
    table = {"label": [names[i] for i in labels], "split": np.repeat(split, classes * count).tolist(), **columns}
    return write_store(
        folder / f"{name}.zarr",
        benchmark=BenchmarkInfo(name, {"all": names}, metric="accuracy", class_order=class_order or {}),
        samples=table,
        model="planted",
        heads=vectors,
        logits=logits,
        identity=identity,
        shard_samples=16,
    )


@pytest.fixture
def make_store(tmp_path, generator):
    """Return a function that writes a planted store: `count` samples a class in the pool and in the test split."""
    return partial(_write_toy, tmp_path, generator)


@pytest.fixture(scope="session")
def write_toy():
    """Return what writes the stores of `make_store`, given a folder and a generator, for fixtures that live longer."""
    return _write_toy


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    """Return a function that gives the planted store of so many classes; leave it as it is."""
    folder = tmp_path_factory.mktemp("toys")
    return cache(lambda classes=2: _write_toy(folder / str(classes), np.random.default_rng(0), classes=classes))


@pytest.fixture
def toy(toys):
    return toys()
