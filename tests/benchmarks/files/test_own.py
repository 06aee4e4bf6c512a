"""Your own data, known by what they are: folders and tables as the wild writes them become samples, or say why not."""

import json
import os
import re

import pandas as pd
import pyarrow as pa
import pytest

from kit.own import CLASSES, QUESTION, digit, encoded, image_table, noise, save_to_disk, write_folder, write_parquet
from kit.replicas.writing import write_picture
from savs_benchmarks import BenchmarkError, PictureError, Reading, check, find_benchmark, load_own, load_picture

ASKED = Reading(question=QUESTION)


def told(path, reading=ASKED):
    """Return (id, label, split) of every sample."""
    return [(s.sample_id, s.label, s.split) for s in check(load_own(path, reading))]


def refused(path, reading=ASKED):
    with pytest.raises(BenchmarkError) as raised:
        check(load_own(path, reading))
    return str(raised.value)


def write(path, content=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# Folders


def test_a_subfolder_is_a_class_and_the_question_is_the_prompt(tmp_path):
    folder = write_folder(tmp_path / "Photos", per_class=2)
    benchmark = load_own(folder, ASKED)
    assert (benchmark.name, benchmark.prompt, benchmark.tasks) == ("photos", QUESTION, {"all": CLASSES})
    assert [(s.sample_id, s.label, s.split) for s in check(benchmark)] == [
        (f"{word}/{number}.png", word, "either") for word in CLASSES for number in range(2)
    ]
    assert load_own(folder, ASKED).revision == benchmark.revision
    noise(0).save(folder / "one" / "0.png")
    assert load_own(folder, ASKED).revision != benchmark.revision


@pytest.mark.parametrize(("train", "test"), [("train", "test"), ("Training", "validation"), ("train", "val")])
def test_train_and_test_above_the_classes_are_splits(tmp_path, train, test):
    write_folder(tmp_path / train, 1, CLASSES[:2])
    write_folder(tmp_path / test, 1, CLASSES[:2])
    expected = {(f"{train}/{word}/0.png", word, "pool") for word in CLASSES[:2]}
    assert set(told(tmp_path)) == expected | {(f"{test}/{word}/0.png", word, "test") for word in CLASSES[:2]}


def test_a_single_split_can_be_support_and_test(tmp_path):
    write_folder(tmp_path / "train", 1)
    benchmark = load_own(tmp_path, ASKED)
    assert {sample.split for sample in check(benchmark)} == {"either"}
    assert "all 3 rows are of one split (pool)" in benchmark.remarks[0]


def test_a_folder_of_one_folder_is_gone_into(tmp_path):
    write_folder(tmp_path / "photos" / "photos", 1)
    assert [label for _, label, _ in told(tmp_path / "photos")] == list(CLASSES)


def test_what_file_managers_leave_behind_is_no_sample(tmp_path):
    folder = write_folder(tmp_path / "photos", 1)
    for name in (
        ".DS_Store",
        "one/Thumbs.db",
        "one/.hidden.png",
        "__MACOSX/one/0.png",
        ".git/x.png",
        "two/desktop.ini",
    ):
        write(folder / name, b"anything")
    benchmark = load_own(folder, ASKED)
    assert len(check(benchmark)) == 3
    assert benchmark.remarks == ()


def test_what_is_no_picture_is_counted_by_its_ending(tmp_path):
    folder = write_folder(tmp_path / "photos", 1)
    for name in ("a.HEIC", "one/b.heic", "notes.txt", "LICENSE"):
        write(folder / name, b"\0\0\0\x18ftypheic")
    benchmark = load_own(folder, ASKED)
    assert len(check(benchmark)) == 3
    assert [remark.removeprefix("no pictures that can be read, passed over: ") for remark in benchmark.remarks] == [
        "1 files without an ending (LICENSE)",
        "2 .heic files (a.HEIC, one/b.heic)",
        "1 .txt files (notes.txt)",
    ]


def test_endings_in_capitals_none_and_wrong_ones_are_pictures_by_their_first_bytes(tmp_path):
    for name, form in (
        ("a/1.JPG", "JPEG"),
        ("a/2.PNG", "PNG"),
        ("b/noending", "WEBP"),
        ("b/3.dat", "GIF"),
        ("b/4.jpg", "PNG"),
    ):
        write(tmp_path / name, encoded(noise(1), form))
    samples = check(load_own(tmp_path, ASKED))
    assert [s.sample_id for s in samples] == ["a/1.JPG", "a/2.PNG", "b/3.dat", "b/4.jpg", "b/noending"]
    assert {load_picture(s.images[0]).size for s in samples} == {(64, 48)}


def test_empty_and_broken_pictures_stay_and_say_what_they_are_when_they_are_read(tmp_path):
    folder = write_folder(tmp_path / "photos", 1)
    write(folder / "one" / "empty.png")
    (folder / "two" / "gone.png").symlink_to(folder / "nowhere.png")
    codes = {}
    for sample in check(load_own(folder, ASKED)):
        try:
            load_picture(sample.images[0])
        except PictureError as error:
            codes[sample.sample_id] = error.code
    assert codes == {"one/empty.png": "not_an_image", "two/gone.png": "image_missing"}


def test_nested_folders_links_and_names_of_the_world(tmp_path):
    folder = tmp_path / "photos"
    for name in ("Käfer/2024/mai/ä 1.png", "Käfer/日本.png", "шмель/🐝.png"):
        write(folder / name, encoded(noise(len(name))))
    write_folder(tmp_path / "elsewhere", 1, ("one",))
    (folder / "one").symlink_to(tmp_path / "elsewhere" / "one")
    (folder / "шмель" / "circle").symlink_to(folder)
    assert [label for _, label, _ in told(folder)] == ["Käfer", "Käfer", "one", "шмель"]


def test_a_name_that_is_no_unicode_is_written_readably(tmp_path):
    folder = write_folder(tmp_path / "photos", 1)
    place = os.fsencode(folder) + b"/one/caf\xe9.png"
    try:
        with open(place, "wb") as stream:  # noqa: PTH123  a path of bytes
            stream.write(encoded(noise(1)))
    except OSError:
        pytest.skip("this disk takes no such names")
    names = [s.sample_id for s in check(load_own(folder, ASKED))]
    assert "one/caf\\xe9.png" in names
    "".join(names).encode()


def test_a_pipe_is_no_picture(tmp_path):
    folder = write_folder(tmp_path / "photos", 1)
    os.mkfifo(folder / "one" / "pipe.png")
    assert len(told(folder)) == 3


def test_a_folder_without_classes_has_no_labels(tmp_path):
    for number in range(3):
        write(tmp_path / "new" / f"{number}.png", encoded(noise(number)))
    benchmark = load_own(tmp_path / "new", ASKED)
    assert [(s.sample_id, s.label) for s in check(benchmark)] == [(f"{number}.png", "") for number in range(3)]
    assert benchmark.tasks == {"all": ()}


def test_pictures_beside_the_classes_have_no_label(tmp_path):
    folder = write_folder(tmp_path, 1)
    noise(0).save(folder / "who.png")
    assert [label for _, label, _ in told(folder)] == ["one", "two", "", "zero"]


def test_one_class_alone_is_refused(tmp_path):
    assert "fewer than two classes: ['one']" in refused(write_folder(tmp_path, 2, ("one",)).parent / tmp_path.name)


def test_without_a_question_one_is_proposed(tmp_path):
    folder = write_folder(tmp_path / "photos", 1)
    assert '--question "Which is it: one, two or zero?"' in refused(folder, Reading())


@pytest.mark.parametrize("content", [{}, {"readme.txt": b"hello"}, {"a/b/c.HEIC": b"x"}])
def test_a_folder_without_pictures_says_what_it_has(tmp_path, content):
    for name, data in content.items():
        write(tmp_path / name, data)
    words = refused(tmp_path)
    assert "holds no pictures" in words
    assert all(name.rpartition(".")[2].lower() in words for name in content)


# A table of metadata beside the pictures, as imagefolder has it.


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "file_name,label\na/1.png,cat\n2.png,dog\n"),
        ("metadata.tsv", "file_name\tlabel\na/1.png\tcat\n2.png\tdog\n"),
        ("metadata.jsonl", '{"file_name": "a/1.png", "label": "cat"}\n{"file_name": "2.png", "label": "dog"}\n'),
    ],
)
def test_metadata_beside_the_pictures_name_their_labels(tmp_path, name, content):
    for picture in ("a/1.png", "2.png", "3.png"):
        write(tmp_path / "train" / picture, encoded(noise(len(picture))))
    write(tmp_path / "train" / name, content)
    write(tmp_path / "test" / "dog" / "9.png", encoded(noise(9)))
    benchmark = load_own(tmp_path, ASKED)
    assert sorted((s.sample_id, s.label, s.split) for s in check(benchmark)) == [
        ("test/dog/9.png", "dog", "test"),
        ("train/2.png", "dog", "pool"),
        ("train/a/1.png", "cat", "pool"),
    ]
    assert benchmark.remarks == (f"not in {name}, passed over: 1 pictures (3.png)",)


def test_metadata_without_labels_leave_them_to_the_subfolders(tmp_path):
    folder = write_folder(tmp_path, 1, ("one", "two"))
    write(folder / "metadata.csv", "file_name,text\none/0.png,is it one ?\ntwo/0.png,is it two ?\n")
    samples = check(load_own(folder))
    assert [(s.question, s.label) for s in samples] == [("is it one ?", "one"), ("is it two ?", "two")]


# Tables

BOM = b"\xef\xbb\xbf"
ROWS = (("1.png", "ja"), ("2.png", "nein"), ("sub/3.png", "ja"))
PLAIN = "image,label\n1.png,ja\n2.png,nein\nsub/3.png,ja\n"
CSV = {
    "plain": PLAIN.encode(),
    "BOM and semicolons": BOM + PLAIN.replace(",", ";").encode(),
    "tabs": PLAIN.replace(",", "\t").encode(),
    "bars": PLAIN.replace(",", "|").encode(),
    "Windows lines": PLAIN.replace("\n", "\r\n").encode(),
    "UTF-16 of a spreadsheet": PLAIN.replace(",", "\t").encode("utf-16"),
    "quotes": b'"image","label"\n"1.png","ja"\n"2.png","nein"\n"sub/3.png","ja"\n',
    "other names": PLAIN.replace("image", "File Name").replace("label", "Class").encode(),
    "no end, blank lines": PLAIN.replace("\n2", "\n\n,,\n2").rstrip("\n").encode(),
    "more columns with commas": b'id,filename,target,note\na,1.png,ja,"x, y; z"\nb,2.png,nein,\nc,sub/3.png,ja,"1;2"\n',
    "backslashes": PLAIN.replace("sub/", "sub\\").encode(),
    "extra empty cells": PLAIN.replace("ja\n", "ja,,\n").encode(),
    "spaces": PLAIN.replace(",", " , ").replace("image ", "image").replace(" label", "label").encode(),
}


@pytest.fixture
def beside(tmp_path):
    """A folder with the pictures that the tables name."""
    for name, _ in ROWS:
        write(tmp_path / name, encoded(noise(len(name))))
    return tmp_path


@pytest.mark.parametrize("kind", CSV)
@pytest.mark.parametrize("name", ["leaves.csv", "leaves.txt"])
def test_a_table_of_text_is_read_however_it_was_written(beside, kind, name):
    samples = check(load_own(write(beside / name, CSV[kind]), ASKED))
    assert [(s.images[0].relative_to(beside).as_posix(), s.label) for s in samples] == list(ROWS)
    ids = (
        [*"abc"]
        if kind.startswith("more")
        else [name.replace("/", "\\") if kind == "backslashes" else name for name, _ in ROWS]
    )
    assert [s.sample_id for s in samples] == ids


def test_a_table_of_older_windows_is_read_with_a_remark(beside):
    benchmark = load_own(write(beside / "t.csv", PLAIN.replace("ja", "schön").encode("cp1252")), ASKED)
    assert benchmark.tasks == {"all": ("nein", "schön")}
    assert "read as Windows-1252" in benchmark.remarks[0]


def test_empty_cells_are_no_label_and_a_table_may_have_none_at_all(beside):
    benchmark = load_own(
        write(beside / "t.csv", PLAIN.replace("nein", "").replace("sub/3.png,ja", "sub/3.png,no")), ASKED
    )
    assert [s.label for s in check(benchmark)] == ["ja", "", "no"]
    without = load_own(write(beside / "u.csv", "image,size\n1.png,3\n2.png,4\n"), ASKED)
    assert (without.tasks, [s.label for s in check(without)]) == ({"all": ()}, ["", ""])
    assert without.remarks == ("u.csv: no column was taken for the label; columns are image, size",)


def test_questions_splits_groups_and_tasks_are_columns_too(beside):
    text = (
        "image,question,label,split,group,task\n1.png,a?,x,train,g,t\n2.png,b?,y,test-00000,,t\n2.png,b?,y,either,,t\n"
    )
    samples = check(load_own(write(beside / "t.csv", text)))
    assert [(s.sample_id, s.question, s.split, s.group, s.task) for s in samples] == [
        ("1", "a?", "pool", "g", "t"),
        ("2", "b?", "test", None, "t"),
        ("3", "b?", "either", None, "t"),
    ]
    assert load_own(beside / "t.csv").prompt == "{question}"
    assert load_own(beside / "t.csv", ASKED).prompt == QUESTION


def test_the_pictures_may_lie_elsewhere(beside):
    table = write(beside / "tables" / "t.csv", PLAIN)
    assert "say where they are with --image-root" in refused(table)
    assert len(told(table, Reading(question=QUESTION, image_root=beside))) == 3


def test_a_few_pictures_that_are_not_there_are_told_when_they_are_read(beside):
    (beside / "2.png").unlink()
    assert len(told(write(beside / "t.csv", PLAIN))) == 3


# What is wrong with a table, the options it is read with, and words of the answer.
BAD_TABLES = {
    "no rows": ("image,label\n", {}, "has no rows"),
    "nothing": ("", {}, "has no rows"),
    "no header": ("1.png,ja\n2.png,nein\n", {}, "begins with a row, not with names of columns"),
    "no picture": ("a,b,c\n1.png,2,3\n", {}, "columns are a, b, c: name one with --image-column"),
    "pictures by another name": (
        "bild,text\n1.PNG,odd ?\n",
        {},
        "is there a picture in its column 'bild'? Say so with",
    ),
    "pictures by another name, later": (
        "bild,text\n,odd ?\n1.PNG,odd ?\n",
        {},
        "line 3: is there a picture in its column 'bild'? Say so with",
    ),
    "two pictures": ("image,path,label\n1.png,1.png,x\n", {}, "'image' and 'path' could be the picture"),
    "two labels": ("image,label,class\n1.png,x,y\n", {}, "name one with --label-column"),
    "two questions": (
        "image,text,prompt,label\n1.png,x,y,z\n",
        {"question": ""},
        "'text' and 'prompt' could be the question",
    ),
    "no such column": (PLAIN, {"label_column": "lable"}, "has no column 'lable'; did you mean 'label'?"),
    "a column twice": ("image,label,label\n1.png,x,y\n", {}, "has the column 'label' 2 times"),
    "too many cells": ("image,label\n1.png,x\n1.png,x,y\n", {}, "line 3: it has 3 cells, there are 2 columns"),
    "no path": ("image,label\n1.png,x\n,y\n", {}, "line 3: its picture must be a path, got ''"),
    "a path out": ("image,label\n../../x.png,x\n", {}, "line 2: '../../x.png' leads out of"),
    "an absolute path": ("image,label\n/etc/hostname,x\n", {}, "name a folder above it with --image-root"),
    "an endless line": ("image," + "x" * 200_000 + "\n1.png,x\n", {}, "cannot be read, line 1: field larger"),
    "an address": ("image,label\nhttps://example.org/1.png,x\n", {}, "is not a path below"),
    "a strange split": ("image,label,split\n1.png,x,fold3\n1.png,y,test\n", {}, "its split must be one of train"),
    "an id twice": ("image,label,id\n1.png,x,7\n2.png,y,7\n", {}, "line 3: id '7' was used before, in line 2"),
    "an id missing": ("image,label,id\n1.png,x,7\n2.png,y,\n", {}, "line 3: it has no id, other rows have one"),
    "a question missing": ("image,label,text\n1.png,x,a?\n2.png,y,\n", {"question": ""}, "line 3: it has no question"),
}


@pytest.mark.parametrize("name", ["t.csv", "t.jsonl"])
def test_paths_that_lead_out_are_one_fault_with_a_count(tmp_path, name):
    """Each row once had a line of its own."""
    rows = [f"/elsewhere/{number}.png" for number in range(7)]
    lines = [json.dumps({"image": row, "question": QUESTION}) for row in rows]
    told = refused(write(tmp_path / name, "\n".join(["image", *rows] if name == "t.csv" else lines)))
    assert told.count("leads out of") == 1
    assert "(7 times, also line " in told


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_what_is_wrong_with_a_table_is_said_with_its_line(beside, kind):
    text, options, words = BAD_TABLES[kind]
    assert words in refused(write(beside / "t.csv", text), Reading(**{"question": QUESTION, **options}))


def test_named_columns_go_before_usual_ones(beside):
    table = write(beside / "t.csv", "image,label,class,thumb\nx.png,a,c,1.png\ny.png,b,d,2.png\n")
    reading = Reading(question=QUESTION, image_column="thumb", label_column="class")
    assert told(table, reading) == [("1.png", "c", "either"), ("2.png", "d", "either")]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.xlsx", b"PK\x03\x04...", "save a spreadsheet as CSV"),
        ("photos.zip", b"PK\x03\x04...", "unpack it and name the folder"),
        ("t.csv.gz", b"\x1f\x8b\x08", "is packed"),
        ("1.jpg", encoded(noise(1), "JPEG"), "is a picture: name the folder"),
        ("t.csv", b"image,label\n\0\xff\xfe\x81", "is no text"),
        ("t.parquet", b"PAR1 and no more", "cannot be read"),
        ("t.arrow", b"ARROW1 and no more", "cannot be read"),
        ("t.json", b"[1, 2]", "must hold objects {...}, it holds 1"),
        ("t.json", b'[{"image": 1', "is not JSON"),
        ("t.jsonl", b'{"id": 1, "label": "a"}\n{"id": 2, "la', "line 2: not JSON"),
        ("t.jsonl", b'{"id": 1, "label": "a"}\n{"id": 2, "la', "the others have id, label, no picture ('image')"),
        ("t.jsonl", b'{"label": "a"}\n{"image": "1.png", "label": "a"}', "line 1: it has no 'image', got label"),
    ],
)
def test_a_file_of_another_kind_says_what_to_do(tmp_path, name, content, words):
    assert words in refused(write(tmp_path / name, content))


TEXTS = [("odd ?", "a"), ("even ?", "b"), ("odd or even ?", "a")]


@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "lines.jsonl", "t.jsonl", "nulls.jsonl", "empty.jsonl"])
def test_questions_without_pictures_are_asked_in_words_alone(tmp_path, name):
    """Of tables, of JSON lines of this project (`question`) and of others (`text`)."""
    frame = pd.DataFrame(TEXTS, columns=["question" if name == "lines.jsonl" else "text", "label"])
    more = {"nulls.jsonl": {"image": None}, "empty.jsonl": {"images": []}}.get(name)
    if name == "t.csv":
        frame.to_csv(tmp_path / name, index=False)
    elif name == "t.parquet":
        frame.to_parquet(tmp_path / name)
    else:
        frame = frame.rename(columns={"text": "question"}) if more else frame
        rows = [row | (more or {}) for row in frame.to_dict("records")]
        write(tmp_path / name, "\n".join(map(json.dumps, rows)))
    benchmark = load_own(tmp_path / name)
    assert [(s.sample_id, s.images, s.question, s.label) for s in check(benchmark)] == [
        (str(number), (), *row) for number, row in enumerate(TEXTS, 1)
    ]
    assert benchmark.tasks == {"all": ("a", "b")}


def test_questions_may_end_like_the_name_of_a_picture(tmp_path):
    """A table in words alone whose first question named a file was taken for one of pictures."""
    write(tmp_path / "t.csv", "text,label\nwhat opens a.png,program\nwhat is in b.png,picture\n")
    write(tmp_path / "t.jsonl", '{"question": "what opens a.png", "label": "p"}\n{"question": "b.png", "label": "q"}')
    for name in ("t.csv", "t.jsonl"):
        assert [sample.images for sample in check(load_own(tmp_path / name))] == [(), ()]


def test_a_table_beside_pictures_has_to_name_them(beside):
    write(beside / "metadata.csv", "text,label\nodd ?,a\n")
    assert "name one with --image-column" in refused(beside)


def test_json_lists_and_lines_of_others_are_tables(beside):
    rows = [{"file_name": name, "label": label} for (name, _), label in zip(ROWS, (3, None, 4.5), strict=True)]
    text = json.dumps(rows)
    assert [label for _, label, _ in told(write(beside / "t.json", text))] == ["3", "", "4.5"]
    lines = text.strip("[]").replace("}, {", "}\n{")
    assert [label for _, label, _ in told(write(beside / "lines", lines))] == ["3", "", "4.5"]


# Parquet and Arrow


def pictures_of(benchmark):
    return [load_picture(sample.images[0]).tobytes() for sample in check(benchmark)]


@pytest.mark.parametrize("kind", ["parquet", "arrow", "disk", "disk of two", "dictionary", "hub"])
def test_pictures_in_bytes_and_numbers_of_classes(tmp_path, kind):
    table = image_table((0, 1, 2, 0, -1))
    path = {
        "parquet": lambda: write_parquet(tmp_path / "x", table, row_group_size=2),
        "arrow": lambda: save_to_disk(tmp_path / "d", table) / "data-00000-of-00001.arrow",
        "disk": lambda: save_to_disk(tmp_path / "d", table),
        "disk of two": lambda: save_to_disk(tmp_path / "d", table, shards=2),
        "dictionary": lambda: dictionary(tmp_path / "d", table),
        "hub": lambda: write_parquet(tmp_path / "d" / "data" / "train-00000-of-00001.parquet", table).parents[1],
    }[kind]()
    benchmark = load_own(path, ASKED)
    assert benchmark.tasks == {"all": CLASSES}
    assert [s.label for s in check(benchmark)] == ["one", "two", "zero", "one", ""]
    assert pictures_of(benchmark) == [noise(number).tobytes() for number in range(5)]
    assert [s.sample_id for s in check(benchmark)] == [*"12345"]


def dictionary(folder, table):
    save_to_disk(folder / "train", table, split="train")
    (folder / "dataset_dict.json").write_text('{"splits": ["train"]}')
    return folder


def test_splits_of_the_datasets_library(tmp_path):
    save_to_disk(tmp_path / "train", image_table((0, 1)), split="train")
    save_to_disk(tmp_path / "test", image_table((2,)), split="test")
    write(tmp_path / "dataset_dict.json", '{"splits": ["train", "test"]}')
    assert told(tmp_path) == [("1", "one", "pool"), ("2", "two", "pool"), ("3", "zero", "test")]
    hub = tmp_path / "hub"
    write_parquet(hub / "data" / "train-00000-of-00001.parquet", image_table((0, 1)))
    write_parquet(hub / "data" / "validation-00000-of-00001.parquet", image_table((2,)))
    assert [split for _, _, split in told(hub)] == ["pool", "pool", "test"]


def test_pictures_of_a_table_as_paths(beside):
    for name, table in {
        "struct.parquet": image_table((0, 1, 2), [name for name, _ in ROWS]),
        "plain.parquet": pa.table({"path": [name for name, _ in ROWS], "label": [1, 2, 1]}),
    }.items():
        samples = check(load_own(write_parquet(beside / name, table), ASKED))
        assert [load_picture(s.images[0]).tobytes() for s in samples] == [noise(len(n)).tobytes() for n, _ in ROWS]
    assert [s.label for s in samples] == ["1", "2", "1"]


def test_a_path_in_a_cell_that_is_not_there_is_a_missing_picture(tmp_path):
    table = write_parquet(tmp_path / "t.parquet", image_table((0, 1), ["no.png", "../out.png"]))
    codes = []
    for sample in check(load_own(table, ASKED)):
        with pytest.raises(PictureError) as raised:
            load_picture(sample.images[0])
        codes.append(raised.value.code)
    assert codes == ["image_missing", "image_corrupt"]


@pytest.mark.parametrize(
    ("labels", "words"),
    [((0, 7), "its label 7 is the number of none of 3 classes")],
)
def test_a_number_of_no_class_is_a_bad_row(tmp_path, labels, words):
    assert words in refused(write_parquet(tmp_path / "t.parquet", image_table(labels)))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda folder: (folder / "data-00000-of-00001.arrow").unlink(), "lacks data-00000-of-00001.arrow"),
        (lambda folder: write(folder / "state.json", "{}"), "must list its files"),
        (lambda folder: write(folder / "state.json", '{"_data_files": []}'), "has no .arrow files"),
        (
            lambda folder: write(
                folder / "state.json", '{"_data_files": [], "_indices_data_files": [{"filename": "i"}]}'
            ),
            "flatten_indices",
        ),
    ],
)
def test_a_folder_of_datasets_that_is_not_whole_says_what_it_lacks(tmp_path, damage, words):
    folder = save_to_disk(tmp_path / "d", image_table())
    damage(folder)
    assert words in refused(folder)


# Which it is: a path, or a name.


def test_a_folder_that_exists_is_never_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "pets", "digits"):
        write_folder(tmp_path / name, 1)
        assert find_benchmark(name, reading=ASKED).summary == f"your own samples from {name}"


def test_a_name_of_nothing_says_the_nearest_also_of_what_is_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "photos", 1)
    with pytest.raises(BenchmarkError, match=re.escape("no file, folder or benchmark 'photo'; did you mean 'photos'?")):
        find_benchmark("photo")


@pytest.mark.parametrize(
    ("reading", "option"),
    [
        (ASKED, "--question"),
        (Reading(image_column="x"), "--image-column"),
        (Reading(keep_near_duplicates=True), "--keep"),
    ],
)
def test_what_is_for_own_data_is_refused_for_a_benchmark(reading, option):
    with pytest.raises(BenchmarkError, match=option):
        find_benchmark("digits", reading=reading)


@pytest.mark.parametrize("count", [1, 3, 7, 30])
def test_a_limit_takes_all_classes_alike_and_fewer_are_among_more(tmp_path, count):
    folder = write_folder(tmp_path / "photos", 8)
    benchmark = find_benchmark(str(folder), reading=Reading(question=QUESTION, limit=count))
    samples = check(benchmark)
    assert len(samples) == min(count, 24)
    assert benchmark.name == f"photos-{count}"
    counts = [sum(s.label == name for s in samples) for name in CLASSES]
    assert max(counts) - min(counts) <= 1
    more = check(find_benchmark(str(folder), reading=Reading(question=QUESTION, limit=count + 1)))
    assert {s.sample_id for s in samples} <= {s.sample_id for s in more}


def test_digits_of_the_package_can_be_limited_too():
    assert len(check(find_benchmark("digits", reading=Reading(limit=20)))) == 20


def test_the_pictures_of_the_kit_are_digits():
    assert digit("two").size == (32, 32)


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_question_in_place_of_the_rows_own_is_told(tmp_path, form):
    """It once took their place without a word."""
    for number in range(4):
        write_picture(tmp_path / f"{number}.png", number)
    rows = [{"image": f"{n}.png", "label": "ab"[n % 2], "question": f"What {n % 2}?"} for n in range(4)]
    if form == "csv":
        lines = ["image,label,question", *(",".join(row.values()) for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    (tmp_path / f"rows.{form}").write_text("\n".join(lines) + "\n")
    found = load_own(tmp_path / f"rows.{form}", Reading(question="Which?"))
    assert found.remarks == ("--question is asked in place of 4 questions of the rows",)
    assert load_own(tmp_path / f"rows.{form}").remarks == ()
