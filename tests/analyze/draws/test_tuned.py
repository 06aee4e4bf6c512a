"""A model that was tuned on samples is never tested on them, whichever way they come back."""

import numpy as np
import pandas as pd
import pytest

from kit.sweeps import sweep
from savs_analyze.draws.task import Task
from savs_analyze.draws.tuned import known_by_heart, tuned_rows
from savs_analyze.fitting.store import FitRequest, fit_store
from savs_stores import BenchmarkInfo, HeadTable, SampleTable, Shard, add_model, create_store, open_store

SAMPLES = 40
INFO = BenchmarkInfo("animals", tasks={"all": ["ant", "bee"]})


def columns(**more):
    return {
        "sample_id": [f"s{row}" for row in range(SAMPLES)],
        "split": ["either"] * SAMPLES,
        "label": [("ant", "bee")[row % 2] for row in range(SAMPLES)],
        "image_hash": [[1000 + row // 2] for row in range(SAMPLES)],  # two samples show one picture
        "group": [f"g{row}" if row < 36 else "last" for row in range(SAMPLES)],
        **more,
    }


def store_of(path, tuned_on, **more):
    """Return the vectors of a model that was tuned on what is said."""
    table = SampleTable.from_columns(INFO.tasks, columns(**more))
    create_store(path, INFO, table)
    identity = {"model": "m"} if tuned_on is None else {"model": "m", "tuned_on": tuned_on(table.index_hash(INFO))}
    writer = add_model(path, "m", identity, HeadTable.from_layers([(0, 3, 4)]))
    for shard in range(writer.plan.shards):
        rows = writer.plan.rows(shard)
        content = Shard.empty(len(rows), 3, 4, 2)
        for place, row in enumerate(rows):
            content.put(place, np.random.default_rng(row).normal(size=(3, 4)))
            content.logits[place] = np.random.default_rng(row).normal(size=2)
        writer.write(shard, content)
    return open_store(path)["m"]


def said(samples=(), pictures=(), index_hash=None):
    return lambda own: {
        "benchmark": "animals",
        "index_hash": index_hash or own,
        "shots": 1,
        "draw": 0,
        "samples": list(samples),
        "pictures": [f"{1000 + one:016x}" for one in pictures],
    }


@pytest.mark.parametrize(
    ("tuned_on", "learnt", "left_out"),
    [
        (None, [], []),
        (said(["s3"]), [3], [2, 3]),  # its picture is that of s2 as well
        (said(pictures=[4]), [8, 9], [8, 9]),
        (said(["s37"]), [37], [36, 37, 38, 39]),  # its group
        (said(["s3"], index_hash="other"), [], []),  # ids of another table say nothing
        (said(["s3"], [1], index_hash="other"), [2, 3], [2, 3]),  # pictures do
    ],
)
def test_what_is_known_by_heart(tmp_path, tuned_on, learnt, left_out):
    vectors = store_of(tmp_path / "s.zarr", tuned_on)
    assert tuned_rows(vectors).tolist() == learnt
    assert np.flatnonzero(known_by_heart(vectors)).tolist() == left_out
    task = Task(vectors, "all")
    for draw in (task.draw_nothing(), task.draw(3, 0), task.draw(3, 1), task.draw(3, 0, keep_leaks=True)):
        assert not set(draw.test.tolist()) & set(left_out)
    assert len(task.draw_nothing().test) == SAMPLES - len(left_out)
    assert task.draw_nothing().leaked == len(left_out)


def test_supports_are_the_same_as_those_of_the_model_it_was_tuned_from(tmp_path):
    base, tuned = store_of(tmp_path / "a.zarr", None), store_of(tmp_path / "b.zarr", said(["s1", "s8"]))
    tested: list[set[int]] = [set(), set()]
    for draw in range(3):
        one, other = (Task(vectors, "all").draw(5, draw) for vectors in (base, tuned))
        np.testing.assert_array_equal(one.support, other.support)
        assert other.test.tolist() == [row for row in one.test.tolist() if row not in (0, 1, 8, 9)]
        tested[0] |= set(one.test.tolist())
        tested[1] |= set(other.test.tolist())
    assert {0, 1, 8, 9} <= tested[0] - tested[1]


def test_a_sweep_tests_what_was_not_learnt_and_says_so(tmp_path):
    store_of(tmp_path / "s.zarr", said([f"s{row}" for row in range(10)]))
    rows = pd.read_csv(sweep([tmp_path / "s.zarr"], tmp_path / "out", shots=3, draws=2))
    zero_shot = rows.query("method == 'zero-shot' and split == 'test' and metric == 'accuracy'")
    assert (zero_shot["n"] + zero_shot["leaked"]).max() <= SAMPLES
    assert (zero_shot["leaked"] == 10).all()


def test_what_cannot_be_read_is_refused(tmp_path):
    vectors = store_of(tmp_path / "s.zarr", lambda own: {"samples": 3})
    with pytest.raises(ValueError, match="was tuned on samples that cannot be read"):
        tuned_rows(vectors)


def test_a_classifier_learns_from_what_was_not_learnt_by_heart(tmp_path):
    """Its own accuracy would be that of samples whose answers the vectors know."""
    vectors = store_of(tmp_path / "s.zarr", said([f"s{row}" for row in range(10)]))
    found = fit_store(vectors, FitRequest(method="savs"))
    assert found.about.data["samples"] == [15, 15]
