"""Stores of head vectors: one benchmark's samples, any number of models, chunked Zarr on disk."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import savs_moved  # noqa: F401  old import paths go on for one version

if TYPE_CHECKING:
    from savs_stores.answered import answer_table, answered_shard, is_answered
    from savs_stores.arrays import write_store
    from savs_stores.class_heads import ClassVectors, check_class_texts, class_vectors, write_class_vectors
    from savs_stores.errors import IncompleteStoreError, MismatchError, StoreError
    from savs_stores.facts import facts_of
    from savs_stores.format.heads import HeadTable
    from savs_stores.format.plan import ShardPlan, default_shard_samples, missing_shards, owned_shards
    from savs_stores.format.samples import DEFAULT_TASK, BenchmarkInfo, SampleTable
    from savs_stores.format.schema import CODECS, SPLITS, Status
    from savs_stores.format.shard import Shard
    from savs_stores.format.texts import SampleTexts
    from savs_stores.joining import join_stores
    from savs_stores.place.place import find_stores, place_of
    from savs_stores.read import Store, open_store
    from savs_stores.vectors import ModelVectors
    from savs_stores.verification import verify
    from savs_stores.write import ModelWriter, add_model, create_store

__all__ = [
    "CODECS",
    "DEFAULT_TASK",
    "SPLITS",
    "BenchmarkInfo",
    "ClassVectors",
    "HeadTable",
    "IncompleteStoreError",
    "MismatchError",
    "ModelVectors",
    "ModelWriter",
    "SampleTable",
    "SampleTexts",
    "Shard",
    "ShardPlan",
    "Status",
    "Store",
    "StoreError",
    "add_model",
    "answer_table",
    "answered_shard",
    "check_class_texts",
    "class_vectors",
    "create_store",
    "default_shard_samples",
    "facts_of",
    "find_stores",
    "is_answered",
    "join_stores",
    "missing_shards",
    "open_store",
    "owned_shards",
    "place_of",
    "verify",
    "write_class_vectors",
    "write_store",
]

_MODULES = (
    "errors",
    "format.plan",
    "place.place",
    "format.heads",
    "format.samples",
    "format.schema",
    "format.shard",
    "format.texts",
    "answered",
    "write",
    "vectors",
    "read",
    "arrays",
    "class_heads",
    "facts",
    "joining",
    "verification",
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: a command's `--help` need not wait for zarr."""
    if name in __all__:
        for module in _MODULES:
            if hasattr(loaded := import_module(f"savs_stores.{module}"), name):
                return getattr(loaded, name)
    raise AttributeError(f"module 'savs_stores' has no attribute {name!r}")
