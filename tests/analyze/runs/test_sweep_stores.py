"""What a sweep makes of its stores: unfinished, empty, named twice, of one class, with groups or failed samples."""

import numpy as np
import pandas as pd
import pytest

from kit.sweeps import FEW, run, sweep
from savs_analyze.measure.scored import LOWER_IS_BETTER
from savs_analyze.methods.kinds.heads import Savs
from savs_analyze.methods.kinds.layers import Layers
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.runs.results import Results
from savs_analyze.runs.sweep import expand
from savs_stores import BenchmarkInfo, IncompleteStoreError, add_model, open_store, write_store


def test_a_benchmark_of_one_class_is_answered_or_refused(tmp_path, generator):
    store = write_store(
        tmp_path / "one.zarr",
        benchmark=BenchmarkInfo("one", {"all": ["cat"]}),
        samples={"label": ["cat"] * 20, "split": ["pool"] * 10 + ["test"] * 10},
        model="m",
        heads=generator.normal(size=(20, 2, 3, 4)),
    )
    savs = [name for name in METHODS if isinstance(make_setting(name).method, Savs | Layers)]
    rows = run(store, tmp_path / "out", methods=[*savs, "knn"])
    losses = rows.metric.isin(LOWER_IS_BETTER)
    assert (rows.value == np.where(losses, 0, 1)).all()
    assert set(rows.metric[losses]) == set(LOWER_IS_BETTER)
    with pytest.raises(ValueError, match="ridge tells classes apart: samples of one class teach it nothing"):
        run(store, tmp_path / "out", methods=["ridge"])


def test_failed_samples_are_left_out_and_counted(make_store, tmp_path):
    def spoil(vectors):
        vectors[[0, 70, 71]] = np.nan  # one of the pool, two of the test split

    rows = run(make_store(change=spoil), tmp_path / "out", draws=1, methods=FEW)
    assert set(rows.method) == set(FEW)
    assert rows.failed.tolist() == [2] * len(rows)
    assert set(rows.n) == {58}


def test_an_unfinished_store_is_refused_unless_asked_for(tmp_path, make_store):
    store = make_store(count=40)
    writer = add_model(store.path, "half", {"model": "half"}, store["planted"].heads, shard_samples=16)
    for shard in range(writer.plan.shards - 1):
        writer.write(shard, whole_shard(store["planted"], shard))
    with pytest.raises(IncompleteStoreError):
        run(store, tmp_path / "out")
    rows = run(store, tmp_path / "out", allow_partial=True)
    assert rows.groupby("model").partial.first().to_dict() == {"half": True, "planted": False}


def whole_shard(vectors, shard):
    from savs_stores import Shard
    from savs_stores.format.schema import PER_SAMPLE

    rows = vectors.plan.rows(shard)
    beside = {name: getattr(vectors, name)[rows.start : rows.stop] for name in PER_SAMPLE}
    return Shard(heads=vectors.read(rows), **beside)


def test_groups_are_scored_whole(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.tile([1, 0, 0, 1], 30)
    vectors = generator.normal(size=(120, 2, 3, 8)) + np.array([[-1.0], [1.0]])[labels][:, None, None, :]
    groups = [f"g{i // 4}" for i in range(120)]
    store = write_store(
        tmp_path / "pairs.zarr",
        benchmark=BenchmarkInfo("pairs", {"all": ["no", "yes"]}, metric="question-image-group"),
        samples={
            "label": [["no", "yes"][i] for i in labels],
            "split": ["pool"] * 60 + ["test"] * 60,
            "group": groups,
            "slot": [i % 4 for i in range(120)],
        },
        model="m",
        heads=vectors,
    )
    rows = run(store, tmp_path / "out", draws=1, heads=(3,))
    savs = rows[rows.method == "savs"].set_index("metric")
    cell = next(c for c in Results(tmp_path / "out").loaded() if c.facts.method == "savs")
    right = (cell.arrays["predicted"][0] == cell.arrays["label"]).reshape(15, 4)
    assert savs.value["group_accuracy"] == right.all(axis=1).mean()
    assert savs.value["accuracy"] == right.mean()
    assert savs.n.unique().tolist() == [15]


def test_a_store_without_models_says_so(tmp_path):
    from savs_stores import SampleTable, create_store

    info = BenchmarkInfo("empty", {"all": ["a"]})
    create_store(tmp_path / "empty.zarr", info, SampleTable.from_columns(info.tasks, {"label": ["a"]}))
    with pytest.raises(ValueError, match="no model's vectors yet"):
        sweep([tmp_path / "empty.zarr"], tmp_path / "out")


def test_vectors_that_are_named_twice_count_once(toy, tmp_path):
    path = toy.path
    once = pd.read_csv(sweep([path], tmp_path / "once", shots=5, draws=2))
    twice = pd.read_csv(
        sweep(
            [path, path.parent / "." / path.name], tmp_path / "twice", shots=5, draws=2, models=["planted", "planted"]
        )
    )
    assert once.value.tolist() == twice.value.tolist()


def test_different_vectors_under_one_name_are_refused(make_store, tmp_path):
    first = make_store().path
    second = first.rename(tmp_path / "elsewhere.zarr")
    make_store(count=31)
    with pytest.raises(ValueError, match="hold different vectors of 'planted' on 'toy'"):
        sweep([first, second], tmp_path / "out", shots=5)


def test_patterns_name_stores_once(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.zarr").mkdir()
    a, b = str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")
    assert expand([str(tmp_path / "*.zarr"), a]) == [a, b]
    with pytest.raises(ValueError, match="no store is named like"):
        expand([str(tmp_path / "*.nothing")])


def test_opening_does_not_change_a_store(toy, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in toy.path.rglob("*")}
    run(open_store(toy.path), tmp_path / "out")
    assert before == {path: path.stat().st_mtime_ns for path in toy.path.rglob("*")}
