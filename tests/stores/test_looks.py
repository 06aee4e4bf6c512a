"""What lies in a store is looked at before it is read: kinds, sizes, types. Nothing hangs, nothing takes gigabytes."""

import json
import os
import resource
import shutil
import socket
import struct

import numpy as np
import pytest
from numcodecs import Blosc, Zstd

from kit.metadata import edit, reseal
from savs_stores import BenchmarkInfo, SampleTable, StoreError, create_store, open_store, verify
from savs_stores.format.layout import HEADER_BYTES, Layout, check_size, inflated_bytes
from savs_stores.format.schema import TABLE

# What is read of a store, and when: its files, of the table and of a model.
OPENED = ["zarr.json", "label/zarr.json", "label/c/0", "sample_id/c/0", "options/c/0/0"]
OF_MODEL = ["zarr.json", "heads/zarr.json", "layer/zarr.json", "layer/c/0", "kind/c/0", "shard_crc32c/c/1"]
READ = ["status/c/1", "logits/c/1/0", "chunk_crc32c/c/1/0", "shard_provenance/c/1", "heads/c/1/0/0"]
FILES = [*OPENED, *(f"toy/{name}" for name in OF_MODEL + READ)]


def read_all(path):
    store = open_store(path)
    vectors = store["toy"]
    return [vectors.read(), vectors.status, vectors.logits, vectors.n_tokens, vectors.absmax, vectors.shard_provenance]


def replaced(make):
    def change(file):
        file.unlink()
        make(file)

    return change


def make_socket(file):
    if len(str(file)) > 100:
        pytest.skip("the path is too long for a socket")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(file))


KINDS = {
    "named pipe": os.mkfifo,
    "folder": os.mkdir,
    "socket": make_socket,
    "device": lambda file: file.symlink_to("/dev/zero"),
}


@pytest.mark.parametrize("thing", KINDS)
@pytest.mark.parametrize("file", FILES)
def test_what_is_no_file_is_refused_at_once(whole, thing, file):
    """A named pipe was waited for, a device read for ever."""
    replaced(KINDS[thing])(whole / file)
    with pytest.raises(StoreError, match=rf"{file} is a {thing} where a store has a file"):
        read_all(whole)


def test_a_model_behind_a_pipe_or_a_link_is_looked_at(whole, tmp_path):
    (whole / "other").mkdir()
    os.mkfifo(whole / "other/zarr.json")
    with pytest.raises(StoreError, match=r"other/zarr.json is a named pipe"):
        read_all(whole)
    shutil.rmtree(whole / "other")
    (whole / "label").rename(tmp_path / "label")  # what a link leads to may be a file like any other
    (whole / "label").symlink_to(tmp_path / "label")
    read_all(whole)


def test_a_pipe_after_opening_is_not_waited_for(toy, whole):
    opened = open_store(whole)["toy"]
    replaced(os.mkfifo)(whole / "toy/heads/c/1/0/0")
    with pytest.raises(StoreError, match="heads/c/1/0/0 is no file"):
        opened.read()


def declare(name, **lengths):
    """Return a change of an array's zarr.json: its shape, and its chunks."""

    def change(path):
        file = path / name / "zarr.json"
        edit(file, lambda d: d.update(shape=lengths["shape"]))
        if "chunks" in lengths:
            edit(file, lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=lengths["chunks"]))

    return change


def all_rows(count):
    """Return a change of all arrays along the samples."""

    def change(path):
        for name in TABLE:
            document = json.loads((path / name / "zarr.json").read_text())
            declare(name, shape=[count, *document["shape"][1:]], chunks=[count, *document["shape"][1:]])(path)

    return change


def bomb(name, codec, size, head=b""):
    """Return a change of a file: a few bytes that stand for many."""

    def change(path):
        [file] = (path / name).glob("c/0*") if not (path / name / "c/0/0").exists() else [path / name / "c/0/0"]
        file.write_bytes(codec.encode(head + bytes(size - len(head))))

    return change


def long_metadata(path):
    with (path / "zarr.json").open("ab") as file:
        file.truncate(300_000_000)  # of blanks: it takes no room on the disk


def nested(path):
    (path / "zarr.json").write_text('{"attributes": ' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}")


def texts(count):
    return bomb("sample_id", Zstd(), 64, struct.pack("<I", count))


def at(file, change):
    return lambda path: edit(path / file, change)


def attributes(file, **values):
    return at(file, lambda d: d["attributes"].update(values))


def benchmark(**values):
    return at("zarr.json", lambda d: d["attributes"]["benchmark"].update(values))


MANY = 10**12
ABSURD = {
    # name: (change, words of the refusal)
    "rows": (all_rows(MANY), "declares"),
    "rows in small chunks": (declare("label", shape=[MANY], chunks=[1]), "declares 1,000,000,000,000 chunks"),
    "options": (declare("options", shape=[10, MANY], chunks=[10, MANY]), "declares chunks of 10 x 1,000,000,000,000"),
    "images": (declare("image_hash", shape=[10, 10**9], chunks=[10, 10**5]), "declares 10 x 1,000,000,000 values"),
    "a chunk": (declare("label", shape=[10], chunks=[MANY]), "declares chunks of 1,000,000,000,000"),
    "rows of a model": (declare("toy/status", shape=[MANY], chunks=[MANY]), "status declares chunks"),
    "classes": (declare("toy/logits", shape=[10, 40_000], chunks=[4, 40_000]), r"logits has shape \(10, 40000\)"),
    "heads": (declare("toy/layer", shape=[10**6], chunks=[10**6]), r"layer has shape \(1000000,\)"),
    "a shard": (declare("toy/heads", shape=[10, 6, 4], chunks=[10**10, 6, 4]), "heads has shards of"),
    "no rows": (declare("label", shape=[0], chunks=[1]), "lengths are whole numbers above 0"),
    "rows below 0": (declare("label", shape=[-1], chunks=[1]), "lengths are whole numbers above 0"),
    "a row and a half": (declare("label", shape=[1.5], chunks=[1]), "lengths are whole numbers above 0"),
    "true rows": (declare("label", shape=[True], chunks=[1]), "lengths are whole numbers above 0"),
    "words for rows": (declare("label", shape="ten", chunks=[1]), "label has the shape ten"),
    "zstd": (bomb("label", Zstd(), 10**8), r"label/c/0 .*it holds 100,000,000 bytes, its array says 20"),
    "zstd of the status": (bomb("toy/status", Zstd(), 10**8), "status/c/0 .*it holds 100,000,000 bytes"),
    "zstd of the checksums": (bomb("toy/chunk_crc32c", Zstd(), 10**8), "it holds 100,000,000 bytes"),
    "larger zstd": (bomb("label", Zstd(), 10**9), r"label/c/0 has [\d,]+ bytes, a savs store has at most 4,116 there"),
    "zstd of texts": (texts(10**9), "it holds 1,000,000,000 texts"),
    "more zstd of texts": (bomb("sample_id", Zstd(), 10**9), "it holds 1,000,000,000 bytes"),
    "metadata": (long_metadata, "zarr.json has 300,000,000 bytes, a savs store has at most 16,777,216 there"),
    "nested metadata": (nested, "cannot be read, it is damaged: RecursionError"),
    "a list for a benchmark": (attributes("zarr.json", benchmark=[1]), "'benchmark' of a store is a JSON object"),
    "a list for tasks": (benchmark(tasks=["a"]), "tasks of a benchmark is of another kind"),
    "a number for classes": (benchmark(tasks={"all": 3}), "tasks of a benchmark is of another kind"),
    "numbers for classes": (benchmark(tasks={"all": [1, 2, 3]}), "tasks of a benchmark is of another kind"),
    "no tasks": (benchmark(tasks={}), "tasks of a benchmark is of another kind"),
    "a list for answers": (benchmark(answers=[]), "answers of a benchmark is of another kind"),
    "words for checks": (benchmark(checks="fine"), "checks of a benchmark is of another kind"),
    "checks of numbers": (benchmark(checks=[1]), "checks of a benchmark is of another kind"),
    "no metric": (benchmark(metric=None), "metric of a benchmark is of another kind"),
    "too many classes": (
        benchmark(tasks={"all": sorted(map(str, range(40_000)))}), "has 40,000 classes, a store takes at most 32,767",
    ),
    "a list for the identity": (attributes("toy/zarr.json", identity=[]), r"lacks the attributes \['identity'\]"),
    "a number for the fingerprint": (attributes("toy/zarr.json", fingerprint=1), r"the attributes \['fingerprint'\]"),
    "a list for the provenance": (attributes("toy/zarr.json", provenance=[]), r"the attributes \['provenance'\]"),
    "a list for attributes": (at("zarr.json", lambda d: d.update(attributes=[])), "no JSON object"),
    "a list for metadata": (lambda path: (path / "label/zarr.json").write_text("[]"), "label cannot be read"),
    "true for the version": (attributes("zarr.json", format_version=True), "has format version True"),
    "a list for the version": (attributes("zarr.json", format_version=[2]), r"has format version \[2\]"),
}  # fmt: skip


@pytest.mark.parametrize("name", ABSURD)
def test_what_is_absurd_is_refused_before_memory_is_taken_for_it(whole, name):
    """Also where the hashes are those of what it says: a store may come from anywhere."""
    change, words = ABSURD[name]
    change(whole)
    for folder in (whole, whole / "toy"):
        if name not in ("metadata", "nested metadata", "a list for attributes", "a list for metadata"):
            reseal(folder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(StoreError, match=words):
        read_all(whole)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_compressed_chunk_that_stands_for_gigabytes_is_not_decoded(toy, tmp_path):
    path = tmp_path / "store.zarr"
    toy.write(path, codec="blosc-lz4-bitshuffle")
    file = path / "toy/heads/c/1/0/0"
    content = bytearray(file.read_bytes())
    start, _ = np.frombuffer(content[-100:-4], "<u8").reshape(6, 2)[2].tolist()
    assert struct.unpack("<I", content[start + 4 : start + 8]) == (32,)
    content[start + 4 : start + 8] = struct.pack("<I", 2**31 - 1)
    file.write_bytes(content)
    opened = open_store(path)["toy"]
    with pytest.raises(StoreError, match="heads/c/1/0/0 holds 2147483647 bytes of a head, its array says 32"):
        opened.read()
    assert np.array_equal(opened.read(heads=[0, 1]), toy.vectors[:, :2])


@pytest.mark.parametrize("codec", [Blosc(cname="lz4"), Blosc(cname="zstd", clevel=9), Zstd(), Zstd(checksum=True)])
@pytest.mark.parametrize("size", [1, 20, 255, 256, 257, 65_791, 65_792, 10**6])
def test_what_compressed_bytes_stand_for_is_known_from_their_head(codec, size):
    name = type(codec).__name__.lower()
    for values in (bytes(size), np.random.default_rng(0).bytes(size)):
        packed = bytes(codec.encode(values))
        assert inflated_bytes(name, packed[:HEADER_BYTES], len(packed)) == size
        if name == "blosc":  # it says how long it is, and would be read to there
            assert inflated_bytes(name, packed[:HEADER_BYTES], len(packed) - 1) is None
    assert inflated_bytes(name, b"(", 1) is None


def test_a_store_is_not_made_with_more_classes_than_labels_can_tell(tmp_path):
    """Labels of class 32,768 and up became negative."""
    classes = sorted(map(str, range(40_000)))
    with pytest.raises(StoreError, match="has 40,000 classes, a store takes at most 32,767"):
        create_store(tmp_path / "a.zarr", BenchmarkInfo("many", {"all": classes}), None)
    assert list(tmp_path.iterdir()) == []
    tasks = {"all": classes[:32_767]}
    table = SampleTable.from_columns(tasks, {"label": [tasks["all"][0], tasks["all"][-1]]})
    create_store(tmp_path / "a.zarr", BenchmarkInfo("many", tasks), table)
    assert open_store(tmp_path / "a.zarr").samples.label.tolist() == [0, 32_766]


def test_what_could_not_be_opened_is_not_made(write, tmp_path):
    with pytest.raises(StoreError, match=r"declares chunks of 1,000,000,000, [\d,]+ bytes: .* at most 268,435,456"):
        write(tmp_path / "store.zarr", np.zeros((2, 1, 2), np.float16), shard_samples=10**9)
    assert open_store(tmp_path / "store.zarr").models == []
    with pytest.raises(StoreError, match="status declares 200,000 chunks: a savs store has at most 131,072"):
        check_size("status", Layout((200_000,), (1,), (), 1))


@pytest.mark.parametrize(("column", "code"), [("label", 3), ("label", -2), ("task", 1), ("task", -1), ("split", 3)])
def test_a_code_without_a_word_is_refused(toy, tmp_path, column, code):
    from dataclasses import replace

    values = getattr(toy.table, column).astype(np.int64)
    values[7] = code
    table = replace(toy.table, **{column: values.astype(getattr(toy.table, column).dtype)})
    create_store(tmp_path / "a.zarr", toy.benchmark, table)
    with pytest.raises(StoreError, match=f"sample 7 has the {column} {code}, which the benchmark has no word for"):
        open_store(tmp_path / "a.zarr")


def test_errors_repeat_no_control_characters(whole):
    attributes("zarr.json", format_version=9, created_by="\x1b]0;title\x07\x9b2J\u202eevil\nnext")(whole)
    with pytest.raises(StoreError) as refusal:
        open_store(whole)
    assert str(refusal.value).endswith(r"(\x1b]0;title\x07\x9b2J\u202eevil\nnext)")


def test_a_foreign_provenance_of_another_kind_is_a_fault(toy, begun):
    for number, text in enumerate(['{"run": []}', '{"run": {"seconds": "x"}}', '{"environment": 3}']):
        writer = toy.begin(begun)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("savs_stores.write.to_text", lambda _, text=text: text)
            writer.write(number, toy.content(writer.plan.rows(number)))
    assert "shard_provenance cannot be read" in repr(open_store(begun))
    assert any("shard_provenance cannot be read" in fault for fault in verify(open_store(begun)))
