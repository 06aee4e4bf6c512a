"""The names of cells, and the ranges that a user writes."""

from dataclasses import replace

import pytest

from savs_analyze.cells import Cell, parse_range, plan_cells
from savs_analyze.settings import expand_settings
from savs_analyze.validation import Validation


def test_cells_differ_in_name_when_anything_differs():
    base = Cell("b", "m", "f", "i", "r", "accuracy")
    both = expand_settings(["zero-shot", "savs"], {"k": [5, 20]})
    few, twenty = {"one": [10]}, {"one": [20], "two": [20]}
    cells = plan_cells(base, {"one": True, "two": False}, twenty, 3, both)
    assert len(cells) == 1 + 2 * 3
    other = [
        *plan_cells(base, {"one": True}, few, 1, both),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs"], {"k": [5]})),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs"], {"k": [5, 20]}, restricted=True)),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs"], {"k": [5, 20]}, papers_order=True)),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs-l2"], {"k": [5, 20]})),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs-rbf"], {"k": [5], "gamma": [1, 2]})),
        *plan_cells(replace(base, keep_leaks=True), {"one": True}, twenty, 1, both),
        *plan_cells(replace(base, validation=Validation(0.5)), {"one": True}, twenty, 1, both),
        *plan_cells(replace(base, validation=Validation(first=True)), {"one": True}, twenty, 1, both),
        *plan_cells(Cell("b", "m", "g", "i", "r", "accuracy"), {"one": True}, twenty, 1, both),
        *plan_cells(Cell("b", "m", "f", "i", "s", "accuracy"), {"one": True}, twenty, 1, both),
        *plan_cells(Cell("b", "m", "f", "i", "r", "question-image-group"), {"one": True}, twenty, 1, both),
    ]
    learning = [cell.key for cell in cells + other if cell.method != "zero-shot"]
    assert len(set(learning)) == len(learning) == 6 + 12


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("20", [20]),
        ("5,10,200", [5, 10, 200]),
        ("5,5", [5]),
        ("5:20:5", [5, 10, 15, 20]),
        ("5:21:5", [5, 10, 15, 20]),
        ("3:3:1", [3]),
    ],
)
def test_ranges_include_their_end(text, numbers):
    assert parse_range(text) == numbers


@pytest.mark.parametrize("text", ["", "0", "-1", "a", "5:1:1", "1:5", "1:5:0", "1:5:1:1", "1.5"])
def test_what_is_no_range_is_refused_with_all_forms(text):
    with pytest.raises(ValueError, match="write 20, or 5,10,20, or 5:50:5"):
        parse_range(text)
