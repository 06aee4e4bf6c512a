"""Stores behind URLs: what is wrong is said at once and in a sentence, and only the wanted bytes are asked for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from zarr.abc.store import RangeByteRequest
from zarr.storage import MemoryStore, ObjectStore

from savs_stores import MismatchError, StoreError, find_stores, open_store, place_of, verify

SHARDS, WRITES = 3, 8  # of the toy; heads, status, n_tokens, absmax, logits, provenance, checksums, record
kind = pytest.fixture(lambda: "s3", name="kind")  # of every store in this file


@pytest.mark.parametrize(
    ("url", "change", "words"),
    [
        ("s3://no-such-bucket/a.zarr", {}, "there is no such bucket; make it, or correct the URL"),
        ("s3://bucket/a.zarr", {"AWS_ACCESS_KEY_ID": None}, "there are no credentials for s3://.*aws configure"),
        (
            "s3://bucket/a.zarr",
            {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
            "reached: .*; check the URL, AWS_REGION, AWS_",
        ),
        ("s3://bucket/no.zarr", {}, "s3://bucket/no.zarr is no store: there is no Zarr group at that place"),
        ("nowhere://bucket/a.zarr", {}, "cannot be opened: Protocol not known: nowhere"),
        (Path("s3://bucket/a.zarr"), {}, "s3:/bucket/a.zarr was a URL before pathlib took a slash"),
    ],
)
def test_what_cannot_be_reached_is_one_sentence(bucket, monkeypatch, url, change, words):
    for name, value in change.items():
        monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
    with pytest.raises(StoreError, match=words) as refusal:
        open_store(url)
    assert "\n" not in str(refusal.value)


def test_denied_access_is_a_sentence(bucket, monkeypatch):
    import obstore

    def deny(*_, **__):
        raise obstore.exceptions.PermissionDeniedError("403 Forbidden: <Code>AccessDenied</Code>")

    monkeypatch.setattr(obstore, "list_with_delimiter", deny)
    with pytest.raises(StoreError, match=r"s3://bucket/a.zarr cannot be reached: access was denied \(AccessDenied\)"):
        open_store(bucket / "a.zarr")


@pytest.mark.parametrize("missing", ["obstore", "boto3"])
def test_without_the_extra_its_command_is_named(bucket, monkeypatch, missing):
    for name in (missing, "obstore.store", "obstore.auth.boto3"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(StoreError, match=r"needs obstore and boto3; run: pip install 'savs\[s3\]'"):
        open_store(bucket / "a.zarr")


def test_a_pattern_names_the_stores_of_a_bucket(toy, home):
    for name in ("b.zarr", "a.zarr", "a.json"):
        (home / name / "zarr.json").write_bytes(b"{}")
    assert find_stores(f"{home}/*.zarr") == [f"{home}/a.zarr", f"{home}/b.zarr"]
    assert find_stores(f"{home}/x*") == []
    assert find_stores(f"{home}/x.zarr") == [f"{home}/x.zarr"]
    with pytest.raises(StoreError, match="only the last part can be a pattern"):
        find_stores("s3://bucket/*/a.zarr")


def test_reading_writes_nothing(toy, whole):
    objects = ObjectStore(place_of(whole).zarr.store, read_only=True)
    store = open_store(objects)
    assert np.array_equal(store["toy"].read(), toy.vectors)
    assert list(verify(store)) == []
    with pytest.raises(ValueError, match="read-only"):
        toy.begin(objects, model="other")


def test_an_object_damaged_after_opening_is_named(toy, whole):
    opened, last = open_store(whole)["toy"], whole / "toy/heads/c/2/0/0"
    sound = last.read_bytes()
    for content, words in ((b"", "is cut short"), (sound[:7], "is cut short"), (bytes(len(sound)), "is cut short")):
        last.write_bytes(content)
        with pytest.raises(StoreError, match=rf"toy/heads/c/2/0/0 {words} or damaged; 'savs-analyze verify'"):
            opened.read()
    last.write_bytes(sound[-6 * 16 - 4 :])  # an index of chunks that are not there, but for bytes of the index itself
    with pytest.raises(StoreError, match=r"toy/heads(/c/2/0/0 ends before byte|, shard 2 .* do not match)"):
        opened.read()
    last.write_bytes(b"\1" + sound[1:])
    with pytest.raises(StoreError, match=r"toy/heads, shard 2 \(samples 8-9\): the vectors of layer 0, head 0 do not"):
        opened.read()
    last.unlink()
    with pytest.raises(StoreError, match="toy/heads/c/2/0/0 is missing although its record exists"):
        opened.read()
    assert np.array_equal(opened.read(range(8)), toy.vectors[:8])  # the other shards are sound


def test_what_does_not_belong_there_is_found(whole):
    (whole / "notes.txt").write_bytes(b"mine")
    [fault] = verify(open_store(whole))
    assert fault.startswith("notes.txt is no part of a store")


def fail_at(patch, number):
    """Let the connection break at the n-th write from now on; return a list that grows with every write."""
    import obstore

    real, calls = ObjectStore.set, []

    async def put(self, key, value):
        calls.append(key)
        if len(calls) == number:
            raise obstore.exceptions.GenericError("Error performing PUT\n\nDebug source: ...")
        await real(self, key, value)

    patch.setattr(ObjectStore, "set", put)
    return calls


@pytest.mark.parametrize("number", [WRITES, WRITES + 1])
def test_a_connection_that_breaks_at_any_write_loses_one_shard_at_most(
    toy, begun, files, originals, monkeypatch, number
):
    with monkeypatch.context() as patch:
        calls = fail_at(patch, number)
        with pytest.raises(StoreError, match=r"toy/[a-z0-9_]+ cannot be reached: Error performing PUT; check"):
            toy.write(begun)
    names = ["heads", "status", "n_tokens", "absmax", "logits", "shard_provenance"]
    names = [*names, "chunk_crc32c", "shard_crc32c"] * SHARDS
    assert [key.split("/")[1] for key in calls] == names[:number]  # the record of a shard comes last
    assert toy.begin(begun).missing == list(range((number - 1) // WRITES, SHARDS))
    toy.write(begun)
    assert files(begun) == files(originals / "whole.zarr")


@pytest.mark.parametrize("number", [1, 30])
def test_a_group_that_is_not_all_there_does_not_exist(toy, home, files, originals, monkeypatch, number):
    with monkeypatch.context() as patch:
        fail_at(patch, number)
        with pytest.raises(StoreError, match="cannot be reached"):
            toy.begin(home / "store.zarr")
    written = files(home / "store.zarr").keys()
    assert "zarr.json" not in written or "toy/zarr.json" not in written
    toy.write(home / "store.zarr")
    assert files(home / "store.zarr") == files(originals / "whole.zarr")


def test_of_two_who_create_a_store_at_once_the_other_is_checked(toy, home, monkeypatch):
    real, other = ObjectStore.set_if_not_exists, type(toy)(seed=1)
    other.identity = {"model": "other"}
    other.begin(home / "other.zarr")
    theirs = (home / "other.zarr/toy/zarr.json").read_bytes()

    async def come_second(self, key, value):
        await real(self, key, value.from_bytes(theirs))  # what another one wrote
        await real(self, key, value)

    toy.begin(home / "store.zarr", model="first")
    monkeypatch.setattr(ObjectStore, "set_if_not_exists", come_second)
    with pytest.raises(MismatchError, match="model: 'other' in the store, 'toy' now"):
        toy.begin(home / "store.zarr")


def test_any_other_url_goes_through_fsspec(toy):
    toy.write("memory://toys/whole.zarr")
    store = open_store("memory://toys/whole.zarr")
    assert np.array_equal(store["toy"].read(heads=[(1, 2), (0, 0)]), toy.vectors[:, [5, 0]])
    assert list(verify(store)) == []
    assert toy.begin("memory://toys/whole.zarr").missing == []


class Counted(MemoryStore):
    """Notes what is asked of it."""

    asked = ()

    async def get(self, key, prototype, byte_range=None):
        self.asked = (*self.asked, (key, byte_range))
        return await super().get(key, prototype, byte_range)


@pytest.mark.parametrize(
    ("samples", "heads", "shards", "calls"),
    [
        (range(600), range(0, 60, 3), 3, 60),  # the offline stage: 20 heads of all samples
        (range(600), range(20, 40), 3, 1 + 1 + 20),  # a full shard brings neighbours in one request
        (range(250, 260), range(0, 60, 3), 2, 40),  # across a border
        ([599], [7], 1, 1),  # a single vector
    ],
)
def test_only_the_wanted_bytes_are_asked_for(write, samples, heads, shards, calls):
    vectors = np.random.default_rng(0).normal(size=(600, 60, 4)).astype(np.float16)
    counted = Counted()
    opened = write(counted, vectors, shard_samples=256)["toy"]
    opened.read([0], [0])  # brings the checksums
    counted.asked = ()
    assert np.array_equal(opened.read(samples, heads), vectors[list(samples)][:, list(heads)])
    ranges = [wanted for _, wanted in counted.asked if isinstance(wanted, RangeByteRequest)]
    assert len(counted.asked) == shards + calls
    assert len(ranges) == calls
    rows = sum(len(opened.plan.rows(shard)) for shard in {row // 256 for row in samples})
    assert sum(wanted.end - wanted.start for wanted in ranges) == rows * len(heads) * 4 * 2


def test_a_local_store_needs_no_package_for_remote_ones():
    words = "import sys, savs_stores.read; print(sorted({'obstore', 'boto3', 's3fs'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", words], capture_output=True, text=True, check=True).stdout == "[]\n"
