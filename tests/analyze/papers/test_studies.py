"""The papers' studies: each runs on a small store, resumes, and shows what it promises."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from savs_analyze.cli.commands import app
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import expand_settings
from savs_analyze.papers.studies import STUDIES, find_study
from savs_analyze.runs.results import Results
from savs_stores import BenchmarkInfo, write_store


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_asks_for_methods_and_values_that_there_are(name):
    asked = find_study(name)
    settings = expand_settings(asked.methods, {"k": asked.heads, **asked.grid})
    assert {setting.name for setting in settings} == set(asked.methods) <= set(METHODS)
    assert asked.question
    assert asked.source


def test_the_study_of_all_methods_runs_the_papers_grids():
    asked = find_study("methods")
    names = [setting.name for setting in expand_settings(asked.methods, {"k": asked.heads, **asked.grid})]
    assert names.count("savs-artanh") == 36  # a, b in six values each
    assert names.count("lasso") == names.count("sparse-group-lasso") == 32  # eight penalties, one to four layers


@pytest.mark.parametrize(("name", "figure"), [("heads", "heads.svg"), ("shots", "shots.svg"), ("layers", None)])
def test_a_study_is_one_command(write_toy, generator, tmp_path, monkeypatch, name, figure):
    monkeypatch.chdir(tmp_path)
    store = write_toy(tmp_path, generator, count=220).path
    arguments = ["study", name, "--store", str(store), "--draws", "2"]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    assert "SAVs" in first.stdout
    if figure:
        drawn = (tmp_path / "results" / name / figure).read_bytes()
        assert b"<svg" in drawn
        assert CliRunner().invoke(app, arguments).stdout == first.stdout
        assert (tmp_path / "results" / name / figure).read_bytes() == drawn
    else:
        assert "chosen of" in first.stdout


def test_a_study_takes_other_shots(write_toy, generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = write_toy(tmp_path, generator, count=220).path
    words = ["study", "heads", "--store", str(store), "--draws", "2", "--shots", "3:5:2"]
    assert CliRunner().invoke(app, words, catch_exceptions=False).exit_code == 0
    learnt = {cell.facts.shots for cell in Results(tmp_path / "results" / "heads").loaded()}
    assert learnt - {0} == {3, 5}


def test_hecs_protocol_is_four_shots_and_validates_nothing(write_toy, generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = write_toy(tmp_path, generator, count=220).path
    done = CliRunner().invoke(app, ["study", "hec", "--store", str(store), "--draws", "2"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "classes" not in done.stderr
    cells = list(Results(tmp_path / "results" / "hec").loaded())
    assert {cell.facts.method for cell in cells} == {"savs", "ridge", "hec-v", "hec-v-loo"}  # no logits
    assert {cell.facts.shots for cell in cells} == {4}
    assert not any(cell.arrays["validation"].any() for cell in cells)
    [hec] = {str(cell.facts.settings) for cell in cells if cell.facts.method == "hec-v"}
    assert "'tau': 10" in hec


def test_hecs_protocol_tells_of_more_classes_than_it_takes(generator, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [f"{number:03}" for number in range(201)]
    labels = np.tile(np.arange(201), 5)
    store = write_store(
        tmp_path / "many.zarr",
        benchmark=BenchmarkInfo("many", {"all": names}),
        samples={"label": [names[label] for label in labels], "split": ["pool"] * 804 + ["test"] * 201},
        model="m",
        heads=generator.normal(size=(1005, 1, 2, 3)),
    )
    done = CliRunner().invoke(app, ["study", "hec", "--store", str(store.path), "--draws", "1"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "many has 201 classes: the protocol takes 200 of them at a time, here all are told apart" in done.stderr


def test_the_demo_needs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = CliRunner().invoke(app, ["demo"])
    assert shown.exit_code == 0, shown.output
    assert "vectors are made up" in shown.stderr
    page = tmp_path / "results" / "demo" / "report.html"
    assert shown.stdout.splitlines()[-1] == "results/demo/report.html"
    assert "planted" in page.read_text()
    before = page.read_bytes()
    again = CliRunner().invoke(app, ["demo"])
    assert again.stdout == shown.stdout
    assert page.read_bytes() == before


def test_an_unknown_study_suggests_the_nearest():
    with pytest.raises(ValueError, match="there is no study 'head'; did you mean 'heads'"):
        find_study("head")
    with pytest.raises(ValueError, match="there is no study 'x': methods, shots"):
        find_study("x")


def test_the_artanh_score_is_drawn_without_a_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = CliRunner().invoke(app, ["study", "artanh"], catch_exceptions=False)
    assert drawn.stdout.split() == ["results/artanh/scores.svg", "results/artanh/levels.svg"]
    for path in map(Path, drawn.stdout.split()):
        assert b"<svg" in path.read_bytes()
    before = [Path(path).read_bytes() for path in drawn.stdout.split()]
    assert CliRunner().invoke(app, ["study", "artanh"]).stdout == drawn.stdout
    assert [Path(path).read_bytes() for path in drawn.stdout.split()] == before


def test_the_artanh_study_of_a_store_tells_that_a_and_b_change_no_count(toy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ["study", "artanh", "--store", str(toy.path), "--draws", "1"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    rows = pd.read_csv("results/artanh/rows.csv")
    assert set(rows[rows.method == "savs-artanh"].same_as) == {"savs"}
    assert rows[rows.method == "savs-artanh-score"].setting.nunique() == 36


def test_any_other_study_needs_a_store():
    refused = CliRunner().invoke(app, ["study", "heads"])
    assert "the study 'heads' needs vectors: name a store with --store" in str(refused.exception)
