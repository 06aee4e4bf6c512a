"""Stores of head vectors: one benchmark's samples, any number of models, chunked Zarr on disk."""

from savs_stores.arrays import write_store
from savs_stores.errors import IncompleteStoreError, MismatchError, StoreError
from savs_stores.heads import HeadTable
from savs_stores.plan import ShardPlan, default_shard_samples, missing_shards, owned_shards
from savs_stores.read import ModelVectors, Store, open_store
from savs_stores.samples import DEFAULT_TASK, BenchmarkInfo, SampleTable
from savs_stores.schema import CODECS, SPLITS, Status
from savs_stores.shard import Shard
from savs_stores.verify import verify
from savs_stores.write import ModelWriter, add_model, create_store

__all__ = [
    "CODECS",
    "DEFAULT_TASK",
    "SPLITS",
    "BenchmarkInfo",
    "HeadTable",
    "IncompleteStoreError",
    "MismatchError",
    "ModelVectors",
    "ModelWriter",
    "SampleTable",
    "Shard",
    "ShardPlan",
    "Status",
    "Store",
    "StoreError",
    "add_model",
    "create_store",
    "default_shard_samples",
    "missing_shards",
    "open_store",
    "owned_shards",
    "verify",
    "write_store",
]
