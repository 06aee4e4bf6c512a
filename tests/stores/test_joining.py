"""Several stores of one benchmark are one: every sample is where it was, and what differs is refused."""

import numpy as np
import pytest

from savs_stores import BenchmarkInfo, MismatchError, Status, StoreError, join_stores, open_store, verify, write_store

INFO = BenchmarkInfo("pets", {"all": ["cat", "dog"]}, prompt="Which?")


def make(folder, name, ids, seed=0, info=INFO, model="m", layers=2, groups=None, slots=None, identity=None, broken=()):
    vectors = np.random.default_rng(seed).normal(size=(len(ids), layers, 3, 4))
    vectors[list(broken)] = np.nan
    columns = {
        "sample_id": ids,
        "label": [("cat", "dog")[int(number[1:]) % 2] for number in ids],
        "image_hash": [[1 + int(number[1:])] for number in ids],
        "prompt_hash": [7] * len(ids),
        "group": groups or [None] * len(ids),
        "slot": slots or [None] * len(ids),
    }
    logits = np.random.default_rng(seed + 1).normal(size=(len(ids), 2))
    return write_store(
        folder / f"{name}.zarr",
        benchmark=info,
        samples=columns,
        model=model,
        heads=vectors,
        logits=logits,
        identity=identity or {"model": model},
        shard_samples=4,
    )


def test_every_sample_is_where_it_was(tmp_path):
    one = make(tmp_path, "one", [f"a{i}" for i in range(7)], groups=["x", "x", *[None] * 5], broken=[3])
    two = make(tmp_path, "two", ["a5", *(f"b{i}" for i in range(6))], seed=2, groups=[None, "y", "y", *[None] * 4])
    joined = join_stores([one.path, two.path], tmp_path / "both.zarr")
    assert joined.samples.sample_id.tolist() == [f"a{i}" for i in range(7)] + [f"b{i}" for i in range(6)]
    assert list(verify(joined)) == []
    for store, rows in ((one, range(7)), (two, range(1, 7))):
        for row in rows:
            name = store.samples.sample_id[row]
            np.testing.assert_array_equal(joined["m"].read([name])[0], store["m"].read([row])[0])
            [place] = np.flatnonzero(joined.samples.sample_id == name)
            np.testing.assert_array_equal(joined["m"].logits[place], store["m"].logits[row])
    assert joined["m"].status[3] == Status.NON_FINITE
    assert joined.samples.group.tolist() == [0, 0, -1, -1, -1, -1, -1, 1, 1, -1, -1, -1, -1]
    assert joined["m"].fingerprint == one["m"].fingerprint


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        # Samples a0 ... a5: the first store has a0, a1, a2, the second a1 ... a4, the third a4, a5.
        ([["x", "x", None], ["x", "x", None, "y"], ["y", "z"]], [0, 0, 0, -1, 1, 2]),
        ([["x", "x", None], [None, "x", "x", None], [None, None]], [0, 0, 1, 1, -1, -1]),
        ([["x", "x", None], ["p", "p", "q", "q"], ["r", "r"]], [0, 0, 0, 1, 1, 1]),
        ([["x", None, "y"], ["p", "p", "p", "p"], ["r", "r"]], [0, 1, 1, 1, 1, 1]),
        ([["x", "x", "y"], [None, "p", "p", None], [None, None]], [0, 0, 1, 1, -1, -1]),
    ],
)
def test_groups_that_share_a_sample_are_one(tmp_path, groups, expected):
    """A sample of a group that two stores had was refused."""
    ids = (["a0", "a1", "a2"], ["a1", "a2", "a3", "a4"], ["a4", "a5"])
    stores = [make(tmp_path, f"s{n}", of, groups=given) for n, (of, given) in enumerate(zip(ids, groups, strict=True))]
    joined = join_stores([store.path for store in stores], tmp_path / "all.zarr")
    assert joined.samples.sample_id.tolist() == [f"a{i}" for i in range(6)]
    assert joined.samples.group.tolist() == expected
    assert list(verify(joined)) == []


def test_a_place_in_a_group_is_taken_once(tmp_path):
    one = make(tmp_path, "one", ["a0", "a1"], groups=["x", "x"], slots=[0, 1])
    two = make(tmp_path, "two", ["a0", "a3"], groups=["y", "y"], slots=[0, 1])
    with pytest.raises(MismatchError, match="the sample 'a3' has a slot of its group that another store's sample has"):
        join_stores([one.path, two.path], tmp_path / "both.zarr")


def test_joining_again_writes_nothing(tmp_path):
    paths = [make(tmp_path, name, [f"{name[0]}{i}" for i in range(5)]).path for name in ("one", "two")]
    join_stores(paths, tmp_path / "both.zarr")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "both.zarr").rglob("*") if path.is_file()}
    join_stores(paths, tmp_path / "both.zarr")
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"info": BenchmarkInfo("pets", {"all": ["cat", "dog"]}, prompt="What?")}, "has another benchmark than"),
        (
            {"info": BenchmarkInfo("pets", {"all": ["cat", "dog"]}, wording="td")},
            "wording: '' in the store, 'td' now",
        ),
        (
            {"identity": {"model": "m", "dtype": "float16"}},
            "holds m harvested otherwise:\n  dtype: absent in the store",
        ),
        ({"layers": 3}, "holds other heads of m than"),
        ({"model": "n"}, "have no model in common"),
    ],
)
def test_what_differs_is_refused(tmp_path, other, words):
    paths = [make(tmp_path, "one", ["a0", "a1"]).path, make(tmp_path, "two", ["b0", "b1"], **other).path]
    with pytest.raises(MismatchError, match=words):
        join_stores(paths, tmp_path / "both.zarr")


def test_one_id_for_two_samples_is_refused(tmp_path):
    one = make(tmp_path, "one", ["a0", "a1"])
    table = {"sample_id": ["a0"], "label": ["cat"], "image_hash": [[99]], "prompt_hash": [7]}
    write_store(tmp_path / "two.zarr", benchmark=INFO, samples=table, model="m", heads=np.zeros((1, 2, 3, 4)))
    with pytest.raises(MismatchError, match="the sample 'a0' is another one in a store before it"):
        join_stores([one.path, tmp_path / "two.zarr"], tmp_path / "both.zarr")


@pytest.mark.parametrize("pictures", [[], ["broken.png"]])
def test_words_alone_may_be_in_both_and_unreadable_pictures_may_not(tmp_path, pictures):
    for name in ("one", "two"):
        ids = ["w0", "w1", f"{name}2"]
        table = {"sample_id": ids, "label": ["cat", "dog", "cat"], "prompt_hash": [7, 8, 9]}
        table |= {"question": ["w ?", "v ?", "u ?"], "image_path": [pictures] * 3}
        write_store(tmp_path / f"{name}.zarr", benchmark=INFO, samples=table, model="m", heads=np.zeros((3, 2, 3, 4)))
    paths = [tmp_path / "one.zarr", tmp_path / "two.zarr"]
    if pictures:
        with pytest.raises(MismatchError, match="the sample 'w0' is another one in a store before it"):
            join_stores(paths, tmp_path / "both.zarr")
    else:
        assert join_stores(paths, tmp_path / "both.zarr").samples.sample_id.tolist() == ["w0", "w1", "one2", "two2"]


def test_one_store_alone_is_not_joined(tmp_path):
    with pytest.raises(StoreError, match="name two stores or more"):
        join_stores([make(tmp_path, "one", ["a0", "a1"]).path], tmp_path / "both.zarr")
    assert len(open_store(tmp_path / "one.zarr").samples) == 2
