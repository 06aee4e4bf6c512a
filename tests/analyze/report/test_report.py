"""The report says what the table says, in one file that needs nothing else."""

import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, recall_score
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_analyze.findings.findings import Findings
from savs_analyze.findings.summary import summarize
from savs_analyze.measure.confusion import confused, confusion, recalls, worst_first
from savs_analyze.report.blocks import MOST_CLASSES, WORST, Classes, Table
from savs_analyze.report.head_maps import selection_frequency
from savs_analyze.report.layout import MOST_COLUMNS, spread
from savs_analyze.report.notes import footnotes
from savs_analyze.report.page import write_report
from savs_analyze.report.sections import (
    against_heads,
    against_shots,
    classes,
    left_out,
    paired_tests,
    results,
)
from savs_analyze.runs.results import Results
from savs_metrics import OF_CLASSES, OF_SCORES
from savs_stores import BenchmarkInfo, write_store

OF_CLASSES_AND_SCORES = ["Classes", "Balanced accuracy and macro-F1", "Probabilities"]
LARGEST = 1_000_000  # bytes of a page


@pytest.fixture(scope="module")
def swept(write_toy, tmp_path_factory):
    """Results of two benchmarks, of zero-shot and SAVs of 1 and 3 heads."""
    folder, generator, stores = tmp_path_factory.mktemp("swept"), np.random.default_rng(0), []
    for name, count in (("one", 2), ("two", 4)):
        logits = np.tile(np.arange(count, dtype=np.float32), (2 * 30 * count, 1))  # always the last class
        stores.append(write_toy(folder, generator, name, classes=count, logits=logits).path)
    sweep(stores, folder / "demo", shots=5, draws=3, heads=(1, 3), command="savs-analyze sweep --store 'a <b>.zarr'")
    return folder / "demo"


def page_of(folder):
    return write_report(folder, folder / "report.html").read_text()


def found_in(folder):
    return Findings(list(Results(folder).loaded()))


def headings(page):
    return re.findall(r"<h2[^>]*>(.*?)</h2>", page)


def cells_of(page):
    """Return (value, interval) of every cell of the tables that has an interval."""
    return re.findall(r"<td[^>]*>([\d.]+)(?:<span class=\"close\">°</span>)?<small>(\[.*?\])</small></td>", page)


samples = st.integers(1, 5).flatmap(
    lambda count: st.tuples(
        st.just(count),
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), min_size=1, max_size=30),
    )
)


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(samples)
def test_confusion_and_recalls_are_those_of_scikit_learn(found):
    count, pairs = found
    predicted, label = np.array(pairs, dtype=np.int16).T
    counts = confusion(predicted, label, count)
    assert counts.tolist() == confusion_matrix(label, predicted, labels=range(count)).tolist()
    there = np.unique(label)
    expected = recall_score(label, predicted, labels=there, average=None, zero_division=0)
    assert recalls(counts)[there] == pytest.approx(expected)
    assert np.isnan(np.delete(recalls(counts), there)).all()
    assert sorted(worst_first(counts)) == there.tolist()
    assert (np.diff(recalls(counts)[worst_first(counts)]) >= 0).all()
    wrong = [counts[pair] for pair in confused(counts)]
    assert wrong == sorted(wrong, reverse=True)
    assert sum(wrong) == (predicted != label).sum()


def test_a_thousand_classes_fit_into_labels_of_16_bits():
    label = np.arange(1000, dtype=np.int16)
    assert confusion(label[::-1], label, 1000).sum() == 1000
    assert confusion(label, label, 1000).trace() == 1000


def test_the_page_has_the_numbers_of_the_table(swept):
    cells, page = list(Results(swept).loaded()), page_of(swept)
    summary = summarize(cells)
    shown = set(cells_of(page))
    assert len(shown) > 6
    in_tables = summary[~summary.metric.isin(OF_SCORES)]
    for line in spread(in_tables, all_metrics=True).to_dict("records"):
        for setting in set(summary.setting):
            value, _, interval = str(line[setting]).partition(" ")
            assert (value, interval) in shown
    for note in footnotes(cells):
        assert note in page
    assert "2 methods on one and two, from the attention heads of planted" in page


def test_the_best_of_a_line_is_marked(swept):
    [table] = results(found_in(swept)).blocks
    for line in table.lines:
        values = [float(cell.text) for cell in line[1:-1]]
        assert [cell.best for cell in line[1:-1]] == [value == max(values) for value in values]
    assert 'class="number best"' in page_of(swept)


def test_many_settings_have_a_line_each_and_the_same_numbers(toy, tmp_path):
    sweep([toy.path], tmp_path, shots=5, draws=1, heads=range(1, MOST_COLUMNS + 2), methods=["savs"])
    [table] = results(found_in(tmp_path)).blocks
    assert [line[0].text for line in table.lines] == ["SAVs, 1 head", *(f"SAVs, {k} heads" for k in range(2, 7))]
    found = found_in(tmp_path)
    wide = spread(found.headlines(found.chosen))
    shown = [f"{line[1].text} {line[1].small}{' °' if line[1].close else ''}" for line in table.lines]
    assert shown == wide.iloc[0, 5:].map(str).tolist()


def test_of_numbers_that_print_alike_only_the_larger_is_bold(swept):
    found = found_in(swept)
    accuracy = found.chosen[found.chosen["metric"] == "accuracy"].iloc[:2].copy()
    first, second = accuracy["setting"]
    accuracy[["benchmark", "task", "model"]] = accuracy[["benchmark", "task", "model"]].iloc[0].tolist()
    accuracy["value"] = [0.90801, 0.90802]
    found.__dict__["chosen"] = accuracy
    [table] = results(found).blocks
    cells = {cell.text: cell for cell in table.lines[0]}
    marked = {heading.text: cell.best for heading, cell in zip(table.columns, table.lines[0], strict=True)}
    assert "90.8" in cells
    assert (marked[first], marked[second]) == (False, True)


def test_nothing_is_fetched_and_nothing_runs(swept):
    page = page_of(swept)
    assert not re.search(r"https?:|src=|<script|<link|@import|url\((?!#)", page)
    # An id is there once, and what is referred to is there.
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', page)) <= {
        *((i, "") for i in ids),
        *(("", i) for i in ids),
    }


def test_words_from_data_are_escaped(write_toy, tmp_path):
    name = "<script>alert(1)"
    store = write_toy(tmp_path, np.random.default_rng(0), name, logits=np.zeros((120, 2), dtype=np.float32))
    out = tmp_path / "<i>"
    sweep([store.path], out, shots=5, draws=2, heads=(1, 3), command="sweep '<b>&'")
    page = page_of(out)
    assert "<script" not in page
    assert "<i>" not in page
    assert page.count("&lt;script&gt;alert(1)") > 5
    assert "sweep &#39;&lt;b&gt;&amp;&#39;" in page


def test_the_same_results_give_the_same_bytes(swept, tmp_path, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")  # the page says when it was made
    first, second = (write_report(swept, tmp_path / name).read_bytes() for name in "ab")
    assert first == second


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(swept, tmp_path):
    script = "from savs_analyze.cli.commands import entry; entry()"
    for seed, name in ("1", "a"), ("2", "b"):
        command = [sys.executable, "-c", script, "report", swept, "--out", tmp_path / name]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": seed})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_large_report_is_below_a_megabyte(swept, tmp_path):
    """28 layers of 28 heads, 14 tasks, 5 draws, each with other heads."""
    generator, large = np.random.default_rng(0), Results(tmp_path)
    layers, places = np.divmod(np.arange(784), 28)
    keys = []
    for cell in Results(swept).loaded():
        if cell.facts.benchmark == "two":
            for task in range(14):
                facts = replace(cell.facts, task=f"task {task}")
                if facts.kept:
                    heads = generator.choice(784, 50, replace=False)
                    kept = np.stack([layers[heads], places[heads]], axis=1).tolist()
                    facts = replace(facts, kept=[kept, kept], head_table=[layers.tolist(), places.tolist()])
                keys.append(f"{len(keys)}")
                large.save(keys[-1], replace(cell, facts=facts, rows=[row | {"task": facts.task} for row in cell.rows]))
    large.finish({"command": "", "cells": keys, "versions": {}})
    page = page_of(tmp_path)
    assert page.count('class="box map"') == 14
    assert page.count("</title></rect>") > 14 * 45
    assert len(page.encode()) < LARGEST


def test_heads_say_in_how_many_draws_they_are_chosen(swept):
    page = page_of(swept)
    assert "among the best 3:" in page
    told = re.findall(r"layer (\d), head (\d): chosen in (\d) of 3 draws</title>", page)
    grids = selection_frequency(Results(swept).loaded(), 3).values()
    expected = [(*place, round(3 * grid[tuple(place)])) for grid in grids for place in np.argwhere(grid).tolist()]
    assert [tuple(map(int, numbers)) for numbers in told] == expected


def test_curves_need_several_numbers_of_heads(swept, toy, tmp_path):
    assert "Against the number of heads" in headings(page_of(swept))
    sweep([toy.path], tmp_path, shots=5, draws=1, heads=(2,))
    page = page_of(tmp_path)
    assert headings(page) == ["Results", "Where the heads are", *OF_CLASSES_AND_SCORES, "Left out"]
    assert "one random draw" in page
    assert "5 labelled samples a class, 1 random draw." in page
    assert "chosen in 1 of 1 draw<" in page


def test_several_numbers_of_shots_have_curves(toy, tmp_path):
    sweep([toy.path], tmp_path, shots=(5, 10), draws=2, heads=(2,))
    [chart] = against_shots(found_in(tmp_path)).blocks
    assert "var(--line-0)" in chart.svg
    page = page_of(tmp_path)
    assert "Against the number of samples a class" in page
    assert "SAVs, 2 heads, 10 shots" in page
    assert "5, 10 labelled samples a class" in page


def test_without_logits_there_is_no_zero_shot(toy, tmp_path):
    sweep([toy.path], tmp_path, shots=5, draws=2, heads=(1, 3))
    page = page_of(tmp_path)
    assert "1 method on toy" in page
    assert "var(--line-0)" in page


def test_zero_shot_alone(make_store, tmp_path):
    store = make_store(logits=np.zeros((120, 2), dtype=np.float32))
    sweep([store.path], tmp_path / "out", methods=["zero-shot"])
    page = page_of(tmp_path / "out")
    assert "nothing is learnt" in page
    of_classes, *of_scores = OF_CLASSES_AND_SCORES
    assert headings(page) == ["Results", of_classes, "Worst answers", *of_scores, "Left out"]


def test_one_class(tmp_path, generator):
    store = write_store(
        tmp_path / "one.zarr",
        benchmark=BenchmarkInfo("one", {"all": ["a"]}),
        samples={"label": ["a"] * 40, "split": ["either"] * 40},
        model="m",
        heads=generator.normal(size=(40, 1, 4, 8)),
        logits=np.zeros((40, 1), dtype=np.float32),
    )
    sweep([store.path], tmp_path / "out", draws=1, methods=["zero-shot"])
    [block] = classes(found_in(tmp_path / "out")).blocks
    assert block.bars == [("a", 1.0, 40)]
    assert block.errors == []
    page_of(tmp_path / "out")


def test_failed_samples_are_counted(make_store, tmp_path):
    def fail(vectors):
        vectors[[70, 80, 90]] = np.nan

    store = make_store(change=fail)
    sweep([store.path], tmp_path / "out", shots=5, draws=2, heads=(2,))
    [table] = left_out(found_in(tmp_path / "out")).blocks
    [line] = table.lines
    shown = dict(zip((column.text for column in table.columns), (cell.text for cell in line), strict=True))
    assert shown["tested"] == "57"
    assert shown["failed"] == "3"
    assert "because they have no vectors" in page_of(tmp_path / "out")


def test_nothing_left_out_is_said_in_words(swept):
    assert left_out(found_in(swept)).note.startswith("Nothing")


def test_validation_chooses_and_is_not_reported(make_store, tmp_path):
    store = make_store(count=220)
    sweep([store.path], tmp_path / "out", shots=5, draws=2, heads=(1, 2, 12), methods=["savs", "savs-margin"])
    found, page = found_in(tmp_path / "out"), page_of(tmp_path / "out")
    assert {"Chosen hyperparameters", "Which methods differ"} < set(headings(page))
    [table] = results(found).blocks
    assert [column.text for column in table.columns[1:-2]] == [choice.setting for choice in found.choices]
    [block] = classes(found).blocks
    assert block.counts.sum() == 2 * 330
    [excluded] = left_out(found).blocks
    assert [cell.text for cell in excluded.lines[0][3:5]] == ["330", "110"]
    # Curves show all settings, not the chosen ones only.
    [chart] = against_heads(found).blocks
    assert "var(--line-1)" in chart.svg


def test_paired_tests_are_those_of_the_best(swept):
    found = found_in(swept)
    one, two = paired_tests(found).blocks
    assert [len(table.lines) for table in (one, two)] == [2, 2]
    for table in (one, two):
        benchmark, _, best = table.caption.partition(": ")
        rows = found.summary[(found.summary.benchmark == benchmark) & (found.summary.metric == "accuracy")]
        assert rows[rows.setting == best].value.item() == rows.value.max()
        lost = rows.set_index("setting").loc[[line[0].text for line in table.lines], "value"]
        expected = [f"{100 * (rows.value.max() - value):+.1f}" for value in lost]
        assert [line[1].text for line in table.lines] == expected


def test_several_tasks_are_told_apart(tmp_path, generator):
    store = write_store(
        tmp_path / "two.zarr",
        benchmark=BenchmarkInfo("two", {"left": ["a", "b"], "right": ["a", "b", "c"]}),
        samples={
            "label": ["a", "b"] * 40 + ["a", "b", "c"] * 30,
            "task": ["left"] * 80 + ["right"] * 90,
            "split": ["either"] * 170,
        },
        model="m",
        heads=generator.normal(size=(170, 1, 4, 8)),
    )
    sweep([store.path], tmp_path / "out", shots=5, draws=2, heads=(1, 2))
    found = found_in(tmp_path / "out")
    assert found.headlines(found.summary).task.tolist() == ["mean of 2 tasks"] * 2
    assert [len(block.names) for block in classes(found).blocks] == [2, 3]
    page = page_of(tmp_path / "out")
    assert "mean of 2 tasks" in page
    assert "two / left" in page


def test_the_lasso_has_a_report(toy, tmp_path):
    grid = {"layers": [1], "alpha": [0.01, 0.1]}
    sweep([toy.path], tmp_path, shots=5, draws=2, methods=["sparse-group-lasso"], grid=grid)
    page = page_of(tmp_path)
    assert "sparse-group-lasso, 1 layer, alpha=0.01" in page
    assert "Where the heads are" not in page


def test_what_is_the_same_says_so_and_has_no_curve(toy, tmp_path):
    sweep([toy.path], tmp_path, shots=5, draws=1, heads=(1, 2), methods=["savs", "savs-penalty"])
    page = page_of(tmp_path)
    assert "same as savs" in page
    assert "var(--line-1)" not in re.sub("<style>.*?</style>", "", page, flags=re.DOTALL)


def test_of_many_classes_the_worst_are_shown():
    count = MOST_CLASSES + 1
    counts = np.diag(np.full(count, 10))
    counts[7] = 0
    counts[7, [3, 7]] = 9, 1
    block = Classes("many", [f"class {i}" for i in range(count)], counts)
    assert not block.few
    assert len(block.bars) == WORST
    assert block.bars[0] == ("class 7", 0.1, 10)
    assert block.errors == [("class 7", "class 3", 9, 0.9)]


def test_recalls_average_to_balanced_accuracy(swept):
    found = found_in(swept)
    summary = found.summary[found.summary.metric == OF_CLASSES[0]]
    for block in classes(found).blocks:
        name, _, setting = block.caption.partition(": ")
        [value] = summary[(summary.benchmark == name) & (summary.setting == setting)].value
        # Every draw tests the same samples here, so the mean over draws is that of all together.
        assert np.mean([recall for _, recall, _ in block.bars]) == pytest.approx(value)


def test_any_data_frame_is_a_table():
    frame = pd.DataFrame({"method": ["a", "b"], "p": [0.01234567, np.nan], "n": [1234, 5], "better": [True, False]})
    table = Table.of(frame)
    assert [[cell.text for cell in line] for line in table.lines] == [
        ["a", "0.01235", "1,234", "True"],
        ["b", "", "5", "False"],
    ]
    assert table.words == [True, False, False, True]


def test_the_command_writes_beside_the_results_or_elsewhere(swept, tmp_path):
    for options, path in ([], swept / "report.html"), (["--out", tmp_path / "a" / "b.html"], tmp_path / "a" / "b.html"):
        done = CliRunner().invoke(app, ["report", str(swept), *map(str, options)], catch_exceptions=False)
        assert done.stdout.strip() == str(path)
        assert path.read_text().startswith("<!doctype html>")


def test_no_results_no_report(tmp_path):
    with pytest.raises(FileNotFoundError, match="savs-analyze sweep"):
        write_report(tmp_path, tmp_path / "report.html")
