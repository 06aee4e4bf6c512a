"""Rows of files of any kind: where they are, how many bad ones are read, what is no bad row."""

import pytest

from savs_benchmarks import BenchmarkError
from savs_benchmarks.files.rows import MOST_FAULTS, Row, RowError, json_rows, read_samples, text_rows


def test_a_flood_of_bad_rows_stops_the_reading():
    def refuse(row):
        raise RowError("bad")

    read = []
    rows = (read.append(number) or Row({}, f"row {number}", number) for number in range(10 * MOST_FAULTS))
    with pytest.raises(BenchmarkError) as raised:
        list(read_samples(rows, refuse))
    assert len(raised.value.faults) == len(read) == MOST_FAULTS


def test_an_error_in_our_own_code_is_not_taken_for_a_bad_row():
    def fail(row):
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        list(read_samples([Row({}, "row 0", 0)], fail))


def test_lines_give_their_first_columns_and_comments_none(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("#Image CLASS-ID\n#\nAbyssinian_1 1 1 1\n\n  pug_2\t7  \n")
    rows = list(text_rows(file, ["image", "number"]))
    assert [row.values for row in rows] == [{"image": "Abyssinian_1", "number": "1"}, {"image": "pug_2", "number": "7"}]
    assert [row.place for row in rows] == ["list.txt, line 3", "list.txt, line 5"]


def test_json_may_begin_with_a_mark(tmp_path):
    file = tmp_path / "list.json"
    file.write_text('[{"a": 1}]', encoding="utf-8-sig")
    assert [row.values for row in json_rows(file)] == [{"a": 1}]


@pytest.mark.parametrize("read", [json_rows, lambda file: text_rows(file, ["image"])])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(BenchmarkError, match=r"none\.txt cannot be read: .*No such file"):
        list(read(tmp_path / "none.txt"))


def test_a_key_that_stands_twice_is_refused(tmp_path):
    file = tmp_path / "list.json"
    file.write_text('[{"a": 1}, {"b": 1, "c": 2, "b": 3}]')
    with pytest.raises(BenchmarkError, match=r"list\.json: the key 'b' stands twice in {\"b\": 3, \"c\": 2}"):
        list(json_rows(file))
