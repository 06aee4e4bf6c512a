"""The sample table: words in, codes out, and a hash that no change escapes."""

from dataclasses import fields, replace

import numpy as np
import pandas as pd
import pytest

from savs_stores import BenchmarkInfo, SampleTable, StoreError

TASKS = {"colour": ["blue", "red"], "shape": ["cone", "cube"]}
COLUMNS = {
    "sample_id": ["a", "b", "c"],
    "task": ["colour", "shape", "shape"],
    "label": ["red", "cone", "cube"],
    "split": ["pool", "test", "either"],
    "group": ["first", None, "first"],
    "slot": [0, None, 1],
    "options": [["red", "blue"], [], ["cube"]],
    "image_hash": [[7], [8, 9], []],
    "prompt_hash": [4, 2**64 - 1, 5],
}
BENCHMARK = BenchmarkInfo("toys", TASKS)


def test_words_become_codes():
    table = SampleTable.from_columns(TASKS, COLUMNS)
    assert {field.name: getattr(table, field.name).tolist() for field in fields(table)} == {
        "sample_id": ["a", "b", "c"],
        "task": [0, 1, 1],
        "label": [1, 0, 1],
        "split": [0, 1, 2],
        "group": [0, -1, 0],
        "slot": [0, -1, 1],
        "options": [[1, 0], [-1, -1], [1, -1]],
        "image_hash": [[7, 0], [8, 9], [0, 0]],
        "prompt_hash": [4, 2**64 - 1, 5],
    }


def test_only_labels_are_needed():
    table = SampleTable.from_columns({"all": ["no", "yes"]}, {"label": ["yes", "no"]})
    assert {field.name: getattr(table, field.name).tolist() for field in fields(table)} == {
        "sample_id": ["0", "1"],
        "task": [0, 0],
        "label": [1, 0],
        "split": [1, 1],
        "group": [-1, -1],
        "slot": [-1, -1],
        "options": [[-1], [-1]],
        "image_hash": [[0], [0]],
        "prompt_hash": [0, 0],
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lable": ["red"] * 3}, r"unknown columns \['lable'\]; the sample table has .*label"),  # a slip of the pen
        ({"label": []}, "needs a column 'label' with at least one row"),
        ({"label": ["red", "cone", "green"]}, r"label 'green' \(row 2\) is none of 'cone', 'cube'"),
        ({"label": ["red", "blue", "cube"]}, r"label 'blue' \(row 1\) is none of 'cone', 'cube'"),  # of another task
        ({"task": ["colour", "size", "shape"]}, r"task 'size' \(row 1\) is none of 'colour', 'shape'"),
        ({"split": ["pool", "test", "train"]}, r"split 'train' \(row 2\) is none of 'pool', 'test', 'either'"),
        ({"options": [["red"], ["red"], []]}, r"options 'red' \(row 1\) is none of 'cone', 'cube'"),
        ({"options": ["red", None, None]}, r"options 'red' \(row 0\) is no list"),  # its letters were options
        ({"options": [["red", None], None, None]}, r"options .*row 0.* has a place that is empty"),
        ({"group": [None, ["a"], "b"]}, r"group \['a'\] \(row 1\) is no single value"),
        ({"image_hash": [[1], [None], [2]]}, r"image_hash \[None\] \(row 1\) has a place that is empty"),
        ({"image_hash": [[1], [-1], [2]]}, r"image_hash \[-1\] \(row 1\) is no whole number of 64 bits"),
        ({"prompt_hash": [0, -1, 2]}, r"prompt_hash -1 \(row 1\) is no whole number of 64 bits"),
        ({"sample_id": ["a", "b", "b"]}, "sample_id 'b' occurs"),
        ({"sample_id": ["1", 1, 2]}, "sample_id '1' occurs"),  # equal once they are text
        ({"group": ["first"], "slot": [0, 1]}, r"need 3 rows like 'label'.*'group': 1, 'slot': 2"),
    ],
)
def test_a_senseless_column_is_named(change, words):
    with pytest.raises(StoreError, match=words):
        SampleTable.from_columns(TASKS, COLUMNS | change)


@pytest.mark.parametrize("absent", [None, float("nan"), np.float32("nan"), np.datetime64("NaT"), pd.NA, pd.NaT])
def test_absent_is_absent_in_every_column(absent):
    names = ["task", "split", "group", "slot", "options", "image_hash", "prompt_hash"]
    plain = SampleTable.from_columns(TASKS, {"label": ["red"] * 9})
    table = SampleTable.from_columns(TASKS, {"label": ["red"] * 9} | {name: [absent] * 9 for name in names})
    assert all(np.array_equal(getattr(table, name), getattr(plain, name)) for name in names)
    with pytest.raises(StoreError, match="sample_id of row 1 is empty"):
        SampleTable.from_columns(TASKS, COLUMNS | {"sample_id": ["a", absent, "c"]})


def test_neither_an_empty_group_nor_one_of_gaps_is_a_group():
    rows = pd.DataFrame({"label": ["red"] * 4, "group": ["", None, "a", "a"], "sample_id": [1, None, 3, 4]})
    rows["sample_id"] = rows["sample_id"].fillna(2)
    columns = {name: rows[name].tolist() for name in ("label", "group", "sample_id")}
    table = SampleTable.from_columns(TASKS, columns)
    assert (table.group.tolist(), table.sample_id.tolist()) == ([-1, -1, 0, 0], ["1", "2", "3", "4"])


@pytest.mark.parametrize("slot", [0.5, "1", -1, 300])
def test_a_slot_is_a_small_whole_number(slot):
    with pytest.raises(StoreError, match=r"slot .* \(row 1\) is no small whole number"):
        SampleTable.from_columns(TASKS, COLUMNS | {"slot": [0, slot, 1]})


def test_labels_are_asked_for():
    with pytest.raises(StoreError, match="needs a column 'label'"):
        SampleTable.from_columns(TASKS, {"sample_id": ["a"]})


@pytest.mark.parametrize("classes", [["red", "blue"], ["blue", "blue", "red"]])
def test_classes_must_be_sorted_and_distinct(classes):
    with pytest.raises(
        StoreError, match=r"classes of task 'colour' must be sorted and distinct: '[a-z]+' stands behind '[a-z]+'"
    ):
        BenchmarkInfo("toys", {"colour": classes})


def changed(column):
    """Return the column with its last row changed, its type kept."""
    column = column.copy()
    column[-1] = column[-1] + (1 if column.dtype.kind in "iu" else "x")
    return column


@pytest.mark.parametrize("name", [field.name for field in fields(SampleTable)])
def test_the_index_hash_sees_every_column(name):
    table = SampleTable.from_columns(TASKS, COLUMNS)
    other = replace(table, **{name: changed(getattr(table, name))})
    assert other.index_hash(BENCHMARK) != table.index_hash(BENCHMARK)
    same = [field.name for field in fields(table) if other.column_hash(field.name) == table.column_hash(field.name)]
    assert {*same, name} == {field.name for field in fields(table)}
    assert name not in same


def test_the_index_hash_sees_the_order_of_samples():
    table = SampleTable.from_columns(TASKS, COLUMNS)
    turned = SampleTable.from_columns(TASKS, {name: column[::-1] for name, column in COLUMNS.items()})
    assert turned.index_hash(BENCHMARK) != table.index_hash(BENCHMARK)


@pytest.mark.parametrize(
    "tasks",
    [
        {"colour": ["blue", "red"], "shape": ["cone", "disc"]},  # another class under the same code
        {"colour": ["blue", "red"], "shape": ["cone", "cube", "disc"]},  # one more
        {"colour": ["blue", "red"], "form": ["cone", "cube"]},  # another task's name
        {"shape": ["cone", "cube"], "colour": ["blue", "red"]},  # codes of tasks count in their order
    ],
)
def test_the_index_hash_sees_what_the_codes_stand_for(tasks):
    table = SampleTable.from_columns(TASKS, COLUMNS)
    assert table.index_hash(BenchmarkInfo("toys", tasks)) != table.index_hash(BENCHMARK)


def test_the_index_hash_is_of_samples_alone():
    table, again = (SampleTable.from_columns(TASKS, COLUMNS) for _ in range(2))
    renamed = BenchmarkInfo("other", TASKS, metric="question-image-group", source="elsewhere")
    assert again.index_hash(renamed) == table.index_hash(BENCHMARK)


def test_a_mask_of_splits():
    table = SampleTable.from_columns(TASKS, COLUMNS)
    assert np.flatnonzero(table.in_split("pool", "either")).tolist() == [0, 2]
