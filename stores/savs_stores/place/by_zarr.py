"""Reading shards that are not raw arrays: zarr decodes them, one inner chunk after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import zarr
from jaxtyping import Float16

from savs_stores.faults import zarr_errors_in_words
from savs_stores.format.checksums import Check
from savs_stores.format.plan import ShardPlan, runs
from savs_stores.place.local import shard_rows, span


def read(
    array: zarr.Array,
    where: str,
    plan: ShardPlan,
    samples: np.ndarray,
    heads: Sequence[int],
    check: Check | None = None,
    look: Callable[[int, Sequence[int]], None] = lambda shard, heads: None,
) -> Float16[np.ndarray, "head sample dim"]:
    """Return the vectors of sorted, distinct samples and heads, heads first; `look` is called before a shard is read.

    With a `check`, whole chunks are read and given to it. Raises `StoreError`, naming the place, for damaged bytes.
    """
    out = np.empty((len(heads), len(samples), plan.dim), dtype=np.float16)
    for shard, rows, part in shard_rows(plan, samples):
        look(shard, heads)
        wanted = span(plan, shard, rows, check is not None)
        first = plan.rows(shard).start + wanted.start
        start = 0
        for run in runs(heads):
            with zarr_errors_in_words(f"{where}, shard {shard},"):
                block = np.asarray(array[first : first + len(wanted), run.start : run.stop]).transpose(1, 0, 2)
            if check is not None:
                check(shard, run, block)
            out[start : start + len(run), part] = block[:, rows - wanted.start]
            start += len(run)
    return out
