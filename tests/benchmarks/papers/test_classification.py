"""The options printed with a picture: drawn by its id alone, the label among them, anywhere."""

import os
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from savs_benchmarks.papers.classification import classification_sample, draw_options

CLASSES = tuple(f"class {letter}" for letter in "abcdefghijklmnopqrst")
names = st.text(min_size=1, max_size=5)
classes = st.lists(names, min_size=1, max_size=30, unique=True)

# Another draw in another version would be another prompt for the same sample.
PINNED = {("1", 4): "ecih", ("2", 4): "gctr", ("Abyssinian_100", 4): "ejdc", ("2", 16): "bhignpceojtlarfq"}


def pinned(sample_id, count):
    return tuple(f"class {letter}" for letter in PINNED[sample_id, count])


@given(st.text(), classes, st.integers(1, 20), st.data())
def test_options_are_distinct_classes_with_the_label_among_them(sample_id, classes, count, data):
    label = data.draw(st.sampled_from(classes))
    options = draw_options(sample_id, label, classes, count)
    assert label in options
    assert set(options) <= set(classes)
    assert len(options) == len(set(options)) == min(count, len(classes))


@given(st.text(), st.integers(1, 19), st.data())
def test_the_same_is_drawn_again(sample_id, count, data):
    label = data.draw(st.sampled_from(CLASSES))
    assert draw_options(sample_id, label, CLASSES, count) == draw_options(sample_id, label, list(CLASSES), count)


@given(st.text(), st.integers(1, 18), st.sampled_from(CLASSES))
def test_more_options_are_added_to_fewer(sample_id, count, label):
    fewer, more = (draw_options(sample_id, label, CLASSES, number) for number in (count, count + 1))
    assert fewer == tuple(option for option in more if option in fewer)


def test_the_label_stands_at_every_place_and_every_class_is_printed():
    drawn = [draw_options(str(number), "class c", CLASSES, 4) for number in range(2000)]
    places = Counter(options.index("class c") for options in drawn)
    others = Counter(option for options in drawn for option in options if option != "class c")
    # Expected 500 and 3 * 2000 / 19 = 316, standard deviations 19 and 16.
    assert sorted(places) == [0, 1, 2, 3]
    assert all(400 < count < 600 for count in places.values())
    assert len(others) == len(CLASSES) - 1
    assert all(236 < count < 396 for count in others.values())


@pytest.mark.parametrize(("sample_id", "count"), PINNED)
def test_options_are_the_same_in_every_version(sample_id, count):
    assert draw_options(sample_id, "class c", CLASSES, count) == pinned(sample_id, count)


@pytest.mark.parametrize("seed", ["0", "1"])
def test_options_are_the_same_in_every_process(seed):
    drawn = f"draw_options('2', 'class c', {CLASSES}, 4)"
    code = f"from savs_benchmarks.papers.classification import draw_options; print({drawn})"
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == str(pinned("2", 4))


def test_a_prompt_is_question_lettered_options_and_what_to_answer():
    sample = classification_sample("2", "picture", "class c", "test", "Which class?", CLASSES)
    assert sample.options == pinned("2", 4)
    assert (sample.sample_id, sample.images, sample.label, sample.split) == ("2", ("picture",), "class c", "test")
    options = "A. class g B. class c C. class t D. class r"
    assert sample.question == f"Which class?\n{options} Answer with the class name."


@pytest.mark.parametrize("count", [3, 16])
def test_a_class_that_occurs_twice_is_not_waited_for(count):
    # A damaged list of names must reach the check that refuses it.
    drawn = f"sorted(draw_options('1', 'a', ['a', 'a', 'b'], {count}))"
    code = f"from savs_benchmarks.papers.classification import draw_options; print({drawn})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=5)
    assert (run.returncode, run.stdout, run.stderr) == (0, "['a', 'b']\n", "")
