"""A label that follows from the file, not from what the picture shows, is told; chance and weak rules are not."""

import numpy as np
import pytest

from kit.own import QUESTION, noise
from savs_benchmarks import Reading, check, load_own
from savs_harvest.asking.giveaways import judge_rule
from savs_harvest.asking.index import index_samples

LABELS = np.arange(60) % 2
RNG = np.random.default_rng(0)

# Values of a property, and the rule's (share right, largest class), or None.
RULES = {
    "the label itself": (LABELS, (1.0, 0.5)),
    "the label of most": (np.where(np.arange(60) < 12, 1 - LABELS, LABELS), (0.8, 0.5)),
    "chance": (RNG.permutation(LABELS), None),
    "one value": (np.zeros(60, dtype=int), None),
    "a value for each": (np.arange(60), None),
    "too weak": (np.where(np.arange(60) < 26, 1 - LABELS, LABELS), None),
}


@pytest.mark.parametrize("kind", RULES)
def test_a_rule_is_told_where_it_is_better_than_the_largest_class(kind):
    values, expected = RULES[kind]
    assert judge_rule(LABELS, values) == (pytest.approx(expected) if expected else None)


def test_a_rule_of_few_samples_may_be_chance():
    assert judge_rule(LABELS[:8], LABELS[:8]) is None
    assert judge_rule(LABELS[:12], LABELS[:12]) == (1.0, 0.5)


def test_a_rule_must_beat_the_largest_class_not_chance():
    labels = np.array([0] * 50 + [1] * 10)
    assert judge_rule(labels, np.array([0] * 48 + [1] * 12)) is None


def test_nothing_is_told_of_nothing():
    assert judge_rule(np.array([], dtype=int), np.array([], dtype=int)) is None


def write(folder, form="PNG", size=(48, 48), seeds=range(20), camera=None, **options):
    folder.mkdir(parents=True)
    for seed in seeds:
        picture = noise(seed, size)
        exif = picture.getexif()
        if camera:
            exif[271], exif[272] = camera
        picture.save(folder / f"{seed}.{form.lower()}", form, exif=exif, **options)


# How pictures of two classes were written, and the properties that give the class away.
FOLDERS = {
    "alike": ({}, {}, set()),
    "another size": ({}, {"size": (48, 40)}, {"the size in pixels", "the size of the file"}),
    "another format": ({"form": "JPEG"}, {"form": "WEBP"}, {"the file's format", "the size of the file"}),
    "another camera": (
        {"form": "JPEG", "camera": ("Canon", "EOS 5D")},
        {"form": "JPEG", "camera": ("Nikon", "D750")},
        {"the camera"},
    ),
    "another quality": ({"form": "JPEG", "quality": 95}, {"form": "JPEG", "quality": 40}, {"the size of the file"}),
}


def told(folder):
    benchmark = load_own(folder, Reading(question=QUESTION))
    checks = index_samples(benchmark, check(benchmark)).info.checks
    return [found["words"] for found in checks if found["kind"] == "label follows from the file"]


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_gives_a_class_away_is_told_by_its_name(tmp_path, kind):
    first, second, expected = FOLDERS[kind]
    write(tmp_path / "sick", **first)
    write(tmp_path / "sound", seeds=range(20, 40), **second)
    words = told(tmp_path)
    assert {one.partition(" alone")[0] for one in words} == expected
    assert all("the largest class has 50 %" in one for one in words)


def test_broken_files_and_missing_labels_say_nothing(tmp_path):
    write(tmp_path / "sick")
    write(tmp_path / "sound", seeds=range(20, 40), size=(48, 40))
    (tmp_path / "sound" / "empty.png").write_bytes(b"")
    noise(50).save(tmp_path / "who.png")
    assert len(told(tmp_path)) == 2
