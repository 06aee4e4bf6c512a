"""Draws: class-balanced, nested, disjoint by image and group; whatever is left out is counted."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_analyze.draws.draws import draw_support, draw_without_support
from savs_stores import BenchmarkInfo, SampleTable

BENCHMARK = BenchmarkInfo("toy", {"one": ["a", "b"], "two": ["x", "y", "z"]})


def table(split="either", per_class=12, **columns):
    labels = ["a", "b"] * per_class + ["x", "y", "z"] * per_class
    tasks = ["one"] * 2 * per_class + ["two"] * 3 * per_class
    splits = [split] * len(labels) if isinstance(split, str) else (list(split) * len(labels))[: len(labels)]
    return SampleTable.from_columns(BENCHMARK.tasks, {"label": labels, "task": tasks, "split": splits, **columns})


def usable(samples):
    return np.ones(len(samples), dtype=bool)


@given(st.integers(1, 8), st.integers(0, 1000), st.sampled_from(["one", "two"]))
def test_support_is_balanced_and_disjoint_from_the_test(shots, seed, task):
    samples = table()
    draw = draw_support(samples, BENCHMARK, task, usable(samples), shots, seed)
    of_task = np.flatnonzero(samples.task == list(BENCHMARK.tasks).index(task))
    assert np.bincount(samples.label[draw.support]).tolist() == [shots] * len(BENCHMARK.tasks[task])
    assert sorted([*draw.support, *draw.test]) == of_task.tolist()
    assert (draw.leaked, draw.failed) == (0, 0)


def test_pool_and_test_splits_are_kept_apart():
    samples = table(split=("pool", "pool", "test"), per_class=30)
    draw = draw_support(samples, BENCHMARK, "one", usable(samples), 5, 0)
    assert samples.in_split("pool")[draw.support].all()
    assert samples.in_split("test")[draw.test].all()


def test_the_same_seed_draws_the_same_and_another_seed_another():
    samples = table()
    first, again, other = (draw_support(samples, BENCHMARK, "one", usable(samples), 5, seed) for seed in (1, 1, 2))
    assert (first.support == again.support).all()
    assert not np.array_equal(first.support, other.support)


def test_supports_of_one_seed_are_nested():
    samples = table()
    few, many = (draw_support(samples, BENCHMARK, "two", usable(samples), shots, 3).support for shots in (2, 7))
    assert set(few) < set(many)


def test_samples_without_a_label_are_neither_support_nor_test():
    labels = ["a", "b", None] * 8
    samples = SampleTable.from_columns({"one": ["a", "b"]}, {"label": labels, "split": ["either"] * 24})
    known = BenchmarkInfo("toy", {"one": ["a", "b"]})
    draw = draw_support(samples, known, "one", usable(samples), 5, 0)
    without = np.flatnonzero(samples.label < 0)
    assert without.tolist() == list(range(2, 24, 3))
    assert not np.isin(without, [*draw.support, *draw.test]).any()
    assert len(draw.support) + len(draw.test) == 16
    assert (draw.leaked, draw.failed) == (0, 0)
    assert not np.isin(without, draw_without_support(samples, known, "one", usable(samples)).test).any()


def test_a_task_without_any_label_is_refused_with_its_name():
    samples = SampleTable.from_columns({"one": []}, {"label": [None] * 4})
    known = BenchmarkInfo("toy", {"one": []})
    with pytest.raises(ValueError, match="no sample of task 'one' has a label"):
        draw_support(samples, known, "one", usable(samples), 5, 0)
    with pytest.raises(ValueError, match="no sample is left to test"):
        draw_without_support(samples, known, "one", usable(samples))


def test_samples_that_show_an_image_of_the_support_are_left_out_and_counted():
    # Every image is shown twice: once with each label of task one.
    hashes = [[i // 2 + 1] for i in range(24)] + [[100 + i] for i in range(36)]
    samples = table(image_hash=hashes)
    draw = draw_support(samples, BENCHMARK, "one", usable(samples), 3, 0)
    assert not set(samples.image_hash[draw.support, 0]) & set(samples.image_hash[draw.test, 0])
    twins = {s ^ 1 for s in draw.support.tolist()} - set(draw.support.tolist())
    assert draw.leaked == len(twins)


def test_leaks_stay_where_they_are_asked_for():
    samples = table(image_hash=[[1]] * 60)
    with pytest.raises(ValueError, match="no sample is left to test"):
        draw_support(samples, BENCHMARK, "one", usable(samples), 3, 0)
    assert len(draw_support(samples, BENCHMARK, "one", usable(samples), 3, 0, keep_leaks=True).test) == 18


def test_pictures_without_a_hash_are_not_taken_for_the_same():
    samples = table(image_hash=[[0, 0]] * 60)
    assert draw_support(samples, BENCHMARK, "one", usable(samples), 3, 0).leaked == 0


def test_groups_of_the_support_are_left_out():
    samples = table(group=[f"g{i // 4}" for i in range(60)])
    draw = draw_support(samples, BENCHMARK, "one", usable(samples), 2, 0)
    assert not set(samples.group[draw.support]) & set(samples.group[draw.test])


def grouped(split):
    """Return a table whose second task is nine groups of four."""
    return table(split=split, group=[None] * 24 + [f"g{i // 4}" for i in range(36)], slot=[i % 4 for i in range(60)])


def test_a_group_with_a_failed_member_is_left_out_whole_and_counted():
    samples = grouped(("pool",) * 24 + ("test",) * 36)
    benchmark = BenchmarkInfo("toy", BENCHMARK.tasks, metric="question-image-group")
    fine = usable(samples)
    fine[30] = False
    draw = draw_without_support(samples, benchmark, "two", fine)
    assert set(range(24, 60)) - set(draw.test.tolist()) == {28, 29, 30, 31}
    assert (draw.leaked, draw.failed, draw.incomplete) == (0, 1, 3)


@pytest.mark.parametrize("keep_leaks", [False, True])
def test_groups_that_touch_the_support_are_never_tested_in_part(keep_leaks):
    samples = grouped("either")
    benchmark = BenchmarkInfo("toy", BENCHMARK.tasks, metric="question-image-group")
    draw = draw_support(samples, benchmark, "two", usable(samples), 1, 0, keep_leaks)
    touched = set(samples.group[draw.support].tolist())
    assert not touched & set(samples.group[draw.test].tolist())
    others = 4 * len(touched) - len(draw.support)
    assert (draw.leaked, draw.incomplete) == ((0, others) if keep_leaks else (others, 0))


def test_samples_without_vectors_are_no_leaks():
    samples = table(image_hash=[[1]] * 24 + [[100 + i] for i in range(36)], split=("pool",) * 6 + ("test",) * 54)
    fine = usable(samples)
    fine[6:24] = False
    with pytest.raises(ValueError, match="toy: no sample is left to test"):
        draw_support(samples, BENCHMARK, "one", fine, 3, 0)


def test_the_scarcest_class_gives_the_advice():
    samples = SampleTable.from_columns(
        BENCHMARK.tasks, {"label": ["a"] * 9 + ["b"] * 5, "task": ["one"] * 14, "split": ["either"] * 14}
    )
    with pytest.raises(ValueError, match=r"class 'b' of task 'one' has 5 .* use --shots 4 or fewer"):
        draw_support(samples, BENCHMARK, "one", usable(samples), 1000, 0)
    tested = draw_support(samples, BENCHMARK, "one", usable(samples), 4, 0).test
    assert set(samples.label[tested]) == {0, 1}


@pytest.mark.parametrize(("split", "enough"), [("either", 11), (("either", "either", "test"), 8), ("pool", 11)])
def test_who_follows_the_advice_can_test(split, enough):
    """Of twelve samples a class, `--shots 12` was advised, and nothing was left to test then."""
    samples = table(split=split)
    with pytest.raises(ValueError, match=f"use --shots {enough} or fewer"):
        draw_support(samples, BENCHMARK, "one", usable(samples), 13, 0)
    if split != "pool":
        tested = draw_support(samples, BENCHMARK, "one", usable(samples), enough, 0).test
        assert set(samples.label[tested]) == {0, 1}


def test_failed_samples_are_neither_drawn_nor_tested():
    samples = table()
    fine = usable(samples)
    fine[::2] = False  # every "a" of task one
    with pytest.raises(
        ValueError, match=r"class 'a' of task 'one' has 0 usable samples .* only the splits pool and either"
    ):
        draw_support(samples, BENCHMARK, "one", fine, 5, 0)
    draw = draw_support(samples, BENCHMARK, "two", fine, 4, 0)
    assert fine[draw.support].all()
    assert fine[draw.test].all()
    assert draw.failed == 18


def test_too_few_samples_say_how_many_there_are():
    samples = table()
    with pytest.raises(
        ValueError, match="has 12 usable samples to draw from, 13 shots need more; use --shots 11 or fewer"
    ):
        draw_support(samples, BENCHMARK, "one", usable(samples), 13, 0)
