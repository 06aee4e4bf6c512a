"""`check` names every fault of a benchmark."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from savs_benchmarks import Benchmark, BenchmarkError, Sample, check
from savs_benchmarks.errors import grouped

CAT = Sample("1", (Path("a.png"),), "Which animal?", "cat", "pool")
DOG = replace(CAT, sample_id="2", label="dog", split="test")
GROUP = [replace(CAT, sample_id=f"g{slot}", group="g", slot=slot) for slot in range(4)]
GOOD = Benchmark("animals", "cat or dog", "here", "1", "CC0", "accuracy", {"all": ("cat", "dog")}, "Which?", list)


def benchmark(samples, **header):
    return replace(GOOD, samples=lambda: iter(samples), **header)


def pairs(samples):
    return benchmark(samples, metric="question-image-group")


BROKEN = {
    "duplicate id": (benchmark([CAT, CAT]), "sample id '1' occurs 2 times"),
    "unknown label": (benchmark([replace(CAT, label="cow")]), "sample '1': 'cow' is no class of task 'all'"),
    "unknown option": (benchmark([replace(CAT, options=("cat", "cow"))]), "sample '1': 'cow' is no class"),
    "unknown task": (benchmark([replace(CAT, task="size")]), "sample '1': unknown task 'size'"),
    "unknown split": (benchmark([replace(CAT, split="train")]), "sample '1': split 'train' is none of pool, test"),
    "empty question": (benchmark([replace(CAT, question=" \n")]), "sample '1': the question is empty"),
    "no samples": (benchmark([]), "it has no samples"),
    "unsorted classes": (benchmark([CAT], tasks={"all": ("dog", "cat")}), "classes of task 'all' are not sorted"),
    "repeated class": (benchmark([CAT], tasks={"all": ("cat", "cat")}), "not sorted and distinct"),
    "empty licence": (benchmark([CAT], licence=""), "its licence is empty"),
    "empty revision": (benchmark([CAT], revision=""), "its revision is empty"),
    "incomplete group": (pairs(GROUP[:3]), "group 'g' needs each of the slots 0, 1, 2, 3 once, it has [0, 1, 2]"),
    "repeated slot": (pairs([*GROUP[:3], replace(GROUP[3], slot=2)]), "it has [0, 1, 2, 2]"),
    "five in a group": (pairs([*GROUP, replace(GROUP[3], sample_id="5")]), "it has [0, 1, 2, 3, 3]"),
    "no group": (pairs([replace(sample, group=None) for sample in GROUP]), "group None"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_every_fault_is_named(fault):
    broken, words = BROKEN[fault]
    with pytest.raises(BenchmarkError) as raised:
        check(broken)
    assert "benchmark 'animals' cannot be used" in str(raised.value)
    assert len(raised.value.faults) == 1
    assert words in raised.value.faults[0]


def test_all_faults_are_reported_at_once():
    with pytest.raises(BenchmarkError) as raised:
        check(benchmark([replace(CAT, label="cow", question=""), CAT], source=""))
    assert [words for words in ("source", "occurs 2", "'cow'", "question") if words in str(raised.value)] == [
        "source",
        "occurs 2",
        "'cow'",
        "question",
    ]


def test_a_flood_of_faults_is_counted_not_shown():
    with pytest.raises(BenchmarkError) as raised:
        check(benchmark([replace(CAT, sample_id=str(i), label=f"cow {i}") for i in range(50)]))
    assert len(raised.value.faults) == 50
    assert "... and 30 more" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 22


def test_one_fault_sixty_times_is_one_line_with_the_first_places():
    cows = [replace(CAT, sample_id=str(i), label="cow") for i in range(60)]
    with pytest.raises(BenchmarkError) as raised:
        check(benchmark([*cows, replace(CAT, question=" ")]))
    assert len(raised.value.faults) == 62
    assert str(raised.value).splitlines()[1:] == [
        "  sample id '1' occurs 2 times",
        "  sample '0': 'cow' is no class of task 'all' "
        "(60 times, also sample '1', sample '2', sample '3', sample '4' ...)",
        "  sample '1': the question is empty",
    ]


def test_sixty_faults_of_ids_and_of_groups_are_a_line_each():
    twice = [replace(CAT, sample_id=str(i // 2), group=f"g{i}", slot=0) for i in range(120)]
    with pytest.raises(BenchmarkError) as raised:
        check(pairs(twice))
    assert str(raised.value).splitlines()[1:] == [
        "  sample id '0' occurs 2 times "
        "(60 times, also sample id '1', sample id '2', sample id '3', sample id '4' ...)",
        "  group 'g0' needs each of the slots 0, 1, 2, 3 once, it has [0] "
        "(120 times, also group 'g1', group 'g2', group 'g3', group 'g4' ...)",
    ]


def test_faults_survive_the_way_to_another_process():
    with pytest.raises(BenchmarkError) as raised:
        check(benchmark([replace(CAT, label="cow")] * 2))
    copied = pickle.loads(pickle.dumps(raised.value.faults))  # noqa: S301
    assert copied == raised.value.faults
    assert grouped(copied) == grouped(raised.value.faults)


ABSENT = {
    "None": None,
    "NaN": float("nan"),
    "NaN of numpy": np.float32("nan"),
    "NaT": np.datetime64("NaT"),
    "NA": pd.NA,
    "NaT of pandas": pd.NaT,
    "null of Arrow": pa.scalar(None, pa.string()),
    "masked": np.ma.masked,
}


@pytest.mark.parametrize("absent", ABSENT.values(), ids=list(ABSENT))
def test_absent_is_absent_in_every_field_that_may_be(absent):
    names = ("group", "slot", "split", "task", "options")
    plain = Sample("1", (Path("a.png"),), "Which animal?", "cat", "either")
    assert replace(CAT, **dict.fromkeys(names, absent)) == plain
    assert [getattr(plain, name) for name in names] == [None, None, "either", "all", ()]


@pytest.mark.parametrize("absent", ["", " "])
def test_an_empty_group_is_none(absent):
    samples = [replace(CAT, sample_id=str(i), group=absent) for i in range(9)]
    assert {sample.group for sample in check(benchmark(samples))} == {None}


@pytest.mark.parametrize("word", ["nan", "null", "None", "NA", "<NA>", "3.0"])
def test_words_that_look_like_nothing_are_words(word):
    tasks = {word: tuple(sorted(("cat", word)))}
    sample = replace(CAT, sample_id=word, group=word, label=word, task=word, options=(word,))
    assert check(benchmark([sample, replace(CAT, task=word)], tasks=tasks))[0] == sample
    assert (sample.sample_id, sample.group, sample.label, sample.options) == (word, word, word, (word,))


@pytest.mark.parametrize("number", [3, 3.0, np.int64(3), np.float32(3), np.float64(3)])
def test_whole_numbers_are_words_however_a_table_keeps_them(number):
    sample = replace(CAT, sample_id=number, label=number, group=number, slot=number, options=[number], task=number)
    assert (sample.sample_id, sample.label, sample.group, sample.task, sample.options) == (*"3333", ("3",))
    assert (sample.slot, type(sample.slot)) == (3, int)


def test_rows_of_a_table_become_samples():
    # A column with a gap makes floats of whole numbers, and NaN of the gap.
    rows = pd.DataFrame({"id": [1, 2, 3], "label": [7, 8, 7], "group": [4, None, 4], "slot": [0, None, 1]})
    samples = [
        Sample(r.id, (Path("a.png"),), "?", r.label, "test", group=r.group, slot=r.slot) for r in rows.itertuples()
    ]
    assert check(benchmark(samples, tasks={"all": ("7", "8")})) == [
        Sample("1", (Path("a.png"),), "?", "7", "test", group="4", slot=0),
        Sample("2", (Path("a.png"),), "?", "8", "test"),
        Sample("3", (Path("a.png"),), "?", "7", "test", group="4", slot=1),
    ]


# What is wrong with the only sample, and how it is said.
WRONG = {
    "no id": ({"sample_id": None}, "sample 0 (counted from 0): it has no id"),
    "an empty id": ({"sample_id": ""}, "sample 0 (counted from 0): it has no id"),
    "a blank id": ({"sample_id": " "}, "sample ' ': it has no id"),
    "no label": ({"label": float("nan")}, "sample '1': it has no label"),
    "an empty label": ({"label": ""}, "sample '1': it has no label"),
    "a label with a fraction": ({"label": 0.5}, "sample '1': 'label' must be a text, got 0.5"),
    "a list of labels": ({"label": ["cat"]}, "sample '1': 'label' must be a text, got ['cat']"),
    "an id that is a truth value": ({"sample_id": True}, "sample True: 'sample_id' must be a text, got True"),
    "an absent question": ({"question": float("nan")}, "sample '1': 'question' must be a text, got nan"),
    "a group that is a list": ({"group": ["g"]}, "sample '1': 'group' must be a text, got ['g']"),
    "a group with a fraction": ({"group": 0.5}, "sample '1': 'group' must be a text, got 0.5"),
    "a slot with a fraction": ({"slot": 0.5}, "sample '1': 'slot' must be one of 0, 1, 2, 3, got 0.5"),
    "a slot in words": ({"slot": "1"}, "sample '1': 'slot' must be one of 0, 1, 2, 3, got '1'"),
    "options in one text": ({"options": "cat"}, "sample '1': 'options' must be texts, got 'cat'"),
    "a number for options": ({"options": 5}, "sample '1': 'options' must be texts, got 5"),
    "an absent option": ({"options": ("cat", None)}, "sample '1': 'options' must be texts, got ('cat', None)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_absent_or_is_of_another_kind_is_named(name):
    change, words = WRONG[name]
    with pytest.raises(BenchmarkError) as raised:
        check(benchmark([replace(CAT, **change)]))
    assert raised.value.faults == [words]


def test_a_good_benchmark_gives_its_samples_in_order():
    assert check(benchmark([DOG, CAT])) == [DOG, CAT]
    assert check(pairs(GROUP)) == GROUP
