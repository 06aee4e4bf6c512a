"""The names of cells, and the ranges and grids that a user writes."""

import json
from dataclasses import replace

import pytest

from savs_analyze.cli.parse import parse_grid, parse_grids, parse_range
from savs_analyze.draws.validation import Validation
from savs_analyze.methods.method import LOGITS
from savs_analyze.methods.settings import Setting, expand_settings
from savs_analyze.runs.cells import Cell, cap_settings, plan_cells

ONE = {"one": {LOGITS}}


def test_cells_differ_in_name_when_anything_differs():
    base = Cell("b", "m", "f", "i", "r", "accuracy")
    both = expand_settings(["zero-shot", "savs"], {"k": [5, 20]})
    few, twenty = {"one": [10]}, {"one": [20], "two": [20]}
    cells = plan_cells(base, ONE | {"two": ()}, twenty, 3, both)
    assert len(cells) == 1 + 2 * 3
    other = [
        *plan_cells(base, ONE, few, 1, both),
        *plan_cells(base, ONE, twenty, 1, expand_settings(["savs"], {"k": [5]})),
        *plan_cells(base, ONE, twenty, 1, expand_settings(["savs"], {"k": [5, 20]}, restricted=True)),
        *plan_cells(base, ONE, twenty, 1, expand_settings(["savs"], {"k": [5, 20]}, protocol="extension")),
        *plan_cells(base, ONE, twenty, 1, expand_settings(["savs-l2"], {"k": [5, 20]})),
        *plan_cells(base, ONE, twenty, 1, expand_settings(["savs-rbf"], {"k": [5], "gamma": [1, 2]})),
        *plan_cells(replace(base, keep_leaks=True), ONE, twenty, 1, both),
        *plan_cells(replace(base, validation=Validation(0.5)), ONE, twenty, 1, both),
        *plan_cells(replace(base, validation=Validation(first=True)), ONE, twenty, 1, both),
        *plan_cells(Cell("b", "m", "g", "i", "r", "accuracy"), ONE, twenty, 1, both),
        *plan_cells(Cell("b", "m", "f", "i", "s", "accuracy"), ONE, twenty, 1, both),
        *plan_cells(Cell("b", "m", "f", "i", "r", "question-image-group"), ONE, twenty, 1, both),
    ]
    learning = [cell.key for cell in cells + other if cell.method != "zero-shot"]
    assert len(set(learning)) == len(learning) == 6 + 12


SETTINGS = (
    Setting("savs", (("k", 5),)),
    Setting("lasso", (("C", 0.1), ("layers", 2)), True, "papers", "liblinear", "head_rms"),
)
FULL = Cell(
    *("digits", "tiny", "f" * 64, "i" * 64, "0" * 8, "accuracy", "all", "savs"),
    settings=SETTINGS,
    shots=20,
    draw=3,
    keep_leaks=True,
    validation=Validation(0.5, True),
    rules=4,
)


@pytest.mark.parametrize(
    ("cell", "key"),
    [
        (Cell("b", "m", "f", "i", "r", "accuracy", rules=4), "bd78e95466f9a89e235a1c58"),
        (FULL, "9a6edc895725f86730c0c14d"),
    ],
)
def test_a_cell_keeps_its_name_whatever_its_fields_are_called(cell, key):
    """Finished results are found by these names: another one computes them again."""
    assert cell.key == key
    assert Cell.from_json(json.loads(json.dumps(cell.to_json()))) == cell


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


@pytest.mark.parametrize(
    ("text", "name", "values"),
    [
        ("gamma=1", "gamma", [1]),
        ("gamma=0.1,1,10", "gamma", [0.1, 1, 10]),
        ("gamma=0.01:100:5log", "gamma", [0.01, 0.1, 1, 10, 100]),
        ("a=0.3:1.5:6lin", "a", [0.3, 0.54, 0.78, 1.02, 1.26, 1.5]),
        ("a=1e-5:1e2:8log", "a", [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1, 10, 100]),
        ("beta=-1:1:3lin", "beta", [-1, 0, 1]),
        ("beta=2:2:1lin", "beta", [2]),
        ("gamma=10:1:2log", "gamma", [10, 1]),
    ],
)
def test_grids(text, name, values):
    assert parse_grid(text) == (name, values)


@pytest.mark.parametrize(
    "text",
    [
        "",
        *"gamma =1 gamma= gamma==1 gamma=a gamma=1, gamma=1,,2 gamma=1:2 gamma=1:2:3 gamma=1:2:log".split(),
        *"gamma=1:2:0log gamma=1:2:-1lin gamma=1:2:1.5lin gamma=0:1:3log gamma=1:2:3:4log".split(),
    ],
)
def test_what_is_no_grid_is_refused_with_all_forms(text):
    with pytest.raises(ValueError, match=r"is no grid: write gamma=.*5log or a=.*6lin"):
        parse_grid(text)


def test_a_grid_that_is_given_twice_has_both():
    texts = ["gamma=1,2", "a=0.5", "gamma=2:8:3lin"]
    assert parse_grids(texts) == {"gamma": [1, 2, 5, 8], "a": [0.5]}
    assert parse_grids([]) == {}


def test_settings_are_capped_by_what_there_is_each_once():
    found = expand_settings(["savs", "layers", "savs-rbf"], {"k": [5, 50, 100], "layers": [1, 9, 30], "gamma": [200]})
    capped = cap_settings(found, heads=12, layers=3)
    assert [(setting.name, dict(setting.parameters)) for setting in capped] == [
        ("savs", {"k": 5}),
        ("savs", {"k": 12}),
        ("layers", {"layers": 1}),
        ("layers", {"layers": 3}),
        ("savs-rbf", {"k": 5, "gamma": 200}),
        ("savs-rbf", {"k": 12, "gamma": 200}),
    ]
