"""`check` names every fault of a benchmark."""

from dataclasses import replace
from pathlib import Path

import pytest

from savs_benchmarks import Benchmark, BenchmarkError, Sample, check

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
    "no image": (benchmark([replace(CAT, images=())]), "sample '1': no image"),
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
        check(benchmark([replace(CAT, sample_id=str(i), label="cow") for i in range(50)]))
    assert len(raised.value.faults) == 50
    assert "... and 30 more" in str(raised.value)
    assert len(str(raised.value).splitlines()) == 22


def test_a_good_benchmark_gives_its_samples_in_order():
    assert check(benchmark([DOG, CAT])) == [DOG, CAT]
    assert check(pairs(GROUP)) == GROUP
