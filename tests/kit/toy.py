"""A toy harvest: ten samples in three shards of 4, 4 and 2, two layers of three heads."""

import numpy as np

from savs_stores import BenchmarkInfo, HeadTable, SampleTable, Shard, add_model, create_store

CLASSES = ["blue", "green", "red"]
COMMAND = "savs-harvest run --model toy"


class Toy:
    """Writes a store the way a harvest does; `vectors` is what must come back, to the last bit."""

    samples, shard_samples = 10, 4
    benchmark = BenchmarkInfo("toys", {"all": CLASSES})
    heads = HeadTable.from_layers([(0, 3, 4), (1, 3, 4)])

    def __init__(self, seed=0):
        self.identity = {"model": "toy", "size": (2, 3)}  # a tuple: JSON makes it a list
        generator = np.random.default_rng(seed)
        self.vectors = generator.normal(size=(self.samples, 6, 4)).astype(np.float16)
        self.logits = generator.normal(size=(self.samples, 3)).astype(np.float32)
        self.table = SampleTable.from_columns(
            self.benchmark.tasks, {"label": [CLASSES[i % 3] for i in range(self.samples)]}
        )

    def begin(self, path, model="toy", **options):
        create_store(path, self.benchmark, self.table)
        given = {"provenance": {"command": COMMAND}, "shard_samples": self.shard_samples, **options}
        return add_model(path, model, given.pop("identity", self.identity), self.heads, **given)

    def content(self, rows):
        shard = Shard.empty(len(rows), 6, 4, 3)
        for place, row in enumerate(rows):
            shard.put(place, self.vectors[row])
        shard.logits[:] = self.logits[rows.start : rows.stop]
        shard.n_tokens[:] = rows
        return shard

    def write(self, path, shards=None, **options):
        """Write some shards, by default all that are missing; return the writer."""
        writer = self.begin(path, **options)
        for shard in writer.missing if shards is None else shards:
            writer.write(shard, self.content(writer.plan.rows(shard)))
        return writer
