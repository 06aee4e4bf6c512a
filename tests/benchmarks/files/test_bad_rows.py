"""A bad row of a published file is reported with its file, its place and its reason."""

import contextlib

import numpy as np
import pyarrow as pa
import pytest
from scipy.io import savemat

from kit.damages import (
    ART,
    CAPTIONS,
    COUNTING,
    PAIRS,
    POOL,
    TRAIN,
    VALIDATION,
    cells,
    content,
    drop,
    halved,
    header,
    json_file,
    labels,
    line,
    link_out,
    no_columns,
    parts,
    put,
)
from kit.replicas import REPLICAS
from kit.sources import COOP
from savs_benchmarks import BenchmarkError, check, find_benchmark

CALTECH = COOP["caltech-101"]
CLAIM = {"image_path": "a.jpg", "claim_list": ["One.", "Two."], "ref_claim_label": ["hallucination"] * 2}

# benchmark, damage, how the only fault begins, what else it says
BAD_ROWS = {
    "dtd without a class": (
        *("dtd", json_file(COOP["dtd"], lambda split: split["val"][1].pop())),
        f"{COOP['dtd']}, val 1: 'class' is missing; ",
        "there are image, number, split",
    ),
    "food-101 with a path alone": (
        *("food-101", json_file(COOP["food-101"], lambda split: split["test"].__setitem__(0, "sushi/1.jpg"))),
        f"{COOP['food-101']}, test 0: 'image' is missing",
        "there are split",
    ),
    "food-101 outside of its folder": (
        *("food-101", json_file(COOP["food-101"], lambda split: split["test"][0].__setitem__(0, "../../a.jpg"))),
        f"{COOP['food-101']}, test 0: 'image'",
        "a.jpg",
    ),
    "caltech-101 with a class of another folder": (
        *("caltech-101", json_file(CALTECH, lambda split: split["test"][0].__setitem__(2, "accordion"))),
        f"{CALTECH}, test 0: 'class' is 'accordion', that of pictures before in Faces is 'face'",
        "",
    ),
    "caltech-101 with a number for a class": (
        *("caltech-101", json_file(CALTECH, lambda split: split["train"][2].__setitem__(2, 7))),
        f"{CALTECH}, train 2: 'class' must be a text that is not empty",
        "got 7",
    ),
    "mhalu without claims": (
        *("mhalu", drop(TRAIN, 3, "claim_list"), f"{TRAIN}, row 3: 'claim_list' is missing; "),
        "there are image_path, response, label, ref_claim_label",
    ),
    "mhalu without pictures": ("mhalu", drop(TRAIN, 0, "image_path"), f"{TRAIN}, row 0: 'image_path' is missing", ""),
    "mhalu with one label too few": (
        *("mhalu", put(TRAIN, 0, ref_claim_label=["hallucination"]), f"{TRAIN}, row 0: 'claim_list' has 2 entries, "),
        "'ref_claim_label' 1",
    ),
    "mhalu with a misspelt label": (
        *("mhalu", put(TRAIN, 0, ref_claim_label=["halucination"] * 2), f"{TRAIN}, row 0: 'ref_claim_label' must be"),
        "one of 'hallucination', 'non-hallucination', got 'halucination'; did you mean 'hallucination'?",
    ),
    "mhalu with a text for a list": (
        *("mhalu", put(TRAIN, 0, claim_list="One."), f"{TRAIN}, row 0: 'claim_list' must be a list of texts"),
        "got 'One.'",
    ),
    "mhalu with numbers for claims": (
        *("mhalu", put(TRAIN, 0, claim_list=[1, 2]), f"{TRAIN}, row 0: 'claim_list' must be a list of texts"),
        "got [1, 2]",
    ),
    "mhalu with null for a picture": (
        *("mhalu", put(TRAIN, 0, image_path=None), f"{TRAIN}, row 0: 'image_path' must be a text that is not empty"),
        "got None",
    ),
    "vlguard without instructions": (
        *("vlguard", drop("test.json", 9, "instr-resp"), "test.json, row 9: 'instr-resp' is missing; there are id, "),
        "harmful_subcategory",
    ),
    "vlguard without safe": ("vlguard", drop("train.json", 1, "safe"), "train.json, row 1: 'safe' is missing", "id"),
    "vlguard with a word for safe": (
        *("vlguard", put("train.json", 1, safe="no"), "train.json, row 1: 'safe' must be true or false"),
        "got 'no'",
    ),
    "vlguard safe without the unsafe instruction": (
        *("vlguard", put("train.json", 0, instr_resp=[{"safe_instruction": "Look."}]), "train.json, row 0: "),
        "a picture with safe = True needs safe_instruction and unsafe_instruction in 'instr-resp'",
    ),
    "vlguard unsafe with a safe instruction": (
        *("vlguard", put("train.json", 1, instr_resp=[{"safe_instruction": "Look."}]), "train.json, row 1: "),
        "a picture with safe = False needs instruction in 'instr-resp'",
    ),
    "vlguard with an object for instructions": (
        *("vlguard", put("train.json", 1, instr_resp={"instruction": "Look."}), "train.json, row 1: 'instr-resp' "),
        "must be a list of objects, got {'instruction': 'Look.'}",
    ),
    "vlguard with an empty instruction": (
        *("vlguard", put("train.json", 1, instr_resp=[{"instruction": " "}]), "train.json, row 1: 'instruction' "),
        "must be a text that is not empty, got ' '",
    ),
    "vlguard with a path out": (
        *("vlguard", put("train.json", 1, image="../../x.jpg"), "train.json, row 1: 'image': '../../x.jpg' leads out"),
        "vlguard/train",
    ),
    "vlguard with a number for a picture": (
        *("vlguard", put("train.json", 1, image=7), "train.json, row 1: 'image' must be a text that is not empty"),
        "got 7",
    ),
    "blink with a letter too many": (
        *("blink", cells(ART, 4, answer="(C)"), "val-00000-of-00001.parquet, row 4: 'answer' must be one of "),
        "'(A)', '(B)', got '(C)'",
    ),
    "blink with a bare letter": (
        *("blink", cells(COUNTING, 7, answer="A"), "val-00000-of-00001.parquet, row 7: 'answer' must be one of "),
        "'(A)', '(B)', '(C)', '(D)', got 'A'",
    ),
    "blink with a hidden answer": (
        *("blink", cells(ART, 0, answer="hidden"), "val-00000-of-00001.parquet, row 0: 'answer' must be one of "),
        "got 'hidden'",
    ),
    "blink without a prompt": (
        *("blink", cells(ART, 0, prompt=None), "val-00000-of-00001.parquet, row 0: 'prompt' must be a text"),
        "got None",
    ),
    "naturalbench with a small yes": (
        *("naturalbench", cells(PAIRS, 1, Image_0_Question_1="yes"), "train-00001-of-00002.parquet, row 1: "),
        "'Image_0_Question_1' must be one of 'No', 'Yes', got 'yes'; did you mean 'Yes'?",
    ),
    "naturalbench with yes for a letter": (
        *("naturalbench", cells(PAIRS, 0, Image_0_Question_1="Yes"), "train-00001-of-00002.parquet, row 0: "),
        "'Image_0_Question_1' must be one of 'A', 'B', got 'Yes'",
    ),
    "naturalbench with an unknown type": (
        *("naturalbench", cells(PAIRS, 0, Question_Type="yes-no"), "train-00001-of-00002.parquet, row 0: "),
        "'Question_Type' must be one of 'yes_no', 'multiple_choice', got 'yes-no'; did you mean 'yes_no'?",
    ),
    "retrieval without a caption": (
        *("naturalbench-retrieval", drop(CAPTIONS, 11, "caption_1"), "metadata.json, row 11: 'caption_1' is missing"),
        "there are index, image_0, image_1, caption_0",
    ),
    "retrieval without an index": (
        *("naturalbench-retrieval", drop(CAPTIONS, 2, "index"), "metadata.json, row 2: 'index' is missing"),
        "there are image_0",
    ),
    "retrieval with an absolute path": (
        *("naturalbench-retrieval", put(CAPTIONS, 2, image_1="/etc/passwd"), "metadata.json, row 2: 'image_1': "),
        "'/etc/passwd' leads out of",
    ),
    "sugarcrepe without the wrong caption": (
        *("sugarcrepe", drop("add_att.json", "1", "negative_caption"), "add_att.json, row 1: 'negative_caption' "),
        "is missing; there are key, filename, caption",
    ),
    "sugarcrepe with a list for a caption": (
        *("sugarcrepe", put("swap_obj.json", "0", caption=["One."]), "swap_obj.json, row 0: 'caption' must be a text"),
        "got ['One.']",
    ),
    "sugarcrepe with an address": (
        *("sugarcrepe", put("swap_obj.json", "0", filename="http://a.org/b.jpg"), "swap_obj.json, row 0: 'filename': "),
        "'http://a.org/b.jpg' is not a path below",
    ),
    "vizwiz without the flag": (
        *("vizwiz", drop("Annotations/val.json", 3, "answerable"), "val.json, row 3: 'answerable' is missing; "),
        "there are image, question, answers, answer_type",
    ),
    "vizwiz with a text for the flag": (
        *("vizwiz", put("Annotations/train.json", 0, answerable="1"), "train.json, row 0: 'answerable' must be true"),
        "got '1'",
    ),
    "vizwiz with two for the flag": (
        *("vizwiz", put("Annotations/train.json", 0, answerable=2), "train.json, row 0: 'answerable' must be true"),
        "got 2",
    ),
    "vizwiz with a path out": (
        *("vizwiz", put("Annotations/val.json", 0, image="../train/x.jpg"), "val.json, row 0: 'image': "),
        "'../train/x.jpg' leads out of",
    ),
    "vizwiz with a link out": ("vizwiz", link_out, "train.json, row 0: 'image': ", "leads out of"),
    "vizwiz with a NUL in a path": (
        *("vizwiz", put("Annotations/val.json", 0, image="a\0.jpg"), "val.json, row 0: 'image': "),
        "is not a path below",
    ),
    "pets of an unknown breed": (
        *("pets", line("annotations/trainval.txt", 4, "Abysinian_1 1 1 1"), "trainval.txt, line 4: 'image' must be "),
        "got 'Abysinian'; did you mean 'Abyssinian'?",
    ),
    "pets without a number": (
        *("pets", line("annotations/test.txt", 4, "Abyssinian 1 1 1"), "test.txt, line 4: 'image' must be one of "),
        "got ''",
    ),
    "pets with a path out": (
        *("pets", line("annotations/test.txt", 5, "pug_1/../../../x 1 1 1"), "test.txt, line 5: 'image': "),
        "'pug_1/../../../x.jpg' leads out of",
    ),
    "imagenet with a number too large": (
        *("imagenet", cells(POOL, 9, label=20), "train-00000-of-00002.parquet, row 9: 'label' must be a number from "),
        "0 to 19, got 20",
    ),
    "imagenet with a hidden label": (
        *("imagenet", cells(POOL, 0, label=-1), "train-00000-of-00002.parquet, row 0: 'label' must be a number from "),
        "0 to 19, got -1",
    ),
    "imagenet with an empty label": (
        *("imagenet", cells(VALIDATION, 0, label=None), "validation-00000-of-00002.parquet, row 0: 'label' must be a "),
        "got None",
    ),
    "flowers with a label too large": (
        *("flowers", labels(5, 103), "setid.mat, valid "),
        "picture 5 has no label between 1 and 102 in imagelabels.mat",
    ),
    "flowers with a label of nought": ("flowers", labels(1, 0), "setid.mat, trnid ", "picture 1 has no label between"),
    "flowers without a label": ("flowers", parts(trnid=[[306, 307]]), "setid.mat, trnid 1: ", "picture 307 has no"),
    "flowers without a number": ("flowers", parts(trnid=[[0, 1]]), "setid.mat, trnid 0: ", "picture 0 has no label"),
    "cub of an unknown class": (
        *(
            "cub",
            line("CUB_200_2011/image_class_labels.txt", 3, "3 201"),
            "images.txt, line 3: picture 3 has no class ",
        ),
        "in image_class_labels.txt that classes.txt names",
    ),
    "cub without a class": (
        *("cub", line("CUB_200_2011/image_class_labels.txt", 3, ""), "images.txt, line 3: picture 3 has no class "),
        "in image_class_labels.txt",
    ),
    "cub in an unknown split": (
        *("cub", line("CUB_200_2011/train_test_split.txt", 30, "30 2"), "images.txt, line 30: picture 30 is neither "),
        "0 nor 1 in train_test_split.txt",
    ),
    "cub without a file": (
        *("cub", line("CUB_200_2011/images.txt", 2, "2"), "images.txt, line 2: 'image' is missing"),
        "there are number",
    ),
    "cub with a path out": (
        *("cub", line("CUB_200_2011/images.txt", 2, "2 ../classes.txt"), "images.txt, line 2: 'image': "),
        "'../classes.txt' leads out of",
    ),
}


def error_of(name, root):
    with pytest.raises(BenchmarkError) as raised:
        check(find_benchmark(name, root))
    return raised.value


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_a_bad_row_is_reported_with_its_place_and_reason(kind, replica, tmp_path):
    name, damage, place, words = BAD_ROWS[kind]
    damage(replica(name))
    (fault,) = error_of(name, tmp_path).faults
    assert fault.startswith(place)
    assert words in fault


def test_all_bad_rows_are_reported_at_once(replica, tmp_path):
    folder = replica("vizwiz")
    for damage in (
        put("Annotations/train.json", 1, image="/etc/passwd"),
        drop("Annotations/train.json", 3, "question"),
        put("Annotations/train.json", 5, answerable=None),
    ):
        damage(folder)
    error = error_of("vizwiz", tmp_path)
    assert [fault.split(": ")[0] for fault in error.faults] == [f"train.json, row {row}" for row in (1, 3, 5)]
    assert str(error).startswith("these rows cannot be read:\n  train.json, row 1: 'image'")


# A file that is wrong as a whole: what the error says.
BAD_FILES = {
    "blink without a column": (
        *("blink", no_columns(ART, "answer"), f"{ART} has no column 'answer'; there are idx, question, sub_task, "),
    ),
    "blink without a picture column": ("blink", no_columns(ART, "image_4"), f"{ART} has no column 'image_4'; there"),
    "blink without two columns": ("blink", no_columns(ART, "idx", "prompt"), "has no column 'idx' and 'prompt'; there"),
    "naturalbench without a picture column": ("naturalbench", no_columns(PAIRS, "Image_1"), "has no column 'Image_1';"),
    "naturalbench without a type": ("naturalbench", no_columns(PAIRS, "Question_Type"), "no column 'Question_Type'"),
    "imagenet without labels": ("imagenet", no_columns(POOL, "label"), "has no column 'label'; there are image"),
    "imagenet with words for labels": (
        *("imagenet", cells(POOL, 0, {"label": pa.string()}), "row 0: 'label' must be a number from 0 to 19, got '0'"),
    ),
    "imagenet without a header": ("imagenet", header(VALIDATION, None), "does not name its classes"),
    "imagenet with a header of nothing": ("imagenet", header(VALIDATION, b""), "does not name its classes"),
    "imagenet with an empty header": ("imagenet", header(VALIDATION, {}), "does not name its classes"),
    "imagenet with plain labels": (
        *("imagenet", header(VALIDATION, {"info": {"features": {"label": {"dtype": "int64"}}}}), "does not name its "),
    ),
    "imagenet with null for names": (
        *("imagenet", header(VALIDATION, {"info": {"features": {"label": {"names": None}}}}), "does not name its "),
    ),
    "imagenet with numbers for names": (
        *("imagenet", header(VALIDATION, {"info": {"features": {"label": {"names": [1, 2]}}}}), "does not name its "),
    ),
    "imagenet with one name twice": (
        *(
            "imagenet",
            header(VALIDATION, {"info": {"features": {"label": {"names": ["a"] * 2 + [*"bcdefghijklmnopqrs"]}}}}),
        ),
        "not sorted and distinct",
    ),
    "imagenet's names no Parquet": ("imagenet", content(VALIDATION, b"PAR1"), "does not name its classes"),
    "imagenet's pool no Parquet": ("imagenet", content(POOL, b"PAR1"), f"{POOL} cannot be read"),
    "blink no Parquet": ("blink", content(ART, b"<!DOCTYPE html>"), f"{ART} cannot be read"),
    "blink empty": ("blink", content(ART, b""), f"{ART} cannot be read"),
    "naturalbench cut short": ("naturalbench", halved(PAIRS), f"{PAIRS} cannot be read"),
    "mhalu no JSON": ("mhalu", content(TRAIN, b"<!DOCTYPE html>"), f"{TRAIN} is not JSON"),
    "mhalu empty": ("mhalu", content(TRAIN, b""), f"{TRAIN} is not JSON"),
    "mhalu cut short": ("mhalu", halved(TRAIN), f"{TRAIN} is not JSON"),
    "mhalu not UTF-8": ("mhalu", content(TRAIN, b'["\xff"]'), f"{TRAIN} is not JSON"),
    "mhalu nested without end": ("mhalu", content(TRAIN, b"[" * 100_000), f"{TRAIN} is not JSON"),
    "mhalu a number": ("mhalu", content(TRAIN, b"7"), f"{TRAIN} must hold a list of objects, it holds int"),
    "mhalu null": ("mhalu", content(TRAIN, b"null"), f"{TRAIN} must hold a list of objects, it holds NoneType"),
    "mhalu a list of lists": (
        "mhalu",
        content(TRAIN, b"[[1]]"),
        f"{TRAIN}, row 0 must be an object {{...}}, it is [1]",
    ),
    "mhalu a message": ("mhalu", content(TRAIN, b'{"error": "gated"}'), f"{TRAIN}, row 0 must be an object"),
    "vlguard a list of paths": (
        "vlguard",
        content("test.json", b'[{}, "a.jpg"]'),
        "test.json, row 1 must be an object",
    ),
    "sugarcrepe a list": (
        *(
            "sugarcrepe",
            content("add_att.json", b'[{"filename": "a.jpg", "caption": "One.", "negative_caption": "Two."}]'),
        ),
        "add_att.json, row 0: 'key' is missing; there are filename, caption, negative_caption",
    ),
    "dtd a list": ("dtd", content(COOP["dtd"], b"[]"), "must hold an object with the lists train, val, test"),
    "dtd without a part": (
        *("dtd", content(COOP["dtd"], b'{"train": [], "val": []}')),
        "must hold an object with the lists train, val, test",
    ),
    "food-101 a page": ("food-101", content(COOP["food-101"], b"<!DOCTYPE html>"), "is not JSON"),
    "pets not UTF-8": ("pets", content("annotations/test.txt", b"\xff\xfe"), "annotations/test.txt cannot be read"),
    "flowers no matrix": ("flowers", content("setid.mat", b"<!DOCTYPE html>" * 99), "setid.mat holds no list 'trnid'"),
    "flowers empty": ("flowers", content("setid.mat", b""), "setid.mat holds no list 'trnid'"),
    "flowers cut short": ("flowers", halved("imagelabels.mat"), "imagelabels.mat holds no list 'labels'"),
    "flowers without a list": (
        *("flowers", lambda folder: savemat(folder / "imagelabels.mat", {"label": [[1]]})),
        "imagelabels.mat holds no list 'labels'",
    ),
    "flowers with words": (
        *("flowers", lambda folder: savemat(folder / "imagelabels.mat", {"labels": ["rose"]})),
        "imagelabels.mat holds no list 'labels'",
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_is_named_with_what_is_wrong(kind, replica, tmp_path):
    name, damage, words = BAD_FILES[kind]
    damage(replica(name))
    assert words in str(error_of(name, tmp_path))


@pytest.mark.parametrize("file", ["imagelabels.mat", "setid.mat"])
def test_a_matrix_cut_anywhere_is_an_error(file, replica, tmp_path):
    whole = (replica("flowers") / file).read_bytes()
    for length in range(0, len(whole) - 1, max(1, len(whole) // 60)):
        (tmp_path / "flowers" / file).write_bytes(whole[:length])
        assert f"{file} holds no list" in str(error_of("flowers", tmp_path))


@pytest.mark.parametrize("file", ["imagelabels.mat", "setid.mat"])
def test_a_damaged_matrix_gives_samples_or_an_error(file, replica, tmp_path):
    whole = (replica("flowers") / file).read_bytes()
    generator = np.random.default_rng(0)
    for place, value in zip(generator.integers(0, len(whole), 100), generator.integers(0, 256, 100), strict=True):
        damaged = bytearray(whole)
        damaged[place] = value
        (tmp_path / "flowers" / file).write_bytes(damaged)
        with contextlib.suppress(BenchmarkError):
            assert len(check(find_benchmark("flowers", tmp_path))) == 306


# Sample ids come from the files: one that occurs twice would be taken for the same sample.
REPEATED = {
    "dtd": (
        json_file(COOP["dtd"], lambda split: split["val"].append(split["test"][0])),
        "sample id 'banded/banded_0005' occurs 2 times",
    ),
    "blink": (cells(ART, 4, idx="val_Art_Style_1"), "sample id 'val_Art_Style_1' occurs 2 times"),
    "blink, over tasks": (cells(COUNTING, 4, idx="val_Art_Style_1"), "sample id 'val_Art_Style_1' occurs 2 times"),
    "naturalbench": (cells(PAIRS, 0, Index=0, Question_Type="multiple_choice"), "sample id '0-0' occurs 2 times"),
    "naturalbench-retrieval": (put(CAPTIONS, 5, index=4), "sample id '4-0' occurs 2 times"),
    "vizwiz": (put("Annotations/train.json", 1, image="VizWiz_train_00000000.jpg"), "'VizWiz_train_00000000' occurs 2"),
    "pets": (line("annotations/trainval.txt", 5, "pug_3"), "sample id 'pug_3' occurs 2 times"),
    "flowers": (parts(tstid=[[1, 3]]), "sample id 'image_00001' occurs 2 times"),
    "cub": (
        line("CUB_200_2011/images.txt", 2, "2 001.Black/Fish_Crow_0000_1021.jpg"),
        "'Fish_Crow_0000_1021' occurs 2",
    ),
}


@pytest.mark.parametrize("kind", REPEATED)
def test_an_id_that_occurs_twice_is_refused(kind, replica, tmp_path):
    damage, words = REPEATED[kind]
    name = kind.split(",")[0]
    damage(replica(name))
    error = error_of(name, tmp_path)
    assert str(error).startswith(f"benchmark {name!r} cannot be used:")
    assert words in str(error)


def test_mhalu_takes_the_last_part_of_a_path_wherever_its_authors_had_it(replica, tmp_path):
    folder = replica("mhalu")
    for row, path in enumerate(("/etc/passwd", "../../x.jpg", "https://a.org/b/c.jpg")):
        json_file(TRAIN, lambda rows, row=row, path=path: rows.__setitem__(row, CLAIM | {"image_path": path}))(folder)
    names = {sample.images[0] for sample in check(find_benchmark("mhalu", tmp_path)) if sample.split == "pool"}
    assert {folder / "data/image-to-text" / name for name in ("passwd", "x.jpg", "c.jpg")} < names


def test_every_benchmark_has_bad_rows_here():
    assert {name for name, *_ in [*BAD_ROWS.values(), *BAD_FILES.values()]} == set(REPLICAS) - {"eurosat"}
