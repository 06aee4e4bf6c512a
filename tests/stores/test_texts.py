"""Paths and questions beside the sample table: kept as given, in no hash of the samples, and never changed unseen."""

import json
import shutil

import numpy as np
import pytest

from kit.metadata import edit
from savs_stores import (
    BenchmarkInfo,
    SampleTable,
    SampleTexts,
    StoreError,
    create_store,
    join_stores,
    open_store,
    verify,
    write_store,
)
from savs_stores.format import texts as texts_file
from savs_stores.format.schema import TABLE, TEXTS
from savs_stores.place.group import METADATA_HASH, Group

INFO = BenchmarkInfo("pets", {"all": ["cat", "dog"]})
PATHS = [["pets/a b.jpg", "pets/é.jpg"], "[/red] $x_{1}$.png", ""]
QUESTIONS = ["Which animal?", "Welches Tier?\n", "動物は"]
COLUMNS = {"label": ["cat", "dog", "dog"], "image_path": PATHS, "question": QUESTIONS}


def write(path, **columns):
    samples = {name: values for name, values in (COLUMNS | columns).items() if values is not None}
    return write_store(path, benchmark=INFO, samples=samples, model="toy", heads=np.ones((3, 2, 4)))


@pytest.fixture
def store(tmp_path):
    return write(tmp_path / "pets.zarr")


def test_texts_are_kept_as_given(store):
    assert store.texts.image_path.tolist() == [["pets/a b.jpg", "pets/é.jpg"], ["[/red] $x_{1}$.png", ""], ["", ""]]
    assert store.texts.question.tolist() == QUESTIONS
    assert list(verify(store)) == []


def test_a_store_without_texts_says_so_and_has_the_same_samples(tmp_path, store):
    without = write(tmp_path / "without.zarr", image_path=None, question=None)
    assert without.texts is None
    assert without.index_hash == store.index_hash
    assert list(verify(without)) == []
    for name in ("store-v1", "store-v2"):
        assert open_store(f"tests/data/{name}.zarr").texts is None


def test_readers_that_know_nothing_of_texts_find_the_metadata_as_it_was(store):
    root = Group(store.place, "", TABLE)  # what an earlier version looks at
    assert not root.changed
    assert METADATA_HASH in root.attributes


@pytest.mark.parametrize("alone", TEXTS)
def test_one_of_both_may_be_missing(tmp_path, alone):
    other = next(name for name in TEXTS if name != alone)
    found = write(tmp_path / "one.zarr", **{other: None}).texts
    assert set(getattr(found, other).ravel().tolist()) == {""}
    assert any(getattr(found, alone).ravel().tolist())


def test_a_store_keeps_the_texts_that_it_has(tmp_path, store):
    before = {file: file.read_bytes() for file in (tmp_path / "pets.zarr").rglob("*") if file.is_file()}
    table = SampleTable.from_columns(INFO.tasks, {"label": COLUMNS["label"]})
    assert create_store(tmp_path / "pets.zarr", INFO, table, SampleTexts.from_columns(["x"] * 3, ["y"] * 3)) is False
    assert {file: file.read_bytes() for file in (tmp_path / "pets.zarr").rglob("*") if file.is_file()} == before


# Of the bytes of every file, how many lie between two that are flipped.
@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_every_flipped_byte_is_found_or_changes_nothing(tmp_path, store, step):
    whole = store.texts
    changed = 0
    for file in sorted(file for name in TEXTS for file in (tmp_path / "pets.zarr" / name).rglob("*") if file.is_file()):
        sound = file.read_bytes()
        for place in range(0, len(sound), step):
            content = bytearray(sound)
            content[place] ^= 1 << place % 7
            file.write_bytes(content)
            try:
                found = open_store(tmp_path / "pets.zarr").texts
                assert found.image_path.tolist() == whole.image_path.tolist()
                assert found.question.tolist() == whole.question.tolist()
            except StoreError:
                changed += 1
        file.write_bytes(sound)
    assert changed > 500 // step
    assert list(verify(open_store(tmp_path / "pets.zarr"))) == []


def _exchange(path):
    one, other = (path / name / "c" for name in TEXTS)
    shutil.rmtree(other)
    shutil.copytree(one, other)


def _forget(path):
    edit(path / "zarr.json", lambda d: d["attributes"].pop("texts_hash"))


def _lose(path):
    shutil.rmtree(path / "question")


@pytest.mark.parametrize("damage", [_exchange, _forget, _lose])
def test_texts_that_were_changed_are_refused_and_told_of(tmp_path, store, damage):
    damage(tmp_path / "pets.zarr")
    with pytest.raises(StoreError):
        _ = open_store(tmp_path / "pets.zarr").texts
    assert list(verify(open_store(tmp_path / "pets.zarr", strict=False)))


def test_vectors_are_read_all_the_same(tmp_path, store):
    _lose(tmp_path / "pets.zarr")
    assert open_store(tmp_path / "pets.zarr")["toy"].read().shape == (3, 2, 4)


def test_joined_stores_keep_the_texts_of_those_that_have_some(tmp_path):
    ids = [["a", "b", "c"], ["d", "e", "f"]]
    write(tmp_path / "one.zarr", sample_id=ids[0])
    write(tmp_path / "other.zarr", sample_id=ids[1], image_path=None, question=None)
    texts = join_stores([tmp_path / "one.zarr", tmp_path / "other.zarr"], tmp_path / "both.zarr").texts
    assert texts.question.tolist() == [*QUESTIONS, "", "", ""]
    assert texts.image_path[:, 0].tolist() == ["pets/a b.jpg", "[/red] $x_{1}$.png", "", "", "", ""]
    neither = [write(tmp_path / f"{n}.zarr", sample_id=of, image_path=None, question=None) for n, of in enumerate(ids)]
    assert join_stores([one.path for one in neither], tmp_path / "none.zarr").texts is None


def test_texts_that_no_reader_would_take_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(texts_file, "MOST_TEXT_BYTES", 40)
    assert write(tmp_path / "long.zarr").texts is None


@pytest.mark.parametrize(
    ("paths", "questions", "words"),
    [(["a"], ["b", "c"], "1 paths of pictures and 2 questions"), ([["a"], [7]], ["b", "c"], "7 is no text")],
)
def test_what_is_no_text_is_refused(paths, questions, words):
    with pytest.raises(StoreError, match=words):
        SampleTexts.from_columns(paths, questions)


def test_half_a_character_is_spelled(tmp_path):
    found = write(tmp_path / "odd.zarr", image_path=["a\udcff.png", "", ""]).texts
    assert found.image_path[0, 0] == "a\\udcff.png"


def test_texts_of_another_number_of_samples_are_refused(tmp_path):
    table = SampleTable.from_columns(INFO.tasks, {"label": COLUMNS["label"]})
    with pytest.raises(StoreError, match="texts of 2 samples, the table has 3"):
        create_store(tmp_path / "pets.zarr", INFO, table, SampleTexts.from_columns(["", ""], ["", ""]))


def test_the_text_columns_say_their_axes(store, tmp_path):
    for name, spec in TEXTS.items():
        document = json.loads((tmp_path / "pets.zarr" / name / "zarr.json").read_text())
        assert tuple(document["dimension_names"]) == spec.axes
        assert document["data_type"] == "string"
