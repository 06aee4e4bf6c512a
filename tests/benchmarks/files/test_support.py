"""A paper's list of training examples becomes the support, whatever its repository calls things."""

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from kit.replicas import REPLICAS
from savs_benchmarks import BenchmarkError, check, find_benchmark
from savs_benchmarks.files.support import Example, with_support
from savs_benchmarks.registry import PUBLISHED
from savs_benchmarks.sample import Sample

ABROAD = "/home/authors/data/"


def example_of(name, sample):
    """Return a sample as the papers' repositories write an example of its benchmark."""
    image = ABROAD + sample.images[0].name if isinstance(sample.images[0], Path) else None
    if name == "mhalu":
        claim = sample.question.partition("Claim:")[2].partition(". Is the Claim")[0]
        return {"image_path": image, "claim": claim, "label": sample.label}
    if name == "vlguard":
        instruction = sample.question.partition("Instruction:")[2].partition(" Is the image")[0]
        return {"image": image, "instruction": instruction, "answer": sample.label}
    if name == "blink":
        places = {f"image_{place}": None for place in range(1, 5)}
        shown = {f"image_{i + 1}": f"{ABROAD}{sample.sample_id}_{i}.png" for i in range(len(sample.images))}
        return {"question": "<image>\nHow many blue floats are there?", "label": sample.label, **places, **shown}
    if name in ("eurosat", "pets"):
        question = sample.question.strip().removesuffix(" Answer with the class name.").partition("\n")[0]
        others = [option for option in sample.options if option != sample.label]
        printed = " ".join(
            f"{letter}. {option}" for letter, option in zip("ABCD", [*others, sample.label], strict=True)
        )
        return {"image": image, "question": f"{question}\n{printed}", "answer": "D", "label": sample.label}
    words = sample.question.strip().split(" Answer with")[0].split(" Please answer with")[0].split(" \nWhen the")[0]
    return {"image": image, "question": words, "label": sample.label, "question_id": 7}


def write(file, examples, lines=False):
    texts = [json.dumps(example) for example in examples]
    file.write_text("\n".join(texts) + "\n" if lines else f"[{', '.join(texts)}]")
    return file


def chosen_of(name, samples):
    """Return a few samples of every class of a task, the last first."""
    task = samples[0].task
    of_task = [s for s in samples if s.task == task and not (s.group and s.split == "pool")][::-1]
    found = {}
    for sample in of_task:
        found.setdefault(sample.label, []).append(sample)
    return [sample for of_class in found.values() for sample in of_class[:2]]


MATCHED = [name for name in REPLICAS if PUBLISHED[name].paper.samples and name != "naturalbench"]


@pytest.mark.parametrize("lines", [False, True])
@pytest.mark.parametrize("name", MATCHED)
def test_the_examples_are_the_support_and_the_rest_is_the_test(name, lines, samples_of, data_root, tmp_path):
    before = samples_of(name, splitting="paper")
    chosen = chosen_of(name, before)
    file = write(tmp_path / "train.json", [example_of(name, sample) for sample in chosen], lines)
    benchmark = find_benchmark(name, data_root, splitting="paper", support=[file])
    found = check(benchmark)
    pool = [sample for sample in found if sample.split == "pool"]
    # In the file's order, which is the papers' order of classes.
    assert found[: len(pool)] == pool
    assert [(s.images, s.label) for s in pool] == [(s.images, s.label) for s in chosen]
    if name not in ("eurosat", "pets"):
        assert [s.question for s in pool] == [s.question for s in chosen]
    grouped = before[0].group is not None
    taken = {sample.sample_id for sample in chosen}
    of_tasks = {sample.task for sample in chosen}
    left = [s for s in before if s.task in of_tasks and (s.split != "pool") and (grouped or s.sample_id not in taken)]
    tested = [s for s in found if s.split == "test" and s.task in of_tasks]
    assert [s.sample_id for s in tested] == [s.sample_id for s in left]
    assert {s.split for s in found if s.task not in of_tasks} <= {"either"}
    assert "the support is the" in benchmark.split
    assert "train.json (SHA-256 " in benchmark.split
    assert benchmark.split.endswith(PUBLISHED[name].paper.lost)


@pytest.mark.parametrize("name", ["eurosat", "pets"])
def test_options_are_printed_as_in_the_file(name, samples_of, data_root, tmp_path):
    chosen = chosen_of(name, samples_of(name, splitting="paper"))
    file = write(tmp_path / "train.json", [example_of(name, sample) for sample in chosen])
    found = find_benchmark(name, data_root, splitting="paper", support=[file]).samples()
    pool = [sample for sample in found if sample.split == "pool"]
    for sample, example in zip(pool, json.loads(file.read_text()), strict=True):
        assert sample.question == f"\n{example['question']} Answer with the class name."
        assert sample.options[-1] == sample.label
        assert example["question"].endswith("A. {} B. {} C. {} D. {}".format(*sample.options))


@pytest.mark.parametrize("name", ["eurosat", "pets"])
def test_a_papers_examples_may_be_asked_otherwise(name, samples_of, data_root, tmp_path):
    chosen = chosen_of(name, samples_of(name, splitting="paper"))
    file = write(tmp_path / "train.json", [example_of(name, sample) for sample in chosen])
    own, td = (
        find_benchmark(name, data_root, splitting="paper", support=[file], wording=wording)
        for wording in ("default", "td")
    )
    assert td.name == f"{name}-paper-td"
    assert td.split == own.split
    question = td.prompt
    assert check(td) == [replace(sample, question=question, options=()) for sample in own.samples()]


def test_the_first_papers_claims_are_of_the_training_file(samples_of, data_root, tmp_path):
    official = [sample for sample in samples_of("mhalu") if sample.split == "pool"]
    file = write(tmp_path / "train.json", [example_of("mhalu", sample) for sample in official])
    found = check(find_benchmark("mhalu", data_root, splitting="paper", support=[file]))
    pool = [sample for sample in found if sample.split == "pool"]
    assert [(s.images, s.question) for s in pool] == [(s.images, "\n" + s.question) for s in official]
    assert sum(sample.split == "test" for sample in found) == len(found) - len(pool) == 8


def test_the_files_label_counts_where_it_is_a_class(samples_of, data_root, tmp_path):
    answerable = next(s for s in samples_of("vizwiz", splitting="paper") if s.label == "answerable")
    example = example_of("vizwiz", answerable)
    other = example_of("vizwiz", next(s for s in samples_of("vizwiz", splitting="paper") if s.label == "unanswerable"))
    for label, expected, words in (
        ("unanswerable", "unanswerable", r"train.json \(SHA-256 \w+\);"),
        ("maybe", "answerable", r"train.json \(SHA-256 \w+\), 1 of whose labels are no class here and do not count;"),
    ):
        file = write(tmp_path / "train.json", [example | {"label": label}, other])
        benchmark = find_benchmark("vizwiz", data_root, splitting="paper", support=[file])
        first = next(iter(benchmark.samples()))
        assert (first.sample_id, first.label) == (answerable.sample_id, expected)
        assert re.search(words, benchmark.split)


def test_several_files_are_one_support(samples_of, data_root, tmp_path):
    samples = samples_of("blink", splitting="paper")
    tasks = list(dict.fromkeys(sample.task for sample in samples))[:2]
    files = []
    for task in tasks:
        chosen = chosen_of("blink", [sample for sample in samples if sample.task == task])
        files.append(write(tmp_path / f"{task}.json", [example_of("blink", sample) for sample in chosen]))
    found = check(find_benchmark("blink", data_root, splitting="paper", support=files))
    assert {sample.task for sample in found if sample.split == "pool"} == set(tasks)
    assert Counter(sample.task for sample in found) == Counter(sample.task for sample in samples)


GOOD = {"image": "000000.jpg", "claim": "Picture 3 has a flower.", "label": "hallucination"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "train.json is no list of training examples"),
        ("", "train.json is no list of training examples"),
        ('{"image": ', "train.json, line 1 is not JSON"),
        ("[1]", "row 0 must be an object"),
        ("7", "train.json, line 1 must be an object"),
        (json.dumps([{**GOOD, "image": ""}]), r"row 0: it has no picture \(image, image_path, image_1 ...\)"),
        (json.dumps([{**GOOD, "label": None}]), "row 0: it has no label or claim_label or answer"),
        (json.dumps([{**GOOD, "label": ""}]), "row 0: it has no label or claim_label or answer"),
        (json.dumps([{**GOOD, "label": 0}]), "row 0: its class must be a text, it is 0"),
        (json.dumps([{**GOOD, "label": False}]), "row 0: its class must be a text, it is False"),
        (json.dumps([{**GOOD, "label": {"a": [1]}}]), r"row 0: its class must be a text, it is {'a': \[1\]}"),
        (
            json.dumps([{**GOOD, "label": "Typo"}] * 2),
            r"no training example is of a class .* \(hallucination, non-(.|\n)*row 0: its class is 'Typo' \(2 times",
        ),
        (json.dumps([GOOD]), "row 0: it is no sample of this benchmark, or stands twice"),
    ],
)
def test_what_is_no_support_is_refused_in_words(text, words, data_root, tmp_path):
    file = tmp_path / "train.json"
    file.write_text(text)
    with pytest.raises(BenchmarkError) as raised:
        find_benchmark("mhalu", data_root, splitting="paper", support=[file]).samples()
    assert re.search(words, str(raised.value))


def test_an_example_that_stands_twice_is_refused(samples_of, data_root, tmp_path):
    example = example_of("vlguard", samples_of("vlguard", splitting="paper")[0])
    file = write(tmp_path / "train.json", [example, example])
    with pytest.raises(BenchmarkError, match="row 1: it is no sample of this benchmark, or stands twice"):
        find_benchmark("vlguard", data_root, splitting="paper", support=[file]).samples()


@pytest.mark.parametrize("words", ["", None, " <image>\n"])
def test_a_picture_alone_is_no_example_where_words_tell_samples_apart(words, samples_of, data_root, tmp_path):
    good = [example_of("mhalu", sample) for sample in samples_of("mhalu", splitting="paper")[:3]]
    file = write(tmp_path / "train.json", [good[0] | {"claim": words}, good[1], good[2] | {"claim": words}])
    with pytest.raises(BenchmarkError) as raised:
        find_benchmark("mhalu", data_root, splitting="paper", support=[file]).samples()
    lacking = "it has no claim or instruction or question to tell the samples of a picture apart"
    assert str(raised.value).endswith(f"row 0: {lacking} (2 times, also train.json, row 2)")


def test_a_claim_that_stands_twice_takes_no_other_sample_of_its_picture():
    """The same claim stands in another claim of its picture, and the file of the benchmark may have it twice."""
    questions = ("Claim: a cat sits. Is the Claim true?", "Claim: a cat sits on a mat. Is the Claim true?")
    samples = [
        Sample(sample_id=str(number), images=(Path("a.jpg"),), question=question, label="no", split="either")
        for number, question in enumerate([*questions, questions[0]])
    ]
    example = Example("row 0", ("a.jpg",), "a cat sits", "no")
    task = {samples[0].task: ("no", "yes")}
    assert [s.sample_id for s in with_support(samples, (), [example], task) if s.split == "pool"] == ["0"]
    longer = replace(example, place="row 1", words="a cat sits on a mat")
    assert len([s for s in with_support(samples, (), [example, longer], task) if s.split == "pool"]) == 2
    for label in ("no", "yes"):
        again = replace(example, place="row 2", label=label)
        with pytest.raises(BenchmarkError, match="row 2: it is no sample of this benchmark, or stands twice"):
            with_support(samples, (), [example, longer, again], task)


@pytest.mark.parametrize(
    ("name", "splitting", "words"),
    [
        ("vlguard", "official", "needs the papers' split of vlguard: say --split paper"),
        ("digits", "official", "digits is in no paper: --support is for mhalu"),
        ("flowers", "paper", "cannot be reconstructed"),
    ],
)
def test_a_support_is_for_the_papers_split(name, splitting, words, data_root, tmp_path):
    file = write(tmp_path / "train.json", [GOOD])
    with pytest.raises(BenchmarkError, match=words):
        find_benchmark(name, data_root, splitting=splitting, support=[file])


def test_a_support_that_is_not_there_is_told(data_root, tmp_path):
    with pytest.raises(BenchmarkError, match=r"none\.json cannot be read"):
        find_benchmark("vlguard", data_root, splitting="paper", support=[tmp_path / "none.json"])
