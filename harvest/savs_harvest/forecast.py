"""What a harvest will take, from the model's configuration alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from savs_benchmarks import Benchmark, check
from savs_harvest.heads import find_projections
from savs_harvest.models import ModelSpec, empty_model
from savs_stores import HeadTable, ShardPlan, default_shard_samples, open_store
from savs_stores.plan import spans
from savs_stores.terminal import size

DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


def forecast(
    spec: ModelSpec,
    benchmark: Benchmark,
    store: Path,
    name: str,
    revision: str | None = None,
    shard_samples: int | None = None,
) -> list[tuple[str, str]]:
    """Return (label, value) lines: samples, shape, shards, bytes on disk, memory, and what is left to do."""
    samples = check(benchmark)
    model = empty_model(spec, revision)
    heads = HeadTable.from_layers((p.layer, p.heads, p.head_dim, p.kind) for p in find_projections(model))
    plan = ShardPlan(len(samples), len(heads), heads.dim, shard_samples or default_shard_samples(len(samples)))
    splits = Counter(sample.split for sample in samples)
    weights = sum(parameter.numel() for parameter in model.parameters()) * DTYPE_BYTES[spec.dtype]
    return [
        ("model", f"{name}: {heads.describe()}, {spec.dtype}, {size(weights)} of weights"),
        ("benchmark", f"{benchmark.name}: " + ", ".join(f"{split} {count:,}" for split, count in splits.items())),
        ("samples", f"{len(samples):,}"),
        ("shards", f"{plan.shards} of {plan.shard_samples} samples, {size(plan.shard_bytes)} each"),
        ("disk", f"{size(plan.total_bytes)} in {store}"),
        (
            "memory",
            f"{size(weights + 3 * plan.shard_bytes)} and the pixels of a few batches, however many samples there are",
        ),
        ("to do", _to_do(store, name, plan)),
    ]


def _to_do(store: Path, name: str, plan: ShardPlan) -> str:
    if store.exists() and name in (opened := open_store(store)).models:
        missing = opened.peek(name).missing
        return (
            f"{len(missing)} of {plan.shards} shards ({spans(missing)})"
            if missing
            else "nothing, the store is complete"
        )
    return f"all {plan.shards} shards"
