"""Samples that a model was tuned on: it knows their answers by heart, so that it is never tested on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from savs_analyze.draws.draws import leaked
from savs_stores import ModelVectors

TUNED_ON = "tuned_on"


def tuned_rows(vectors: ModelVectors) -> Int[np.ndarray, " row"]:
    """Return the rows of a store that the model of these vectors was tuned on, by their ids or by their pictures.

    Raises ValueError where the store says so in a way that is not understood: no sample could be trusted.
    """
    found = vectors.identity.get(TUNED_ON)
    if found is None:
        return np.empty(0, dtype=np.int64)
    store, (ids, pictures) = vectors.store, _read(found, vectors)
    same = found["index_hash"] == store.index_hash
    rows = np.isin(store.samples.sample_id.astype(object), ids) if same else np.zeros(len(store.samples), dtype=bool)
    seen = np.isin(store.samples.image_hash, np.array(pictures, dtype=np.uint64)).any(axis=1)
    return np.flatnonzero(rows | seen)


def known_by_heart(vectors: ModelVectors) -> Bool[np.ndarray, " sample"]:
    """Tell which samples must not be tested: those that were learnt, their groups, and what shows their pictures."""
    rows, table = tuned_rows(vectors), vectors.store.samples
    found = leaked(table, rows)
    found[rows] = True
    return found


def fresh(vectors: ModelVectors) -> Bool[np.ndarray, " sample"]:
    """Tell which samples have vectors, and are not known by heart."""
    return vectors.usable & ~known_by_heart(vectors)


def _read(found: Any, vectors: ModelVectors) -> tuple[list[str], list[int]]:
    try:
        return list(map(str, found["samples"])), [int(one, 16) for one in found["pictures"]]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"{vectors.store.path}: {vectors.name} was tuned on samples that cannot be read ({error}): harvest it again"
        ) from error
