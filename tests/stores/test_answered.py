"""Answers of systems that have no heads, kept as vectors are."""

import numpy as np
import pytest

from savs_stores import (
    BenchmarkInfo,
    SampleTable,
    Status,
    StoreError,
    add_model,
    answer_table,
    answered_shard,
    create_store,
    is_answered,
    open_store,
)
from savs_stores.answered import UNREAD

OK, REJECTED = int(Status.OK), int(Status.REJECTED)


def shard(said, classes=3, status=None, logits=None):
    states = np.array(status or [OK] * len(said), dtype=np.uint8)
    return answered_shard(said, classes, states, np.full(len(said), 7, dtype=np.int32), logits)


def test_what_was_said_is_one_place():
    content = shard([2, UNREAD, 0, 1], status=[OK, OK, OK, REJECTED])
    wanted = [[0, 0, 1], [0, 0, 0], [1, 0, 0], [np.nan] * 3]
    np.testing.assert_array_equal(content.heads[:, 0], np.array(wanted, dtype=np.float16))
    assert content.status.tolist() == [OK, OK, OK, REJECTED]
    assert np.isnan(content.logits).all()


def test_log_probabilities_stand_beside():
    logits = np.log(np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]], dtype=np.float32))
    np.testing.assert_array_equal(shard([2, 2], logits=logits).logits, logits)


@pytest.mark.parametrize("place", [3, -2])
def test_a_class_that_there_is_not(place):
    with pytest.raises(StoreError, match=f"there is no class {place}"):
        shard([0, place])


def test_a_group_of_answers_is_told_from_heads(tmp_path):
    classes = ["cat", "dog", "emu"]
    info = BenchmarkInfo("animals", tasks={"all": classes})
    table = SampleTable.from_columns(info.tasks, {"label": ["cat", "dog", "emu", "emu"]})
    create_store(tmp_path / "s.zarr", info, table)
    writer = add_model(tmp_path / "s.zarr", "asked", {"system": "generated"}, answer_table(3))
    writer.write(0, shard([0, 1, UNREAD, 2]))
    vectors = open_store(tmp_path / "s.zarr")["asked"]
    assert is_answered(vectors.heads)
    assert "answer" in repr(vectors)
    np.testing.assert_array_equal(vectors.read()[:, 0].argmax(axis=1)[[0, 1, 3]], [0, 1, 2])
