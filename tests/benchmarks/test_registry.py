"""Every registered benchmark keeps the laws of a benchmark, and the digits benchmarks tell the truth."""

import re

import pytest

from savs_benchmarks import BENCHMARKS, BenchmarkError, check, find_benchmark, load_picture
from savs_benchmarks.digits.digits import DIGIT_WORDS, training_pictures

DIGITS = [name for name in BENCHMARKS if name.startswith("digits")]
TRUE_CLAIM = {True: "non-hallucination", False: "hallucination"}


def pixels(picture):
    return picture.size, picture.tobytes()


@pytest.fixture(params=BENCHMARKS)
def benchmark(request, data_root):
    return find_benchmark(request.param, data_root)


def classes_of(benchmark):
    return {label for classes in benchmark.tasks.values() for label in classes}


def test_the_header_is_complete(benchmark):
    assert BENCHMARKS[benchmark.name].name == benchmark.name
    for field in ("summary", "source", "revision", "licence", "metric", "prompt", "tasks"):
        assert getattr(benchmark, field), field
    assert set(benchmark.answers) <= classes_of(benchmark)
    assert set(benchmark.varying) <= set(benchmark.tasks)
    assert "None" not in benchmark.split


def test_samples_keep_the_laws(benchmark):
    samples = check(benchmark)
    for sample in samples:
        assert sample.label in benchmark.tasks[sample.task]
        assert sample.question.strip() == sample.question
        assert not sample.options or sample.label in sample.options
        assert len(set(sample.options)) == len(sample.options)
        assert (sample.group is None) == (sample.slot is None) == (benchmark.metric == "accuracy")
    assert len({sample.sample_id for sample in samples}) == len(samples)
    for task, classes in benchmark.tasks.items():
        assert {sample.label for sample in samples if sample.task == task} == set(classes)


def test_pool_and_test_share_no_picture(benchmark):
    pictures = {"pool": set(), "test": set(), "either": set()}
    for sample in benchmark.samples():
        pictures[sample.split] |= {pixels(load_picture(picture)) for picture in sample.images}
    assert not pictures["pool"] & pictures["test"]
    assert bool(pictures["either"]) != bool(pictures["pool"] and pictures["test"])


def test_prompts_vary_where_the_header_says_so(benchmark):
    prompts = {task: [] for task in benchmark.tasks}
    for sample in benchmark.samples():
        prompts[sample.task].append(sample.question)
    for task, asked in prompts.items():
        assert (len(set(asked)) > 1) == (task in benchmark.varying), task


def test_samples_are_the_same_each_time(benchmark, data_root):
    first = list(benchmark.samples())
    assert list(benchmark.samples()) == first
    assert list(find_benchmark(benchmark.name, data_root).samples()) == first


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


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("digit", "did you mean 'digits'?"),
        ("xyz", "There are digits, "),
        ("pets-td", "benchmark 'pets-td'; its wording is an option: --data pets --wording td. There are"),
        ("pets-no", "did you mean 'pets'?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_names(name, words):
    with pytest.raises(BenchmarkError, match=re.escape(words)):
        find_benchmark(name)


def test_a_file_name_is_looked_up_as_a_file(tmp_path):
    with pytest.raises(BenchmarkError, match="there is no file"):
        find_benchmark(str(tmp_path / "mine.jsonl"))


def test_a_file_of_your_own_may_be_named_in_capitals(tmp_path, monkeypatch):
    """Without a folder in front, it was looked for among the benchmarks' names."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchmarkError, match=r"there is no file MINE\.JSONL"):
        find_benchmark("MINE.JSONL")
