"""What a system answers, kept as vectors are: one head of kind `answer`, a place for every class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from savs_stores.errors import StoreError
from savs_stores.format.heads import HeadTable
from savs_stores.format.schema import HEAD_KINDS, Status
from savs_stores.format.shard import Shard

ANSWER = HEAD_KINDS.index("answer")
# The class of an answer that names none.
UNREAD = -1


def answer_table(classes: int) -> HeadTable:
    """Return the head table of a system that has no heads: its answer, with a place for every class."""
    return HeadTable.from_layers([(0, 1, classes, HEAD_KINDS[ANSWER])])


def is_answered(heads: HeadTable) -> bool:
    """Tell whether these are no heads, but what a system answers."""
    return bool((heads.kind == ANSWER).all())


def answered_shard(
    said: Sequence[int],
    classes: int,
    status: UInt8[np.ndarray, " sample"],
    n_tokens: Int32[np.ndarray, " sample"],
    logits: Float32[np.ndarray, "sample class"] | None = None,
) -> Shard:
    """Return the shard of answers: 1 in the place of the class that was said, nowhere for an answer that names none.

    `said` are places in the classes of the sample's task, or `UNREAD`. A sample whose status is not ok has no vector.
    Raises `StoreError` for a class that there is not.
    """
    if wrong := [place for place in said if not UNREAD <= place < classes]:
        raise StoreError(
            f"there is no class {wrong[0]}: there are {classes}, and {UNREAD} for an answer that names none"
        )
    content = Shard.empty(len(said), 1, classes, classes)
    content.status[:], content.n_tokens[:] = status, n_tokens
    for row, place in enumerate(said):
        if status[row] != Status.OK:
            continue
        content.put(row, np.eye(1, classes, place if place != UNREAD else classes, dtype=np.float32))
        if logits is not None:
            content.logits[row] = logits[row]
    return content
