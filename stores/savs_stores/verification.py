"""Checking a whole store again: every shard against its record, every hash against its fields."""

from __future__ import annotations

from collections.abc import Iterator

from savs_stores.errors import StoreError
from savs_stores.fingerprint import fingerprint
from savs_stores.plan import spans
from savs_stores.read import ModelVectors, Store
from savs_stores.schema import PER_SAMPLE, TABLE
from savs_stores.shard import Shard


def verify(store: Store) -> Iterator[str]:
    """Yield one line a fault; a sound store yields nothing. Reads every byte, one shard at a time."""
    if store.samples.index_hash(store.benchmark) != store.index_hash:
        yield "the sample table does not give the index hash of the store: it was changed after it was written"
    for name in _strangers(store):
        yield f"{name} is no part of a store: a file from elsewhere, or a model whose zarr.json was lost"
    for model in store.models:
        try:
            yield from (f"{model}: {fault}" for fault in _model_faults(store.peek(model, check_files=False)))
        except StoreError as error:
            yield f"{model}: {error}"


def _strangers(store: Store) -> list[str]:
    """Return what lies in a store and is neither an array of the table nor a model."""
    return sorted(store.place.names() - {"zarr.json", *TABLE, *store.models})


def _model_faults(vectors: ModelVectors) -> Iterator[str]:
    if fingerprint(vectors.identity) != vectors.fingerprint:
        yield "the fields of the identity do not give the fingerprint: they were changed after they were written"
    for shard in range(vectors.plan.shards):
        rows = vectors.plan.rows(shard)
        where = f"shard {shard} (samples {spans(rows)})"
        if shard in vectors.missing:
            yield f"{where} is not harvested yet"
            continue
        try:
            beside = {name: getattr(vectors, name)[rows.start : rows.stop] for name in PER_SAMPLE}
            content = Shard(heads=vectors.read(rows), **beside)
        except StoreError as error:
            yield f"{where}: {error}"
            continue
        if content.record() != vectors.records[shard]:
            yield f"{where} does not match its record: bytes changed after it was written"
    _ = vectors.shard_provenance  # in no record; raises where it cannot be read
