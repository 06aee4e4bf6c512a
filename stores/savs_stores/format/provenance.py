"""How each shard was made: kept beside its vectors, compared to warn, never to refuse."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from savs_stores.faults import zarr_errors_in_words
from savs_stores.format.plan import spans
from savs_stores.terminal import counted, printable

# What should be the same in all shards of a model, and how the run went that made one.
ENVIRONMENT, RUN = "environment", "run"
# The record of the shard that it is of: of another one, it would be told of vectors that were made otherwise.
OF_RECORD = "shard_crc32c"


def to_text(provenance: Mapping[str, Any] | None, record: int | None = None) -> str:
    """Return what is stored of a shard: JSON, with the shard's record if it has one, "" where nothing is known."""
    of = {} if record is None else {OF_RECORD: record}
    return json.dumps({**provenance, **of}, sort_keys=True) if provenance else ""


def from_text(text: str) -> dict[str, Any]:
    """Return the provenance of a shard, {} where nothing is known. Raises ValueError where the text is no object."""
    found = json.loads(text) if text else {}
    parts = [found, *(found.get(name, {}) for name in (ENVIRONMENT, RUN))] if isinstance(found, dict) else [found]
    if not all(isinstance(part, dict) for part in parts):
        raise ValueError(f"no JSON object: {text[:40]!r}")
    if not isinstance(parts[2].get("seconds", 0), int | float):
        raise ValueError(f"no number of seconds: {str(parts[2]['seconds'])[:40]!r}")
    return found


def read_provenances(texts: Sequence[str], where: str) -> list[dict[str, Any]]:
    """Return the provenance of every shard. Raises `StoreError` where a text is none."""
    with zarr_errors_in_words(where):
        return [from_text(text) for text in texts]


def mixed_environments(provenances: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield one line a field of the environment that is not the same in all shards, with the shards of each value.

    A shard of which nothing is known differs from none.
    """
    known = {shard: found[ENVIRONMENT] for shard, found in enumerate(provenances) if ENVIRONMENT in found}
    for name in sorted({name for environment in known.values() for name in environment}):
        shards: dict[str, list[int]] = {}
        for shard, environment in known.items():
            shards.setdefault(_shown(environment.get(name)), []).append(shard)
        if len(shards) > 1:
            yield f"{name}: " + ", ".join(f"{value} (shards {spans(held)})" for value, held in shards.items())


def describe_provenance(provenances: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield for people when and with what shards were made, and one warning a field in which they differ."""
    known = [found for found in provenances if found]
    if known:
        environment, runs = known[0].get(ENVIRONMENT, {}), [found.get(RUN, {}) for found in known]
        started = sorted(printable(str(run["started"])[:10]) for run in runs if "started" in run)
        days = " to ".join(dict.fromkeys([started[0], started[-1]])) if started else "at an unknown time"
        seconds = sum(run.get("seconds", 0) for run in runs)
        tools = ", ".join(
            f"{name} {_shown(environment[name])}" for name in ("savs", "torch", "device") if name in environment
        )
        yield f"{counted(len(known), 'shard')} made {days} in {seconds:,.0f} s of their processes: {tools}"
    for line in mixed_environments(provenances):
        yield f"not the same in all shards, whose vectors agree to rounding only: {line}"


def _shown(value: Any) -> str:
    return "unknown" if value is None else printable(str(value))
