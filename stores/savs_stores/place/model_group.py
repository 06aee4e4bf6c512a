"""What a model's group says, compared with the format before any of its values is read."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from savs_stores.errors import StoreError
from savs_stores.format.checksums import BESIDE
from savs_stores.format.plan import ShardPlan
from savs_stores.format.schema import ADDED, HEADS, PER_HEAD, PER_SAMPLE, PER_SHARD
from savs_stores.place.group import METADATA_HASH, Group


def is_changed(group: Group, version: object) -> bool:
    """Tell whether a group's metadata is not what was written; version 1 has nothing to compare it with."""
    return group.changed if version != 1 or METADATA_HASH in group.attributes else False


def described(group: Group) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the fingerprint, identity and provenance of a model's group. Raises `StoreError` where one is none."""
    kinds = {"fingerprint": str, "identity": dict, "provenance": dict}
    found = group.attributes if group.exists else {}
    if lacking := sorted(name for name, kind in kinds.items() if not isinstance(found.get(name), kind)):
        raise StoreError(f"{group} is no model of a savs store: it lacks the attributes {lacking}")
    return found["fingerprint"], found["identity"], found["provenance"]


def plan_of(group: Group, samples: int) -> ShardPlan:
    """Return how the vectors of a model's group are cut. Raises `StoreError` where it is not as the format says."""
    layout = group.layout("heads", HEADS)
    if layout.shape[0] != samples:
        raise StoreError(f"{group}/heads has shape {layout.shape}, the store has {samples:,} samples")
    (_, heads, dim), shard_samples = layout.shape, layout.chunks[0]
    plan = ShardPlan(samples, heads, dim, shard_samples)
    if layout.chunks[1:] != layout.shape[1:] or layout.inner != (plan.shard_samples, 1, plan.dim):
        raise StoreError(
            f"{group}/heads has shards of {layout.chunks} and chunks of {layout.inner}, the format says "
            f"{(plan.shard_samples, plan.heads, plan.dim)} and {(plan.shard_samples, 1, plan.dim)}"
        )
    return plan


def check_lengths(group: Group, plan: ShardPlan, classes: int, complete: bool) -> None:
    """Raise `StoreError` where what stands beside the vectors is not cut as they are, or lacking where all must be."""
    lengths = {"sample": plan.samples, "class": classes, "head": plan.heads, "shard": plan.shards}
    lengths["chunk"] = plan.heads + len(BESIDE)
    of_chunk = lengths | {"sample": plan.shard_samples, "shard": 1}
    for name, spec in {**PER_HEAD, **PER_SAMPLE, **PER_SHARD}.items():
        if name in ADDED and name not in group and not complete:
            continue
        layout = group.layout(name, spec)
        shape, chunks = (tuple(of[axis] for axis in spec.axes) for of in (lengths, of_chunk))
        if layout.shape != shape or (layout.chunks != chunks and name not in PER_HEAD):
            raise StoreError(
                f"{group}/{name} has shape {layout.shape} in chunks of {layout.chunks}, the vectors ask for {shape} in "
                f"chunks of {chunks}"
            )


def read_texts(group: Group, unwritten: Collection[int] = ()) -> list[str] | None:
    """Return what is stored of every shard, "" of those that are not written; None in a store from before it.

    Raises `StoreError` for damaged bytes.
    """
    name = "shard_provenance"
    return group.read(name, PER_SHARD[name], unwritten).tolist() if name in group else None
