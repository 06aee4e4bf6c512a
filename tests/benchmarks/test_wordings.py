"""A benchmark's question may be put in other ways: the same pictures and labels, other words, another name."""

from dataclasses import replace

import pytest

from savs_benchmarks import BENCHMARKS, Benchmark, BenchmarkError, Reading, Sample, check, find_benchmark
from savs_benchmarks.sample import Wording
from savs_benchmarks.wordings import DEFAULT_WORDING, worded

# A plain transcription of arXiv 2603.24181 and its code: question, new line, classes with a new line each, ending.
ONE = "Answer in one word."
ASKED = {
    "digits": ("What number is written here?", ONE),
    "eurosat": ("What type of remote sensing image does the given image belong to?", ONE),
    "pets": ("What breed is the animal in this image?", ONE),
    "flowers": ("What is the species of this flower?", ""),
    "cub": ("What is the species of this bird?", ONE),
    "imagenet": ("What is the main object in this photo?", ONE),
    "dtd": ("What texture pattern is visible in this image?", ""),
    "food-101": ("What is this dish called?", ONE),
    "caltech-101": ("What is the main object in this photo?", ""),
}


def test_every_benchmark_with_wordings_is_here():
    assert {name for name, benchmark in BENCHMARKS.items() if benchmark.wordings} == set(ASKED)


@pytest.mark.parametrize("name", ASKED)
def test_td_is_a_question_of_the_domain_and_tdc_lists_the_classes(name, data_root):
    question, ending = ASKED[name]
    own = find_benchmark(name, data_root)
    listed = "".join(f"{label}\n" for label in own.tasks["all"])
    for wording, text in (("td", f"{question}\n{ending}"), ("tdc", f"{question}\n{listed}{ending}")):
        found = find_benchmark(name, data_root, wording=wording)
        assert (found.name, found.wording) == (f"{name}-{wording}", wording)
        assert found.prompt == text  # of all samples, so a classifier knows what it was asked
        assert found.varying == ()
        samples = check(found)
        assert {sample.question for sample in samples} == {text}
        assert samples == [replace(sample, question=text, options=()) for sample in own.samples()]


@pytest.mark.parametrize("name", ["digits", "digits-pairs", "pets"])
def test_the_default_is_the_benchmark_as_it_was(name, data_root):
    found = find_benchmark(name, data_root, wording=DEFAULT_WORDING)
    assert (found.name, found.wording, found.prompt) == (name, "", BENCHMARKS[name].prompt)
    assert list(found.samples()) == list(find_benchmark(name, data_root).samples())


def test_each_task_lists_its_own_classes():
    samples = [Sample(f"{task}{place}", ("a.png",), "?", label, "either", task=task)
               for task, classes in (("one", "ab"), ("two", "cd")) for place, label in enumerate(classes)]  # fmt: skip
    benchmark = Benchmark(
        *("toy", "toy", "here", "1", "CC0", "accuracy"),
        tasks={"one": ("a", "b"), "two": ("c", "d")},
        prompt="?",
        samples=lambda: samples,
        varying=("one",),
        wordings={"listed": Wording("Which?", "One.", lists_classes=True)},
    )
    found = worded(benchmark, "listed")
    assert found.prompt == "Which?\n{classes}\nOne."
    asked = {sample.task: sample.question for sample in check(found)}
    assert asked == {"one": "Which?\na\nb\nOne.", "two": "Which?\nc\nd\nOne."}


def test_the_papers_division_may_be_asked_otherwise(data_root):
    found = find_benchmark("pets", data_root, splitting="paper", wording="td")
    assert found.name == "pets-paper-td"
    paper = find_benchmark("pets", data_root, splitting="paper")
    assert [(s.sample_id, s.split) for s in found.samples()] == [(s.sample_id, s.split) for s in paper.samples()]


def test_a_limit_is_named_behind_the_wording():
    found = find_benchmark("digits", reading=Reading(limit=20), wording="td")
    assert found.name == "digits-td-20"
    assert found.wording == "td"
    assert len(check(found)) == 20


@pytest.mark.parametrize(
    ("name", "wording", "words"),
    [
        ("digits", "tdd", "digits has no wording 'tdd'; did you mean 'td'? there are default, td, tdc"),
        ("digits", "TDC", "digits has no wording 'TDC'; did you mean 'tdc'? there are default, td, tdc"),
        ("digits", "papers", "digits has no wording 'papers'; there are default, td, tdc"),
        ("digits-pairs", "td", "digits-pairs has no wording 'td'; it has one, default"),
        ("digits", "", "digits has no wording ''; there are default, td, tdc"),
    ],
)
def test_an_unknown_wording_is_answered_with_those_there(name, wording, words):
    with pytest.raises(BenchmarkError) as raised:
        find_benchmark(name, wording=wording)
    assert str(raised.value) == words


def test_own_data_have_one_wording(write_lines):
    file = write_lines({})
    with pytest.raises(BenchmarkError, match="animals has no wording 'td'; it has one, default"):
        find_benchmark(str(file), wording="td")


def test_what_is_put_otherwise_can_be_put_otherwise_again():
    """In Python a benchmark may come as one of its wordings: the name had two of them."""
    digits = find_benchmark("digits")
    td, tdc = worded(digits, "td"), worded(digits, "tdc")
    assert worded(td, "td") is td
    again = worded(td, "tdc")
    assert (again.name, again.wording, again.prompt) == (tdc.name, "tdc", tdc.prompt)
    assert check(again) == check(tdc)


def test_a_benchmark_without_labels_is_put_otherwise():
    digits = find_benchmark("digits")
    bare = [replace(sample, label="", options=(), task="all") for sample in digits.samples()]
    found = worded(replace(digits, tasks={"all": ()}, own=True, samples=lambda: bare), "td")
    assert {sample.question for sample in found.samples()} == {found.prompt}
    assert worded(replace(digits, tasks={}), "td").name == "digits-td"
