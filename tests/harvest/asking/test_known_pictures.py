"""Hashes that are kept beside the data: the same as those that are read, and never those of another file."""

import os
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import astuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from savs_benchmarks.pictures.pictures import StoredPicture
from savs_harvest.asking import hashing, known_pictures
from savs_harvest.asking.hashing import hash_picture, hash_pictures, in_parallel
from savs_harvest.asking.known_pictures import NAME, KnownPictures, hashed

LONG_AGO = time.time() - 1000


def save(path, seed, size=(40, 30)):
    pixels = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def pictures(tmp_path, monkeypatch):
    """Files of several kinds, one damaged and one missing, that nobody has touched for long."""
    (tmp_path / "below").mkdir()
    found = [save(tmp_path / f"{number}.png", number) for number in range(3)]
    found += [save(tmp_path / "below" / "é.jpg", 7), save(tmp_path / "flat.bmp", 9)]
    (tmp_path / "damaged.png").write_bytes(found[0].read_bytes()[:200])
    monkeypatch.setattr(known_pictures, "SETTLED", -1.0)
    return [*found, tmp_path / "damaged.png", tmp_path / "missing.png"]


def same(one, other):
    looks = [
        [value.tolist() if isinstance(value, np.ndarray) else value for value in astuple(each.look)]
        if each.look
        else None
        for each in (one, other)
    ]
    plain = [(each.hash, each.size, each.code, each.faults, each.traits) for each in (one, other)]
    return looks[0] == looks[1] and plain[0] == plain[1]


@pytest.fixture
def reads(monkeypatch):
    """Every picture that is read, by its file's name."""
    seen, real = [], hashing.read_picture
    monkeypatch.setattr(hashing, "read_picture", lambda source: (seen.append(str(source)), real(source))[1])
    return seen


@pytest.mark.parametrize("looked", [False, True])
def test_what_is_known_is_what_is_read(pictures, looked, reads):
    expected = [hash_picture(picture, looked) for picture in pictures]
    for _ in range(2):
        assert all(map(same, hashed(pictures, looked), expected))
    reads.clear()
    assert all(map(same, hashed(pictures, looked), expected))
    assert reads == [str(pictures[-1])]  # nothing is known of a file that is not there


def test_what_a_picture_looks_like_is_read_where_only_its_hash_is_known(pictures, reads):
    list(hashed(pictures, False))
    assert all(map(same, hashed(pictures, True), [hash_picture(picture, True) for picture in pictures]))


@pytest.mark.parametrize("way", ["in its place", "with its time", "another in its name"])
def test_a_file_that_changed_is_read_again(pictures, tmp_path, way):
    """Also where it has as many bytes, and the time of before."""
    changed = tmp_path / "flat.bmp"
    list(hashed(pictures))
    times, size = changed.stat(), changed.stat().st_size
    if way == "another in its name":
        save(tmp_path / "other.bmp", 10).replace(changed)
    else:
        save(changed, 10)
    if way != "in its place":
        os.utime(changed, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert changed.stat().st_size == size
    assert all(map(same, hashed(pictures), map(hash_picture, pictures)))


def test_a_file_that_changed_a_moment_ago_is_not_kept(pictures, reads, monkeypatch):
    """Its times would not show another change."""
    monkeypatch.setattr(known_pictures, "SETTLED", 1000.0)
    list(hashed(pictures))
    reads.clear()
    list(hashed(pictures))
    assert len(reads) == len(pictures)


def _nonsense(file):
    file.write_bytes(b"no base of SQLite " * 100)


def _torn(file):
    content = bytearray(file.read_bytes())
    content[100:] = os.urandom(len(content) - 100)
    file.write_bytes(content)


def _other_rules(file):
    with closing(sqlite3.connect(file)) as base, base:
        base.execute("UPDATE rules SET words = 'others'")
        base.execute("UPDATE pictures SET hash = 5")


def _rows(file):
    with closing(sqlite3.connect(file)) as base, base:
        base.execute("UPDATE pictures SET beside = 'no JSON' WHERE name = '0.png'")
        base.execute("UPDATE pictures SET beside = '{}' WHERE name = '1.png'")
        base.execute("UPDATE pictures SET width = 'wide', hash = 'none' WHERE name = '2.png'")


def _folder(file):
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("harm", [_nonsense, _torn, _other_rules, _rows, _folder])
def test_a_damaged_file_of_hashes_decides_nothing(pictures, tmp_path, harm):
    list(hashed(pictures))
    harm(tmp_path / NAME)
    for _ in range(2):
        assert all(map(same, hashed(pictures), map(hash_picture, pictures)))


def test_where_nothing_can_be_written_pictures_are_read(pictures, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise sqlite3.OperationalError("unable to open database file")

    monkeypatch.setattr(sqlite3, "connect", refused)
    assert all(map(same, hashed(pictures), map(hash_picture, pictures)))
    assert not (tmp_path / NAME).exists()


def test_what_was_read_before_an_interruption_is_kept(pictures, reads):
    each = hashed(pictures)
    for _ in range(3):
        next(each)
    each.close()
    reads.clear()
    list(hashed(pictures))
    assert not set(map(str, pictures[:3])) & set(reads)


def test_who_comes_second_waits_and_reads_nothing(pictures, reads):
    pictures = pictures[:-1]
    first, second = hashed(pictures), []
    next(first)
    other = threading.Thread(target=lambda: second.extend(hashed(pictures)))
    other.start()
    other.join(0.5)
    assert second == []
    list(first)
    other.join(30)
    assert len(second) == len(pictures)
    assert len(reads) == len(pictures)


def test_pictures_in_memory_are_read(pictures):
    shown = [Image.open(picture).convert("RGB") for picture in pictures[:2]]
    assert [found.hash for found in hashed(shown)] == [hash_picture(picture).hash for picture in pictures[:2]]
    assert KnownPictures(shown, False).folder is None


def test_pictures_of_a_table_are_known_by_the_tables_file(pictures, tmp_path, reads):
    """But for those whose cell has a path alone: the table does not tell when that file changes."""
    cells = [{"bytes": pictures[0].read_bytes(), "path": None}, {"bytes": None, "path": "1.png"}]
    table = tmp_path / "table.parquet"
    pyarrow.parquet.write_table(pa.table({"image": cells}), table)
    shown = [StoredPicture(table, row, "image", tmp_path) for row in range(2)]
    list(hashed(shown))
    reads.clear()
    assert [found.hash for found in hashed(shown)] == [hash_picture(picture).hash for picture in pictures[:2]]
    assert reads[:1] == [str(shown[1])]


@pytest.mark.parametrize("looked", [False, True])
def test_processes_give_what_one_gives(pictures, looked, monkeypatch):
    expected = [hash_picture(picture, looked) for picture in pictures]
    monkeypatch.setattr(hashing, "WORTH_PROCESSES", 1)
    monkeypatch.setattr(hashing, "TOGETHER", 2)
    monkeypatch.setattr(hashing, "_workers", lambda: 2)
    assert all(map(same, hash_pictures(pictures, looked), expected))
    with pytest.raises(ChildProcessError, match="a process that reads pictures has died"):
        list(in_parallel(os._exit, [9, 9]))


def test_a_file_that_was_new_when_it_was_looked_at_is_not_kept_however_late_it_is_read(tmp_path, monkeypatch):
    file = save(tmp_path / "new.png", 1)
    known = KnownPictures([file], False)
    with known.open():
        found = hash_picture(file)
        later = time.time() + 1000
        monkeypatch.setattr(time, "time", lambda: later)
        known.keep([(file, found)])
        known.look()
        assert not known.has(file)


def test_a_link_in_the_place_of_the_hashes_is_not_followed(pictures, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "of_another_program.sqlite"
    with closing(sqlite3.connect(other)) as base, base:
        base.execute("CREATE TABLE pictures (mine TEXT)")
        base.execute("INSERT INTO pictures VALUES ('kept')")
    base.close()
    before = other.read_bytes()
    (pictures[0].parent / NAME).symlink_to(other)
    assert [one.hash for one in hashed(pictures)] == [one.hash for one in hash_pictures(pictures)]
    assert other.read_bytes() == before


def test_a_link_in_the_place_of_the_lock_is_not_followed(pictures, tmp_path_factory):
    other = tmp_path_factory.mktemp("other") / "notes.txt"
    other.write_text("kept")
    (pictures[0].parent / f"{NAME}.lock").symlink_to(other)
    list(hashed(pictures))
    assert other.read_text() == "kept"
