"""Checking a whole store again: every shard against its record, every hash against its fields."""

from __future__ import annotations

from collections.abc import Iterator

from savs_stores.class_heads import class_vectors
from savs_stores.errors import StoreError
from savs_stores.format.plan import spans
from savs_stores.format.schema import PER_SAMPLE, TABLE, TEXTS
from savs_stores.format.shard import Shard
from savs_stores.read import Store
from savs_stores.vectors import ModelVectors


def verify(store: Store) -> Iterator[str]:
    """Yield one line a fault; a sound store yields nothing. Reads every byte, one shard at a time.

    A store that was opened strictly has no fault in its table and attributes, or it would not be open.
    """
    yield from store.faults
    try:
        texts = store.texts
    except StoreError as error:
        texts = None
        yield str(error)
    for name in _strangers(store, set(TEXTS) if texts else set()):
        yield f"{name} is no part of a store: a file from elsewhere, or a model whose zarr.json was lost"
    for model in store.models:
        try:
            yield from (f"{model}: {fault}" for fault in _model_faults(store.peek(model, check_files=False)))
        except StoreError as error:
            yield f"{model}: {error}"


def _strangers(store: Store, texts: set[str]) -> list[str]:
    """Return what lies in a store and is neither an array of the table nor a model."""
    return sorted(store.place.names() - {"zarr.json", *TABLE, *texts, *store.models})


def _model_faults(vectors: ModelVectors) -> Iterator[str]:
    yield from vectors.faults
    find = _checked_faults if vectors.store.checked else _record_faults
    for shard in range(vectors.plan.shards):
        where = f"shard {shard} (samples {spans(vectors.plan.rows(shard))})"
        if shard in vectors.missing:
            yield f"{where} is not harvested yet"
            continue
        try:
            yield from (f"{where}{fault}" for fault in find(vectors, shard))
        except StoreError as error:
            yield f"{where}: {error}"
    yield from _class_vector_faults(vectors)
    _ = vectors.shard_provenance  # in no record; raises where it cannot be read, or is not what was written


def _class_vector_faults(vectors: ModelVectors) -> Iterator[str]:
    try:
        if found := class_vectors(vectors):
            for task in found.texts:
                found.read(task)
    except StoreError as error:
        yield str(error)


def _checked_faults(vectors: ModelVectors, shard: int) -> Iterator[str]:
    """Compare a shard of version 2 with its checksums, and these with its record."""
    rows = vectors.plan.rows(shard)
    if fault := vectors.shard_fault(shard):
        yield f": {fault}"
        return
    for name in PER_SAMPLE:
        if fault := vectors.beside_fault(shard, name, vectors.raw(name)[rows.start : rows.stop]):
            yield f": {name} {fault}"
    vectors.read(rows)


def _record_faults(vectors: ModelVectors, shard: int) -> Iterator[str]:
    """Compare a shard of version 1 with its record."""
    rows = vectors.plan.rows(shard)
    beside = {name: getattr(vectors, name)[rows.start : rows.stop] for name in PER_SAMPLE}
    if Shard(heads=vectors.read(rows), **beside).record() != vectors.records[shard]:
        yield " does not match its record: bytes changed after it was written"
