"""A store proves itself when it is opened and read: no damage changes a result without a word.

PYTHONPATH=tests python tests/stores/test_damage.py [CODEC]   flips bits of all files, prints what was found when
"""

import hashlib
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import zarr
from numcodecs import Zstd

from kit.metadata import edit, reseal
from savs_stores import HeadTable, StoreError, open_store, verify, write_store
from savs_stores.format.schema import PER_HEAD, PER_SAMPLE, TABLE

OF_SHARD = ("heads", *PER_SAMPLE, "shard_provenance", "chunk_crc32c", "shard_crc32c")
CODECS = ["none", "blosc-lz4-bitshuffle"]
ZSTANDARD = b"\x28\xb5\x2f\xfd"
VERIFY = "'savs-analyze verify' lists all faults"


def all_of_it(store, vectors):
    """Return one hash of everything that an analysis can ask of a store."""
    said = [store.benchmark, store.index_hash, vectors.fingerprint, vectors.identity, vectors.provenance]
    said += [vectors.shard_provenance, vectors.missing, vectors.plan]
    columns = [getattr(store.samples, name).tolist() for name in TABLE]
    columns += [getattr(vectors.heads, name).tolist() for name in PER_HEAD]
    arrays = [vectors.read(), vectors.records, *(getattr(vectors, name) for name in PER_SAMPLE)]
    return hashlib.sha256(repr([said, columns]).encode() + b"".join(map(np.ndarray.tobytes, arrays))).hexdigest()


def outcome(path, expected):
    """Return when damage is found: at `open`, at `read`, not as nothing is changed by it, or not at all."""
    try:
        store = open_store(path)
        vectors = store["toy"]
    except StoreError:
        return "open"
    try:
        return "harmless" if all_of_it(store, vectors) == expected else "missed"
    except StoreError:
        return "read"


def kind_of(path, file):
    return "zarr.json" if file.name == "zarr.json" else str(file.relative_to(path)).split("/c/")[0]


def flips(path, share, seed=0):
    """Yield (file, bit, outcome) of flipping a share of the bits of every file, of zarr.json an eighth of it."""
    generator = np.random.default_rng(seed)
    store = open_store(path)
    expected = all_of_it(store, store["toy"])
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        sound = file.read_bytes()
        bits = 8 * len(sound)
        count = max(1, round(share * (len(sound) if file.name == "zarr.json" else bits)))
        for bit in sorted(generator.choice(bits, count, replace=False).tolist()):
            content = bytearray(sound)
            content[bit // 8] ^= 1 << bit % 8
            file.write_bytes(content)
            yield file, bit, outcome(path, expected)
        file.write_bytes(sound)


def is_padding(path, file):
    """Tell whether a file holds rows behind the last sample: these are in no checksum, and nobody reads them."""
    parts = file.relative_to(path).parts
    return parts[0] == "toy" and parts[2:4] == ("c", "2")


def is_same_frame(sound, content):
    """Tell whether two Zstandard frames hold the same: some bits of a frame are unused (RFC 8878, 3.1.1.1.1.3)."""
    return sound.startswith(ZSTANDARD) and Zstd().decode(content) == Zstd().decode(sound)


def check_flips(toy, path, codec, share):
    made = {"environment": {"torch": "2"}, "run": {"started": "2026-01-02T03:04:05+00:00", "seconds": 1.5}}
    writer = toy.begin(path, codec=codec)
    for shard in writer.missing:
        writer.write(shard, toy.content(writer.plan.rows(shard)), made | {"run": {"seconds": shard}})
    sound = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    for file, bit, found in flips(path, share):
        place = f"bit {bit} of {file.relative_to(path)}"
        assert found != "missed", place
        if found == "harmless" and codec == "none":
            assert is_padding(path, file) or is_same_frame(sound[file], file.read_bytes()), place


@pytest.mark.parametrize("codec", CODECS)
def test_no_flipped_bit_goes_unseen(toy, tmp_path, codec):
    """In the head table 222 of 784 flips changed results, in the vectors and logits 4 % and 17 %."""
    check_flips(toy, tmp_path / "store.zarr", codec, 0.005)


@pytest.mark.slow
@pytest.mark.parametrize("codec", CODECS)
def test_no_flipped_bit_of_all_goes_unseen(toy, tmp_path, codec):
    check_flips(toy, tmp_path / "store.zarr", codec, 1)


def test_a_head_table_of_a_real_size_has_no_bit_that_changes_results_unseen(write, tmp_path):
    """222 of 784 flips, one in every head, changed results, and `verify` called them sound."""
    vectors = np.zeros((4, 28, 28, 2))
    path = tmp_path / "store.zarr"
    write(path, vectors)
    generator = np.random.default_rng(0)
    for name in PER_HEAD:
        array = zarr.open_array(path / "toy" / name, mode="r+")
        sound = array[...]
        for head in generator.choice(784, 5, replace=False).tolist():
            array[head] = sound[head] ^ sound.dtype.type(1 << int(generator.integers(7)))
            with pytest.raises(StoreError, match=r"toy: the head table does not give its hash.*restore it from a copy"):
                open_store(path)["toy"]
            assert next(verify(open_store(path, strict=False))).startswith("toy: the head table does not give")
        array[...] = sound
    open_store(path)["toy"]


def exchanged(*names):
    """Return a change that exchanges the files of the first two shards, of some arrays."""

    def change(path):
        for folder in (path / "toy" / name / "c" for name in names):
            (folder / "0").rename(folder / "between")
            (folder / "1").rename(folder / "0")
            (folder / "between").rename(folder / "1")

    return change


def values(name, change):
    """Return a change of the values of an array, as a program would make it."""

    def changed(path):
        array = zarr.open_array(path / name, mode="r+")
        array[...] = change(array[...])

    return changed


def lose_a_logit(logits):
    logits[6, 1] = np.nan
    return logits


def benchmark(**said):
    return lambda path: edit(path / "zarr.json", lambda d: d["attributes"]["benchmark"].update(said))


def shard_of(model):
    """Return a change that takes all files of a shard from another model of the same samples."""

    def change(path):
        for name in OF_SHARD:
            place = path / "toy" / name / "c/1"
            shutil.rmtree(place) if place.is_dir() else place.unlink()
            source = path / model / name / "c/1"
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, place)

    return change


TABLES, MODELS, READ = "store", "model", "read"
TABLE_HASH, HEAD_HASH = "the sample table does not give the index hash", "toy: the head table does not give its hash"
ATTRIBUTES, RECORD = "the attributes of the store", "shard 0 .*its checksums do not match its record"
LOGITS = r"toy/logits, shard 1 \(samples 4-7\): do not match"
DAMAGES = {
    # name: (damage, when it is found, words)
    "two layers exchanged": (values("toy/layer", lambda v: v[::-1].copy()), MODELS, HEAD_HASH),
    "another kind of head": (values("toy/kind", lambda v: v + np.uint8(1)), MODELS, HEAD_HASH),
    "labels zeroed": (values("label", lambda v: v * 0), TABLES, TABLE_HASH),
    "a column lost": (lambda path: (path / "label/c/0").unlink(), TABLES, TABLE_HASH),
    "another metric": (benchmark(metric="pair"), TABLES, ATTRIBUTES),
    "other answers": (benchmark(answers={"red": "blue"}), TABLES, ATTRIBUTES),
    "other checks": (benchmark(checks=[{"kind": "a", "words": "b"}]), TABLES, ATTRIBUTES),
    "another source": (benchmark(source="elsewhere"), TABLES, ATTRIBUTES),
    "another fill value": (
        lambda path: edit(path / "toy/logits/zarr.json", lambda d: d.update(fill_value=0)), MODELS, "its attributes",
    ),
    "a lost logit": (values("toy/logits", lose_a_logit), READ, LOGITS),
    "a lost column of logits": (lambda path: (path / "toy/logits/c/1/0").unlink(), READ, LOGITS),
    "a status": (values("toy/status", lambda v: v * 0 + np.uint8(3)), READ, "toy/status, shard 0"),
    "shard files exchanged": (exchanged("heads"), READ, "layer 0, head 0 do not match"),
    "logits exchanged": (exchanged("logits"), READ, "toy/logits, shard 0"),
    "lengths exchanged": (exchanged("n_tokens"), READ, "toy/n_tokens, shard 0"),
    "provenances exchanged": (exchanged("shard_provenance"), READ, "toy/shard_provenance, shard 0"),
    "checksums exchanged": (exchanged("chunk_crc32c"), READ, RECORD),
    "records exchanged": (exchanged("shard_crc32c"), READ, RECORD),
    "whole shards exchanged": (exchanged(*OF_SHARD), READ, RECORD),
    "a whole shard of another model": (shard_of("twin"), READ, "shard 1 .*its checksums do not match its record"),
    "no checksums": (lambda path: shutil.rmtree(path / "toy/chunk_crc32c"), MODELS, "chunk_crc32c is missing"),
}  # fmt: skip


@pytest.fixture
def sound(toy, tmp_path):
    """Return a store of two models whose shards were made in different ways."""
    path = tmp_path / "store.zarr"
    for model, identity in (("toy", {"model": "toy"}), ("twin", {"model": "twin"})):
        writer = toy.begin(path, model=model, identity=identity)
        for shard in writer.missing:
            writer.write(shard, toy.content(writer.plan.rows(shard)), {"run": {"seconds": shard}})
    return path


@pytest.mark.parametrize("name", DAMAGES)
def test_what_was_changed_is_refused_in_words(sound, name):
    damage, when, words = DAMAGES[name]
    damage(sound)
    if when == TABLES:
        with pytest.raises(StoreError, match=words):
            open_store(sound)
        assert any(words in fault for fault in verify(open_store(sound, strict=False)))
        return
    store = open_store(sound)
    if when == MODELS:
        with pytest.raises(StoreError, match=words):
            store["toy"]
    else:
        vectors = store["toy"]
        with pytest.raises(StoreError, match=rf"{words}.*{VERIFY}.*remove .*toy/shard_crc32c/c/[01] and harvest again"):
            all_of_it(store, vectors)
    assert any(fault.startswith("toy: ") for fault in verify(open_store(sound, strict=False)))
    all_of_it(store, store["twin"])  # the other model is none the worse


def first_fault(path):
    try:
        store = open_store(path)
        all_of_it(store, store["toy"])
    except StoreError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "name", ["a lost logit", "shard files exchanged", "whole shards exchanged", "records exchanged"]
)
def test_what_one_is_told_to_do_mends_a_shard(toy, sound, name):
    DAMAGES[name][0](sound)
    while fault := first_fault(sound):
        Path(fault.split("or remove ")[1].split(" and harvest again")[0]).unlink()
        assert toy.write(sound, identity={"model": "toy"}).missing == []
    assert np.array_equal(open_store(sound)["toy"].read(), toy.vectors)
    assert np.array_equal(open_store(sound)["toy"].logits, toy.logits)
    assert list(verify(open_store(sound))) == []


def test_a_read_is_not_believed_because_another_one_was_checked(toy, whole, flip):
    opened = open_store(whole)["toy"]
    assert np.array_equal(opened.read(), toy.vectors)
    flip(whole / "toy/heads/c/1/0/0", 40)
    with pytest.raises(StoreError, match="layer 0, head 1 do not match"):
        opened.read()


@pytest.mark.parametrize("codec", CODECS)
def test_a_read_touches_only_what_it_asks_for(toy, tmp_path, flip, codec):
    """A damaged head stops nobody who does not ask for it."""
    path = tmp_path / "store.zarr"
    toy.write(path, codec=codec)
    file = path / "toy/heads/c/1/0/0"
    start = int(np.frombuffer(file.read_bytes()[-100:-4], "<u8")[6])
    flip(file, start + 20)
    opened = open_store(path)["toy"]
    others = [0, 1, 2, 4, 5]
    assert np.array_equal(opened.read(heads=others), toy.vectors[:, others])
    assert np.array_equal(opened.read([0, 9], [3]), toy.vectors[[0, 9]][:, [3]])
    with pytest.raises(StoreError, match=r"toy/heads, shard 1"):
        opened.read([5], [3])


# Version 1.


def test_a_store_of_version_1_says_that_its_reads_are_not_checked(toy, first_version):
    path = first_version(toy)
    toy.write(path)
    store = open_store(path)
    assert store.version == 1
    assert "warning    what is read from a store of version 1 is not checked" in repr(store)
    assert "reads not checked" in repr(store["toy"])
    assert np.array_equal(store["toy"].read(), toy.vectors)
    assert list(verify(store)) == []


def test_a_store_of_version_2_has_nothing_to_warn_of(whole):
    assert "not checked" not in repr(open_store(whole)) + repr(open_store(whole)["toy"])


def test_a_harvest_of_version_1_goes_on_as_one(toy, first_version):
    path = first_version(toy)
    toy.write(path, [1])
    toy.write(path)
    assert not (path / "toy/chunk_crc32c").exists()
    records = open_store(path)["toy"].records.tolist()
    assert records == [toy.content(range(*rows)).record() for rows in ((0, 4), (4, 8), (8, 10))]
    toy.write(path, model="twin")  # a store has one version
    assert list(verify(open_store(path))) == []
    assert open_store(path).models == ["toy", "twin"]


def test_vectors_of_version_1_are_written_again_only_where_they_are_the_same(write, tmp_path, toy, first_version):
    path = first_version(toy)
    toy.write(path)
    given = {"benchmark": toy.benchmark, "samples": toy.table, "model": "toy", "identity": toy.identity}
    given |= {"head_table": toy.heads, "shard_samples": 4, "logits": toy.logits}
    with pytest.raises(StoreError, match="other vectors of 'toy'"):
        write_store(path, heads=toy.vectors + 1, **given)


def test_a_store_of_version_2_cannot_pass_for_one_of_version_1(whole):
    edit(whole / "zarr.json", lambda d: d["attributes"].update(format_version=1))
    with pytest.raises(StoreError, match="the attributes of the store"):
        open_store(whole)


@pytest.mark.parametrize("name", ["labels zeroed", "a column lost"])
def test_the_table_of_version_1_is_compared_with_its_hash_too(toy, first_version, name):
    """Labels of 100 samples were zeroed, and a sweep gave 75.3 for 92.7."""
    path = first_version(toy)
    toy.write(path)
    DAMAGES[name][0](path)
    with pytest.raises(StoreError, match="the sample table does not give the index hash"):
        open_store(path)


def test_a_head_table_that_is_narrower_than_the_vectors_is_refused(whole):
    table = HeadTable.from_layers([(0, 3, 2), (1, 3, 2)])
    zarr.open_array(whole / "toy/head_dim", mode="r+")[:] = table.head_dim
    edit(whole / "toy/zarr.json", lambda d: d["attributes"].update(head_table_hash=table.hash()))
    reseal(whole / "toy")
    with pytest.raises(StoreError, match="the vectors are 4 wide, the head table says 2"):
        open_store(whole)["toy"]


if __name__ == "__main__":
    from kit.toy import Toy

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "store.zarr"
        Toy().write(path, codec=(sys.argv[1:] or ["none"])[0])
        counts: dict[str, Counter] = {}
        for file, _, found in flips(path, 1):
            counts.setdefault(kind_of(path, file), Counter())[found] += 1
    for kind, found in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        print(f"{kind}: {found.total():,} flips, " + ", ".join(f"{when} {n:,}" for when, n in sorted(found.items())))
