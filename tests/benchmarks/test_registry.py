"""Every registered benchmark keeps the laws of a benchmark, and the digits benchmarks tell the truth."""

import re

import pytest

from savs_benchmarks import BENCHMARKS, BenchmarkError, check, find_benchmark, load_picture
from savs_benchmarks.digits import DIGIT_WORDS, training_pictures

DIGITS = [name for name in BENCHMARKS if name.startswith("digits")]
TRUE_CLAIM = {True: "non-hallucination", False: "hallucination"}


def pixels(picture):
    return picture.size, picture.tobytes()


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_keeps_the_laws(name):
    benchmark = BENCHMARKS[name]
    samples = check(benchmark)
    assert find_benchmark(name) is benchmark
    assert benchmark.name == name
    for field in ("summary", "source", "revision", "licence", "metric", "prompt"):
        assert getattr(benchmark, field)
    assert set(benchmark.answers) <= {label for classes in benchmark.tasks.values() for label in classes}
    ids, pictures = {"pool": set(), "test": set(), "either": set()}, {"pool": set(), "test": set(), "either": set()}
    for sample in samples:
        assert sample.label in benchmark.tasks[sample.task]
        assert sample.question.strip()
        ids[sample.split].add(sample.sample_id)
        pictures[sample.split] |= {pixels(load_picture(picture)) for picture in sample.images}
    assert sum(map(len, ids.values())) == len(samples)
    assert not ids["pool"] & ids["test"]
    assert not pictures["pool"] & pictures["test"]
    for task, classes in benchmark.tasks.items():
        assert {sample.label for sample in samples if sample.task == task} == set(classes)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_samples_are_the_same_each_time(name):
    def rows():
        return [(s.sample_id, s.question, s.label, [pixels(load_picture(p)) for p in s.images]) for s in samples()]

    samples = BENCHMARKS[name].samples
    assert rows() == rows()


@pytest.mark.parametrize("name", DIGITS)
def test_no_picture_was_trained_on(name):
    trained = {pixels(picture) for digit in range(10) for picture in training_pictures(digit)}
    assert len(trained) == 850
    asked = {pixels(picture) for sample in BENCHMARKS[name].samples() for picture in sample.images}
    assert not asked & trained


def test_digits_labels_are_true(true_digit):
    for sample in BENCHMARKS["digits"].samples():
        assert sample.label == DIGIT_WORDS[true_digit(sample.images[0])]


def test_claims_are_labelled_by_whether_they_are_true(true_digit):
    for sample in BENCHMARKS["digits-claims"].samples():
        claimed = re.search(r"contains number (\w+)\.", sample.question)[1]
        assert sample.label == TRUE_CLAIM[claimed == DIGIT_WORDS[true_digit(sample.images[0])]]


def test_comparisons_are_true(true_digit):
    for sample in BENCHMARKS["digits-compare"].samples():
        digits = [true_digit(picture) for picture in sample.images]
        if sample.task == "larger":
            assert len(set(digits)) == 2
            place = digits.index(max(digits))
        else:
            assert len(set(digits)) == 2
            place = next(place for place, digit in enumerate(digits) if digits.count(digit) == 1)
        assert sample.label == f"({'ABC'[place]})"


def test_pairs_are_two_pictures_by_two_questions_each_true_of_one_picture(true_digit):
    groups = {}
    for sample in BENCHMARKS["digits-pairs"].samples():
        groups.setdefault(sample.group, []).append(sample)
    for group in groups.values():
        assert [sample.slot for sample in group] == [0, 1, 2, 3]
        assert [sample.label for sample in group] == ["yes", "no", "no", "yes"]
        assert len({sample.split for sample in group}) == 1
        pictures = [pixels(sample.images[0]) for sample in group]
        assert pictures[:2] == pictures[2:]
        assert pictures[0] != pictures[1]
        questions = [sample.question for sample in group]
        assert questions[0] == questions[1] != questions[2] == questions[3]
        for sample in group:
            named = re.search(r"number (\w+)\?", sample.question)[1]
            assert sample.label == ("yes" if named == DIGIT_WORDS[true_digit(sample.images[0])] else "no")


@pytest.mark.parametrize(("name", "words"), [("digit", "did you mean 'digits'?"), ("xyz", "There are digits, ")])
def test_an_unknown_name_is_answered_with_the_names(name, words):
    with pytest.raises(BenchmarkError, match=re.escape(words)):
        find_benchmark(name)


def test_a_file_name_is_looked_up_as_a_file(tmp_path):
    with pytest.raises(BenchmarkError, match="there is no file"):
        find_benchmark(str(tmp_path / "mine.jsonl"))
