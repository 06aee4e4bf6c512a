"""The fast local reader: no byte too many, and no damaged file taken for vectors."""

import os

import google_crc32c
import numpy as np
import pytest

from kit.objects import both
from savs_stores import StoreError, open_store, verify

SAMPLES, HEADS, DIM, SHARD = 600, 60, 32, 256  # 256, 256 and 88 samples
SHARDS = 3
ROW_BYTES = DIM * 2
INDEX_BYTES = HEADS * 16 + 4


@pytest.fixture(scope="module")
def large(write, tmp_path_factory):
    """Return a store whose chunks are much larger than its index, and what must come back."""
    vectors = np.random.default_rng(0).normal(size=(SAMPLES, HEADS, DIM)).astype(np.float16)
    store = write(tmp_path_factory.mktemp("large") / "store.zarr", vectors, shard_samples=SHARD)
    return store["toy"], vectors


@pytest.fixture
def asked(monkeypatch):
    """Return the list of bytes that each call asks the disk for, of vectors and of indexes."""
    vectors, indexes = [], []
    preadv, pread = os.preadv, os.pread

    def count_vectors(descriptor, buffers, offset):
        vectors.append(sum(len(buffer) for buffer in buffers))
        return preadv(descriptor, buffers, offset)

    def count_indexes(descriptor, count, offset):
        indexes.append(count)
        return pread(descriptor, count, offset)

    monkeypatch.setattr(os, "preadv", count_vectors)
    monkeypatch.setattr(os, "pread", count_indexes)
    return vectors, indexes


SCATTERED = list(range(0, HEADS, 3))


@pytest.mark.parametrize(
    ("samples", "heads", "shards", "calls"),
    [
        (range(SAMPLES), SCATTERED, 3, 60),  # the offline stage: 20 heads of all samples
        (range(SAMPLES), range(20, 40), 3, 1 + 1 + 20),  # a full shard brings neighbours in one call
        (range(SAMPLES), range(HEADS), 3, 1 + 1 + 60),
        (range(256, 512), range(HEADS), 1, 1),  # one shard, everything
        (range(250, 260), SCATTERED, 2, 40),  # across a border
        ([599], [7], 1, 1),  # a single vector
        ([10, 14, 300], [1, 2], 2, 2),  # of a full shard neighbours come in one call, whatever is wanted of them
    ],
)
@pytest.mark.parametrize("checked", [True, False])
def test_only_the_wanted_bytes_are_asked_for(large, asked, checked, samples, heads, shards, calls, monkeypatch):
    """Of a store whose reads are checked, these are the whole chunks: a checksum is one of all samples of a shard."""
    opened, expected = large
    monkeypatch.setattr(opened.store, "version", 2 if checked else 1)
    opened.read([0], [0])  # brings the checksums
    vectors, indexes = asked
    vectors.clear(), indexes.clear()
    found = opened.read(samples, heads)
    assert np.array_equal(found, expected[list(samples)][:, list(heads)])
    parts = [[row for row in samples if row in opened.plan.rows(shard)] for shard in range(SHARDS)]
    if checked:
        rows = sum(len(opened.plan.rows(shard)) for shard, part in enumerate(parts) if part)
    else:
        rows, calls = sum(max(part) - min(part) + 1 for part in parts if part), 4 if calls == 2 else calls
    assert sum(vectors) == rows * len(heads) * ROW_BYTES
    assert indexes == [INDEX_BYTES] * shards
    assert len(vectors) == calls


def test_twenty_heads_of_all_samples_stay_in_the_byte_budget(large, asked):
    large[0].read(heads=SCATTERED)
    needed = SAMPLES * len(SCATTERED) * ROW_BYTES
    assert needed <= sum(map(sum, asked)) <= 1.05 * needed


@pytest.mark.parametrize("part", [0.01, 0.5, 0.99])
def test_a_read_that_brings_less_goes_on(large, monkeypatch, part):
    opened, expected = large
    preadv, calls = os.preadv, []

    def bring_less(descriptor, buffers, offset):
        calls.append(offset)
        wanted = max(1, int(part * sum(len(buffer) for buffer in buffers)))
        first = []
        for buffer in buffers:
            first.append(buffer[:wanted])
            wanted -= len(first[-1])
        return preadv(descriptor, first, offset)

    monkeypatch.setattr(os, "preadv", bring_less)
    assert np.array_equal(opened.read(heads=range(3, 9)), expected[:, 3:9])
    assert len(calls) > SHARDS


SMALL_INDEX = 6 * 16 + 4


def index_of(content):
    return np.frombuffer(content[-SMALL_INDEX:-4], "<u8").reshape(6, 2).copy()


def with_index(content, entries):
    table = entries.astype("<u8").tobytes()
    return content[:-SMALL_INDEX] + table + google_crc32c.value(table).to_bytes(4, "little")


def absent(content, columns):
    entries = index_of(content)
    entries[2, columns] = 2**64 - 1
    return with_index(content, entries)


def beyond(content):
    entries = index_of(content)
    entries[:, 0] += 2**20
    return with_index(content, entries)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (None, "is missing although its record exists"),
        (lambda content: b"", "is cut short or damaged"),
        (lambda content: content[:7], "is cut short or damaged"),  # shorter than an index
        (lambda content: content[:-1], "is cut short or damaged"),
        (lambda content: content[: len(content) // 2], "is cut short or damaged"),
        (lambda content: bytes(len(content)), "is cut short or damaged"),
        (lambda content: absent(content, [0, 1]), "lacks heads"),  # what Zarr reads as fill values
        (lambda content: absent(content, [0]), "lacks heads"),
        (lambda content: absent(content, [1]), "lacks heads"),
        (beyond, "ends before byte"),
    ],
)
def test_a_file_damaged_after_opening_is_named(toy, whole, damage, words):
    opened = open_store(whole)["toy"]
    file = whole / "toy/heads/c/1/0/0"
    content = file.read_bytes()
    file.unlink()
    if damage is not None:
        file.write_bytes(damage(content))
    with pytest.raises(StoreError, match=rf"toy/heads/c/1/0/0 {words}.*savs-analyze verify"):
        opened.read()
    assert np.array_equal(opened.read([0, 9]), toy.vectors[[0, 9]])  # the other shards are sound


@both
def test_chunks_may_lie_in_any_order(toy, whole):
    # Another writer may order heads otherwise (zarr can, too): the index says where they are.
    file = whole / "toy/heads/c/1/0/0"
    content = file.read_bytes()
    entries, order = index_of(content), [3, 0, 5, 1, 2, 4]
    chunks = [content[start : start + size] for start, size in entries.tolist()]
    moved = np.empty_like(entries)
    moved[order] = entries
    file.write_bytes(with_index(b"".join(chunks[head] for head in order) + content[-SMALL_INDEX:], moved))
    opened = open_store(whole)["toy"]
    assert np.array_equal(opened.read(), toy.vectors)
    assert np.array_equal(opened.read(heads=[0, 1, 5]), toy.vectors[:, [0, 1, 5]])
    assert list(verify(open_store(whole))) == []
