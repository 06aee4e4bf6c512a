"""Class vectors: one array beside a model's vectors, whole or not there, read and checked head by head."""

import json
import shutil

import numpy as np
import pytest
import xarray
import zarr

from kit.metadata import edit
from savs_stores import (
    BenchmarkInfo,
    MismatchError,
    StoreError,
    class_vectors,
    facts_of,
    join_stores,
    open_store,
    verify,
    write_class_vectors,
    write_store,
)
from savs_stores.format.fingerprint import fingerprint

TASKS = {"colour": ["blue", "red"], "shape": ["ball", "cube", "disc"], "size": []}
TEXTS = {task: {name: f"a {name} thing" for name in names} for task, names in TASKS.items() if names}
HEADS, DIM = 6, 4


def vectors_of(count, seed):
    return np.random.default_rng(seed).standard_normal((count, HEADS, DIM)).astype(np.float16)


def begin(path, seed=0, model="toy"):
    rows = [(task, name) for task, names in TASKS.items() for name in names for _ in range(3)]
    samples = {"task": [task for task, _ in rows], "label": [name for _, name in rows]}
    heads = vectors_of(len(rows), seed).reshape(len(rows), 3, 2, DIM)
    return write_store(path, benchmark=BenchmarkInfo("things", TASKS), samples=samples, model=model, heads=heads)


@pytest.fixture(params=["folder", "memory"])
def place(request, tmp_path):
    return tmp_path / "things.zarr" if request.param == "folder" else zarr.storage.MemoryStore()


def test_they_come_back_by_task_class_and_head(place):
    begin(place)
    written = vectors_of(5, 1)
    write_class_vectors(open_store(place)["toy"], TEXTS, written)
    found = class_vectors(open_store(place)["toy"])
    assert found.texts == TEXTS
    np.testing.assert_array_equal(found.read_all(), written)
    np.testing.assert_array_equal(found.read("colour"), written[:2])
    np.testing.assert_array_equal(found.read("shape", [(2, 1), 0, (2, 1)]), written[2:, [5, 0, 5]])
    assert found.read("size") is None
    assert list(verify(open_store(place))) == []
    assert "class vectors of 3 texts in task shape: 'a ball thing' ..." in repr(open_store(place))
    assert facts_of(open_store(place))["models"][0]["class_texts"] == TEXTS


def test_a_store_without_them_says_so_and_one_with_them_reads_as_before(tmp_path):
    begin(tmp_path / "with.zarr")
    begin(tmp_path / "without.zarr")
    write_class_vectors(open_store(tmp_path / "with.zarr")["toy"], TEXTS, vectors_of(5, 1))
    plain, store = (open_store(tmp_path / f"{name}.zarr")["toy"] for name in ("without", "with"))
    assert class_vectors(plain) is None
    assert store.fingerprint == plain.fingerprint
    assert store.records.tolist() == plain.records.tolist()
    seen = xarray.open_zarr(str(tmp_path / "with.zarr"), group="toy", consolidated=False, chunks=None)
    assert seen["class_heads"].dims == ("named_class", "head", "dim")


def test_the_order_of_the_texts_given_makes_no_difference(tmp_path):
    begin(tmp_path / "things.zarr")
    turned = {task: dict(reversed(of.items())) for task, of in reversed(TEXTS.items())}
    write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], turned, vectors_of(5, 1))
    found = class_vectors(open_store(tmp_path / "things.zarr")["toy"])
    np.testing.assert_array_equal(found.read("colour"), vectors_of(5, 1)[:2])


@pytest.mark.parametrize(
    ("texts", "failed"),
    [
        ({"colour": TEXTS["colour"]}, []),
        ({"colour": TEXTS["colour"], "shape": {"ball": "a ball"}}, []),
        (TEXTS, [3]),
    ],
    ids=["no text of a task", "no text of a class", "a text that did not run"],
)
def test_a_task_has_all_its_classes_or_none(tmp_path, texts, failed):
    begin(tmp_path / "things.zarr")
    heads = vectors_of(sum(map(len, texts.values())), 1)
    heads[failed] = np.nan
    write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], texts, heads)
    found = class_vectors(open_store(tmp_path / "things.zarr")["toy"])
    np.testing.assert_array_equal(found.read("colour"), heads[:2])
    assert found.read("shape") is None


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e5])
def test_a_text_of_a_number_too_large_has_no_vector_in_any_head(tmp_path, number):
    """The first head alone says which tasks have class vectors: a sweep began, and ended where one overflowed."""
    begin(tmp_path / "things.zarr")
    heads = vectors_of(5, 1).astype(np.float64)
    heads[3, -1, 0] = number
    write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], TEXTS, heads)
    found = class_vectors(open_store(tmp_path / "things.zarr")["toy"])
    assert found.read("shape", [0]) is None
    assert found.read("colour", [0]) is not None


def test_written_again_they_stay_and_others_are_refused(tmp_path):
    path = tmp_path / "things.zarr"
    begin(path)
    write_class_vectors(open_store(path)["toy"], TEXTS, vectors_of(5, 1))
    write_class_vectors(open_store(path)["toy"], TEXTS, vectors_of(5, 2))
    np.testing.assert_array_equal(class_vectors(open_store(path)["toy"]).read_all(), vectors_of(5, 1))
    other = TEXTS | {"colour": {"blue": "blue!", "red": "red!"}}
    with pytest.raises(MismatchError, match=r"other texts:\n  colour, blue: 'a blue thing' in.*\n(.*\n)*remove"):
        write_class_vectors(open_store(path)["toy"], other, vectors_of(5, 1))


@pytest.mark.parametrize(
    ("texts", "shape", "words"),
    [
        ({"colour": {"pink": "?"}}, (1, HEADS, DIM), "no class 'pink' in a task 'colour'"),
        ({"taste": {"red": "?"}}, (1, HEADS, DIM), "no class 'red' in a task 'taste'"),
        (TEXTS, (4, HEADS, DIM), r"need shape \(5, 6, 4\).* got \(4, 6, 4\)"),
        ({}, (0, HEADS, DIM), "need shape"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, texts, shape, words):
    begin(tmp_path / "things.zarr")
    with pytest.raises(StoreError, match=words):
        write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], texts, np.zeros(shape, np.float16))
    assert class_vectors(open_store(tmp_path / "things.zarr")["toy"]) is None


def test_texts_that_no_reader_would_take_are_not_written(tmp_path):
    """A thousand classes, each listed in the text of every one, made a zarr.json that was never read again."""
    begin(tmp_path / "things.zarr")
    texts = {"colour": dict.fromkeys(TASKS["colour"], "ö" * 1400000)}  # six bytes each in JSON
    with pytest.raises(StoreError, match=r"the texts of 2 classes are 16,800,.* bytes, a store keeps 15,728,640"):
        write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], texts, vectors_of(2, 1))
    assert class_vectors(open_store(tmp_path / "things.zarr")["toy"]) is None
    texts = {"colour": dict.fromkeys(TASKS["colour"], "ö" * 1300000)}
    write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], texts, vectors_of(2, 1))
    assert class_vectors(open_store(tmp_path / "things.zarr")["toy"]).texts == texts


def test_a_lost_zarr_json_is_told_when_they_are_written_again(tmp_path):
    """What was left of them lay in the way of new ones, and every harvest made them in vain without a word."""
    begin(tmp_path / "things.zarr")
    write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], TEXTS, vectors_of(5, 1))
    (tmp_path / "things.zarr/toy/class_heads/zarr.json").unlink()
    with pytest.raises(StoreError, match=r"toy/class_heads is there without its zarr\.json; remove it and run"):
        write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], TEXTS, vectors_of(5, 1))


def test_no_bit_of_them_changes_without_a_word(tmp_path):
    path = tmp_path / "things.zarr"
    begin(path)
    write_class_vectors(open_store(path)["toy"], TEXTS, vectors_of(5, 1))
    generator = np.random.default_rng(0)
    for file in (file for file in (path / "toy/class_heads").rglob("*") if file.is_file()):
        content = file.read_bytes()
        for place in generator.choice(len(content), min(len(content), 60), replace=False).tolist():
            changed = bytearray(content)
            changed[place] ^= 1 << int(generator.integers(8))
            file.write_bytes(changed)
            with pytest.raises(StoreError):
                class_vectors(open_store(path)["toy"]).read_all()
            assert any("class_heads" in fault for fault in verify(open_store(path)))
        file.write_bytes(content)
    np.testing.assert_array_equal(class_vectors(open_store(path)["toy"]).read_all(), vectors_of(5, 1))


def test_those_of_another_harvest_are_refused(tmp_path):
    for seed, name in enumerate(("one", "other")):
        begin(tmp_path / f"{name}.zarr", model=name)
        write_class_vectors(open_store(tmp_path / f"{name}.zarr")[name], TEXTS, vectors_of(5, seed))
    shutil.rmtree(tmp_path / "one.zarr/one/class_heads")
    shutil.copytree(tmp_path / "other.zarr/other/class_heads", tmp_path / "one.zarr/one/class_heads")
    with pytest.raises(StoreError, match=r"one/class_heads is of another model.* remove it and run the harvest again"):
        class_vectors(open_store(tmp_path / "one.zarr")["one"])


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said.pop("texts"),
        lambda said: said.update(texts={"colour": ["blue", "red"]}),
        lambda said: said.update(texts={"colour": {"blue": 1, "red": 2}}),
        lambda said: said.update(texts={"colour": {"blue": "one more"}}),
        lambda said: said.update(texts=TEXTS | {"taste": {"sweet": "a task that is not there"}}),
        lambda said: said.update(texts=TEXTS | {"colour": TEXTS["colour"] | {"pink": "no such class"}}),
        lambda said: said.update(texts=TEXTS | {"size": {}}),
        lambda said: said.update(head_crc32c=[1, 2]),
        lambda said: said.update(head_crc32c="?"),
        lambda said: said.pop("fingerprint"),
        lambda said: said.pop("hash"),
    ],
)
def test_a_forged_array_is_refused_in_words(tmp_path, change):
    """Whoever seals it anew can say anything: it is refused all the same, and nothing else breaks."""
    begin(tmp_path / "things.zarr")
    write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], TEXTS, vectors_of(5, 1))
    file = tmp_path / "things.zarr/toy/class_heads/zarr.json"
    edit(file, lambda document: change(document["attributes"]))
    document = json.loads(file.read_text())
    if "hash" in document["attributes"]:
        said = {name: value for name, value in document["attributes"].items() if name != "hash"}
        edit(file, lambda one: one["attributes"].update(hash=fingerprint({**document, "attributes": said})))
    with pytest.raises(StoreError, match="class_heads"):
        class_vectors(open_store(tmp_path / "things.zarr")["toy"])
    assert "class_heads" in repr(open_store(tmp_path / "things.zarr"))
    assert open_store(tmp_path / "things.zarr")["toy"].read().shape == (15, HEADS, DIM)


def test_what_it_declares_is_looked_at_before_it_is_read(tmp_path):
    begin(tmp_path / "things.zarr")
    write_class_vectors(open_store(tmp_path / "things.zarr")["toy"], TEXTS, vectors_of(5, 1))
    edit(tmp_path / "things.zarr/toy/class_heads/zarr.json", lambda said: said.update(shape=[5, 6, 10**9]))
    with pytest.raises(StoreError, match="was changed after it was written"):
        class_vectors(open_store(tmp_path / "things.zarr")["toy"])


@pytest.mark.parametrize("same", [True, False])
def test_joined_stores_keep_those_of_the_same_texts(tmp_path, same):
    for seed, name in enumerate(("a", "b")):
        rows = [(task, one) for task, names in TASKS.items() for one in names for _ in range(2)]
        samples = {
            "sample_id": [f"{name}{place}" for place in range(len(rows))],
            "task": [task for task, _ in rows],
            "label": [one for _, one in rows],
        }
        path, heads = tmp_path / f"{name}.zarr", vectors_of(len(rows), seed)
        write_store(path, benchmark=BenchmarkInfo("things", TASKS), samples=samples, model="toy", heads=heads)
        texts = TEXTS if same or name == "a" else {"colour": TEXTS["colour"]}
        write_class_vectors(open_store(path)["toy"], texts, vectors_of(sum(map(len, texts.values())), 7))
    joined = join_stores([tmp_path / "a.zarr", tmp_path / "b.zarr"], tmp_path / "both.zarr")
    found = class_vectors(joined["toy"])
    assert (found.texts == TEXTS) if same else found is None
