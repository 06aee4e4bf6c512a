"""What a store holds, for programs: the same that it says of itself in words, under names that stay."""

from __future__ import annotations

from typing import Any

import numpy as np

from savs_stores.class_heads import class_vectors
from savs_stores.errors import StoreError
from savs_stores.format.schema import SPLITS, Status
from savs_stores.read import Store
from savs_stores.vectors import ModelVectors


def facts_of(store: Store) -> dict[str, Any]:
    """Return plain JSON: store, format_version, benchmark, index_hash, samples, labelled, texts, checked, models."""
    table = store.samples
    splits = {name: int(table.in_split(name).sum()) for name in SPLITS}
    return {
        "store": str(store.path),
        "format_version": store.version,
        "benchmark": store.benchmark.attributes(),
        "index_hash": store.index_hash,
        "samples": {"all": len(table), **splits},
        "labelled": int((table.label >= 0).sum()),
        "texts": store.texts is not None,
        "checked": store.checked,
        "models": [_of_model(store.peek(name)) for name in store.models],
    }


def _of_model(vectors: ModelVectors) -> dict[str, Any]:
    codes, counts = np.unique(vectors.status, return_counts=True)
    return {
        "model": vectors.name,
        "fingerprint": vectors.fingerprint,
        "layers": int(vectors.heads.layer.max()) + 1,
        "heads": len(vectors.heads),
        "dim": vectors.heads.dim,
        "bytes": vectors.plan.total_bytes,
        "shards": vectors.plan.shards,
        "missing_shards": len(vectors.missing),
        "status": {Status(code).name: int(count) for code, count in zip(codes.tolist(), counts, strict=True)},
        "identity": vectors.identity,
        "provenance": vectors.provenance,
        "class_texts": _class_texts(vectors),
    }


def _class_texts(vectors: ModelVectors) -> dict[str, dict[str, str]]:
    """Return of every task the texts that name its classes; of none that are damaged, as `verify` tells."""
    try:
        found = class_vectors(vectors)
    except StoreError:
        return {}
    return {task: dict(texts) for task, texts in found.texts.items()} if found else {}
