"""Which samples are meant: numbers, a mask, a slice, or the samples' own names."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int, Shaped

from savs_stores.errors import StoreError


def sample_indices(
    chosen: slice | Iterable[int] | Iterable[str] | np.ndarray, sample_id: Shaped[np.ndarray, " sample"]
) -> Int[np.ndarray, " chosen"]:
    """Return the rows of the sample table that are meant, in the order in which they are.

    Raises `StoreError` for what is not there, or is none of these.
    """
    count = len(sample_id)
    if isinstance(chosen, slice):
        return np.arange(count, dtype=np.int64)[chosen]
    found = np.asarray(chosen if isinstance(chosen, np.ndarray) else list(chosen))
    if found.dtype == bool:
        if found.shape != (count,):
            raise StoreError(f"a mask of samples needs shape {(count,)}, got {found.shape}")
        return np.flatnonzero(found)
    if found.ndim == 1 and len(found) and found.dtype.kind in "UTO":
        return _of_names(found.tolist(), sample_id)
    if found.ndim != 1 or (len(found) and found.dtype.kind not in "iu"):
        raise StoreError(f"samples are whole numbers, names or a mask, got {found.dtype} of shape {found.shape}")
    if len(outside := found[(found < 0) | (found >= count)]):
        raise StoreError(f"there is no sample {outside[0]}: the store has {count}")
    return found.astype(np.int64)


def _of_names(names: list[str], sample_id: Shaped[np.ndarray, " sample"]) -> Int[np.ndarray, " chosen"]:
    rows = {name: row for row, name in enumerate(sample_id.tolist())}
    if lacking := [name for name in names if name not in rows]:
        raise StoreError(
            f"there is no sample {lacking[0]!r}: the store has {len(rows):,}, the first is {next(iter(rows))!r}"
        )
    return np.array([rows[name] for name in names], dtype=np.int64)
