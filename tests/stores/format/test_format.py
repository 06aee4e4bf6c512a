"""The format: readable without this package, refused where it is not what it says, and kept for good."""

import getpass
import hashlib
import json
import re
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
import xarray
import zarr
from zarr.codecs import BloscCodec, GzipCodec

from kit.metadata import edit, reseal
from savs_stores import (
    BenchmarkInfo,
    HeadTable,
    SampleTable,
    Shard,
    Status,
    StoreError,
    add_model,
    create_store,
    find_stores,
    open_store,
    verify,
)
from savs_stores.format.schema import MODEL, PER_HEAD, TABLE


def metadata(path):
    return {str(file.parent.relative_to(path)): json.loads(file.read_text()) for file in path.rglob("zarr.json")}


# Others can read it.


def test_xarray_opens_the_sample_table_unaided(toy, whole):
    with xarray.open_zarr(whole, consolidated=False, chunks=None) as opened:
        assert set(opened.variables) == set(TABLE)
        for name, spec in TABLE.items():
            assert opened[name].dims == spec.axes
            assert np.array_equal(opened[name].to_numpy(), getattr(toy.table, name))
        assert set(opened.coords) == {"sample_id", "task", "label", "split", "group", "slot"}
        assert opened.attrs["benchmark"]["tasks"] == {"all": ["blue", "green", "red"]}


def test_xarray_opens_a_model_unaided(toy, whole):
    with xarray.open_zarr(whole, group="toy", consolidated=False, chunks=None) as opened:
        assert set(opened.variables) == set(MODEL)
        assert {name: opened[name].dims for name in MODEL} == {name: spec.axes for name, spec in MODEL.items()}
        assert opened.heads.dtype == np.float16
        assert np.array_equal(opened.heads, toy.vectors)
        assert np.array_equal(opened.logits, toy.logits)
        assert set(opened.heads.coords) == set(PER_HEAD)
        chosen = opened.heads.sel(head=(opened.layer == 1) & (opened.head_in_layer == 2))
        assert np.array_equal(chosen, toy.vectors[:, [5]])


def test_every_array_says_what_it_is(whole):
    found = metadata(whole)
    assert set(found) == {".", "toy", *TABLE, *(f"toy/{name}" for name in MODEL)}
    assert {document["zarr_format"] for document in found.values()} == {3}
    for name, spec in {**TABLE, **{f"toy/{name}": spec for name, spec in MODEL.items()}}.items():
        assert tuple(found[name]["dimension_names"]) == spec.axes
        assert found[name]["data_type"] == (
            "string" if spec.dtype == np.dtypes.StringDType() else str(np.dtype(spec.dtype))
        )


def test_vectors_are_nan_where_nothing_was_written(begun):
    assert metadata(begun)["toy/heads"]["fill_value"] == "NaN"
    assert np.isnan(zarr.open_array(begun / "toy/heads", mode="r")[...]).all()
    assert not zarr.open_array(begun / "toy/shard_crc32c", mode="r")[...].any()


@pytest.mark.parametrize("codec", ["none", "blosc-lz4-bitshuffle"])
def test_no_codec_needs_more_than_the_list(toy, tmp_path, codec):
    toy.write(tmp_path / "store.zarr", codec=codec)
    names = set(re.findall(r'"name": "([a-z0-9_-]+)"', "".join(p.read_text() for p in tmp_path.rglob("zarr.json"))))
    assert names - {"regular", "default", "toys"} <= {
        "bytes", "crc32c", "zstd", "blosc", "sharding_indexed", "vlen-utf8",
    }  # fmt: skip


def test_a_shard_file_is_one_raw_array_and_its_index(toy, whole):
    content = (whole / "toy/heads/c/2/0/0").read_bytes()
    padded = np.full((6, 4, 4), np.nan, np.float16)
    padded[:, :2] = toy.vectors[8:].transpose(1, 0, 2)
    chunk = 4 * 4 * 2
    assert np.array_equal(np.frombuffer(content, "<f2", 6 * 4 * 4).reshape(6, 4, 4), padded, equal_nan=True)
    assert np.frombuffer(content, "<u8", 12, 6 * chunk).reshape(6, 2).tolist() == [[i * chunk, chunk] for i in range(6)]
    assert len(content) == 6 * chunk + 12 * 8 + 4


def test_a_store_says_nothing_about_its_machine(whole, tmp_path):
    files = [file for file in whole.rglob("*") if file.is_file()]
    content = b"".join(file.read_bytes() for file in files)
    words = set(re.findall(r"[\w.-]+", "".join(file.read_text() for file in files if file.name == "zarr.json")))
    assert "toys" in words
    assert words.isdisjoint({socket.gethostname(), getpass.getuser(), *tmp_path.parts})
    assert [place for place in ("/home/", "/tmp/", str(tmp_path)) if place.encode() in content] == []


def test_only_zarr_lies_inside(whole):
    files = [str(file.relative_to(whole)) for file in whole.rglob("*") if file.is_file()]
    assert [name for name in files if not re.fullmatch(r"(.+/)?zarr\.json|.+/c(/\d+)+", name)] == []


# What is something else is refused, in words.


def plant(name, **options):
    """Return a change of a store: another array in the place of one."""

    def change(path):
        spec = {**TABLE, **MODEL}[name.rsplit("/", 1)[-1]]
        old = zarr.open_array(path / name, mode="r")
        layout = {"shards": old.shards} if old.shards else {}
        given = {"dtype": spec.dtype, "shape": old.shape, "chunks": old.chunks, "dimension_names": spec.axes}
        zarr.create_array(path / name, overwrite=True, **{**given, **layout, **options})

    return change


def at(file, change):
    return lambda path: edit(path / file, change)


def write_text(file, text):
    return lambda path: (path / file).write_text(text)


REFUSED = {
    # name: (change of a sound store, words of the refusal)
    "gzip in the table": (plant("label", compressors=GzipCodec()), r"label uses codecs \['gzip'\]"),
    "gzip in a shard": (plant("toy/heads", compressors=GzipCodec()), r"heads uses codecs \['gzip'\]"),
    "gzip of the records": (plant("toy/shard_crc32c", compressors=GzipCodec()), r"shard_crc32c uses codecs \['gzip'\]"),
    "a codec nobody knows": (
        at("toy/heads/zarr.json", lambda d: d["codecs"][0].update(name="strange")), r"heads uses codecs \['strange'\]",
    ),
    "wide vectors": (plant("toy/heads", dtype="float32"), "heads has type float32, the format says float16"),
    "wide labels": (plant("label", dtype="int64"), "label has type int64, the format says int16"),
    "axes in another order": (
        plant("toy/heads", dimension_names=("head", "sample", "dim")),
        r"heads has axes \('head', 'sample', 'dim'\), the format says \('sample', 'head', 'dim'\)",
    ),
    "axes without names": (plant("label", dimension_names=None), "label has axes None"),
    "vectors in one piece": (plant("toy/heads", shards=None), "heads is not sharded"),
    "more vectors than samples": (plant("toy/heads", shape=(12, 6, 4)), r"heads has shape \(12, 6, 4\)"),
    "more heads than the head table": (
        plant("toy/heads", shape=(10, 7, 4), shards=(4, 7, 4)), r"layer has shape \(6,\) .*ask for \(7,\)",
    ),
    "fewer records than shards": (plant("toy/shard_crc32c", shape=(2,)), r"shard_crc32c has shape \(2,\) .*for \(3,\)"),
    "no records": (lambda path: shutil.rmtree(path / "toy/shard_crc32c"), "shard_crc32c is missing"),
    "no labels": (lambda path: shutil.rmtree(path / "label"), "label is missing: this is not a complete savs store"),
    "a group for an array": (lambda path: zarr.create_group(path / "label", overwrite=True), "label is missing"),
    "a group that is no model": (
        lambda path: zarr.create_group(path / "toy", overwrite=True),
        "toy is no model of a savs store: it lacks the attributes",
    ),
    "the next version": (
        at("zarr.json", lambda d: d["attributes"].update(format_version=3, created_by="savs 9")),
        r"has format version 3, this savs reads versions 1 and 2: install the savs that wrote it \(savs 9\)",
    ),
    "no version": (at("zarr.json", lambda d: d["attributes"].pop("format_version")), "has format version None"),
    "another format": (at("zarr.json", lambda d: d["attributes"].update(format="other")), "but no savs store"),
    "unsorted classes": (
        at("zarr.json", lambda d: d["attributes"]["benchmark"]["tasks"]["all"].reverse()), "must be sorted",
    ),
    "an order without a class": (
        at("zarr.json", lambda d: d["attributes"]["benchmark"].update(class_order={"all": ["red", "blue"]})),
        "class_order of task 'all' must hold each of its classes once",
    ),
    "an order that is no list": (
        at("zarr.json", lambda d: d["attributes"]["benchmark"].update(class_order={"all": "red"})),
        "class_order of a benchmark is of another kind",
    ),
    "half a root": (write_text("zarr.json", '{"attributes": {"form'), "cannot be read, it is damaged"),
    "half a column": (write_text("label/zarr.json", '{"shape'), "label cannot be read, it is damaged"),
    "half a model": (write_text("toy/zarr.json", '{"attributes'), "cannot be read, it is damaged"),
    "an empty heads": (write_text("toy/heads/zarr.json", ""), "toy/heads cannot be read, it is damaged"),
    "torn values": (write_text("label/c/0", "("), "label/c/0 cannot be read, it is damaged"),
}  # fmt: skip


@pytest.mark.parametrize("order", [{}, {"all": ["red", "blue", "green"]}])
def test_the_order_in_which_classes_appear_may_be_kept(toy, tmp_path, order):
    info = BenchmarkInfo("toy", {"all": ["blue", "green", "red"]}, class_order=order)
    create_store(tmp_path / "toy.zarr", info, toy.table)
    assert open_store(tmp_path / "toy.zarr").benchmark.class_order == order
    assert ("class_order" in metadata(tmp_path / "toy.zarr")["."]["attributes"]["benchmark"]) == bool(order)


@pytest.mark.parametrize("wording", ["", "td"])
def test_a_wording_of_the_question_may_be_kept(toy, tmp_path, wording):
    info = BenchmarkInfo("toy", {"all": ["blue", "green", "red"]}, wording=wording)
    create_store(tmp_path / "toy.zarr", info, toy.table)
    assert open_store(tmp_path / "toy.zarr").benchmark.wording == wording
    assert ("wording" in metadata(tmp_path / "toy.zarr")["."]["attributes"]["benchmark"]) == bool(wording)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_store_is_refused_in_words(whole, name):
    change, words = REFUSED[name]
    open_store(whole)["toy"]
    change(whole)
    with pytest.raises(StoreError, match=words):
        open_store(whole)["toy"]


def test_blosc_is_on_the_list(whole):
    before = open_store(whole).samples.label
    plant("label", compressors=BloscCodec())(whole)
    zarr.open_array(whole / "label", mode="r+")[:] = before
    with pytest.raises(StoreError, match="what it says of its arrays, were changed"):
        open_store(whole)
    reseal(whole)
    assert np.array_equal(open_store(whole).samples.label, before)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no store: there is no Zarr group"),  # nothing there
        (lambda path: path.mkdir(), "no store: there is no Zarr group"),  # an empty folder
        (lambda path: path.write_text("text"), "no store: there is no Zarr group"),
        (lambda path: zarr.create_array(path, shape=(2,), dtype="int8"), "no store: there is no Zarr group"),
        (lambda path: zarr.create_group(path, zarr_format=2), "no store: there is no Zarr group"),
        (lambda path: zarr.create_group(path), "a Zarr group but no savs store: its attribute 'format' is not 'savs'"),
    ],
)
def test_what_lies_elsewhere_is_refused_in_words(tmp_path, make, words):
    make(tmp_path / "thing.zarr")
    with pytest.raises(StoreError, match=words) as refusal:
        open_store(tmp_path / "thing.zarr")
    assert str(tmp_path / "thing.zarr") in str(refusal.value)


def test_a_foreign_folder_is_not_written_into(toy, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="no store"):
        toy.begin(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


# Versions 1 and 2, as they were once written. The second was made, with zarr 3.1.6, by
# `PYTHONPATH=tests python tests/stores/test_format.py tests/data/store-v2.zarr`.
# These files never change: another format gets another version, and a kept store of its own.

DATA = Path(__file__).parents[2] / "data"
KEPT = {
    1: ("store-v1.zarr", "530ffae249c0b16e050152f2b9d6ab404a9bda837c172ac40d582bef3b08ae8f"),
    2: ("store-v2.zarr", "fbde91f0a01ec30e2076a2055a900c4d0564e0360bd8984b8c0c4d72c3a97015"),
}
KEPT_VECTORS = np.arange(5 * 4 * 2).reshape(5, 4, 2) / 4 - 3  # exact in float16
KEPT_LOGITS = np.arange(5 * 3).reshape(5, 3) / -8
KEPT_TASKS = {"colour": ["blue", "red"], "shape": ["cone", "cube", "disc"]}


def make_kept_store(path):
    """Write the kept store; sample 3 failed, shards of two samples leave the last one half empty."""
    benchmark = BenchmarkInfo(
        "kept", KEPT_TASKS, "accuracy", "made up", "r1", "CC0-1.0", "{question}", {"cone": "a cone", "red": "red"}
    )
    columns = {
        "sample_id": ["a", "b", "c", "d", "é"],
        "task": ["colour", "shape", "shape", "colour", "shape"],
        "label": ["red", "cone", "disc", "blue", "cube"],
        "split": ["pool", "pool", "test", "test", "either"],
        "group": ["one", "one", None, "two", "two"],
        "slot": [0, 1, None, 0, 1],
        "options": [["red", "blue"], ["cube", "cone", "disc"], [], [], ["cube"]],
        "image_hash": [[1], [2**64 - 1, 3], [4], [], [5, 6]],
        "prompt_hash": [11, 12, 13, 14, 2**63],
    }
    create_store(path, benchmark, SampleTable.from_columns(KEPT_TASKS, columns))
    identity = {"model": "kept", "revision": "abc", "pixels": [28, 56]}
    table = HeadTable.from_layers([(0, 2, 2), (1, 2, 2)])
    writer = add_model(path, "kept-1.0", identity, table, {"command": "make"}, shard_samples=2)
    for shard in writer.missing:
        rows = writer.plan.rows(shard)
        content = Shard.empty(len(rows), 4, 2, 3)
        for place, row in enumerate(rows):
            content.n_tokens[place] = 100 + row
            if row == 3:
                content.status[place] = Status.IMAGE_CORRUPT
            else:
                content.put(place, KEPT_VECTORS[row])
                content.logits[place] = KEPT_LOGITS[row]
        writer.write(shard, content)


@pytest.fixture(params=KEPT)
def kept(request):
    return DATA / KEPT[request.param][0]


@pytest.mark.parametrize(("name", "sha256"), KEPT.values())
def test_the_kept_store_was_not_written_again(name, sha256):
    digest, kept = hashlib.sha256(), DATA / name
    for file in sorted(file for file in kept.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(kept).as_posix()}\n".encode() + file.read_bytes())
    assert digest.hexdigest() == sha256


def test_the_kept_store_can_be_read_for_good(kept):
    store = open_store(kept)
    vectors = store["kept-1.0"]
    expected, logits = KEPT_VECTORS.copy(), KEPT_LOGITS.copy()
    expected[3], logits[3] = np.nan, np.nan
    assert list(verify(store)) == []
    assert np.array_equal(vectors.read(), expected, equal_nan=True)
    assert np.array_equal(vectors.read([4, 1], [(1, 0)]), expected[[4, 1]][:, [2]])
    assert np.array_equal(vectors.logits, logits, equal_nan=True)
    assert vectors.status.tolist() == [1, 1, 1, 4, 1]
    assert vectors.usable.tolist() == [True, True, True, False, True]
    assert vectors.n_tokens.tolist() == [100, 101, 102, 103, 104]
    assert np.array_equal(vectors.absmax, [3, 1, 2.75, np.nan, 6.75], equal_nan=True)
    assert vectors.heads.layer.tolist() == [0, 0, 1, 1]
    assert vectors.heads.head_in_layer.tolist() == [0, 1, 0, 1]
    assert vectors.heads.head_dim.tolist() == [2, 2, 2, 2]
    assert vectors.heads.kind.tolist() == [0, 0, 0, 0]
    assert vectors.identity == {"model": "kept", "revision": "abc", "pixels": [28, 56]}
    assert vectors.provenance == {"command": "make"}
    assert vectors.shard_provenance == [{}] * 3
    assert vectors.plan.shards == 3


def test_the_kept_samples_can_be_read_for_good(kept):
    store = open_store(kept)
    assert store.models == ["kept-1.0"]
    assert {name: getattr(store.samples, name).tolist() for name in TABLE} == {
        "sample_id": ["a", "b", "c", "d", "é"],
        "task": [0, 1, 1, 0, 1],
        "label": [1, 0, 2, 0, 1],
        "split": [0, 0, 1, 1, 2],
        "group": [0, 0, -1, 1, 1],
        "slot": [0, 1, -1, 0, 1],
        "options": [[1, 0, -1], [1, 0, 2], [-1, -1, -1], [-1, -1, -1], [1, -1, -1]],
        "image_hash": [[1, 0], [2**64 - 1, 3], [4, 0], [0, 0], [5, 6]],
        "prompt_hash": [11, 12, 13, 14, 2**63],
    }
    benchmark = store.benchmark
    assert (benchmark.name, benchmark.metric, benchmark.source) == ("kept", "accuracy", "made up")
    assert (benchmark.revision, benchmark.licence, benchmark.prompt) == ("r1", "CC0-1.0", "{question}")
    assert benchmark.tasks == KEPT_TASKS
    assert benchmark.answers == {"cone": "a cone", "red": "red"}


def test_the_kept_store_can_be_resumed_by_its_maker(kept, tmp_path):
    path = shutil.copytree(kept, tmp_path / "store.zarr")
    make_kept_store(path)  # the hashes of samples and identity still come out the same, or this would raise
    assert list(verify(open_store(path))) == []


def test_a_name_with_brackets_is_itself_where_it_is_there(tmp_path, toy):
    """The command that a harvest printed for it found no store."""
    toy.write(tmp_path / "mine [1].zarr")
    assert find_stores(f"{tmp_path}/mine [1].zarr") == [f"{tmp_path}/mine [1].zarr"]
    assert find_stores(f"{tmp_path}/mine*.zarr") == [f"{tmp_path}/mine [1].zarr"]


if __name__ == "__main__":
    import sys

    make_kept_store(Path(sys.argv[1]))
