"""Pictures inside Parquet files are those that were put there, whichever row and whoever asks."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.replicas.writing import PICTURE, cell, picture
from savs_benchmarks import PictureError, load_picture
from savs_benchmarks.pictures.pictures import StoredPicture

numbers = count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parquet")


def store(folder, rows, kind, group=None):
    file = folder / f"{next(numbers)}.parquet"
    pq.write_table(pa.table({"number": range(len(rows)), "image": pa.array(rows, kind)}), file, row_group_size=group)
    return file


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("kind", [PICTURE, pa.binary(), pa.large_binary()], ids=["of the hub", "bytes", "large"])
def test_a_stored_picture_is_the_file(folder, form, kind):
    rows = [cell(number, form) if kind == PICTURE else picture(number, form) for number in range(7)]
    file = store(folder, rows, kind, group=3)
    for number in range(7):
        alone = folder / f"{number}.{form}"
        alone.write_bytes(picture(number, form))
        stored = StoredPicture(file, number, "image")
        assert stored.read() == alone.read_bytes()
        assert load_picture(stored).tobytes() == load_picture(alone).tobytes()


@given(st.integers(1, 40), st.integers(1, 50), st.data())
def test_every_row_is_found_in_its_row_group(folder, rows, group, data):
    file = store(folder, [b"%d" % row for row in range(rows)], pa.binary(), group)
    asked = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=20))
    assert [StoredPicture(file, row, "image").read() for row in asked] == [b"%d" % row for row in asked]


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.integers(1, 7))
def test_empty_cells_are_empty_and_shift_nothing(folder, filled, group):
    cells = [{"bytes": b"%d" % row, "path": None} if full else None for row, full in enumerate(filled)]
    file = store(folder, cells, PICTURE, group)
    found = [StoredPicture(file, row, "image").read() for row in range(len(filled))]
    assert found == [b"%d" % row if full else None for row, full in enumerate(filled)]


def test_threads_get_the_same_pictures(folder):
    files = [store(folder, [cell(100 * place + row) for row in range(40)], PICTURE, group=3) for place in range(10)]
    asked = [(place, row) for row in range(40) for place in range(10)] * 3

    def pixels(place_row):
        return load_picture(StoredPicture(files[place_row[0]], place_row[1], "image")).tobytes()

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(pixels, asked))
    assert found == [pixels(place_row) for place_row in asked]
    assert len(set(found)) == 400


@pytest.mark.parametrize(("row", "column"), [(7, "image"), (70, "image"), (0, "picture"), (0, "number")])
def test_what_is_not_there_has_a_code(folder, row, column):
    file = store(folder, [cell(row) for row in range(7)], PICTURE)
    with pytest.raises(PictureError) as raised:
        load_picture(StoredPicture(file, row, column))
    assert raised.value.code == "image_corrupt"
    assert str(raised.value).startswith(f"{file}, row {row}, {column}: ")


@pytest.mark.parametrize("damage", [lambda file: file.unlink(), lambda file: file.write_bytes(b"PAR1")])
def test_a_file_that_was_damaged_since_has_a_code(folder, damage):
    file = store(folder, [cell(0)], PICTURE)
    damage(file)
    with pytest.raises(PictureError, match=r"row 0, image: "):
        load_picture(StoredPicture(file, 0, "image"))
