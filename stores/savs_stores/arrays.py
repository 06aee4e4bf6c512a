"""A store from arrays that someone already has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from savs_stores.errors import MismatchError, StoreError
from savs_stores.format.heads import HeadTable
from savs_stores.format.samples import BenchmarkInfo, SampleTable
from savs_stores.format.schema import TEXTS
from savs_stores.format.shard import Shard
from savs_stores.format.texts import SampleTexts
from savs_stores.place.keys import StorePath
from savs_stores.read import Store, open_store
from savs_stores.write import add_model, create_store


def write_store(
    path: StorePath,
    *,
    benchmark: BenchmarkInfo,
    samples: SampleTable | Mapping[str, Sequence[Any]],
    model: str,
    heads: Float[np.ndarray, "sample head dim"] | Float[np.ndarray, "sample layer head dim"],
    logits: Float[np.ndarray, "sample class"] | None = None,
    head_table: HeadTable | None = None,
    identity: Mapping[str, Any] | None = None,
    shard_samples: int | None = None,
    codec: str = "none",
) -> Store:
    """Write vectors that are already in memory as a store, or add a model to one, and open it.

    `samples` is a table, or columns of words of which only `label` is needed; the columns `image_path` (one or several
    a sample) and `question` are kept for people. Vectors of four axes
    are [sample, layer, head, dim]; three axes count as one layer unless `head_table` says more.
    A sample with a NaN or with values that float16 cannot hold is recorded as non-finite.
    Raises `StoreError` for shapes that do not fit, `MismatchError` where the path holds other samples, or
    other vectors under this model's name.
    """
    table, texts = _table_and_texts(benchmark, samples)
    heads = np.asarray(heads)
    if heads.ndim not in (3, 4) or len(heads) != len(table):
        raise StoreError(f"vectors need [{len(table)} samples, (layer,) head, dim], got shape {heads.shape}")
    if head_table is None:
        layers, width = heads.shape[1] if heads.ndim == 4 else 1, heads.shape[-1]
        head_table = HeadTable.from_layers((layer, heads.shape[-2], width) for layer in range(layers))
    vectors = heads.reshape(len(heads), -1, heads.shape[-1])
    if vectors.shape[1:] != (len(head_table), head_table.dim):
        raise StoreError(f"the head table says {head_table.describe()}, the vectors have shape {heads.shape}")
    if logits is not None and logits.shape != (len(table), benchmark.most_classes):
        raise StoreError(f"logits need shape {(len(table), benchmark.most_classes)}, got {logits.shape}")
    create_store(path, benchmark, table, texts)
    writer = add_model(path, model, identity or {"model": model}, head_table, shard_samples=shard_samples, codec=codec)
    for shard, found in enumerate(writer.records):
        rows = writer.plan.rows(shard)
        content = Shard.empty(len(rows), len(head_table), head_table.dim, benchmark.most_classes)
        for place, row in enumerate(rows):
            content.put(place, vectors[row].astype(np.float64))
        if logits is not None:
            content.logits[:] = logits[rows.start : rows.stop]
        if not found:
            writer.write(shard, content)
        elif found != writer.record(shard, content):
            raise MismatchError(f"{path} already holds other vectors of {model!r}: name the model differently")
    return open_store(path)


def _table_and_texts(
    benchmark: BenchmarkInfo, samples: SampleTable | Mapping[str, Sequence[Any]]
) -> tuple[SampleTable, SampleTexts | None]:
    if isinstance(samples, SampleTable):
        return samples, None
    table = SampleTable.from_columns(benchmark.tasks, {name: of for name, of in samples.items() if name not in TEXTS})
    if not set(TEXTS) & set(samples):
        return table, None
    return table, SampleTexts.from_columns(*(samples.get(name, [""] * len(table)) for name in TEXTS))
