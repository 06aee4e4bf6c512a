"""Samples with near-duplicate pictures are one group before anything is split, of a user's own data only."""

from dataclasses import replace

import pytest
from PIL import ImageEnhance

from kit.own import QUESTION, noise
from savs_benchmarks import Reading, check, load_own
from savs_harvest.asking.index import index_samples

READING = Reading(question=QUESTION)


@pytest.fixture
def photos(tmp_path):
    """Two classes of ten pictures; of two pictures there are versions, one of them in the other class."""
    for label, seeds in (("sick", range(10)), ("sound", range(10, 20))):
        (tmp_path / label).mkdir()
        for seed in seeds:
            noise(seed, (96, 80)).save(tmp_path / label / f"{seed:02}.png")
    noise(3, (96, 80)).save(tmp_path / "sick" / "03 again.jpg", quality=80)
    ImageEnhance.Brightness(noise(3, (96, 80))).enhance(1.1).save(tmp_path / "sick" / "03 bright.png")
    noise(4, (96, 80)).resize((48, 40)).save(tmp_path / "sound" / "like 4.png")
    noise(5, (96, 80)).save(tmp_path / "sick" / "05 equal.png")
    return tmp_path


def indexed(benchmark):
    return index_samples(benchmark, check(benchmark))


def groups(index):
    """Return the ids of every group."""
    found = {}
    for name, group in zip(index.table.sample_id.tolist(), index.table.group.tolist(), strict=True):
        if group >= 0:
            found.setdefault(group, []).append(name)
    return sorted(found.values())


def test_versions_of_a_picture_are_one_group(photos):
    index = indexed(load_own(photos, READING))
    three = ["sick/03 again.jpg", "sick/03 bright.png", "sick/03.png"]
    assert groups(index) == [three, ["sick/04.png", "sound/like 4.png"]]
    words = {found["kind"]: found["words"] for found in index.info.checks}
    assert words["near-duplicates"] == "3 pictures are near-duplicates of others: they stay together"
    assert words["near-duplicates with other labels"].startswith("1 of them")


def test_it_can_be_switched_off_and_is_off_for_benchmarks(photos):
    kept = load_own(photos, replace(READING, keep_near_duplicates=True))
    published = replace(load_own(photos, READING), near_duplicates=False, own=False)
    for benchmark in (kept, published):
        index = indexed(benchmark)
        assert groups(index) == []
        assert "near-duplicates" not in {found["kind"] for found in index.info.checks}


def test_groups_of_the_user_stay_and_near_duplicates_join_them(photos):
    table = photos / "t.csv"
    rows = [
        ("sick/03.png", "a", ""),
        ("sick/03 again.jpg", "b", "mine"),
        ("sick/04.png", "a", "one"),
        ("sound/like 4.png", "b", "two"),
    ]
    table.write_text("\n".join(["image,label,group", *(",".join(row) for row in rows)]))
    index = indexed(load_own(table, READING))
    assert groups(index) == [["sick/03.png", "sick/03 again.jpg"], ["sick/04.png"], ["sound/like 4.png"]]


def test_samples_of_several_pictures_join_all_that_they_show(photos):
    lines = [
        ["sick/03.png", "sick/04.png"],
        ["sick/03 again.jpg"],
        ["sound/like 4.png", "sick/00.png"],
        ["sick/00.png"],
    ]
    file = photos / "t.jsonl"
    file.write_text(
        "\n".join(
            f'{{"images": {str(names).replace(chr(39), chr(34))}, "label": "{n % 2}"}}' for n, names in enumerate(lines)
        )
    )
    assert groups(indexed(load_own(file, READING))) == [["1", "2", "3"]]


def test_groups_that_are_scored_whole_are_left_alone(photos):
    file = photos / "t.jsonl"
    lines = [("sick/03.png", "g", 0), ("sick/00.png", "g", 1), ("sick/03 again.jpg", "h", 0), ("sick/01.png", "h", 1)]
    file.write_text("\n".join(f'{{"image": "{n}", "label": "{s}", "group": "{g}", "slot": {s}}}' for n, g, s in lines))
    assert groups(indexed(load_own(file, READING))) == [["1", "2"], ["3", "4"]]


def test_broken_pictures_are_like_nothing(photos):
    for name in ("a.png", "b.png"):
        (photos / "sick" / name).write_bytes(b"")
    assert len(groups(indexed(load_own(photos, READING)))) == 2


def test_the_same_words_without_pictures_are_one_group(tmp_path):
    """Pictures that repeat are told by their hashes; of words nothing else tells a draw that they are one sample."""
    asked = [
        ("odd ?", "yes", "all"),
        ("even ?", "no", "all"),
        ("odd ?", "no", "all"),
        ("odd ?", "no", "b"),
        ("two ?", "yes", "b"),
    ]
    (tmp_path / "t.jsonl").write_text(
        "\n".join(f'{{"question": "{words}", "label": "{label}", "task": "{task}"}}' for words, label, task in asked)
    )
    index = indexed(load_own(tmp_path / "t.jsonl", Reading()))
    assert groups(index) == [["1", "3"]]
    told = {found["kind"]: found["words"] for found in index.info.checks}
    assert told["repeated sample"] == "1 samples repeat the words of an earlier one"
    assert "contradicting labels" in told
    assert "no picture" not in told  # all are so


def test_words_beside_pictures_are_told_and_are_no_group(photos):
    file = photos / "t.jsonl"
    lines = ['{"image": "sick/00.png", "question": "odd ?"}', '{"question": "odd ?"}', '{"question": "even ?"}']
    file.write_text("\n".join(line.replace("}", f', "label": "{n % 2}"}}') for n, line in enumerate(lines)))
    index = indexed(load_own(file, Reading()))
    assert groups(index) == []
    told = {found["kind"]: found["words"] for found in index.info.checks}
    assert told["no picture"] == "2 of 3 samples show no picture: they are asked in words alone"
