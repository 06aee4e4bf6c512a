"""A store in a notebook: what is in it, as words, as a frame, as HTML."""

import numpy as np
import pytest

from kit.toy import CLASSES, Toy
from savs_stores import StoreError, open_store


@pytest.fixture
def store(toy, tmp_path):
    toy.write(tmp_path / "s.zarr")
    Toy(seed=1).write(tmp_path / "s.zarr", model="other")
    return open_store(tmp_path / "s.zarr")


def test_a_store_is_a_mapping_of_models(store):
    assert "toy" in store
    assert "tay" not in store
    assert list(store) == ["other", "toy"]
    assert len(store) == 2


def test_the_sample_table_is_a_frame_of_words(store, toy):
    frame = store.samples.to_frame()
    assert frame["label"].tolist() == [CLASSES[i % 3] for i in range(10)]
    assert set(frame["task"]) == {"all"}
    assert frame["sample_id"].tolist() == store.samples.sample_id.tolist()
    assert toy.table.to_frame()["label"].tolist() == toy.table.label.tolist()  # of no store: codes


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        (slice(2, 8, 3), [2, 5]),
        (slice(None), list(range(10))),
        (np.arange(10) % 2 == 0, [0, 2, 4, 6, 8]),
        ([7, 1], [7, 1]),
        (lambda store: store.samples.sample_id[[4, 2]].tolist(), [4, 2]),
        (lambda store: store.samples.sample_id[[4, 2]], [4, 2]),
    ],
)
def test_samples_are_chosen_in_any_way(store, toy, chosen, rows):
    wanted = chosen(store) if callable(chosen) else chosen
    assert (store["toy"].read(samples=wanted) == toy.vectors[rows]).all()


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (["nobody"], "there is no sample 'nobody': the store has 10, the first is"),
        (np.array([0.5]), "samples are whole numbers, names or a mask, got float64"),
        ([11], "there is no sample 11: the store has 10"),
        (np.ones(3, dtype=bool), r"a mask of samples needs shape \(10,\), got \(3,\)"),
    ],
)
def test_a_sample_that_is_not_there_is_named(store, chosen, words):
    with pytest.raises(StoreError, match=words):
        store["toy"].read(samples=chosen)


def test_models_stand_side_by_side(store, toy):
    both = store.read(samples=slice(0, 4))
    assert list(both) == ["other", "toy"]
    assert (both["toy"] == toy.vectors[:4]).all()
    assert (both["other"] == Toy(seed=1).vectors[:4]).all()
    assert list(store.read(["toy"])) == ["toy"]


def test_html_shows_what_print_shows_and_nothing_is_markup(store):
    store.benchmark.tasks["<b>bold</b>"] = ["a"]
    page = store._repr_html_()
    assert "&lt;b&gt;bold" in page
    assert "<b>bold" not in page
    assert page.count("<tr>") == len(repr(store).splitlines()) - 1
