"""Texts that name classes to a model without a picture."""

import pytest

from savs_benchmarks import Benchmark, Sample
from savs_harvest.asking.class_texts import check_class_prompt, class_texts

USUAL = "You are given an image of a {}\nwhich animal ?"


def asked(tasks, questions=("which animal ?",), answers=(), images=("a.png",)):
    samples = [
        Sample(f"{task}{number}", images, question, "", "either", task)
        for task in tasks
        for number, question in enumerate(questions)
    ]
    about = dict.fromkeys(("summary", "source", "revision", "licence", "prompt"), "here")
    benchmark = Benchmark(
        "animals", metric="accuracy", tasks=tasks, samples=lambda: samples, answers=dict(answers), **about
    )
    return benchmark, samples


@pytest.mark.parametrize(
    ("given", "prompt", "expected"),
    [
        (asked({"all": ("cat", "dog")}), None, {"all": {"cat": USUAL.format("cat"), "dog": USUAL.format("dog")}}),
        (
            asked({"all": ("cat", "dog")}, ("which , A. cat ?", "which , A. dog ?")),
            None,
            {"all": {"cat": "You are given an image of a cat", "dog": "You are given an image of a dog"}},
        ),
        (
            asked({"all": ("n01", "n02")}, answers={"n01": "house cat", "n02": ""}),
            None,
            {"all": {"n01": USUAL.format("house cat")}},
        ),
        (asked({"all": ("No", "Yes")}), None, {}),
        (asked({"all": ("(A)", "(B)", "(C)")}), None, {}),
        (
            asked({"a": ("cat", "dog"), "b": ("no", "yes"), "c": ()}),
            None,
            {"a": {"cat": USUAL.format("cat"), "dog": USUAL.format("dog")}},
        ),
        (
            asked({"all": ("No", "Yes")}),
            "{question} {class}.",
            {"all": {n: f"which animal ? {n}." for n in ("No", "Yes")}},
        ),
        (asked({"all": ("cat", "dog")}), "", {}),
        (
            asked({"all": ("{question}", "{x")}, ("which {class} ?",)),
            "{class} {question} {y}",
            {"all": {n: f"{n} which {{class}} ? {{y}}" for n in ("{question}", "{x")}},
        ),
        (
            asked({"all": ("law", "love")}, images=()),
            None,
            {"all": {n: f"You are given a text about {n}\nwhich animal ?" for n in ("law", "love")}},
        ),
    ],
    ids=[
        "names",
        "several questions",
        "words of answers",
        "yes and no",
        "letters",
        "a task each",
        "given",
        "none",
        "braces in words",
        "texts",
    ],
)
def test_classes_with_names_have_texts(given, prompt, expected):
    assert class_texts(*given, prompt) == expected


def test_a_prompt_says_which_class_it_is_of():
    with pytest.raises(ValueError, match=r"--class-prompt 'a cat' lacks \{class\}"):
        check_class_prompt("a cat")
    for prompt in (None, "", "a {class}"):
        check_class_prompt(prompt)


def test_a_prompt_for_classes_goes_without_answered_questions_in_front():
    with pytest.raises(ValueError, match="--class-prompt goes without --icl"):
        check_class_prompt("a {class}", 2)
    for prompt in (None, ""):
        check_class_prompt(prompt, 2)
