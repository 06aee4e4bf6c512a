"""What VQAScore asks of a benchmark."""

from dataclasses import replace

import numpy as np
import pytest

from savs_benchmarks import Benchmark, Sample
from savs_harvest.asking.captions import find_captions


def benchmark(tasks, answers=None, prompt="What is it?", questions=("What is it?",)):
    made = [
        Sample(f"s{i}", (), question, next(iter(tasks.values()))[0], "either") for i, question in enumerate(questions)
    ]
    of = {"tasks": tasks, "answers": answers or {}, "prompt": prompt, "samples": lambda: made}
    return Benchmark("mine", "words", "nowhere", "one", "none", "accuracy", **of), made


def test_every_class_is_a_caption():
    of, samples = benchmark({"all": ["a1", "b2"]}, {"a1": "ant", "b2": "bee"})
    found = find_captions(of, samples, "a photo of a {class}")
    assert found.of(samples[0]) == ["a photo of a ant", "a photo of a bee"]
    np.testing.assert_allclose(np.exp(found.logits(samples[0], np.array([0.9, 0.3]))), [0.9, 0.3], rtol=1e-6)


@pytest.mark.parametrize(("classes", "wanted"), [(["No", "Yes"], [0.2, 0.8]), (["hallucination", "none"], [0.8, 0.2])])
def test_a_yes_or_no_question_is_about_its_caption(classes, wanted):
    answers = {"hallucination": "yes", "none": "no"} if classes[0] == "hallucination" else {}
    asked = ["\nDoes it show 'a (red) cat'? Yes or No.", "Does it show 'x'? Yes or No. "]
    of, samples = benchmark({"all": classes}, answers, "Does it show '{caption}'? Yes or No.", asked)
    found = find_captions(of, samples)
    assert [found.of(sample) for sample in samples] == [["a (red) cat"], ["x"]]
    np.testing.assert_allclose(np.exp(found.logits(samples[0], np.array([0.8]))), wanted, rtol=1e-6)


def test_certainty_stays_finite():
    of, samples = benchmark({"all": ["No", "Yes"]}, prompt="{caption}?", questions=["a cat?"])
    assert np.isfinite(find_captions(of, samples).logits(samples[0], np.array([1.0]))).all()


@pytest.mark.parametrize(
    ("tasks", "prompt", "questions", "frame", "words"),
    [
        ({"all": ["A", "B"]}, "?", ["?"], "{class}", r"classes have no names \(first 'A'\)"),
        ({"all": ["No", "Yes"]}, "Is it red?", ["Is it red?"], "{class}", "a yes-or-no question, this has 0"),
        ({"all": ["No", "Yes"]}, "{a} {b}?", ["x y?"], "{class}", "a yes-or-no question, this has 2"),
        ({"all": ["No", "Yes"]}, "Is it {a}?", ["Hm?"], "{class}", "sample s0 does not ask"),
        ({"all": ["No", "Yes"]}, "{question}", ["Is it?"], "{class}", "sample s0 has a question, no caption"),
        ({"all": ["ant", "bee"]}, "?", ["?"], "a photo", "lacks {class}"),
    ],
)
def test_what_has_no_captions(tasks, prompt, questions, frame, words):
    of, samples = benchmark(tasks, None, prompt, questions)
    with pytest.raises(ValueError, match=words):
        find_captions(of, samples, frame)


def test_without_labels_there_are_no_captions():
    of, samples = benchmark({"all": ["ant", "bee"]})
    with pytest.raises(ValueError, match="task 'all' has no captions: no sample has a label"):
        find_captions(replace(of, tasks={"all": []}), samples)
