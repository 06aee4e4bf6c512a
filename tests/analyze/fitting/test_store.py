"""A classifier from a store: which samples and heads it takes, what its file says, what it is when it is read."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from savs_analyze.classifier.classifier import Doubt
from savs_analyze.classifier.file import read_classifier, write_classifier
from savs_analyze.fitting.store import FitRequest, fit_store
from savs_analyze.fitting.words import describe, limits_of
from savs_stores import BenchmarkInfo, write_store
from savs_stores.format.fingerprint import short_hash

KEPT = Path(__file__).parents[2] / "data" / "classifier-1.safetensors"
RIDGE = FitRequest(method="ridge", k=4)


def vectors_of(toy):
    return toy["planted"]


def test_the_kept_file_is_read_for_ever():
    classifier = read_classifier(KEPT)
    assert classifier.about.recipe == {"asked": "auto"}
    answers = classifier.answer(np.sin(np.arange(5 * 12 * 8)).reshape(5, 12, 8))
    assert answers.predicted.tolist() == [0, 0, 2, 2, 0]
    assert answers.probabilities[0] == pytest.approx([0.464727, 0.357124, 0.178149], abs=1e-6)
    assert answers.sets.sum(axis=1).tolist() == [2, 1, 1, 2, 1]
    assert answers.likeness == pytest.approx([0.0811, 0.1081, 0.027, 0.2432, 0.1081], abs=1e-4)


def test_a_store_becomes_a_classifier_that_answers_for_its_test_samples(toy, tmp_path):
    classifier = fit_store(vectors_of(toy))
    write_classifier(classifier, tmp_path / "toy.safetensors")
    found = read_classifier(tmp_path / "toy.safetensors")
    test = np.flatnonzero(toy.samples.in_split("test"))
    heads = [tuple(pair) for pair in found.heads.tolist()]
    answers = found.answer(vectors_of(toy).read(test, heads))
    assert (answers.predicted == toy.samples.label[test]).mean() > 0.95
    assert found.classes == ["cat", "dog"]
    assert found.about.data["samples"] == [30, 30]
    assert found.about.data["index_hash"] == toy.index_hash
    assert found.about.model["fingerprint"] == vectors_of(toy).fingerprint
    assert found.about.estimate["accuracy"] > 0.9


def test_nothing_of_the_test_split_is_learnt_from(make_store):
    def spoil(vectors):
        vectors[60:] = 1000.0

    one, other = make_store(name="sound"), make_store(name="spoiled", change=spoil)
    first, second = (fit_store(store["planted"], replace(RIDGE, seed=3)) for store in (one, other))
    assert first.about.data["samples"] == [30, 30]
    assert second.samples == 60


def test_samples_that_failed_or_have_no_label_are_left_out(make_store):
    def fail(vectors):
        vectors[:5] = np.nan

    assert fit_store(make_store(change=fail)["planted"], RIDGE).about.data["samples"] == [25, 30]


@pytest.mark.parametrize(("budget", "last"), [(1.0, 2), (0.67, 1), (0.34, 0), (0.01, 0)])
def test_a_budget_is_kept(toy, budget, last):
    classifier = fit_store(vectors_of(toy), FitRequest(budget=budget))
    assert classifier.last_layer <= last
    assert classifier.about.estimate["layers"][-1][0] == last


@pytest.mark.parametrize("shots", [2, 7, None])
def test_as_many_samples_as_asked_for_are_learnt_from(toy, shots):
    assert fit_store(vectors_of(toy), replace(RIDGE, shots=shots)).about.data["samples"] == [shots or 30] * 2


def test_the_same_request_gives_the_same_file(toy, tmp_path):
    for name in ("one", "other"):
        write_classifier(fit_store(vectors_of(toy), FitRequest(shots=10)), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"shots": 31}, "class 'cat' has 30 labelled samples to learn from, 31 are needed: .* or ask for --shots 30"),
        ({"task": "other"}, "has 1 task, there is no task 'other': --task all"),
        ({"method": "savs-sofd"}, "there is no method 'savs-sofd'; did you mean 'savs-soft'"),
        ({"method": "auto", "k": 5}, "auto has no k, .* name one with --method, as in --method savs-soft --k 5"),
    ],
)
def test_what_cannot_be_fitted_is_said(toy, request_, words):
    with pytest.raises(ValueError, match=words):
        fit_store(vectors_of(toy), FitRequest(**request_))


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"budget": 0.0}, "the budget is a share of the layers, above 0 and at most 1, got 0.0"),
        ({"shots": 1}, "1 shots cannot be split into folds"),
        ({"method": "zero-shot"}, "zero-shot learns nothing"),
        ({"method": "layers"}, "layers has no form in a classifier's file"),
        ({"method": "paper-knn"}, "paper-knn has no form in a classifier's file, it is for comparison: name another"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(request_, words):
    with pytest.raises(ValueError, match=words):
        _ = FitRequest(**request_).settings


def test_samples_that_are_all_kept_for_tests_are_told(make_store):
    with pytest.raises(
        ValueError, match=r"has 0 labelled .* 60 more are kept for tests, in the split 'test': put some into"
    ):
        fit_store(make_store(split=("test", "test"))["planted"], RIDGE)


def asked(folder, questions, prompt):
    generator = np.random.default_rng(0)
    return write_store(
        folder / "asked.zarr",
        benchmark=BenchmarkInfo("asked", {"all": ["a", "b"]}, prompt=prompt),
        samples={
            "label": ["a", "b"] * 6,
            "split": ["either"] * 12,
            "prompt_hash": [short_hash(questions[row % len(questions)].encode()) for row in range(12)],
        },
        model="planted",
        heads=generator.normal(size=(12, 2, 3, 4)),
    )["planted"]


@pytest.mark.parametrize(
    ("questions", "prompt", "given", "found"),
    [
        (["Which?"], "Which?", None, "Which?"),
        (["Which?"], "{question}", "Which?", "Which?"),
        (["One?", "Two?"], "{question}", None, None),
    ],
)
def test_the_file_says_what_was_asked(tmp_path, questions, prompt, given, found):
    assert fit_store(asked(tmp_path, questions, prompt), replace(RIDGE, question=given)).about.question == found


@pytest.mark.parametrize(
    ("questions", "given", "words"),
    [
        (["Which?"], None, "the store does not say what its samples were asked: repeat it with --question"),
        (["Which?"], "which?", "the samples were not asked 'which\\?': --question must be what was asked, letter for"),
        (["One?", "Two?"], "One?", "2 different questions were asked: leave --question out"),
    ],
)
def test_a_question_that_was_not_asked_is_refused(tmp_path, questions, given, words):
    with pytest.raises(ValueError, match=words):
        fit_store(asked(tmp_path, questions, "{question}"), replace(RIDGE, question=given))


def test_it_says_what_it_is(toy):
    lines = "\n".join(describe(fit_store(vectors_of(toy))))
    for words in (
        "classes    2: cat, dog",
        "labelled samples",
        "right [",
        "by class, the worst first",
        "proven 68.9 %",
    ):
        assert words in lines


def test_the_licence_of_the_model_is_carried_where_the_store_knows_it(toy):
    vectors = vectors_of(toy)
    assert "licence" not in fit_store(vectors, RIDGE).about.model
    vectors.provenance = {**vectors.provenance, "licence": "apache-2.0"}
    assert fit_store(vectors, RIDGE).about.model["licence"] == "apache-2.0"


def test_groups_stay_in_one_fold(make_store):
    groups = [f"group {row // 3}" for row in range(120)]
    store = make_store(group=groups)
    calibration = fit_store(store["planted"], RIDGE).calibration
    of_sample = np.repeat(np.arange(20), 3)
    assert all(len(set(calibration.fold[of_sample == group])) == 1 for group in range(20))


def grouped(make_store, groups):
    """Return the classifier of 60 labelled samples, so many groups of each class, and their vectors."""
    store = make_store(name=f"of {groups}", group=[f"group {row * groups // 30}" for row in range(120)])
    return fit_store(store["planted"], RIDGE)


@pytest.mark.parametrize(
    ("groups", "doubt", "words"),
    [
        (2, Doubt(), "sets at 90 % need 9 labelled groups, there are 4: all hold every class"),
        (2, Doubt(), "marked as unlike all others at 5 % of false alarms: that needs 19 labelled groups, there are 4"),
        (5, Doubt(by_class=True), r"by class, .* 9 labelled groups of each: .* with fewer, cat \(5\), dog \(5\)"),
        (2, Doubt(0.7, by_class=True), r"by class, sets at 70 % need 3 .* cat \(2\), dog \(2\)"),
    ],
)
def test_too_few_groups_for_a_promise_are_told(make_store, groups, doubt, words):
    classifier = grouped(make_store, groups)
    assert classifier.calibration.clusters == 2 * groups
    assert re.search(words, "\n".join(limits_of(classifier, doubt)))


def test_enough_samples_are_not_told(toy):
    classifier = fit_store(vectors_of(toy), RIDGE)
    assert not [*limits_of(classifier, Doubt()), *limits_of(classifier, Doubt(by_class=True))]


def uneven(classifier, scarce):
    """Return the classifier as if all but so many samples were of the first class."""
    label = np.where(np.arange(classifier.samples) < scarce, 1, 0)
    return replace(classifier, calibration=replace(classifier.calibration, label=label))


@pytest.mark.parametrize(
    ("scarce", "by_class", "words"),
    [
        (5, False, "classes are uneven, 5 to 55 labelled samples: 90 % is for all together, a scarce class may"),
        (5, True, r"by class, sets at 90 % need 9 labelled samples of each: every set holds .* fewer, dog \(5\)"),
        (9, True, "^$"),
        (25, False, "^$"),
    ],
)
def test_uneven_classes_are_told(toy, scarce, by_class, words):
    classifier = uneven(fit_store(vectors_of(toy), RIDGE), scarce)
    assert re.search(words, "\n".join(limits_of(classifier, Doubt(by_class=by_class))))


def test_what_belongs_together_is_read_as_it_was_written(make_store, tmp_path):
    write_classifier(classifier := grouped(make_store, 5), tmp_path / "groups.safetensors")
    found = read_classifier(tmp_path / "groups.safetensors")
    for part in (found.calibration, found.likeness):
        assert (part.cluster == classifier.calibration.cluster).all()
    assert list(limits_of(found, Doubt())) == list(limits_of(classifier, Doubt()))
