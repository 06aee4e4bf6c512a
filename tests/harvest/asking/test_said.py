"""What models write, and which class that is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_benchmarks.registry import BENCHMARKS
from savs_harvest.asking.said import read_answer

YES_NO = ("no", "yes")
LETTERS = ("A", "B", "C", "D")
DIGITS = tuple("0123456789")
ANIMALS = ("bear", "cat", "cat fish", "polar bear")
SAID = [
    ("Yes", YES_NO, "yes"),
    ("yes.", YES_NO, "yes"),
    ("  YES!\n", YES_NO, "yes"),
    ('"Yes"', YES_NO, "yes"),
    ("“No.”", YES_NO, "no"),
    ("**Yes**", YES_NO, "yes"),
    ("Answer: yes", YES_NO, "yes"),
    ("**Answer:** Yes.", YES_NO, "yes"),
    ("The answer is no.", YES_NO, "no"),
    ("The correct answer is: no", YES_NO, "no"),
    ("Yes, the dog is on the left.", YES_NO, "yes"),
    ("No, it is not.", YES_NO, "no"),
    ("I cannot see anything.", YES_NO, None),
    ("Not at all", YES_NO, None),
    ("Yes and no", YES_NO, None),
    ("yes or no", YES_NO, None),
    ("", YES_NO, None),
    (" \n", YES_NO, None),
    ("<think>yes? perhaps no.</think>\n\nNo", YES_NO, "no"),
    ("<think>yes, I see a", YES_NO, None),
    ("(A)", LETTERS, "A"),
    ("A", LETTERS, "A"),
    ("a", LETTERS, "A"),
    ("A.", LETTERS, "A"),
    ("B)", LETTERS, "B"),
    ("B) a red car", LETTERS, "B"),
    ("B. a red car, as in A", LETTERS, None),
    ("C: The left one", LETTERS, "C"),
    ("(B) a red car", LETTERS, "B"),
    ("The answer is (D).", LETTERS, "D"),
    ("The answer is D", LETTERS, "D"),
    ("Answer: C. a dog", LETTERS, "C"),
    ("I think it is B.", LETTERS, "B"),
    ("Option C is right", LETTERS, "C"),
    ("It is (B), a car.", LETTERS, "B"),
    ("A red car", LETTERS, None),
    ("a red car", LETTERS, None),
    ("A or B.", LETTERS, None),
    ("Both A and B", LETTERS, None),
    ("b) a red car", LETTERS, "B"),
    ("(A) or (B)", LETTERS, None),
    ("A, B.", LETTERS, None),
    ("E", LETTERS, None),
    ("(E) none", LETTERS, None),
    ("D's", LETTERS, None),
    ("7", DIGITS, "7"),
    ("7.", DIGITS, "7"),
    ("The digit is 7.", DIGITS, "7"),
    ("seven", DIGITS, None),
    ("17", DIGITS, None),
    ("7.5", DIGITS, None),
    ("-7", DIGITS, None),
    ("It could be 1 or 7", DIGITS, None),
    ("7, 7, 7", DIGITS, "7"),
    ("This is a cat fish.", ANIMALS, "cat fish"),
    ("cat_fish", ANIMALS, "cat fish"),
    ("a polar  bear", ANIMALS, "polar bear"),
    ("A bear: a Polar Bear", ANIMALS, None),
    ("a cat-like thing", ANIMALS, None),
    ("cats", ANIMALS, None),
    ("the cat's", ANIMALS, "cat"),
    ("I see a cat -- nothing else", ANIMALS, "cat"),
    ("new york city", ("new york", "york city"), None),
    ("a t-shirt", ("shirt", "skirt"), None),
    ("Unanswerable", ("answerable", "unanswerable"), "unanswerable"),
    ("it is answer", ("answer", "question"), "answer"),
    ("STRASSE", ("straße", "weg"), "straße"),
    ("\u0915\u0940", ("\u0915", "\u0916"), None),
    ("C++.", ("C", "C++"), "C++"),
    ("it is C++", ("C++", "Java"), "C++"),
]


@pytest.mark.parametrize(("text", "answers", "expected"), SAID)
def test_what_models_write(text, answers, expected):
    place = read_answer(text, answers)
    assert (answers[place] if place >= 0 else None) == expected


def test_a_class_without_words_is_never_read():
    assert read_answer("", ("", "Unanswerable")) == -1
    assert read_answer("unanswerable", ("", "Unanswerable")) == 1
    assert read_answer("anything", ("", "")) == -1


def test_answers_that_are_the_same_are_none():
    assert read_answer("Cat", ("cat", "cat.", "dog")) == -1
    assert read_answer("it is a cat", ("cat", "cat.", "dog")) == -1
    assert read_answer("it is a dog", ("cat", "cat.", "dog")) == 2


@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_class_of_every_benchmark_is_read_from_its_own_answer(name, data_root):
    from savs_benchmarks import find_benchmark

    benchmark = find_benchmark(name, data_root)
    for classes in benchmark.tasks.values():
        answers = [benchmark.answer(label) for label in classes]
        for place, answer in enumerate(answers):
            for said in (answer, f"{answer}.", f"({answer})", f"Answer: {answer}", f"The answer is {answer}."):
                assert read_answer(said, answers) == (place if answer.strip() else -1)


@given(st.text(max_size=30), st.lists(st.text(max_size=6), max_size=5))
def test_any_text_gives_a_place_or_none(text, answers):
    assert -1 <= read_answer(text, answers) < len(answers)
