"""Which samples validate: laws over random tables, the second paper's rule by hand, benchmarks that choose nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_analyze.draws.validation import LEAST, Validation, first_units, inseparable, stratified_share
from savs_stores import BenchmarkInfo, SampleTable

CLASSES = {2: ["a", "b"], 3: ["a", "b", "c"]}
seeds = st.integers(0, 2**32 - 1)


def table(labels, classes=2, metric="accuracy", **columns):
    info = BenchmarkInfo("made", {"all": CLASSES[classes]}, metric=metric)
    return SampleTable.from_columns(info.tasks, {"label": [CLASSES[classes][i] for i in labels], **columns}), info


@given(seed=seeds, share=st.sampled_from([0.1, 0.25, 0.5]), classes=st.sampled_from([2, 3]))
def test_it_is_whole_sets_and_no_class_gives_more_than_its_share(seed, share, classes):
    generator = np.random.default_rng(seed)
    label = generator.integers(0, classes, 60)
    apart = generator.integers(0, 40, 60)
    chosen = stratified_share(apart, label, share)
    assert not set(apart[chosen]) & set(apart[~chosen])
    for one in range(classes):
        assert chosen[label == one].sum() <= share * (label == one).sum()


@given(seed=seeds, share=st.sampled_from([0.1, 0.25, 0.5]))
def test_of_single_samples_every_class_gives_its_share_rounded_down(seed, share):
    label = np.random.default_rng(seed).integers(0, 3, 100)
    chosen = stratified_share(np.arange(100), label, share)
    assert [chosen[label == one].sum() for one in range(3)] == [int(share * (label == one).sum()) for one in range(3)]


@given(seed=seeds)
def test_inseparable_is_what_walking_along_shared_images_and_groups_reaches(seed):
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 25, (20, 2)).astype(np.uint64)
    group = generator.integers(-1, 8, 20)
    sets = inseparable(images, group)
    for start in range(20):
        reached, border = {start}, [start]
        while border:
            at = border.pop()
            for other in range(20):
                shares_image = set(images[at]) & set(images[other]) - {0}
                if other not in reached and (shares_image or (group[at] == group[other] >= 0)):
                    reached.add(other)
                    border.append(other)
        assert set(np.flatnonzero(sets == sets[start])) == reached


def test_the_first_quarter_is_of_whole_units_in_their_order():
    unit = np.array([7, 7, 3, 3, 9, 9, 1, 1, 5, 5])
    assert np.flatnonzero(first_units(unit, 0.25)).tolist() == [0, 1]
    assert np.flatnonzero(first_units(unit, 0.5)).tolist() == [0, 1, 2, 3]
    assert np.flatnonzero(first_units(np.arange(1817), 0.25)).tolist() == list(range(454))  # the paper's MHaluBench


def test_the_papers_rule_takes_whole_groups_of_950():
    labels = np.tile([0, 1, 1, 0], 950)
    columns = {"group": np.repeat(np.arange(950), 4).astype(str).tolist(), "slot": np.tile([0, 1, 2, 3], 950).tolist()}
    made, info = table(labels, metric="question-image-group", **columns)
    chosen = Validation(first=True).samples(made, info)
    assert chosen.sum() == 4 * 237
    assert np.flatnonzero(chosen).tolist() == list(range(4 * 237))


def test_samples_of_no_group_are_units_of_their_own_beside_groups():
    # 400 samples alone, then 100 groups of four: the first quarter of these 500 units are samples alone.
    group = [""] * 400 + np.repeat(np.arange(100), 4).astype(str).tolist()
    made, info = table(np.arange(800) % 2, group=group)
    chosen = Validation(0.25, first=True).samples(made, info)
    assert np.flatnonzero(chosen).tolist() == list(range(125))


def test_groups_stay_whole_under_any_metric():
    made, info = table(np.arange(1200) % 2, group=(np.arange(1200) // 7).astype(str).tolist())
    chosen = Validation(first=True).samples(made, info)
    assert not set(made.group[chosen]) & set(made.group[~chosen])
    assert 0.24 < chosen.mean() < 0.26


def test_the_papers_rule_sets_aside_a_quarter_of_every_task_and_lets_small_ones_choose_nothing():
    info = BenchmarkInfo("blink", {"one": CLASSES[2], "two": CLASSES[2]})
    columns = {"task": ["one"] * 77 + ["two"] * 40, "label": ["a", "b"] * 58 + ["a"]}
    made = SampleTable.from_columns(info.tasks, columns)
    papers, ours = Validation(first=True), Validation()
    assert np.flatnonzero(papers.samples(made, info)).tolist() == [*range(19), *range(77, 87)]
    assert not papers.chooses(made, info)
    assert not ours.samples(made, info).any()


@pytest.mark.parametrize(
    ("count", "papers", "chooses"), [(399, 0, False), (400, 0, True), (999, 1, False), (1000, 1, True)]
)
def test_small_benchmarks_choose_nothing(count, papers, chooses):
    made, info = table(np.arange(count) % 2)
    rule = Validation(first=bool(papers))
    assert rule.chooses(made, info) == chooses
    assert rule.samples(made, info).any() == (chooses or bool(papers))


def test_only_what_is_tested_validates_and_images_stay_on_one_side():
    generator = np.random.default_rng(0)
    shown = generator.integers(1, 500, 2 * LEAST)
    split = np.where(generator.random(2 * LEAST) < 0.2, "pool", "test").tolist()
    columns = {"split": split, "image_hash": [[int(one)] for one in shown]}
    made, info = table(generator.integers(0, 2, 2 * LEAST), **columns)
    chosen, tested = Validation().samples(made, info), np.array(split) == "test"
    assert not (chosen & ~tested).any()
    assert 0.2 < chosen.sum() / tested.sum() <= 0.25
    assert not set(shown[chosen]) & set(shown[tested & ~chosen])


@pytest.mark.parametrize("share", [-0.1, 1, 2.5, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="validation must be a share from 0 to below 1, got"):
        Validation(share)
    assert not Validation(0).samples(*table(np.arange(2 * LEAST) % 2)).any()
