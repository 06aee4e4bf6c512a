"""A harvest that stopped anywhere: never silently wrong, and the same command finishes it to the same bytes."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from kit.objects import both
from savs_stores import (
    IncompleteStoreError,
    MismatchError,
    ModelWriter,
    StoreError,
    create_store,
    open_store,
    verify,
)
from savs_stores.place import disk
from savs_stores.place.place import place_of

SHARDS = 3
WRITES = 8  # a shard: heads, status, n_tokens, absmax, logits, provenance, checksums, record
ROWS = [range(0, 4), range(4, 8), range(8, 10)]


@pytest.fixture(scope="session")
def undisturbed(originals, files):
    """Return the bytes of every file of a store that was written in one go."""
    return files(originals / "whole.zarr")


def finished_shards(toy, path):
    """Return how many shards have a record, after checking each, and that all else is refused."""
    opened = open_store(path, allow_partial=True)
    if not opened.models:
        return 0
    vectors = opened["toy"]
    if vectors.missing:
        with pytest.raises(IncompleteStoreError):
            open_store(path)["toy"]
    assert len(list(verify(opened))) == len(vectors.missing)  # they are not harvested yet; nothing else is wrong
    rows = np.flatnonzero(vectors.finished)
    assert np.array_equal(vectors.read(), toy.vectors[rows])
    assert np.array_equal(vectors.logits[rows], toy.logits[rows])
    return SHARDS - len(vectors.missing)


@both
@pytest.mark.parametrize(
    ("shards", "count", "rows"),
    [
        ([], "3 of 3", "0-9"),  # begun, nothing written
        ([1], "2 of 3", "0-3, 8-9"),  # a hole in front and behind
        ([0, 2], "1 of 3", "4-7"),
    ],
)
def test_an_unfinished_model_is_refused_with_what_to_do(toy, begun, shards, count, rows):
    toy.write(begun, shards)
    with pytest.raises(IncompleteStoreError) as refusal:
        open_store(begun)["toy"]
    for words in (f"{count} shards are missing (samples {rows})", f"savs-harvest run --model toy --store {begun}"):
        assert words in str(refusal.value)
    assert "allow_partial" in str(refusal.value)
    assert "unfinished" in repr(open_store(begun))


def test_without_a_command_the_advice_is_plain(toy, tmp_path):
    toy.write(tmp_path / "store.zarr", [0], provenance={})
    with pytest.raises(IncompleteStoreError, match="write it again"):
        open_store(tmp_path / "store.zarr")["toy"]


@both
@pytest.mark.parametrize("codec", ["none", "blosc-lz4-bitshuffle"])
def test_only_finished_samples_can_be_read(toy, home, codec):
    toy.write(home / "store.zarr", [0, 2], codec=codec)
    vectors = open_store(home / "store.zarr", allow_partial=True)["toy"]
    assert vectors.partial
    assert vectors.missing == [1]
    assert np.flatnonzero(vectors.finished).tolist() == [0, 1, 2, 3, 8, 9]
    assert np.array_equal(vectors.usable, vectors.finished)
    assert np.array_equal(vectors.read(), toy.vectors[[0, 1, 2, 3, 8, 9]])
    assert np.array_equal(vectors.read([9, 0]), toy.vectors[[9, 0]])
    for samples, named in (([0, 5, 4], "4-5"), (np.arange(10) > 6, "7")):
        with pytest.raises(IncompleteStoreError, match=f"samples {named} are not harvested yet"):
            vectors.read(samples)


def test_a_finished_model_is_not_partial(toy, whole):
    vectors = open_store(whole, allow_partial=True)["toy"]
    assert not vectors.partial
    assert vectors.finished.all()


def test_a_resume_writes_only_what_is_missing(toy, begun, files, undisturbed):
    assert toy.write(begun, [1]).missing == [0, 2]
    heads = begun / "toy/heads/c/1/0/0"
    before = heads.stat().st_ino, heads.stat().st_mtime_ns
    assert toy.write(begun).missing == []
    assert (heads.stat().st_ino, heads.stat().st_mtime_ns) == before  # not even rewritten with the same bytes
    assert files(begun) == undisturbed


@both
def test_two_writers_of_disjoint_shards_make_one_store(toy, begun, files, undisturbed):
    writers = [toy.begin(begun), toy.begin(begun)]
    for shard in (2, 0, 1):  # in turns and out of order
        writers[shard % 2].write(shard, toy.content(ROWS[shard]))
    assert [writer.missing for writer in writers] == [[], []]
    assert files(begun) == undisturbed


@both
def test_a_shard_written_twice_is_the_same_shard(toy, whole, files, undisturbed):
    toy.begin(whole).write(1, toy.content(ROWS[1]))
    assert files(whole) == undisturbed


def test_vectors_reach_the_disk_before_their_record(toy, begun, monkeypatch):
    writer, flushed = toy.begin(begun), []
    monkeypatch.setattr("os.fsync", lambda descriptor: flushed.append(os.fstat(descriptor).st_ino))
    writer.write(1, toy.content(ROWS[1]))
    beside = [f"{name}/c/1" for name in ("status", "n_tokens", "absmax")]
    sums = ["shard_provenance/c/1", "chunk_crc32c/c/1/0", "shard_crc32c/c/1"]
    places = ["heads/c/1/0/0", *beside, "logits/c/1/0", *sums]
    # Of each file also the folders that are new, or a power cut might lose the way to it.
    expected = [above for place in places for above in (Path(place), *Path(place).parents) if above.parts]
    assert flushed == [(begun / "toy" / path).stat().st_ino for path in expected]


def test_a_new_store_is_on_the_disk_as_a_whole(toy, tmp_path, monkeypatch):
    flushed = set()
    monkeypatch.setattr("os.fsync", lambda descriptor: flushed.add(os.fstat(descriptor).st_ino))
    toy.begin(tmp_path / "store.zarr")
    assert {path.stat().st_ino for path in [tmp_path, *tmp_path.rglob("*")]} <= flushed


def fail_at(patch, number):
    """Let the disk be full at the n-th flush from now on; return a list that grows with every flush."""
    real, calls = disk.flush, []

    def flush(*arguments, **options):
        calls.append(arguments)
        if len(calls) == number:
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    patch.setattr(disk, "flush", flush)
    return calls


@pytest.mark.parametrize("number", range(1, SHARDS * WRITES + 1))
def test_a_full_disk_at_any_write_loses_one_shard_at_most(toy, begun, files, monkeypatch, undisturbed, number):
    with monkeypatch.context() as patch:
        fail_at(patch, number)
        with pytest.raises(OSError, match="No space left"):
            toy.write(begun)
    # The record itself may have been written before its flush failed; what it speaks of was on disk by then.
    complete = number // WRITES
    assert finished_shards(toy, begun) == complete
    toy.write(begun)
    assert files(begun) == undisturbed


@pytest.mark.parametrize("part", [0, 0.3, 0.5, 0.7, 1])
def test_a_full_disk_while_creating_leaves_a_whole_group_or_none(toy, tmp_path, files, monkeypatch, undisturbed, part):
    with monkeypatch.context() as patch:
        calls = fail_at(patch, None)
        toy.begin(tmp_path / "other" / "store.zarr")
    path = tmp_path / "store.zarr"
    with monkeypatch.context() as patch:
        fail_at(patch, 1 + round(part * (len(calls) - 1)))
        with pytest.raises(OSError, match=r"^No space left for .*/store\.zarr(/toy)?: it needs [\d,]+ bytes, "):
            toy.begin(path)
    if path.exists():
        assert finished_shards(toy, path) == 0
    assert {entry.name for entry in tmp_path.iterdir()} <= {"other", "store.zarr"}  # no half-built group beside it
    toy.write(path)
    assert files(path) == undisturbed


TESTS = Path(__file__).parents[1]
# Harvests the toy, and stands still at a chosen place until it is killed.
CHILD = """
import pathlib, sys, time
tests, path, place, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
sys.path.append(tests)
from kit.toy import Toy
from savs_stores.place import disk
toy = Toy()
calls = iter(range(1, 10**6))

def stand_still(real):
    def call(*arguments, **options):
        if next(calls) == number:
            print("here", flush=True)
            time.sleep(600)
        return real(*arguments, **options)
    return call

if place == "flush":
    disk.flush = stand_still(disk.flush)
else:  # zarr has written a temporary file and not yet given it its name
    pathlib.Path.replace = stand_still(pathlib.Path.replace)
toy.write(path)
"""


@contextmanager
def start_and_stand_still(path, place, number):
    """Start a harvest in another process, yield it when it stands still, and end it in the end."""
    command = [sys.executable, "-c", CHILD, str(TESTS), str(path), place, str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout.readline() == "here\n"
            yield child
        finally:
            child.kill()


@pytest.mark.parametrize(
    ("place", "number", "shards", "leftovers"),
    [
        ("flush", WRITES + 1, 1, 0),  # the vectors of shard 1 are written, nothing beside them
        ("flush", 2 * WRITES - 1, 1, 0),  # all of shard 1 but the record
        ("replace", WRITES + 1, 1, 1),  # in the middle of the vectors of shard 1
        ("replace", 3 * WRITES, 2, 1),  # in the middle of the last record
    ],
)
def test_after_a_kill_the_same_command_finishes(toy, begun, files, undisturbed, place, number, shards, leftovers):
    with start_and_stand_still(begun, place, number) as child:
        child.kill()
    assert child.returncode == -signal.SIGKILL

    # The store is mid-way indeed.
    assert finished_shards(toy, begun) == shards < SHARDS
    partial = list(begun.rglob("*.partial"))
    assert len(partial) == leftovers
    assert undisturbed.keys() - files(begun).keys()

    for file in partial:
        os.utime(file, (0, 0))
    toy.write(begun)
    assert files(begun) == undisturbed


def beside(path):
    """Return the names beside a store, locks last."""
    return sorted((e.name for e in path.parent.iterdir() if e != path), key=lambda name: (name.endswith("lock"), name))


@pytest.mark.parametrize("begun", [False, True])
def test_what_a_killed_process_had_half_built_is_removed_by_the_next_run(toy, tmp_path, files, undisturbed, begun):
    """It stayed for ten minutes and longer, until something else was built there. What is being built stays."""
    path = tmp_path / "store.zarr"
    if begun:
        create_store(path, toy.benchmark, toy.table)
    with start_and_stand_still(path, "flush", 5):
        half, lock = beside(path)
        assert re.fullmatch(r"\.store\.zarr\.[0-9a-f]{8}\.building", half)
        place_of(path).remove_leftovers("")
        assert beside(path) == [half, lock]
    assert beside(path) == [half, lock]
    toy.write(path)
    assert beside(path) == []
    assert files(path) == undisturbed


def test_who_builds_at_the_same_time_waits_for_its_turn(toy, tmp_path):
    path = tmp_path / "store.zarr"
    with start_and_stand_still(path, "flush", 5) as child, ThreadPoolExecutor(1) as other:
        written = other.submit(toy.write, path)
        with pytest.raises(TimeoutError):
            written.result(0.2)
        child.kill()
        assert written.result(60).missing == []
    assert beside(path) == []


@pytest.mark.parametrize("name", ["store.zarr", "my [1] store.zarr"])
def test_a_run_that_builds_nothing_removes_leftovers_too(toy, tmp_path, name):
    path = tmp_path / name
    toy.write(path)
    others = [".other.zarr.1234abcd.building", ".my 1 store.zarr.1234abcd.building", f"{name}.building"]
    for folder in (f".{name}.1234abcd.building", *others):
        (tmp_path / folder / "label").mkdir(parents=True)
    open_store(path)["toy"].read()
    assert len(beside(path)) == 4  # reading removes nothing
    toy.begin(path)
    assert beside(path) == sorted(others)


@pytest.mark.parametrize(("age", "kept"), [(0, True), (500, True), (700, False)])
def test_without_locks_only_old_leftovers_are_removed(toy, tmp_path, monkeypatch, age, kept):
    fcntl = pytest.importorskip("fcntl")

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    leftover = tmp_path / ".store.zarr.1234abcd.building"
    leftover.mkdir()
    os.utime(leftover, (time.time() - age,) * 2)
    toy.write(tmp_path / "store.zarr")
    assert leftover.exists() == kept


def test_a_full_disk_says_which_file_how_much_it_needs_and_how_much_is_free(toy, begun):
    """It was an errno without a file."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer, content = toy.begin(begun), toy.content(ROWS[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))
    try:
        with pytest.raises(OSError, match="No space left") as refusal:
            writer.write(1, content)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert re.fullmatch(
        rf"No space left for {begun}/toy/heads/c/1/0/0: it needs 292 bytes, [\d.,]+ [kMGT]B are free "
        r"\(a quota may leave less\)\. What is finished is kept: make room and run the same command again",
        str(refusal.value),
    )
    assert refusal.value.errno == errno.EFBIG
    toy.write(begun)


@pytest.mark.parametrize(("age", "kept"), [(0, True), (500, True), (700, False)])
def test_only_old_leftovers_are_removed(toy, whole, age, kept):
    leftover = whole / "toy/heads/c/1/0/0.3a5c.partial"
    leftover.write_bytes(b"half a shard")
    os.utime(leftover, (time.time() - age,) * 2)
    open_store(whole)["toy"].read()
    assert leftover.exists()  # reading removes nothing
    toy.begin(whole)
    assert leftover.exists() == kept


def test_a_leftover_that_another_writer_removes_is_no_error(toy, whole):
    # A link to nothing is listed and then not there, like a file that vanishes in between.
    (whole / "toy/heads/c/1/0/0.3a5c.partial").symlink_to("nothing")
    assert toy.begin(whole).missing == []


def test_a_store_behind_a_link_is_built_where_the_link_leads(toy, tmp_path, monkeypatch):
    """It was built beside the link, and could not be renamed over it, or onto another disk."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link.zarr").symlink_to(tmp_path / "disk/far.zarr")
    real, parents = Path.rename, []
    monkeypatch.setattr(Path, "rename", lambda built, final: (parents.append(built.parent), real(built, final))[1])
    toy.write(tmp_path / "link.zarr")
    assert parents == [tmp_path / "disk"] * 2
    assert open_store(tmp_path / "disk/far.zarr").models == ["toy"]


@pytest.mark.parametrize("within", ["new.zarr", "heads/deep/new.zarr", "toy/new.zarr"])
def test_a_store_in_a_store_is_refused(toy, whole, tmp_path, within, files):
    """It was written among the arrays of the other one, which `verify` then called damaged."""
    (tmp_path / "link.zarr").symlink_to(whole)
    before = files(whole)
    for outer in (whole, tmp_path / "link.zarr"):
        with pytest.raises(StoreError, match=r"is in the store .* name another place"):
            toy.write(outer / within)
    assert files(whole) == before


@both
def test_a_shard_that_is_written_again_does_not_exist_meanwhile(toy, whole, monkeypatch):
    writer = toy.begin(whole)
    put = ModelWriter._put

    def die_after_the_vectors(self, name, *rest):
        put(self, name, *rest)
        if name == "heads":
            raise KeyboardInterrupt

    monkeypatch.setattr(ModelWriter, "_put", die_after_the_vectors)
    with pytest.raises(KeyboardInterrupt):
        writer.write(1, toy.content(writer.plan.rows(1)))
    assert toy.begin(whole).missing == [1]


@both
def test_other_shards_than_those_there_are_refused(toy, whole):
    with pytest.raises(MismatchError, match="shards of 4 samples, not 5"):
        toy.begin(whole, shard_samples=5)
