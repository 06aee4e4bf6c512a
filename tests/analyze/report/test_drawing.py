"""Figures: the same results give the same bytes, whoever draws; the settings of whoever calls stay as they are."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import pyplot, rcParams

from kit.drawings import FORMATS, draw_everything, summary_of
from savs_analyze.report.curves import Curve, curve_panels
from savs_analyze.report.drawing import empty_figure, figure_at, panels

TESTS = Path(__file__).parents[2]
USERS = {"font.size": 20, "svg.hashsalt": None, "savefig.dpi": 30, "axes.grid": True, "lines.linewidth": 9}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Every figure of this process, whose user has a backend, settings and an open figure of their own."""
    folder = tmp_path_factory.mktemp("drawn")
    backend = pyplot.get_backend()
    with pyplot.rc_context(USERS):
        pyplot.switch_backend("pdf")
        mine = pyplot.figure()
        before = dict(rcParams)
        draw_everything(folder)
        assert dict(rcParams) == before
        assert pyplot.get_backend() == "pdf"
        assert pyplot.get_fignums() == [mine.number]
        pyplot.close(mine)
    pyplot.switch_backend(backend)
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Every figure of another process, at another time, where no one has settings: it never imports pyplot."""
    folder = tmp_path_factory.mktemp("elsewhere")
    other = {"PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": "1", "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    subprocess.run([sys.executable, "-m", "kit.drawings", folder], check=True, env=os.environ | other)
    return folder


@pytest.mark.parametrize("name", ["transfer", "projection", "curves", "maps", "reliability"])
@pytest.mark.parametrize("ending", FORMATS)
def test_two_processes_draw_the_same_bytes(drawn, elsewhere, name, ending):
    first, second = ((folder / f"{name}.{ending}").read_bytes() for folder in (drawn, elsewhere))
    assert len(first) > 1000
    assert first == second


def test_two_processes_draw_the_same_chart_of_a_page(drawn, elsewhere):
    for name in ("chart.svg", "diagram.svg"):
        assert (drawn / name).read_text() == (elsewhere / name).read_text()


def test_no_file_says_when_it_was_drawn(drawn):
    for path in drawn.glob("*.pdf"):
        assert b"/Producer" in path.read_bytes()  # so its words can be read
        assert not {word for word in (b"CreationDate", b"ModDate") if word in path.read_bytes()}
    for path in drawn.glob("*.svg"):
        assert b"dc:date" not in path.read_bytes()


def test_a_figure_without_a_format_is_refused_in_words_and_leaves_nothing(tmp_path):
    words = "heads does not end with the format of a figure: write .*heads.svg"
    with pytest.raises(ValueError, match=words), figure_at(tmp_path / "heads", 1.0, 1.0):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_formula_is_a_name(drawn):
    assert "a $frac / m" in (drawn / "curves.svg").read_text()


def test_what_fails_leaves_no_file(tmp_path):
    def draw(path):
        with figure_at(path, 2.0, 2.0) as figure:
            figure.subplots()
            if path.stem == "broken":
                raise KeyError(path.name)

    with pytest.raises(KeyError):
        draw(tmp_path / "broken.svg")
    with pytest.raises(ValueError, match="Format 'xyz' is not supported"):
        draw(tmp_path / "figure.xyz")
    assert list(tmp_path.iterdir()) == []
    draw(tmp_path / "FIGURE.PDF")
    assert b"CreationDate" not in (tmp_path / "FIGURE.PDF").read_bytes()


@pytest.mark.parametrize(
    ("count", "columns", "shape"), [(1, 3, (1, 1)), (3, 3, (1, 3)), (4, 3, (2, 3)), (7, 2, (4, 2))]
)
def test_panels_fill_lines(count, columns, shape):
    with empty_figure(4.0, 4.0) as figure:
        every = panels(figure, count, columns)
        assert len(every) == len(figure.axes) == count
        places = [axes.get_subplotspec() for axes in every]
    assert {place.get_gridspec().get_geometry() for place in places} == {shape}
    assert [(place.rowspan.start, place.colspan.start) for place in places] == [
        divmod(number, shape[1]) for number in range(count)
    ]


def test_curves_are_the_numbers_of_the_summary():
    [panel] = curve_panels(
        summary_of(("zero-shot", 0, 0.25), ("savs", 8, 0.75), ("savs", 1, 0.5), ("ridge", 8, 0.5)), "heads"
    )
    assert (panel.title, panel.metric) == ("a $frac / m", "accuracy")
    curves = {curve.name: curve for curve in panel.curves}
    assert curves["SAVs"] == Curve("SAVs", 1, [1, 8], [50.0, 75.0], [40.0, 65.0], [60.0, 85.0])
    assert (curves["zero-shot"].place, curves["ridge"].place) == (0, 2)
    assert {name for name, curve in curves.items() if curve.is_level} == {"zero-shot", "ridge"}


def test_of_several_tasks_their_mean_is_drawn_and_of_metrics_the_first():
    rows = [("savs", heads, 0.5) for heads in (1, 2)]
    tasks = [summary_of(*rows).assign(task=task) for task in ("left", "right", "mean of 2 tasks")]
    other = summary_of(("savs", 1, 0.9)).assign(metric="macro_f1", benchmark="one")
    first = summary_of(*rows).assign(benchmark="one", value=0.25)
    panels_found = curve_panels(pd.concat([*tasks, first, other]), "heads")
    assert [(panel.title, panel.curves[0].value) for panel in panels_found] == [
        ("a $frac / m", [50.0, 50.0]),
        ("one / m", [25.0, 25.0]),
    ]


def test_one_value_is_no_curve():
    with pytest.raises(ValueError, match="no two values of heads"):
        curve_panels(summary_of(("zero-shot", 0, 0.4), ("savs", 5, 0.5)), "heads")


def test_labels_of_ticks_show_what_nobody_could_see(tmp_path):
    """They are written again when they are drawn: a class with a control character in its name stopped a card."""
    with figure_at(tmp_path / "ticks.svg", 3.0, 2.0) as figure:
        axes = figure.add_subplot()
        axes.barh(range(2), [1, 2])
        axes.set_yticks(range(2), ["ant\x1f", "bee\u200b"])
    content = (tmp_path / "ticks.svg").read_text()
    assert "ant\\x1f" in content
    assert "bee\\u200b" in content
