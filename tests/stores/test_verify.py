"""What changes in a store after it was written is found, and named."""

import hashlib
import json
from pathlib import Path

import google_crc32c
import numpy as np
import pytest
import zarr

from kit.objects import both
from savs_stores import StoreError, open_store, verify
from savs_stores.format.schema import MODEL, TABLE

KEPT = Path(__file__).parents[1] / "data" / "store-v1.zarr"
SHARD_FILE = "toy/heads/c/{}/0/0"
ROWS = ["0-3", "4-7", "8-9"]
BESIDE = {"status": "c/1", "n_tokens": "c/1", "absmax": "c/1", "logits": "c/1/0"}
FILES = BESIDE | {"chunk_crc32c": "c/1/0"}
VERIFY = "'savs-analyze verify' lists all faults"


def faults(path):
    return list(verify(open_store(path, allow_partial=True, strict=False)))


def damaged(name):
    return [f"toy: shard 1 (samples 4-7): {name} do not match their checksum: bytes changed after they were written"]


@pytest.mark.parametrize("codec", ["none", "blosc-lz4-bitshuffle"])
def test_a_sound_store_has_no_faults(toy, tmp_path, files, codec):
    path = tmp_path / "store.zarr"
    toy.write(path, codec=codec)
    toy.write(path, model="twin", codec=codec)
    before = files(path)
    assert faults(path) == []
    assert files(path) == before


def test_an_unfinished_store_says_which_samples_are_lacking(toy, tmp_path):
    toy.write(tmp_path / "store.zarr", [1])
    assert faults(tmp_path / "store.zarr") == [
        f"toy: shard {i} (samples {ROWS[i]}) is not harvested yet" for i in (0, 2)
    ]


@pytest.mark.parametrize("shard", [0, 1])
def test_a_flipped_bit_names_its_shard(whole, flip, shard):
    file = whole / SHARD_FILE.format(shard)
    sound = file.read_bytes()
    for offset in np.random.default_rng(shard).choice(len(sound), 12, replace=False).tolist():
        flip(file, offset)
        [fault] = faults(whole)
        assert fault.startswith(f"toy: shard {shard} (samples {ROWS[shard]})"), offset
        file.write_bytes(sound)
    assert faults(whole) == []


@pytest.mark.parametrize("offset", [40, 60, -30, -2])  # blosc's data and header, the index and its checksum
def test_a_flipped_bit_in_a_compressed_shard_names_it(toy, tmp_path, flip, offset):
    path = tmp_path / "store.zarr"
    toy.write(path, codec="blosc-lz4-bitshuffle")
    flip(path / SHARD_FILE.format(1), offset)
    [fault] = faults(path)
    assert fault.startswith("toy: shard 1 (samples 4-7)")


def swap(file, other):
    content = file.read_bytes()
    file.write_bytes(other.read_bytes())
    other.write_bytes(content)


def rewrite(change):
    return lambda file, _: file.write_bytes(change(file.read_bytes()))


DAMAGES = {
    # name: (damage to shard 1, shards that are wrong then, whether its size gives it away when the store is opened)
    "deleted": (lambda file, _: file.unlink(), [1], True),
    "emptied": (rewrite(lambda content: b""), [1], True),
    "halved": (rewrite(lambda content: content[: len(content) // 2]), [1], True),
    "one byte short": (rewrite(lambda content: content[:-1]), [1], True),
    "one byte long": (rewrite(lambda content: content + b"\0"), [1], True),
    "zeroed": (rewrite(lambda content: bytes(len(content))), [1], False),
    "swapped": (lambda file, store: swap(file, store / SHARD_FILE.format(0)), [0, 1], False),
    "of another store": (
        lambda file, store: file.write_bytes((store.with_name("other.zarr") / SHARD_FILE.format(1)).read_bytes()),
        [1],
        False,
    ),
}


@both
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_shard_is_found(toy, whole, damage):
    change, wrong, at_once = DAMAGES[damage]
    if damage == "of another store":
        type(toy)(seed=1).write(whole.with_name("other.zarr"))
    change(whole / SHARD_FILE.format(1), whole)
    found = faults(whole)
    assert [fault.split(": ")[1].split(" (")[0] for fault in found] == [f"shard {shard}" for shard in wrong]
    if at_once:
        with pytest.raises(
            StoreError, match=r"toy/heads/c/1/0/0 has [\d,]+ bytes, its record promises .*harvest again"
        ):
            open_store(whole)["toy"]
    else:
        opened = open_store(whole)["toy"]
        for shard in range(3):  # every read of it tells, of one sample and one head
            rows = [opened.plan.rows(shard).start]
            if shard in wrong:
                with pytest.raises(StoreError, match=rf"toy/heads.* {VERIFY}"):
                    opened.read(rows, [(1, 2)])
            else:
                assert np.array_equal(opened.read(rows, [(1, 2)]), toy.vectors[rows][:, [5]])


@pytest.mark.parametrize("damage", ["deleted", "emptied", "halved", "zeroed", "swapped"])
def test_a_damaged_compressed_shard_is_found(toy, tmp_path, damage):
    store = tmp_path / "store.zarr"
    toy.write(store, codec="blosc-lz4-bitshuffle")
    change, wrong, _ = DAMAGES[damage]
    change(store / SHARD_FILE.format(1), store)
    assert [fault.split(" (")[0] for fault in faults(store)] == [f"toy: shard {i}" for i in wrong]


def test_all_lost_shards_are_listed(whole):
    for shard in (0, 2):
        (whole / SHARD_FILE.format(shard)).unlink()
    assert [fault[:12] for fault in faults(whole)] == ["toy: shard 0", "toy: shard 2"]


@pytest.mark.parametrize("name", BESIDE)
def test_what_stands_beside_the_vectors_is_checked_too(whole, name):
    group = zarr.open_group(whole / "toy", mode="r+")
    group[name][5] = group[name][5] + 1
    assert faults(whole) == damaged(name)
    with pytest.raises(StoreError, match=rf"toy/{name}, shard 1 \(samples 4-7\): .*remove .*toy/shard_crc32c/c/1 and"):
        getattr(open_store(whole)["toy"], name)


@both
@pytest.mark.parametrize("name", BESIDE)
def test_a_lost_piece_beside_the_vectors_is_found(whole, name):
    (whole / "toy" / name / BESIDE[name]).unlink()  # zarr reads fill values, without a word
    assert faults(whole) == damaged(name)


@pytest.mark.parametrize("name", [*BESIDE, "shard_provenance", "chunk_crc32c", "shard_crc32c"])
def test_a_torn_piece_beside_the_vectors_is_found(whole, name):
    file = whole / "toy" / name / FILES.get(name, "c/1")
    file.write_bytes(file.read_bytes()[:5])
    found = faults(whole)
    assert found
    assert all(f"toy/{name}/{FILES.get(name, 'c/1')} cannot be read" in fault for fault in found)


@pytest.mark.parametrize("shard", [0, 2])
def test_a_changed_record_is_found(whole, shard):
    records = zarr.open_group(whole / "toy", mode="r+")["shard_crc32c"]
    records[shard] = records[shard] ^ np.uint32(1)
    [fault] = faults(whole)
    assert fault[:12] == f"toy: shard {shard}"


@pytest.mark.parametrize("name", TABLE)
def test_a_changed_sample_table_is_found(whole, name):
    column = zarr.open_group(whole, mode="r+")[name]
    column[3] = "x" if name == "sample_id" else column[3] + 1
    assert "sample table does not give the index hash" in faults(whole)[0]
    with pytest.raises(StoreError, match=r"sample table does not give the index hash.*restore it from a copy"):
        open_store(whole)


def edit(file, change):
    document = json.loads(file.read_text())
    change(document["attributes"])
    file.write_text(json.dumps(document))


def test_a_changed_class_is_found(whole):
    edit(whole / "zarr.json", lambda attributes: attributes["benchmark"]["tasks"].update(all=["blue", "green", "rose"]))
    found = faults(whole)
    assert [fault[:23] for fault in found] == ["the attributes of the s", "the sample table does n"]
    with pytest.raises(StoreError, match="attributes of the store"):
        open_store(whole)


@pytest.mark.parametrize(
    "change",
    [
        lambda attributes: attributes["identity"].update(model="tob"),
        lambda attributes: attributes["identity"].pop("size"),
        lambda attributes: attributes["identity"].update(dtype="float16"),
        lambda attributes: attributes.update(fingerprint="0" * 64),
    ],
)
def test_a_changed_identity_is_found(whole, change):
    edit(whole / "toy/zarr.json", change)
    metadata, identity = faults(whole)[:2]
    assert "attributes" in metadata
    assert "identity do not give the fingerprint" in identity
    with pytest.raises(StoreError, match="toy: its attributes"):
        open_store(whole)["toy"]


def test_a_changed_provenance_is_found(whole):
    edit(whole / "toy/zarr.json", lambda attributes: attributes.update(provenance={"command": "another"}))
    [fault] = faults(whole)
    assert fault.startswith("toy: its attributes, or what it says of its arrays, were changed")


def test_a_fault_of_one_model_does_not_hide_those_of_another(toy, whole):
    toy.write(whole, model="twin")
    for model in ("toy", "twin"):
        edit(whole / model / "zarr.json", lambda attributes: attributes["identity"].update(model="other"))
        (whole / model / "heads/c/1/0/0").unlink()
    found = [fault.split(" (")[0][:15] for fault in faults(whole)]
    assert found == [
        f"{model}: {words}"[:15] for model in ("toy", "twin") for words in ("its attributes", "the fields", "shard 1")
    ]


def test_checksums_are_those_of_the_file_and_of_what_stands_beside(toy, whole):
    opened = open_store(whole)["toy"]
    chunk = opened.plan.chunk_bytes
    content = (whole / SHARD_FILE.format(1)).read_bytes()
    status = np.ones(4, "u1").tobytes()
    n_tokens = np.arange(4, 8, dtype="<i4").tobytes()
    absmax = np.abs(toy.vectors[4:8]).max(axis=(1, 2)).astype("<f4").tobytes()
    logits = toy.logits[4:8].astype("<f4").tobytes()
    parts = [*(content[head * chunk : (head + 1) * chunk] for head in range(6)), status, n_tokens, absmax, logits]
    sums = [google_crc32c.value(part) for part in parts]
    assert zarr.open_array(whole / "toy/chunk_crc32c", mode="r")[1].tolist() == sums
    store = json.loads((whole / "zarr.json").read_text())["attributes"]
    model = json.loads((whole / "toy/zarr.json").read_text())["attributes"]
    of = f"{store['index_hash']}\n{model['fingerprint']}\n1\n".encode()
    assert opened.records[1] == google_crc32c.value(of + np.array(sums, "<u4").tobytes())


def test_metadata_is_in_a_hash(whole):
    for folder, names in ((whole, TABLE), (whole / "toy", MODEL)):
        attributes = json.loads((folder / "zarr.json").read_text())["attributes"]
        found = attributes.pop("metadata_hash")
        arrays = {name: json.loads((folder / name / "zarr.json").read_text()) for name in names}
        said = {"arrays": arrays, "attributes": attributes}
        words = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert found == hashlib.sha256(words.encode()).hexdigest()


def test_a_record_of_version_1_is_the_checksum_of_the_file_and_what_stands_beside():
    plan = open_store(KEPT)["kept-1.0"].plan
    vectors = (KEPT / "kept-1.0/heads/c/0/0/0").read_bytes()[: plan.heads * plan.chunk_bytes]
    beside = [np.ones(2, "u1"), np.array([100, 101], "<i4"), np.array([3, 1], "<f4"), np.arange(6, dtype="<f4") / -8]
    content = vectors + b"".join(part.tobytes() for part in beside)
    assert open_store(KEPT)["kept-1.0"].records[0] == google_crc32c.value(content)


def test_a_record_is_never_zero(toy, monkeypatch):
    class Zero:
        def update(self, data):
            pass

        def digest(self):
            return bytes(4)

    assert 0 < toy.content(range(4)).record() < 2**32
    monkeypatch.setattr("google_crc32c.Checksum", Zero)
    assert toy.content(range(4)).record() == 2**32 - 1


def test_a_model_whose_metadata_was_lost_is_not_passed_over(whole):
    (whole / "toy" / "zarr.json").unlink()
    assert faults(whole) == ["toy is no part of a store: a file from elsewhere, or a model whose zarr.json was lost"]


def test_a_model_that_says_nothing_hides_no_fault_of_another(toy, whole):
    toy.write(whole, model="twin")
    (whole / "toy/zarr.json").write_text("{")
    (whole / "twin/status/c/1").unlink()
    first, second = faults(whole)
    assert "toy cannot be read, it is damaged" in first
    assert second.startswith("twin: shard 1 (samples 4-7): status do not match")
    assert np.array_equal(open_store(whole)["twin"].read(), toy.vectors)
