"""A row a sample and setting says what all draws together say of it."""

import csv
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_analyze.findings.answers import COLUMNS, Wanted, answer_rows, answers_of
from savs_analyze.findings.findings import Findings
from savs_analyze.report.layout import answers_table
from savs_analyze.runs.results import Results
from savs_analyze.runs.sources import Sources, find_sources

ODD = ["[/red]", "leaves [v1]", "$a_{b$", "=1+1"]


@pytest.fixture(scope="module")
def swept(write_toy, tmp_path_factory):
    """Results of two stores, one that keeps paths and questions and one of an either split that keeps none."""
    folder, generator = tmp_path_factory.mktemp("swept"), np.random.default_rng(0)
    logits = np.tile(np.arange(4, dtype=np.float32), (2 * 30 * 4, 1))  # always the last class
    texts = {
        "sample_id": [f"pets/{n}.jpg" for n in range(240)],
        "image_path": [ODD[n % 4] + f"/{n}.jpg" for n in range(240)],
        "question": ["Which, then?"] * 240,
    }
    noise = {"change": lambda vectors: np.add(vectors, generator.normal(size=vectors.shape) * 4, out=vectors)}
    one = write_toy(folder, generator, "one", classes=4, logits=logits, **texts, **noise)
    two = write_toy(folder, generator, "two", classes=2, count=12, split=("either", "either"), **noise)
    stores = [one.path, two.path]
    sweep(stores, folder / "demo", shots=5, draws=3, heads=(1, 3), methods=("zero-shot", "savs", "ridge"))
    return folder / "demo"


def rows_of(folder, all_settings=True, **wanted):
    found = Findings.of_folder(folder, all_settings)
    sources = find_sources(Results(folder), [cell.facts for cell in found.cells])
    return answer_rows(answers_of(found.cells, found.choices), sources, Wanted(**wanted))


def printed(*words):
    result = CliRunner().invoke(app, ["answers", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


KEY = ["benchmark", "task", "method", "setting", "shots", "row"]


def test_rows_are_those_of_the_draws_put_together(swept):
    """The oracle counts the answers of single draws, as `Findings.answers` gives them, one by one."""
    single = Findings.of_folder(swept, all_settings=True).answers()
    single = single[single["split"] == "test"].rename(columns={"sample": "row"})
    rows = rows_of(swept).set_index(KEY)
    expected = dict(list(single.groupby(KEY)))
    assert set(rows.index) == set(expected)
    for key, of in expected.items():
        row = rows.loc[key]
        assert row["draws"] == sorted(of["draw"])
        assert (row["tested"], row["right"]) == (len(of), of["correct"].sum())
        counts = of["answer"].value_counts()
        assert row["answer"] in counts[counts == counts.max()].index
        assert row["agreement"] == pytest.approx(counts.max() / len(of))
        assert row["label"] == of["label"].iloc[0]
        assert row["correct"] == (row["answer"] == row["label"])
    one = pd.DataFrame(rows["scores"].tolist(), index=rows.index).loc[("two",)].dropna(axis=1)
    np.testing.assert_allclose(one.sum(axis=1), 1)


def test_scores_are_means_over_draws_and_margins_are_of_them(swept):
    found = Findings.of_folder(swept, all_settings=True)
    rows = rows_of(swept)
    cells = found.of(benchmark="two", method="ridge")
    names = cells[0].facts.class_names
    for row in rows[(rows["benchmark"] == "two") & (rows["method"] == "ridge")].itertuples():
        kept = []
        for cell in cells:
            for place in np.flatnonzero(cell.arrays["sample"] == row.row):
                powers = np.exp(cell.scores(cell.facts.columns.index(row.setting))[place].astype(float))
                kept.append(powers / powers.sum())
        means = dict(zip(names, np.mean(kept, axis=0).tolist(), strict=True))
        assert row.scores == pytest.approx(means)
        others = max(score for name, score in means.items() if name != row.answer)
        assert row.margin == pytest.approx(means[row.answer] - others)


def test_samples_have_the_names_that_the_store_knows(swept):
    rows = rows_of(swept)
    one = rows[rows["benchmark"] == "one"]
    assert (one["sample_id"] == [f"pets/{row}.jpg" for row in one["row"]]).all()
    assert (one["image_path"] == [f"{ODD[row % 4]}/{row}.jpg" for row in one["row"]]).all()
    assert set(one["question"]) == {"Which, then?"}
    two = rows[rows["benchmark"] == "two"]
    assert set(two["image_path"]) | set(two["question"]) == {""}
    assert (two["sample_id"] == two["row"].astype(str)).all()


def by_doubt(rows):
    """A tie of draws comes before what most of them say against their own mean scores."""
    order = sorted(range(len(rows)), key=lambda place: (rows["agreement"].iloc[place], abs(rows["margin"].iloc[place])))
    return rows.iloc[order]


WANTED = {
    "wrong": ({"wrong": True}, lambda rows: rows[~rows["correct"].astype(bool)]),
    "class": ({"label": "dog"}, lambda rows: rows[(rows["label"] == "dog") | (rows["answer"] == "dog")]),
    "method": ({"method": "ridge"}, lambda rows: rows[rows["method"] == "ridge"]),
    "task": ({"task": "all"}, lambda rows: rows),
    "shots": ({"shots": 5}, lambda rows: rows[rows["shots"] == 5]),
    "both": ({"wrong": True, "method": "savs"}, lambda rows: rows.query("answer != label and method == 'savs'")),
    "doubtful": ({"doubtful": 7}, lambda rows: by_doubt(rows).head(7)),
    "doubtful and wrong": (
        {"doubtful": 3, "wrong": True},
        lambda rows: by_doubt(rows[~rows["correct"].astype(bool)]).head(3),
    ),
}


@pytest.mark.parametrize("case", WANTED)
def test_what_is_wanted_is_what_is_left(swept, case):
    wanted, oracle = WANTED[case]
    found, expected = rows_of(swept, **wanted), oracle(rows_of(swept))
    assert len(found)
    pd.testing.assert_frame_equal(found, expected.reset_index(drop=True))


def test_the_chosen_settings_alone_are_listed_where_nothing_else_is_asked(swept):
    found = Findings.of_folder(swept)
    chosen = set(rows_of(swept, all_settings=False)["setting"])
    assert chosen == set(found.chosen["setting"])


def test_without_scores_margins_are_of_the_draws(swept, tmp_path):
    found = Findings.of_folder(swept, all_settings=True)
    for cell in found.cells:
        cell.arrays.pop("scores", None)
    rows = answer_rows(answers_of(found.cells), Sources(), Wanted(method="savs"))
    assert rows["scores"].isna().all()
    unanimous = rows["agreement"] == 1
    assert (rows["margin"][unanimous] == 1).all()
    assert (rows["margin"][~unanimous] < 1).all()
    assert set(rows["sample_id"]) == {""}


def test_formats_say_the_same(swept, tmp_path):
    by_json = json.loads(printed(swept, "--format", "json", "--wrong"))
    by_csv = list(csv.DictReader(io.StringIO(printed(swept, "--format", "csv", "--wrong"))))
    assert [list(row) for row in by_json[:1]] == [list(row) for row in by_csv[:1]] == [COLUMNS]
    assert len(by_json) == len(by_csv) > 0
    for one, other in zip(by_json, by_csv, strict=True):
        assert json.loads(other["scores"]) == pytest.approx(one["scores"])
        assert other["draws"].split() == list(map(str, one["draws"]))
        assert other["image_path"] == ("'" * one["image_path"].startswith("=")) + one["image_path"]
        assert other["correct"] == "False"
    for name in ("a.csv", "a.json"):
        assert printed(swept, "--wrong", "--out", tmp_path / name).strip() == str(tmp_path / name)
    assert json.loads((tmp_path / "a.json").read_text()) == by_json
    assert list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text()))) == by_csv
    for name in ("a.csv", "a.json"):  # what this wrote, it writes again
        printed(swept, "--out", tmp_path / name)


def test_the_table_is_for_people(swept):
    found = printed(swept, "--wrong", "--method", "savs")
    assert "Asked was 'Which, then?'" not in found  # the other store keeps no question
    assert "No paths and questions of samples" in found
    assert "two.zarr" in found
    first = rows_of(swept, all_settings=False, wrong=True, method="savs").iloc[0]
    assert first["sample_id"] in found
    assert f"{first['right']} of {first['tested']}" in found


def test_shots_stand_in_the_table_where_they_differ_and_no_margin_is_minus_nothing(swept):
    rows = rows_of(swept, method="savs").head(4).assign(shots=[5, 5, 20, 20], margin=[-0.001, 0.001, -0.2, 0.2])
    assert answers_table(rows)["shots"].tolist() == [5, 5, 20, 20]
    assert answers_table(rows)["margin"].tolist() == ["0", "0", "-20", "20"]
    assert "shots" not in answers_table(rows.head(2))


MISTAKES = {
    "no class": (["--class", "cow"], "no result has the class 'cow'; there are ant"),
    "no method": (["--method", "svas"], "no result has the method 'svas'; there are zero-shot, savs, ridge"),
    "no shots": (["--shots", "7"], "no result has the shots '7'; there are 0, 5"),
    "no task": (["--task", "x"], "no result has the task 'x'; there are all"),
    "another ending": (["--out", "answers.txt"], "must end in .csv or .json"),
    "two formats": (["--out", "answers.csv", "--format", "json"], "two formats"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told(swept, case):
    words, message = MISTAKES[case]
    result = CliRunner().invoke(app, ["answers", str(swept), *words])
    assert message in str(result.exception)
    assert isinstance(result.exception, ValueError)


@pytest.mark.parametrize(
    "content", ['[{"benchmark": "mine"}]', "[]\nmine", "benchmark,model\n", '[\n {"benchmark":"x"}]']
)
def test_files_of_a_user_are_not_replaced(swept, tmp_path, content):
    for ending in ("csv", "json"):
        (tmp_path / f"mine.{ending}").write_text(content)
        result = CliRunner().invoke(app, ["answers", str(swept), "--out", str(tmp_path / f"mine.{ending}")])
        assert "was not written by savs" in str(result.exception)
        assert (tmp_path / f"mine.{ending}").read_text() == content


def test_a_store_that_is_elsewhere_is_said_and_can_be_named(swept, tmp_path, monkeypatch):
    shutil.copytree(swept, tmp_path / "results")
    moved = tmp_path / "moved.zarr"
    shutil.copytree(swept.parent / "one.zarr", moved)
    monkeypatch.setattr("savs_analyze.runs.sources.place_of_source", lambda source, folder: str(tmp_path / "gone"))
    words = [tmp_path / "results", "--format", "json"]
    assert {row["sample_id"] for row in json.loads(printed(*words))} == {""}
    assert "its store is not at hand" in printed(tmp_path / "results")
    named = json.loads(printed(*words, "--store", moved))
    assert all(row["sample_id"].startswith("pets/") for row in named if row["benchmark"] == "one")
    assert {row["sample_id"] for row in named if row["benchmark"] == "two"} == {""}


def test_a_store_of_other_samples_is_no_source(swept, write_toy, tmp_path):
    other = write_toy(tmp_path, np.random.default_rng(1), "one", classes=4, sample_id=[f"x{n}" for n in range(240)])
    found = Findings.of_folder(swept)
    results = Results(swept)
    facts = [cell.facts for cell in found.cells if cell.facts.benchmark == "one"]
    shutil.copytree(swept, tmp_path / "demo")
    run = results.run()
    run["sources"] = [source | {"store": "s3://x/y.zarr", "from_here": "-"} for source in run["sources"]]
    (tmp_path / "demo" / "run.json").write_text(json.dumps(run))
    sources = find_sources(Results(tmp_path / "demo"), facts, [str(other.path)])
    assert sources.stores == {}
    assert "holds other samples now" in sources.lacking["one", "planted"]
