"""What is wrong with the samples is found in the sample table, each fault alone, and kept in the store."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs_benchmarks import Benchmark, Sample, check
from savs_harvest.asking.checks import find_concerns
from savs_harvest.asking.index import index_samples, index_unseen
from savs_stores import BenchmarkInfo, SampleTable, open_store
from savs_stores.write import create_store

CLASSES = ("cat", "dog")
COUNT = 80  # 20 of each class in pool and test


def benchmark(**changes):
    header = {"metric": "accuracy", "tasks": {"all": CLASSES}, "prompt": "{question}", "samples": list, **changes}
    return Benchmark("animals", "cat or dog", "here", "1", "CC0", **header)


def table(**changes):
    """Return a table without faults, but for changed columns: {row: value}."""
    columns = {
        "sample_id": [f"s{i}" for i in range(COUNT)],
        "label": [CLASSES[i % 2] for i in range(COUNT)],
        "split": ["pool" if i < COUNT // 2 else "test" for i in range(COUNT)],
        "image_hash": [[100 + i] for i in range(COUNT)],
        "prompt_hash": [500 + i for i in range(COUNT)],
        "options": [[]] * COUNT,
    }
    for name, rows in changes.items():
        for row, value in rows.items():
            columns[name][row] = value
    return SampleTable.from_columns({"all": CLASSES}, columns)


def kinds(concerns):
    return {concern.kind: (concern.count, concern.examples) for concern in concerns}


def test_a_good_table_has_no_concerns():
    assert find_concerns(benchmark(varying=("all",)), table(), []) == []


# What is changed in the table, and the one concern that follows: kind, count, examples.
FAULTS = {
    "repeated": (
        {"image_hash": {42: [141], 44: [141]}, "prompt_hash": {42: 541, 44: 541}, "label": {42: "dog", 44: "dog"}},
        ("repeated sample", 2, ("s42", "s44")),
    ),
    "in both": ({"image_hash": {50: [103]}}, ("picture in pool and test", 1, ("s50",))),
    "constant": ({"prompt_hash": dict.fromkeys(range(COUNT), 7)}, ("constant prompt", COUNT, ())),
    "few in the pool": ({"split": {0: "test", 2: "test"}}, ("few samples", 1, ("cat: 18",))),
    "none to test": (
        {"split": dict.fromkeys(range(41, COUNT, 2), "pool")},
        ("few samples", 1, ("dog: 0",)),
    ),
}


OPTIONS = {
    "whole": ({40: ["cat", "dog"], 41: ["dog"]}, {}),
    "without the label": (
        {40: ["dog"], 43: ["cat"], 44: ["cat"]},
        {"label not among options": (2, ("s40", "s43"))},
    ),
    "one twice": ({40: ["cat", "dog", "cat"], 41: ["dog", "cat"]}, {"option twice": (1, ("s40",))}),
    "the wrong one twice": (
        {41: ["cat", "cat"]},
        {"label not among options": (1, ("s41",)), "option twice": (1, ("s41",))},
    ),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_without_the_label_or_with_one_twice_are_found(name):
    options, expected = OPTIONS[name]
    assert kinds(find_concerns(benchmark(), table(options=options), [])) == expected


ALIKE = {
    "case": ("cat", "Cat"),
    "sharp s": ("stra\u00dfe", "STRASSE"),
    "white space around": ("cat", "cat "),
    "white space within": ("a cat", "a  cat"),
    "a space that does not break": ("a cat", "a\u00a0cat"),
    "no space": ("ice cream", "icecream"),
    "composed": ("caf\u00e9", "cafe\u0301"),
    "full width": ("cat", "\uff43\uff41\uff54"),
    "a ligature": ("fish", "\ufb01sh"),
    "no width": ("cat", "ca\u200bt"),
    "a mark of direction": ("cat", "cat\u200f"),
    "a soft hyphen": ("cat", "c\u00adat"),
    "a byte order mark": ("cat", "\ufeffcat"),
    "a control character": ("cat", "cat\x00"),
    "a variation selector": ("\u2764", "\u2764\ufe0f"),
    "a filler": ("cat", "cat\u3164"),
    "a joiner of graphemes": ("cat", "c\u034fat"),
}


@pytest.mark.parametrize("names", ALIKE.values(), ids=list(ALIKE))
def test_classes_that_look_alike_are_told(names):
    classes = tuple(sorted({"dog", *names}))
    samples = SampleTable.from_columns({"all": classes}, {"label": [classes[i % 3] for i in range(120)]})
    asked = benchmark(tasks={"all": classes})
    (found,) = [found for found in find_concerns(asked, samples, []) if found.kind == "classes that look alike"]
    assert (found.count, found.examples) == (1, (" and ".join(map(ascii, sorted(names))),))
    assert str(found).isascii()


@pytest.mark.parametrize("names", [("cat", "cats"), ("7", "70"), ("(A)", "(B)"), ("a", "\u00e4"), ("+1", "-1")])
def test_classes_that_differ_are_not_told(names):
    samples = SampleTable.from_columns({"all": names}, {"label": [names[i % 2] for i in range(80)]})
    concerns = find_concerns(benchmark(tasks={"all": tuple(sorted(names))}), samples, [])
    assert "classes that look alike" not in kinds(concerns)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_found_alone(fault):
    changes, (kind, count, examples) = FAULTS[fault]
    assert kinds(find_concerns(benchmark(varying=("all",)), table(**changes), [])) == {kind: (count, examples)}


def test_equal_samples_with_different_labels_are_found_with_both():
    changed = table(image_hash={42: [141]}, prompt_hash={42: 541})  # s41 is a dog, s42 a cat
    found = kinds(find_concerns(benchmark(), changed, []))
    assert found == {"repeated sample": (1, ("s42",)), "contradicting labels": (2, ("s41", "s42"))}


def test_the_same_picture_with_another_question_is_no_repetition():
    assert find_concerns(benchmark(), table(image_hash={42: [141]}), []) == []


def test_two_unreadable_pictures_are_not_the_same_sample():
    changed = table(image_hash={42: [0], 44: [0]}, prompt_hash={42: 1, 44: 1})
    found = kinds(find_concerns(benchmark(), changed, [("s42", "image_missing"), ("s44", "image_corrupt")]))
    assert "repeated sample" not in found


def test_samples_with_an_unreadable_picture_are_neither_repeated_nor_usable():
    # Two pictures each, the second of which cannot be read: they would differ in it.
    pictures = [[100 + i, 0] if i in (41, 42) else [100 + i, 300 + i] for i in range(COUNT)]
    pictures[42][0] = 141
    changed = table(image_hash=dict(enumerate(pictures)), prompt_hash={42: 541})
    unreadable = [("s41", "image_missing"), ("s42", "image_missing")]
    assert set(kinds(find_concerns(benchmark(), changed, unreadable))) == {"unreadable picture"}
    spoilt = [(f"s{i}", "image_missing") for i in range(0, 38, 2)]
    found = kinds(find_concerns(benchmark(), table(), spoilt))
    assert found["few samples"] == (1, ("cat: 1",))


@pytest.mark.parametrize(
    ("published", "words"), [({"test": 40}, []), ({"test": 41}, ["40 samples in test, 41 published"])]
)
def test_another_number_of_samples_than_published_is_said(published, words):
    assert [concern.words for concern in find_concerns(benchmark(published=published), table(), [])] == words


@pytest.mark.parametrize("varying", [(), ("all",)])
def test_a_constant_prompt_is_right_where_it_is_meant(varying):
    constant = table(prompt_hash=dict.fromkeys(range(COUNT), 7))
    assert bool(find_concerns(benchmark(varying=varying), constant, [])) == bool(varying)


def test_unreadable_pictures_are_counted_by_code():
    pictures = [("a", "image_missing"), ("b", "image_corrupt"), ("c", "image_missing")]
    concerns = find_concerns(benchmark(), table(), pictures)
    assert [(concern.count, concern.examples) for concern in concerns] == [(2, ("a", "c")), (1, ("b",))]
    assert str(concerns[0]) == "unreadable picture: 2 of code image_missing (a, c)"


def test_pictures_whose_metadata_is_damaged_are_used_and_told_in_one_line(tmp_path):
    written = Image.Exif()
    written[274], written[282] = 6, 1.0
    for number in range(COUNT):
        file = tmp_path / f"{number}.jpg"
        Image.new("RGB", (8, 4), (number, 0, 0)).save(file, exif=written)
        content = file.read_bytes()
        if number % 2:  # a resolution of -1/0 instead of 1/1
            file.write_bytes(
                content.replace(b"\0\0\0\1" * 2, b"\xff" * 4 + bytes(4)).replace(b"\1\x1a\0\5", b"\1\x1a\0\n")
            )
    split = ["pool", "test"]
    samples = [
        Sample(f"s{i}", (tmp_path / f"{i}.jpg",), f"{i}?", CLASSES[i // 2 % 2], split[i // 40]) for i in range(COUNT)
    ]
    asked = benchmark(samples=lambda: samples)
    index = index_samples(asked, samples)
    (found,) = index.info.checks
    assert (found["kind"], found["count"], found["examples"]) == (
        "damaged metadata",
        40,
        ("s1", "s3", "s5", "s7", "s9"),
    )
    assert found["words"].endswith("which are used; the first: EXIF: XResolution is -1/0")
    assert index.sizes == [[(4, 8)]] * COUNT
    assert index.table.image_hash.all()


def test_many_examples_are_cut(tmp_path):
    concern = find_concerns(benchmark(), table(), [(f"s{i}", "image_missing") for i in range(9)])[0]
    assert str(concern).endswith("(s0, s1, s2, s3, s4 ...)")


def test_checks_are_found_when_samples_are_indexed_and_kept_in_the_store(tmp_path):
    grey = [Image.new("RGB", (4, 4), (level, level, level)) for level in range(40)]
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n")
    samples = [Sample(f"p{i}", (grey[i],), f"{i}?", CLASSES[i % 2], "pool") for i in range(40)]
    samples += [Sample(f"t{i}", (grey[i],), f"{i}!", CLASSES[i % 2], "test") for i in range(2)]
    samples += [Sample("cut", (tmp_path / "cut.png",), "?", "cat", "test")]
    samples += [Sample("gone", (Path("nowhere.png"),), "??", "dog", "test")]
    asked = benchmark(samples=lambda: samples, split="official")
    seen = []
    index = index_samples(asked, check(asked), lambda done, total: seen.append((done, total)))
    info, indexed = index.info, index.table
    assert seen == [(i, len(samples)) for i in range(1, len(samples) + 1)]
    assert (indexed.image_hash == 0).ravel().tolist() == [False] * 42 + [True] * 2
    assert indexed.image_hash[0] == indexed.image_hash[40]
    assert len(np.unique(indexed.image_hash[:40])) == 40
    assert [shown for [shown] in index.sizes[42:]] == [(0, 0)] * 2
    assert index.sizes[0] == [grey[0].size]
    create_store(tmp_path / "animals.zarr", info, indexed)
    stored = open_store(tmp_path / "animals.zarr")
    assert [(found["kind"], found["count"]) for found in stored.benchmark.checks] == [
        ("unreadable picture", 1),
        ("unreadable picture", 1),
        ("picture in pool and test", 2),
    ]
    assert "check      picture in pool and test: 2 test samples" in repr(stored)
    assert "split      official" in repr(stored)


def test_a_store_without_checks_opens_as_ever():
    assert BenchmarkInfo.from_attributes({"name": "old", "tasks": {"all": ["a", "b"]}}).checks == ()


@pytest.mark.parametrize("index_of", [index_samples, index_unseen])
def test_the_index_keeps_the_order_in_which_classes_first_appear_in_the_training_file(index_of):
    # Task by task: a test sample is in no training file, a class without any comes last, an absent label is none.
    rows = [
        ("test", "all", "cat"), ("pool", "all", ""), ("pool", "all", "dog"), ("either", "all", "cat"),
        ("pool", "more", "owl"), ("test", "more", "ant"), ("pool", "more", "bee"), ("pool", "more", "owl"),
    ]  # fmt: skip
    picture = Image.new("RGB", (8, 8))
    samples = [Sample(f"s{i}", (picture,), f"{i}?", label, split, task) for i, (split, task, label) in enumerate(rows)]
    asked = benchmark(tasks={"all": CLASSES, "more": ("ant", "bee", "owl")})
    assert index_of(asked, samples).info.class_order == {"all": ["dog", "cat"], "more": ["owl", "bee", "ant"]}
