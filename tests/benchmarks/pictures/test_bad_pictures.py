"""A bad picture of a published file shows when it is read, by a code."""

import io

import pyarrow.parquet as pq
import pytest
from PIL import Image

from kit.damages import ART, PAIRS, VALIDATION, cells
from savs_benchmarks import PictureError, check, find_benchmark, load_picture
from savs_benchmarks.pictures.pictures import StoredPicture

IN_FOLDERS = ["mhalu", "vlguard", "naturalbench-retrieval", "sugarcrepe", "vizwiz", "pets", "flowers", "cub"]


def code_of(picture):
    with pytest.raises(PictureError) as raised:
        load_picture(picture)
    return raised.value.code


@pytest.mark.parametrize("name", IN_FOLDERS)
def test_an_absent_picture_shows_when_it_is_read(name, replica, tmp_path):
    replica(name)
    samples = check(find_benchmark(name, tmp_path))
    absent = samples[0].images[0]
    absent.unlink()
    assert check(find_benchmark(name, tmp_path)) == samples
    assert code_of(absent) == "image_missing"
    assert load_picture(samples[-1].images[0])


@pytest.mark.parametrize("name", [*IN_FOLDERS, "eurosat"])
def test_a_truncated_picture_is_corrupt(name, replica, tmp_path):
    replica(name)
    picture = check(find_benchmark(name, tmp_path))[-1].images[0]
    picture.write_bytes(picture.read_bytes()[:-100])
    assert code_of(check(find_benchmark(name, tmp_path))[-1].images[0]) == "image_corrupt"


IN_PARQUET = [("blink", ART, "image_1"), ("naturalbench", PAIRS, "Image_1"), ("imagenet", VALIDATION, "image")]


def truncated():
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(buffer, "PNG")
    return buffer.getvalue()[:-40]


@pytest.mark.parametrize(("name", "file", "column"), IN_PARQUET)
@pytest.mark.parametrize(
    ("stored", "code"),
    [
        (None, "image_missing"),
        ({"bytes": None, "path": None}, "image_missing"),
        ({"bytes": None, "path": "/etc/passwd"}, "image_missing"),
        ({"bytes": b"", "path": "a.jpg"}, "not_an_image"),
        ({"bytes": b"<html>", "path": "a.jpg"}, "not_an_image"),
        ({"bytes": truncated(), "path": "a.jpg"}, "image_corrupt"),
    ],
    ids=["empty", "of nulls", "path", "no bytes", "HTML", "cut short"],
)
def test_a_bad_cell_shows_when_it_is_read(name, file, column, stored, code, replica, tmp_path):
    folder = replica(name)
    header_kept = pq.read_schema(folder / file).metadata
    cells(file, 3, **{column: stored})(folder)
    assert pq.read_schema(folder / file).metadata == header_kept
    samples = check(find_benchmark(name, tmp_path))
    place = StoredPicture(folder / file, 3, column)
    assert place in {image for sample in samples for image in sample.images}
    assert code_of(place) == code
    assert load_picture(StoredPicture(folder / file, 4, column))


@pytest.mark.parametrize("empty", [None, {"bytes": None, "path": None}], ids=["empty", "of nulls"])
def test_an_empty_cell_is_no_picture_of_blink(empty, replica, tmp_path):
    cells(ART, 3, image_2=empty)(replica("blink"))
    found = [sample for sample in check(find_benchmark("blink", tmp_path)) if sample.task == "Art_Style"]
    assert [image.column for image in found[3].images] == ["image_1", "image_3"]
    assert [len(sample.images) for sample in found] == [3, 3, 3, 2, 3, 3]
