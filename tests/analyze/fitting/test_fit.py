"""What is said of a sample is said by what has not seen it: not to learn, nor to choose, nor to calibrate."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.classifiers import planted_context
from savs_analyze.fitting.estimate import estimate
from savs_analyze.fitting.fit import fit, fold_of, partitions_of
from savs_analyze.measure.probabilities import wilson
from savs_analyze.methods.context import Context
from savs_analyze.methods.crossfit import best, cross_fit
from savs_analyze.methods.folds import SplitError, clusters, make_folds, naming
from savs_analyze.methods.learners import learn
from savs_analyze.methods.recipes import AUTO, METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.votes.batch import Batch

METHODS_OF_TEST = [make_setting("savs-soft", k=3).method, make_setting("ridge", k=6).method]


@given(st.integers(0, 1000), st.integers(2, 5), st.integers(1, 6), st.integers(2, 6))
def test_folds_keep_clusters_whole_and_classes_everywhere(seed, classes, size, per_class):
    generator = np.random.default_rng(seed)
    names = np.repeat(np.arange(classes * per_class), generator.integers(1, size + 1, classes * per_class))
    labels = names % classes
    fold = make_folds(labels, names, seed)
    assert all(len(set(fold[names == name])) == 1 for name in set(names))
    assert fold.max() + 1 == min(5, per_class)
    for one in range(fold.max() + 1):
        assert set(labels[fold == one]) == set(range(classes))
        assert set(labels[fold != one]) == set(range(classes))


@given(st.integers(0, 100))
def test_folds_of_samples_that_are_alone_are_even(seed):
    labels = np.random.default_rng(seed).permutation(np.repeat([0, 1, 2], 20))
    fold = make_folds(labels, np.arange(60), seed)
    assert {tuple(np.bincount(labels[fold == one])) for one in range(5)} == {(4, 4, 4)}


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=4, unique=True), max_size=8))
def test_clusters_are_those_of_a_union(shared):
    expected = {sample: {sample} for sample in range(10)}
    for members in shared:
        union = set().union(*(expected[member] for member in members))
        expected.update(dict.fromkeys(union, union))
    found = clusters(10, [np.array(members) for members in shared])
    assert all((found[a] == found[b]) == (b in expected[a]) for a in range(10) for b in range(10))


@pytest.mark.parametrize(
    ("labels", "cluster", "words"),
    [
        ([0, 0, 1, 1], [0, 1, 2, 2], "class 'dog' has one sample, or only samples that belong together"),
        ([0, 0, 1], [0, 1, 2], "class 'dog' has one sample, or only samples that belong together"),
    ],
)
def test_a_class_that_cannot_be_split_is_named(labels, cluster, words):
    with pytest.raises(SplitError, match="class 1 has"):
        make_folds(np.array(labels), np.array(cluster), 0)
    with pytest.raises(ValueError, match=words), naming(["cat", "dog"]):
        make_folds(np.array(labels), np.array(cluster), 0)


def spoiled(context, samples):
    """Return the context with other vectors and labels of some samples."""
    vectors, labels = context.vectors.copy(), context.labels.copy()
    vectors[samples] = np.random.default_rng(9).normal(size=vectors[samples].shape) * 50
    labels[samples] = (labels[samples] + 1) % context.classes
    return replace(context, vectors=vectors, labels=labels, _known={})


@pytest.mark.parametrize("one", range(5))
def test_nothing_of_a_fold_reaches_what_judges_it(one):
    """Other vectors and labels of the fold leave alone what was learnt without it, and what chooses inside."""
    context = planted_context(3)
    fold = fold_of(context)
    before, after = (cross_fit(METHODS_OF_TEST, c, fold, True) for c in (context, spoiled(context, fold == one)))
    heads = np.arange(context.vectors.shape[1])
    batch = Batch(heads, context.vectors[fold == one])
    for first, second in zip(before.outside[one], after.outside[one], strict=True):
        assert (first.votes(batch).scores == second.votes(batch).scores).all()
    others = fold != one
    assert (before.within[one][:, others] == after.within[one][:, others]).all()


def test_cross_fit_is_learning_fold_by_fold():
    context = planted_context(2)
    fold = fold_of(context)
    found = cross_fit(METHODS_OF_TEST, context, fold, True)
    batch = Batch(np.arange(context.vectors.shape[1]), context.vectors)
    for place, method in enumerate(METHODS_OF_TEST):
        for one in range(5):
            [fitted] = learn([method], context.of(fold != one))
            said = fitted.probabilities(fitted.votes(batch).scores)
            assert found.said[place, fold == one] == pytest.approx(said[fold == one])
            for other in set(range(5)) - {one}:
                [fitted] = learn([method], context.of((fold != one) & (fold != other)))
                said = fitted.probabilities(fitted.votes(batch).scores)
                assert found.within[one][place, fold == other] == pytest.approx(said[fold == other])


def test_the_best_is_that_of_the_least_loss_every_class_counting_the_same():
    labels = np.array([0] * 90 + [1] * 10)
    common = np.where(labels[:, None] == 0, [0.9, 0.1], [0.8, 0.2])  # blind to the scarce class
    fair = np.where(labels[:, None] == 0, [0.7, 0.3], [0.3, 0.7])
    assert best(np.stack([common, fair]), labels) == 1
    assert best(np.stack([fair, fair]), labels) == 0


def test_auto_is_the_method_that_its_choice_names():
    context = planted_context(3)
    methods = [METHODS[name].make(**{**METHODS[name].defaults, **own}) for name, own in AUTO]
    chosen = best(cross_fit(methods, context, fold_of(context), False).said, context.labels)
    [auto], [expected] = learn([make_setting("auto").method], context), learn([methods[chosen]], context)
    batch = Batch(np.arange(context.vectors.shape[1]), planted_context(3, seed=1).vectors)
    assert (auto.votes(batch).scores == expected.votes(batch).scores).all()
    assert fit(methods, context).chosen == chosen


def test_auto_chooses_the_kernel_where_no_sum_of_features_tells_the_classes_apart():
    """Vectors of one class point along or against one axis, those of the other along or against another one."""
    generator = np.random.default_rng(0)
    labels, sign = np.tile([0, 1], 60), generator.choice([-1, 1], (120, 6, 1))
    vectors = sign * np.eye(4)[labels][:, None] + 0.2 * generator.normal(size=(120, 6, 4))
    seen = Context(vectors[:60], labels[:60], 2, np.repeat([0, 1], 3))
    settings = [make_setting(name, **own) for name, own in AUTO]
    methods = [setting.method for setting in settings]
    found = fit(methods, seen)
    assert settings[found.chosen].name == "kernel-ridge"
    new = Batch(np.arange(6), vectors[60:])
    right = [
        (learnt.votes(new).predicted == labels[60:]).mean() for learnt in learn([s.method for s in settings], seen)
    ]
    assert right[found.chosen] > 0.95
    assert max(np.delete(right, found.chosen)) < 0.8


def test_likeness_is_told_in_the_heads_of_the_method_that_answers():
    """Folds that chose another method measured it in that one's heads: 14 % were marked at 5 %."""
    methods = [make_setting("savs-soft", k=k).method for k in (4, 7)]
    context = planted_context(3, seed=4)
    found, fold = fit(methods, context), fold_of(context)
    assert set(found.chosen_by_fold) != {found.chosen}
    for one in range(fold.max() + 1):
        others = context.of(fold != one)
        [learnt] = learn([methods[found.chosen]], others)
        for sample in np.flatnonzero(fold == one):
            nearest = max(
                np.mean([cosine(context.vectors[sample, head], others, label, head) for head in learnt.kept])
                for label in range(context.classes)
            )
            assert found.likeness.distances[sample] == pytest.approx(1 - nearest, abs=1e-6)


def cosine(vector, context, label, head):
    mean = context.vectors[context.labels == label, head].astype(float).mean(axis=0)
    return vector.astype(float) @ mean / np.linalg.norm(vector.astype(float)) / np.linalg.norm(mean)


def test_an_estimate_is_what_new_samples_show():
    """Over many fits, the mean estimate and the mean accuracy on new samples of the same kind agree."""
    told, shown = [], []
    for seed in range(30):
        context = planted_context(2, seed=seed, samples=15)
        found = fit(METHODS_OF_TEST, context)
        told.append(estimate(found, context.labels, np.arange(30)).accuracy)
        new = planted_context(2, seed=500 + seed, samples=50)
        batch = Batch(np.unique(found.fitted.heads), new.vectors[:, np.unique(found.fitted.heads)])
        shown.append((found.fitted.votes(batch).predicted == new.labels).mean())
    assert np.mean(told) == pytest.approx(np.mean(shown), abs=0.04)


def test_an_estimate_on_noise_is_chance():
    """A choice among many recipes by the same samples would look better than chance; nested folds do not."""
    methods = [make_setting("savs-soft", k=k).method for k in (1, 2, 3, 5, 8)]
    told = []
    for seed in range(20):
        context = planted_context(2, seed=seed)
        noise = np.random.default_rng(seed).normal(size=context.vectors.shape)
        found = fit(methods, replace(context, vectors=noise, _known={}))
        told.append(estimate(found, context.labels, np.arange(24)).accuracy)
    assert np.mean(told) == pytest.approx(0.5, abs=3 * np.std(told) / 20**0.5)


def noise_like(context, seed):
    noise = np.random.default_rng(seed).normal(size=context.vectors.shape)
    return replace(context, vectors=noise, seed=seed, _known={})


def test_estimates_of_several_partitions_are_unbiased_and_their_intervals_hold_the_truth():
    """On noise the truth is chance. Were three partitions three times the samples, intervals would hold it less."""
    context, told, held = planted_context(2), [], []
    methods = [make_setting("savs-soft", k=k).method for k in (1, 3)]
    for seed in range(40):
        found = estimate(fit(methods, noise_like(context, seed), 3), context.labels, np.arange(24))
        told.append(found.accuracy)
        held.append(found.interval[0] <= 0.5 <= found.interval[1])
    assert np.mean(told) == pytest.approx(0.5, abs=3 * np.std(told) / 40**0.5)
    assert np.mean(held) >= 0.95 - 3 * (0.95 * 0.05 / 40) ** 0.5


@pytest.mark.parametrize("cluster", [np.arange(24), np.arange(24) // 3])
def test_repetitions_are_no_new_samples(cluster):
    """The same partition told again changes nothing; other partitions move the middle of the interval alone."""
    context = replace(planted_context(2), cluster=cluster)
    one, three = (fit(METHODS_OF_TEST, context, partitions) for partitions in (1, 3))
    told = estimate(one, context.labels, cluster)
    again = estimate(replace(one, partitions=[*one.partitions] * 5), context.labels, cluster)
    assert replace(again, partitions=1) == told
    repeated = estimate(three, context.labels, cluster)
    assert repeated.interval == wilson(repeated.accuracy, len(set(cluster)))
    each = [(judged.answers == context.labels).mean() for judged in three.partitions]
    assert repeated.accuracy == pytest.approx(np.mean(each))


def test_further_partitions_leave_the_classifier_as_it_is():
    context = planted_context(3)
    one, three = (fit(METHODS_OF_TEST, context, partitions) for partitions in (1, 3))
    assert len(three.partitions) == 3
    assert (one.chosen, one.chosen_by_fold) == (three.chosen, three.chosen_by_fold)
    assert (one.calibration.nonconformity == three.calibration.nonconformity).all()
    assert len({tuple(judged.cross.fold) for judged in three.partitions}) == 3


@pytest.mark.parametrize(("samples", "partitions"), [(10, 3), (140, 3), (200, 2), (300, 1), (4000, 1)])
def test_many_numbers_are_judged_in_fewer_partitions(samples, partitions):
    vectors = np.broadcast_to(np.float16(0), (samples, 784, 128))
    labels = np.arange(samples) % 2
    assert partitions_of(Context(vectors, labels, 2, np.repeat(np.arange(28), 28))) == partitions


def test_two_samples_a_class_are_estimated_but_not_nested():
    context = planted_context(3, samples=2)
    found = estimate(fit(METHODS_OF_TEST, context), context.labels, np.arange(6))
    assert not found.nested
    assert found.folds == 2
    assert len(found.curve) == 1
