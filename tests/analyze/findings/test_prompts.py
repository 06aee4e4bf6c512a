"""Wordings of one question are compared on the same pictures, method by method; other samples are refused in words."""

from itertools import permutations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from savs_analyze.cli.commands import app
from savs_analyze.findings.comparisons import compare
from savs_analyze.findings.prompts import COLUMNS, compare_wordings, wordings_of
from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.results import CellResult, Results
from savs_stores import BenchmarkInfo, open_store, write_store

CLASSES = ["cat", "dog"]
DIGITS = {"digits": "default", "digits-td": "td", "digits-tdc": "tdc"}
NUMBERS = ["difference", "low", "high", "level", "p", "holm"]


def made_cell(benchmark, method, columns, predicted, draw=0, task="all"):
    """Return a cell of samples whose label is 0; predicted is [setting, sample]."""
    predicted = np.atleast_2d(predicted)
    none = np.full(predicted.shape[1], -1)
    arrays = {"predicted": predicted, "sample": np.arange(len(none)), "label": none + 1, "group": none, "slot": none}
    facts = CellFacts(
        **{"benchmark": benchmark, "model": "m", "fingerprint": "", "metric": "accuracy", "task": task},
        **{"method": method, "settings": [{}] * len(predicted), "shots": 0 if method == "zero-shot" else 20},
        **{"draw": draw, "validation": {}, "columns": columns, "classes": 2, "chooses": False},
    )
    return CellResult(facts, [], arrays | {"validation": none > 0})


def guesses(generator, shares, samples=300):
    """Return predictions [setting, sample] that are wrong (1) as often, and often of the same samples."""
    easy = generator.random(samples)
    return (np.array(shares)[:, None] > (easy + generator.random((len(shares), samples))) / 2).astype(int)


def rows_of(found):
    return {frozenset((row["wording"], row["other"])): row for _, row in found.iterrows()}


@pytest.mark.parametrize("shares", [(0.3, 0.35, 0.5), (0.3, 0.3, 0.3)])
def test_wordings_are_tested_as_settings_of_one_benchmark_are(generator, shares):
    """The oracle is the comparison of methods, told that three wordings are three methods."""
    drawn = [guesses(generator, shares) for _ in range(5)]
    wordings = [made_cell(name, "savs", ["SAVs"], drawn[draw][place], draw)
                for place, name in enumerate(DIGITS) for draw in range(5)]  # fmt: skip
    methods = [made_cell("one", name, [name], drawn[draw][place], draw)
               for place, name in enumerate(DIGITS.values()) for draw in range(5)]  # fmt: skip
    found, expected = (
        rows_of(compare_wordings(wordings, DIGITS)),
        rows_of(compare(methods).rename(columns={"setting": "wording"})),
    )
    assert set(found) == set(expected)
    assert len(found) == 3
    for pair, row in found.items():
        assert row[["model", "task", "metric", "shots", "method"]].tolist() == ["m", "all", "accuracy", 20, "SAVs"]
        assert row["verdict"] == expected[pair]["verdict"]
        np.testing.assert_allclose(row[NUMBERS].astype(float), expected[pair][NUMBERS].astype(float), rtol=1e-12)


def test_a_models_own_answers_are_tested_without_draws(generator):
    """What learns nothing has one draw, and that is judged."""
    own = guesses(generator, (0.3, 0.5))
    cells = [made_cell(name, "zero-shot", ["zero-shot"], one) for name, one in zip(DIGITS, own, strict=False)]
    [row] = compare_wordings(cells, DIGITS).to_dict("records")
    assert (row["wording"], row["other"], row["verdict"], row["n"]) == ("default", "td", "differ", 300)
    assert row["difference"] == pytest.approx(own[1].mean() - own[0].mean())
    learnt = [made_cell("one", "savs", ["SAVs"], guesses(generator, (0.4,)), draw) for draw in range(3)]
    among = compare([made_cell("one", "zero-shot", ["default", "td"], own), *learnt])
    [expected] = among[(among.setting == "default") & (among.other == "td")].to_dict("records")
    assert row["p"] == pytest.approx(expected["p"], rel=1e-12)


def test_each_method_and_task_is_tested_by_itself(generator):
    cells = [
        made_cell(name, method, [f"{method}, {k} heads" for k in (5, 20)], guesses(generator, (0.3, 0.4)), draw, task)
        for name in ("digits", "digits-td")
        for method in ("savs", "hec-v")
        for task in ("one", "two")
        for draw in range(3)
    ]
    cells.append(made_cell("others", "savs", ["savs, 5 heads"], guesses(generator, (0.3,))))
    found = compare_wordings(cells, DIGITS)
    assert list(found.columns) == COLUMNS
    assert found.groupby(["method", "task"]).size().to_dict() == {
        (f"{method}, {k} heads", task): 1
        for method in ("savs", "hec-v")
        for k in (5, 20)
        for task in ("one", "two", "mean of 2 tasks")
    }


def test_a_wording_that_lacks_a_model_is_not_compared(generator):
    assert compare_wordings([made_cell("digits", "savs", ["SAVs"], guesses(generator, (0.3,)))], DIGITS).empty


# --- which stores may be compared ---

IDS = [f"s{number}" for number in range(40)]
IMAGES = [[number] for number in range(1, 41)]


def make(folder, wording="", name="", heads=None, **change):
    """Write a store of 40 samples, of which ten a class are tested."""
    info = {"tasks": {"all": CLASSES}, "source": "here", "revision": "1"} | change.pop("info", {})
    table = {"sample_id": IDS, "label": CLASSES * 20, "split": ["pool"] * 20 + ["test"] * 20, "image_hash": IMAGES}
    count = len(change.get("sample_id", IDS))
    path = folder / f"{name or 'pets'}{wording and '-'}{wording}{len(list(folder.iterdir()))}.zarr"
    named = name or f"pets{wording and '-'}{wording}"
    return write_store(
        path,
        benchmark=BenchmarkInfo(named, wording=wording, **info),
        samples={column: values[:count] for column, values in table.items()} | change,
        model="m",
        heads=np.zeros((count, 1, 6, 4)) if heads is None else heads,
    )


def test_stores_that_differ_in_the_wording_are_told_apart(tmp_path):
    stores = [make(tmp_path, wording) for wording in ("", "td", "tdc")]
    assert wordings_of(stores) == {"pets": "default", "pets-td": "td", "pets-tdc": "tdc"}


REFUSED = {
    "the same": ({"wording": ""}, r"is the second store of the wording 'default': name one of each"),
    "one name": ({"wording": "td", "name": "pets"}, "two stores are called 'pets', so their results have one name"),
    "another source": ({"info": {"source": "there"}}, "the benchmark's source differs, 'here' and 'there'"),
    "other classes": (
        {"info": {"tasks": {"all": ["cat", "dog", "eel"]}}},
        "the benchmark's tasks differs",
    ),
    "fewer samples": ({"sample_id": IDS[:30]}, "lacks 10 samples of the other, such as 's30'"),
    "other ids": ({"sample_id": ["x", *IDS[1:]]}, "lacks 1 sample of the other, such as 's0'"),
    "another order": ({"sample_id": IDS[::-1]}, "they hold the samples in another order, so a draw would take others"),
    "another picture": ({"image_hash": [*IMAGES[:-1], [99]]}, "of 1 sample the picture differs, such as 's39'"),
    "more pictures": ({"image_hash": [[*image, 7] for image in IMAGES]}, "of 40 samples the picture differs"),
    "another label": ({"label": ["dog", *(CLASSES * 20)[1:]]}, "of 1 sample the label differs, such as 's0'"),
    "another split": ({"split": ["test"] + ["pool"] * 19 + ["test"] * 20}, "of 1 sample the split differs"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_other_samples_are_refused_in_words(kind, tmp_path):
    change, words = REFUSED[kind]
    stores = [make(tmp_path), make(tmp_path, **{"wording": "td", **change})]
    with pytest.raises(ValueError, match=words):
        wordings_of(stores)
    if "wording" not in change:
        with pytest.raises(ValueError, match="are not the same samples in other words: "):
            wordings_of(stores)


def test_one_store_has_nothing_to_be_compared_with(tmp_path):
    with pytest.raises(ValueError, match="name two stores or more that differ in the wording"):
        wordings_of([make(tmp_path)])


# --- the study ---


@pytest.fixture
def asked(tmp_path, generator, monkeypatch):
    """Three stores of the same samples: heads of the first two know the class, those of `blank` do not."""
    monkeypatch.chdir(tmp_path)
    labels = np.tile(np.repeat([0, 1], 60), 2)
    table = {
        "sample_id": [f"s{number}" for number in range(240)],
        "label": [CLASSES[label] for label in labels],
        "split": ["pool"] * 120 + ["test"] * 120,
        "image_hash": [[number] for number in range(1, 241)],
    }
    noise = generator.normal(size=(240, 2, 4, 4))
    known = noise + 2 * labels[:, None, None, None]
    (tmp_path / "stores").mkdir()
    found = {"": known, "td": known + 0.01 * generator.normal(size=known.shape), "blank": noise}
    stores = {wording: make(tmp_path / "stores", wording, heads=heads, **table) for wording, heads in found.items()}
    paths = {wording: str(store.path) for wording, store in stores.items()}
    return SimpleNamespace(
        paths=paths, run=lambda *words: CliRunner().invoke(app, ["study", "prompts", "--shots", "10", *words])
    )


def test_the_study_tells_which_wordings_differ_method_by_method(asked):
    words = [word for path in asked.paths.values() for word in ("--store", path)]
    done = asked.run(*words, "--draws", "3")
    assert done.exit_code == 0, done.output
    found = pd.read_csv("results/prompts/prompts.csv").set_index(["method", "wording", "other"])
    for method in ("SAVs, 8 heads", "hec-v, 8 heads"):
        verdicts = {frozenset(pair): row.verdict for (name, *pair), row in found.iterrows() if name == method}
        assert verdicts[frozenset(("default", "td"))] in ("not distinguishable", "equal on all samples")
        assert verdicts[frozenset(("default", "blank"))] == verdicts[frozenset(("td", "blank"))] == "differ"
    tested = {len(cell.arrays["sample"]) for cell in Results(Path("results/prompts")).loaded()}
    assert tested == {120}  # nothing validates
    for words_said in ("pets-blank", "Differences in points, of each method by itself", "wording"):
        assert words_said in done.stdout
    assert asked.run(*words, "--draws", "3").stdout == done.stdout


def test_the_order_of_the_stores_changes_no_number(asked, tmp_path):
    tables = []
    for place, paths in enumerate(list(permutations(asked.paths.values()))[:3]):
        words = [word for path in paths for word in ("--store", path)]
        assert asked.run(*words, "--draws", "2", "--out", str(tmp_path / f"out{place}")).exit_code == 0
        found = pd.read_csv(tmp_path / f"out{place}" / "prompts.csv")
        pairs = [(row.method, *sorted((row.wording, row.other))) for row in found.itertuples()]
        tables.append(dict(zip(pairs, found.difference.abs(), strict=True)))
    assert tables[1] == pytest.approx(tables[0])
    assert tables[2] == pytest.approx(tables[0])


def test_what_cannot_be_compared_is_refused_before_anything_is_computed(asked, tmp_path):
    refused = asked.run("--store", asked.paths[""])
    assert "name two stores or more" in str(refused.exception)
    assert not (tmp_path / "results").exists()
    assert open_store(asked.paths["td"]).benchmark.wording == "td"
