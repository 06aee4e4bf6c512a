"""What was written comes back, however it is stored and however it is asked for: numpy is the oracle."""

import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.objects import both
from savs_stores import (
    BenchmarkInfo,
    HeadTable,
    IncompleteStoreError,
    MismatchError,
    SampleTable,
    StoreError,
    create_store,
    open_store,
    place_of,
    write_store,
)

SAMPLES, LAYERS, HEADS, DIM, SHARD = 37, 3, 5, 4, 16
READERS = ["direct", "zarr", "blosc", "memory", "s3"]


@pytest.fixture(scope="session")
def readers(write, tmp_path_factory, bucket):
    """Return the same vectors behind every way to read them, and as the array that must come back."""
    vectors = np.random.default_rng(0).normal(size=(SAMPLES, LAYERS, HEADS, DIM))
    folder = tmp_path_factory.mktemp("readers")
    opened = {
        "direct": write(folder / "plain.zarr", vectors, shard_samples=SHARD),
        "zarr": open_store(folder / "plain.zarr"),
        "blosc": write(folder / "blosc.zarr", vectors, shard_samples=SHARD, codec="blosc-lz4-bitshuffle"),
        "memory": write(zarr.storage.MemoryStore(), vectors, shard_samples=SHARD),
        "s3": write(bucket / "readers.zarr", vectors, shard_samples=SHARD),
    }
    found = {name: store["toy"] for name, store in opened.items()}
    found["zarr"]._plain = False
    return SimpleNamespace(**found, expected=vectors.reshape(SAMPLES, -1, DIM).astype(np.float16))


indices = st.lists(st.integers(0, SAMPLES - 1), max_size=50)  # unsorted, repeated, possibly none
sample_choices = st.one_of(
    st.none(),
    indices,
    indices.map(lambda chosen: np.array(chosen, dtype=np.int64)),
    st.lists(st.booleans(), min_size=SAMPLES, max_size=SAMPLES).map(np.array),
    st.tuples(st.integers(0, SAMPLES), st.integers(0, SAMPLES)).map(lambda ends: range(min(ends), max(ends))),
)
flat_heads = st.lists(st.integers(0, LAYERS * HEADS - 1), max_size=20)
pairs = st.lists(st.tuples(st.integers(0, LAYERS - 1), st.integers(0, HEADS - 1)), max_size=20)
layers = st.lists(st.integers(0, LAYERS - 1), max_size=4)
head_choices = st.one_of(
    st.none().map(lambda _: ({}, list(range(LAYERS * HEADS)))),
    flat_heads.map(lambda chosen: ({"heads": chosen}, chosen)),
    pairs.map(lambda chosen: ({"heads": chosen}, [layer * HEADS + head for layer, head in chosen])),
    layers.map(
        lambda chosen: ({"layers": chosen}, [head for head in range(LAYERS * HEADS) if head // HEADS in chosen])
    ),
)


@pytest.mark.parametrize("reader", [name for name in READERS if name != "s3"])
@given(samples=sample_choices, heads=head_choices)
def test_a_read_is_numpy_indexing(readers, reader, samples, heads):
    check_read(readers, reader, samples, heads)


@settings(max_examples=15)  # it is read as memory is, and takes longer
@given(samples=sample_choices, heads=head_choices)
def test_a_read_of_an_object_store_is_numpy_indexing(readers, samples, heads):
    check_read(readers, "s3", samples, heads)


def check_read(readers, reader, samples, heads):
    asked, flat = heads
    rows = slice(None) if samples is None else samples if isinstance(samples, np.ndarray) else list(samples)
    expected = readers.expected[rows]
    found = getattr(readers, reader).read(samples, **asked)
    assert found.dtype == np.float16
    assert found.shape == (len(expected), len(flat), DIM)
    assert found.tobytes() == expected[:, flat].tobytes()


def test_only_what_is_compressed_needs_zarr_for_reading(readers):
    plain = {name: getattr(readers, name)._plain for name in READERS}
    assert plain == {"direct": True, "zarr": False, "blosc": False, "memory": True, "s3": True}


@settings(max_examples=15)
@given(
    shape=st.tuples(st.integers(1, 9), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5)),
    shard_samples=st.integers(1, 10),
    seed=st.integers(0, 1000),
)
def test_every_shape_comes_back(write, shape, shard_samples, seed):
    vectors = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        opened = write(Path(folder) / "store.zarr", vectors, shard_samples=shard_samples)["toy"]
        found = opened.read()
        by_zarr = np.asarray(zarr.open_array(Path(folder) / "store.zarr/toy/heads", mode="r")[...])
    expected = vectors.reshape(shape[0], -1, shape[-1]).astype(np.float16)
    assert np.array_equal(found, expected)
    assert np.array_equal(by_zarr, expected)
    assert opened.heads.layer.tolist() == [layer for layer in range(shape[1]) for _ in range(shape[2])]


def test_three_axes_are_one_layer(write, tmp_path):
    vectors = np.random.default_rng(0).normal(size=(5, 6, 4))
    opened = write(tmp_path / "store.zarr", vectors)["toy"]
    assert np.array_equal(opened.read(), vectors.astype(np.float16))
    assert opened.heads.layers == [0]
    assert np.array_equal(opened.read(heads=[(0, 5)]), vectors[:, [5]].astype(np.float16))


def test_ragged_layers_keep_their_places(write, tmp_path):
    table = HeadTable.from_layers([(0, 2, 4), (3, 3, 2)])  # layers 1 and 2 have no heads, layer 3 narrow ones
    vectors = np.random.default_rng(0).normal(size=(5, 5, 4))
    vectors[:, 2:, 2:] = 0
    opened = write(tmp_path / "store.zarr", vectors, head_table=table)["toy"]
    expected = vectors.astype(np.float16)
    assert np.array_equal(opened.read(layers=[3]), expected[:, 2:])
    assert np.array_equal(opened.read(heads=[(3, 2), (0, 1)]), expected[:, [4, 1]])
    assert opened.heads.head_in_layer.tolist() == [0, 1, 0, 1, 2]
    assert opened.heads.head_dim.tolist() == [4, 4, 2, 2, 2]
    assert opened.heads.describe() == "2 layers x 2/3 heads x 2/4"


@given(
    samples=st.sets(st.integers(0, SAMPLES - 1)).map(lambda chosen: np.array(sorted(chosen), dtype=np.int64)),
    heads=st.lists(st.integers(0, LAYERS * HEADS - 1), min_size=1, max_size=20),
    block_bytes=st.integers(1, 10_000),
)
def test_blocks_cover_the_samples_once_in_bounded_size(readers, samples, heads, block_bytes):
    blocks = list(readers.direct.blocks(samples, heads, block_bytes))
    assert [row for block, _ in blocks for row in block] == samples.tolist()
    one_shard = SHARD * len(heads) * DIM * 2
    for block, vectors in blocks:
        assert np.array_equal(vectors, readers.expected[block][:, heads])
        assert 0 < vectors.nbytes <= max(block_bytes, one_shard)
    # No shard is opened twice.
    shards = [shard for block, _ in blocks for shard in set((block // SHARD).tolist())]
    assert sorted(set(shards)) == sorted(shards)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"samples": [0, SAMPLES]}, f"no sample {SAMPLES}: the store has {SAMPLES}"),
        ({"samples": [-1]}, "no sample -1"),  # numpy would count from the end
        ({"samples": np.zeros(3, dtype=bool)}, rf"mask of samples needs shape \({SAMPLES},\), got \(3,\)"),
        ({"samples": np.array([0.5])}, "whole numbers, names or a mask, got float64"),
        ({"samples": np.array([[0, 1]])}, r"whole numbers, names or a mask, got int64 of shape \(1, 2\)"),
        ({"heads": [15]}, "no head 15; 3 layers x 5 heads x 4"),
        ({"heads": [-1]}, "no head -1"),
        ({"heads": [(0, 5)]}, r"no head \(0, 5\)"),  # not the first of the next layer
        ({"layers": [1, 7]}, r"no layers \[7\]"),
        ({"heads": [1], "layers": [1]}, "heads or layers, not both"),
    ],
)
@pytest.mark.parametrize("reader", READERS)
def test_what_is_not_there_is_refused_by_name(readers, reader, asked, words):
    with pytest.raises(StoreError, match=words):
        getattr(readers, reader).read(**asked)


def test_two_models_share_the_samples(write, tmp_path):
    small, large = (np.random.default_rng(0).normal(size=(6, 2, heads, 4)) for heads in (2, 3))
    write(tmp_path / "store.zarr", small, model="small")
    store = write(tmp_path / "store.zarr", large, model="large", shard_samples=3)
    assert store.models == ["large", "small"]
    for model, vectors in (("small", small), ("large", large)):
        assert np.array_equal(store[model].read(), vectors.reshape(6, -1, 4).astype(np.float16))
    with pytest.raises(StoreError, match="no vectors of model 'huge'; it holds: large, small"):
        store["huge"]


def test_a_store_explains_itself(toy, whole):
    shown = repr(open_store(whole))
    for words in ("benchmark  toys: tasks all (3 classes)", "10: test 10", "toy: 2 layers x 3 heads x 4", "10 of 10"):
        assert words in shown


@both
def test_the_same_identity_resumes(toy, whole, files):
    before = files(whole)
    writer = toy.begin(whole)
    assert writer.missing == []
    assert (writer.plan.shard_samples, writer.classes) == (4, 3)
    assert files(whole) == before


@pytest.mark.parametrize(
    ("identity", "line"),
    [
        ({"model": "other", "size": (2, 3)}, "model: 'toy' in the store, 'other' now"),
        ({"model": "toy", "size": (2, 4)}, "size: [2, 3] in the store, [2, 4] now"),
        ({"model": "toy"}, "size: [2, 3] in the store, absent now"),
        ({"model": "toy", "size": (2, 3), "dtype": "float16"}, "dtype: absent in the store, 'float16' now"),
    ],
)
def test_another_identity_is_refused_field_by_field(toy, whole, files, identity, line):
    before = files(whole)
    with pytest.raises(MismatchError) as refusal:
        toy.begin(whole, identity=identity)
    assert [text.strip() for text in str(refusal.value).splitlines()[1:-1]] == [line]
    assert "--as NAME" in str(refusal.value)
    assert files(whole) == before


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda t: {"label": t.label[::-1].copy()}, "column label: differs"),
        (lambda t: {"image_hash": t.image_hash + np.uint64(1)}, "column image_hash: differs"),
        (lambda t: {"prompt_hash": t.prompt_hash + np.uint64(1)}, "column prompt_hash: differs"),
        (lambda t: {"sample_id": t.sample_id[::-1].copy()}, "column sample_id: differs"),  # another order
        (lambda t: {"split": t.split - np.uint8(1)}, "column split: differs"),
    ],
)
def test_other_samples_are_refused_by_column(toy, whole, files, change, line):
    before = files(whole)
    with pytest.raises(MismatchError, match="other samples of 'toys'") as refusal:
        create_store(whole, toy.benchmark, replace(toy.table, **change(toy.table)))
    assert [text.strip() for text in str(refusal.value).splitlines()[1:-1]] == [line]
    assert files(whole) == before


@pytest.mark.parametrize(
    ("classes", "count", "line"),
    [
        (["blue", "green", "red"], 9, "samples: 10 in the store, 9 now"),
        (["blue", "green", "rose"], 10, "tasks: {'all': ['blue', 'green', 'red']} in the store"),
    ],
)
def test_other_counts_and_classes_are_refused(toy, whole, classes, count, line):
    tasks = {"all": classes}
    table = SampleTable.from_columns(tasks, {"label": [classes[i % 3] for i in range(count)]})
    with pytest.raises(MismatchError) as refusal:
        create_store(whole, BenchmarkInfo("toys", tasks), table)
    assert line in str(refusal.value)


@both
def test_the_same_samples_are_left_alone(toy, whole, files):
    before = files(whole)
    assert create_store(whole, toy.benchmark, toy.table) is False
    assert files(whole) == before


@both
def test_who_comes_second_to_create_a_store_finds_it(toy, home, monkeypatch, files):
    toy.begin(home / "store.zarr")
    before = files(home)
    # Both saw no store; the other one was quicker.
    monkeypatch.setattr(type(place_of(home)), "exists", lambda place: False)
    assert create_store(home / "store.zarr", toy.benchmark, toy.table) is False
    with pytest.raises(MismatchError, match="column label"):
        create_store(home / "store.zarr", toy.benchmark, replace(toy.table, label=toy.table.label[::-1].copy()))
    assert files(home) == before


@both
def test_who_comes_second_to_add_a_model_finds_it(toy, home, monkeypatch, files):
    toy.write(home / "store.zarr")
    before = files(home)
    monkeypatch.setattr("zarr.Group.__contains__", lambda group, name: False)
    assert toy.begin(home / "store.zarr").missing == []
    assert files(home) == before


def test_the_same_vectors_may_be_written_twice_but_no_others(write, tmp_path, files):
    vectors = np.random.default_rng(0).normal(size=(6, 2, 3, 4))
    write(tmp_path / "store.zarr", vectors)
    before = files(tmp_path)
    write(tmp_path / "store.zarr", vectors)
    other = vectors.copy()
    other[5, 1, 2, 3] += 1
    for changed in (other, vectors[:, :1]):
        with pytest.raises(MismatchError, match="other vectors of 'toy'"):
            write(tmp_path / "store.zarr", changed)
    assert files(tmp_path) == before


@pytest.mark.parametrize(
    ("value", "absmax"),
    [
        (np.nan, np.nan),
        (np.inf, np.inf),
        (-np.inf, np.inf),
        (65_505.0, 65_505.0),  # float16 would round it down to 65,504
        (-70_000.0, 70_000.0),  # float16 would make it infinite
        (1e300, np.inf),  # beyond float32 too, where absmax lives
    ],
)
def test_what_float16_cannot_hold_is_recorded_as_failed(write, tmp_path, failed, value, absmax):
    vectors = np.random.default_rng(0).normal(size=(6, 2, 3, 4))
    vectors[4, 1, 2, 0] = value
    opened = write(tmp_path / "store.zarr", vectors)["toy"]
    expected = vectors.reshape(6, 6, 4).copy()
    expected[4] = np.nan
    largest = np.abs(vectors).max(axis=(1, 2, 3))
    largest[4] = absmax
    assert opened.status.tolist() == [1, 1, 1, 1, failed, 1]
    assert opened.usable.tolist() == [True] * 4 + [False, True]
    assert opened.finished.all()
    assert np.array_equal(opened.read(), expected.astype(np.float16), equal_nan=True)
    assert np.array_equal(opened.absmax, largest.astype(np.float32), equal_nan=True)
    assert "1 failed" in repr(opened)


@pytest.mark.parametrize("value", [65_504.0, -65_504.0, 0.0, 6e-8])
def test_what_float16_can_hold_is_kept(write, tmp_path, value):
    vectors = np.full((2, 1, 1), value)
    opened = write(tmp_path / "store.zarr", vectors)["toy"]
    assert opened.usable.all()
    assert np.array_equal(opened.read(), vectors.astype(np.float16))


def test_logits_come_back(write, tmp_path):
    vectors, logits = np.ones((5, 2, 3)), np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    assert np.array_equal(write(tmp_path / "with.zarr", vectors, logits=logits)["toy"].logits, logits)
    without = write(tmp_path / "without.zarr", vectors)["toy"].logits
    assert without.shape == (5, 2)
    assert np.isnan(without).all()


def test_what_stands_beside_the_vectors_comes_back(toy, whole):
    opened = open_store(whole)["toy"]
    assert np.array_equal(opened.n_tokens, np.arange(10))
    assert np.array_equal(opened.logits, toy.logits)
    assert np.array_equal(opened.absmax, np.abs(toy.vectors).max(axis=(1, 2)).astype(np.float32))
    assert opened.identity == {"model": "toy", "size": [2, 3]}


TABLE = HeadTable.from_layers([(0, 2, 3)])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads": np.ones((3, 2, 3))}, r"need \[4 samples, \(layer,\) head, dim\], got shape \(3, 2, 3\)"),
        ({"heads": np.ones((4, 2, 5)), "head_table": TABLE}, r"1 layers x 2 heads x 3, .* shape \(4, 2, 5\)"),
        ({"heads": np.ones((4, 3, 3)), "head_table": TABLE}, r"1 layers x 2 heads x 3, .* shape \(4, 3, 3\)"),
        ({"logits": np.ones((4, 3))}, r"logits need shape \(4, 2\), got \(4, 3\)"),
        ({"codec": "gzip"}, "unknown codec 'gzip'; there are none, blosc-lz4-bitshuffle"),
        ({"model": "label"}, "'label' cannot name a model"),  # an array of the table
        ({"model": "../elsewhere"}, "cannot name a model"),
        ({"model": "Upper"}, "cannot name a model"),  # the same folder on some disks
        ({"model": ""}, "cannot name a model"),
        ({"model": ".hidden"}, "cannot name a model"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, change, words):
    given = {"heads": np.ones((4, 2, 3)), "model": "toy"} | change
    benchmark = BenchmarkInfo("answers", {"all": ["no", "yes"]})
    with pytest.raises(StoreError, match=words):
        write_store(tmp_path / "store.zarr", benchmark=benchmark, samples={"label": ["no", "yes"] * 2}, **given)


def test_a_shard_of_another_shape_is_refused(toy, tmp_path):
    writer = toy.begin(tmp_path / "store.zarr")
    with pytest.raises(StoreError, match=r"shard 2 needs vectors of shape \(2, 6, 4\), got \(4, 6, 4\)"):
        writer.write(2, toy.content(range(4)))
    with pytest.raises(IncompleteStoreError):
        open_store(tmp_path / "store.zarr")["toy"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"metric": "question-image-group"}, "metric: 'accuracy' in the store, 'question-image-group' now"),
        ({"answers": {"no": "never"}}, r"answers: \{\} in the store, \{'no': 'never'\} now"),
    ],
)
def test_another_metric_or_other_answers_are_refused(tmp_path, changed, words):
    columns = {"label": ["no", "yes"]}
    tasks = {"all": ["no", "yes"]}
    table = SampleTable.from_columns(tasks, columns)
    create_store(tmp_path / "a.zarr", BenchmarkInfo("a", tasks), table)
    assert create_store(tmp_path / "a.zarr", BenchmarkInfo("a", tasks), table) is False
    with pytest.raises(MismatchError, match=words):
        create_store(tmp_path / "a.zarr", BenchmarkInfo("a", tasks, **changed), table)


def test_the_order_of_nested_fields_is_no_difference(toy, tmp_path):
    identity = {"model": "toy", "pixels": {"most": 9, "least": 1}}
    toy.begin(tmp_path / "store.zarr", identity=identity)
    toy.begin(tmp_path / "store.zarr", identity={"pixels": {"least": 1, "most": 9}, "model": "toy"})
    with pytest.raises(MismatchError, match="pixels: "):
        toy.begin(tmp_path / "store.zarr", identity=identity | {"pixels": {"most": 9, "least": 2}})
