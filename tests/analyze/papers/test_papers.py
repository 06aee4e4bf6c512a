"""Ours beside the published numbers: the data are what the papers print, the verdict is the noise of both."""

import io
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.across.transfer import tasks_of, transfer
from savs_analyze.cli.commands import app
from savs_analyze.findings.summary import measured
from savs_analyze.measure.crossed import Influences, noise
from savs_analyze.measure.metrics import METRICS
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import make_setting
from savs_analyze.papers.published import (
    CODED,
    NOTES,
    beside_published,
    beside_transfer,
    hidden_gap,
    judge,
    parse_settings,
    published_figures,
    sampling_error,
)
from savs_analyze.report.layout import papers_table, transfer_table
from savs_analyze.report.notes import papers_notes
from savs_analyze.runs.results import Results
from savs_benchmarks.registry import PUBLISHED
from savs_harvest.models.specs import MODELS
from savs_stores import BenchmarkInfo, open_store, write_store

# Systems of the papers that are no method of a sweep.
OTHERS = {"encoder", "in-context", "mtv", "lora"}
OTHERS |= {"transfer", "lora-transfer", "few-shot-encoder", "few-shot-mean"}


def write_random(folder, benchmark, tasks=("all",), model="llava-ov", per_class=40, metric="accuracy"):
    """Write a store of 24 heads whose first three know the class, in noise."""
    generator = np.random.default_rng(len(tasks))
    labels = np.tile(np.repeat([0, 1], per_class), len(tasks))
    vectors = generator.normal(size=(len(labels), 3, 8, 4))
    vectors[:, 0, :3] += generator.normal(size=(2, 3, 4))[labels]
    return write_store(
        folder / f"{benchmark}.zarr",
        benchmark=BenchmarkInfo(benchmark, {task: ["cat", "dog"] for task in tasks}, metric=metric),
        samples={
            "label": [["cat", "dog"][label] for label in labels],
            "task": np.repeat(tasks, 2 * per_class).tolist(),
            "split": ["either"] * len(labels),
        },
        model=model,
        heads=vectors,
        logits=generator.normal(size=(len(labels), 2)).astype(np.float32),
        shard_samples=64,
    ).path


def run(*stores, folder, **settings):
    sweep(stores, folder, **{"shots": 5, "draws": 3, "heads": (20,), **settings})
    return list(Results(folder).loaded())


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("papers")
    pets = write_random(folder, "pets-paper")
    blink = write_random(folder, "blink", tasks=[f"task {i}" for i in range(14)], per_class=15)
    eurosat = write_random(folder, "eurosat", model="qwen2vl")
    methods = ("zero-shot", "savs", "savs-penalty", "savs-rbf", "lasso-one-vs-rest")
    return run(pets, blink, eurosat, folder=folder / "out", methods=methods, heads=(5, 20), draws=3)


def test_footnotes_say_what_the_first_papers_code_takes(tmp_path):
    methods = ("knn", "paper-knn", "layers", "linear-probe")
    cells = run(write_random(tmp_path, "mhalu"), folder=tmp_path / "out", methods=methods, grid={"layers": [2]})
    notes = {row.method: row.notes for row in beside_published(cells).itertuples()}
    assert set(notes) == set(methods)
    for method, key in product(methods, ("largest", "output")):
        assert (NOTES[key] in notes[method]) == (("knn" if key == "largest" else "layers") in method)
    assert NOTES["largest"] in " ".join(papers_notes(beside_published(cells)))


@pytest.mark.parametrize(("name", "said"), [("naturalbench", True), ("naturalbench-paper", False)])
def test_four_classes_beside_the_papers_two_are_told(tmp_path, name, said):
    generator = np.random.default_rng(0)
    label, slot = np.array([0, 1, 1, 0] * 30), np.tile(np.arange(4), 30)
    store = write_store(
        tmp_path / "store.zarr",
        benchmark=BenchmarkInfo(name, {"all": ["No", "Yes"]}, metric="question-image-group"),
        samples={
            "label": [["No", "Yes"][one] for one in label],
            "group": [f"g{place // 4}" for place in range(120)],
            "slot": slot.tolist(),
            "split": ["either"] * 120,
        },
        model="llava-ov",
        heads=generator.normal(size=(120, 3, 8, 4)),
    )
    rows = beside_published(run(store.path, folder=tmp_path / "out", methods=("savs",)))
    assert len(rows)
    assert rows.notes.str.contains(NOTES["merged"], regex=False).all() == said


@pytest.fixture(scope="module")
def compared(cells):
    return beside_published(cells)


def test_every_figure_has_names_of_ours_or_is_of_something_we_do_not_have():
    figures = published_figures()
    assert len(figures) == 396 + 4 + 12  # four cells have two readings; the first paper's Table 2
    assert figures["value"].between(0, 1, inclusive="neither").all()
    assert set(figures["model"]) - set(MODELS) == {"clip", "siglip", "gpt-4o", "instructblip"}
    assert set(figures["benchmark"]) == set(PUBLISHED) - {"dtd", "food-101", "caltech-101"}  # those of HEC
    assert set(figures["metric"]) <= {metric for metrics in METRICS.values() for metric in metrics.reports}
    assert set(figures["method"]) - set(METHODS) == OTHERS
    assert {key for keys in figures["notes"] for key in keys.split()} <= set(NOTES)
    assert set(CODED) | set(CODED.values()) <= set(METHODS)
    for row in figures[figures["method"].isin(METHODS)].itertuples():
        make_setting(row.method, **parse_settings(row.settings))


def test_the_known_numbers_are_there():
    figures = published_figures().set_index(["paper", "place", "model", "benchmark", "metric", "method", "reading"])
    figures = figures.sort_index()
    table = figures["value"].loc["second paper", "Table 1"]
    assert table["llava-ov", "naturalbench-retrieval", "group_accuracy", "savs", ""] == 0.54
    assert table["qwen2vl", "pets", "accuracy", "savs", ""] == 0.985
    assert figures["value"]["SAVs", "Table 3", "llava-ov", "mhalu", "accuracy", "paper-knn", ""] == 0.53
    # EuroSAT's cells of two methods are exchanged between the models: corrected, each is near the other's printed one.
    for method in ("lasso-one-vs-rest", "sparse-group-lasso"):
        for model, other in (("llava-ov", "qwen2vl"), ("qwen2vl", "llava-ov")):
            corrected = table[model, "eurosat", "accuracy", method, "corrected"]
            assert corrected == pytest.approx(table[other, "eurosat", "accuracy", method, "as printed"], abs=0.005)


@pytest.mark.parametrize(
    ("benchmark", "metric", "points"),
    [
        ("mhalu", "accuracy", 2.0),
        ("vlguard", "accuracy", 1.3),
        ("naturalbench-retrieval", "group_accuracy", 3.7),
        ("eurosat", "accuracy", 0.5),
        ("pets", "accuracy", 0.4),
    ],
)
def test_the_sampling_noise_of_the_second_papers_first_row(benchmark, metric, points):
    rows = published_figures().query("paper == 'second paper' and place == 'Table 1' and model == 'llava-ov'")
    [row] = rows[(rows.method == "savs") & (rows.benchmark == benchmark) & (rows.metric == metric)].itertuples()
    assert 196 * sampling_error(row.value, [int(row.n)]) == pytest.approx(points, abs=0.05)


def test_the_noise_of_a_mean_over_tasks_is_what_draws_of_it_show(generator):
    sizes, share = [20, 50, 200], 0.7
    means = np.mean([generator.binomial(size, share, 100_000) / size for size in sizes], axis=0)
    assert sampling_error(share, sizes) == pytest.approx(means.std(), rel=0.02)


@pytest.mark.parametrize(
    ("ours", "truncated", "gap"),
    [
        (0.8204, False, 0.0),
        (0.8196, False, 0.0),
        (0.8215, False, 0.001),
        (0.8209, True, 0.0),
        (0.8196, True, -0.0004),
        (0.83, True, 0.009),
    ],
)
def test_what_rounding_and_truncation_hide_is_no_difference(ours, truncated, gap):
    assert hidden_gap(ours, 0.82, 0.001, truncated) == pytest.approx(gap)


def test_verdicts():
    values = np.tile([[0.5], [0.52], [0.48], [0.5]], 1)
    known = noise(values, Influences([np.zeros((40, 1))] * 4, np.full(40, 1 / 40)))
    half = student.isf(0.025, 3) * values.std(ddof=1) / 2
    gaps = (-1.01 * half, -0.99 * half, 0.0, 0.99 * half, 1.01 * half)
    assert [judge(gap, known) for gap in gaps] == ["lower", "agrees", "agrees", "agrees", "higher"]
    assert judge(0.9, noise(values[:1], Influences([np.zeros((40, 1))], np.full(40, 1 / 40)))) == "one draw: not judged"


def test_a_row_says_what_plain_arithmetic_says(cells, compared):
    compared = compared.set_index(["benchmark", "method", "paper", "place", "setting"]).sort_index()
    row = compared.loc["pets-paper", "savs", "second paper", "Table 1", "SAVs, 20 heads"]
    values = [
        found["value"]
        for cell in cells
        for found in cell.rows
        if (found["benchmark"], found["setting"], found["metric"]) == ("pets-paper", "SAVs, 20 heads", "accuracy")
    ]
    assert len(values) == 3
    of_pets = [cell for cell in cells if cell.facts.benchmark == "pets-paper"]
    [own] = [
        found.noise
        for keys, found in measured(of_pets)
        if (keys["setting"], keys["metric"]) == ("SAVs, 20 heads", "accuracy")
    ]
    theirs = np.sqrt(0.979 * 0.021 / 4988)
    spread = np.std(values, ddof=1)
    gap = np.mean(values) + (0.0005 if np.mean(values) < 0.979 else -0.0005) - 0.979
    assert (row.value, row.published, row.published_n) == (pytest.approx(np.mean(values)), 0.979, 4988)
    assert row.half_width == pytest.approx(1.959964 * theirs)
    assert row.draw_sd == pytest.approx(spread)
    assert row.difference == pytest.approx(np.mean(values) - 0.979)
    assert row.z == pytest.approx(
        gap / np.sqrt(own.variance().item() + theirs**2 + max(0, spread**2 - 3 * own.residual.item()))
    )
    assert row.verdict in ("agrees", "lower")
    assert row.published_settings == "k=20"
    assert NOTES["shots"] in row.notes
    assert NOTES["split"] not in row.notes  # the store says that it is divided as in the papers


def test_only_the_published_settings_are_compared_where_they_were_run(compared):
    # k = 5 and 20 were run: 20 is published. C = 1 was run, C = 100 is published.
    savs = compared[compared.method == "savs"]
    assert set(savs.setting) == {"SAVs, 20 heads"}
    assert not savs.notes.str.contains(NOTES["settings"], regex=False).any()
    lasso = compared[compared.method == "lasso-one-vs-rest"]
    assert len(lasso) == 4  # pets, blink, and EuroSAT in both readings
    assert lasso.notes.str.contains(NOTES["settings"], regex=False).all()


def test_known_errors_stand_at_the_rows_they_touch(compared):
    compared = compared.set_index(["benchmark", "method", "paper", "place", "reading"]).sort_index()

    def noted(key, *row):
        return compared.loc[row].notes.str.contains(NOTES[key], regex=False).all()

    assert noted("counting", "blink", "savs", "second paper")
    assert not noted("counting", "blink", "savs", "SAVs")
    assert noted("exchanged", "eurosat", "lasso-one-vs-rest")
    assert set(compared.loc["eurosat", "lasso-one-vs-rest"].published) == {0.812, 0.651}
    assert noted("table2", "pets-paper", "lasso-one-vs-rest")
    assert noted("algebra", "blink", "savs-penalty")
    assert noted("validation", "eurosat", "savs", "second paper", "Figures 5-6")
    assert noted("strings", "blink", "zero-shot")
    # Our kernel as in the text stands beside the published one of the code.
    assert noted("formula", "pets-paper", "savs-rbf")
    assert set(compared.loc["pets-paper", "savs-rbf"].published_method) == {"paper-rbf"}


def test_the_mean_of_fourteen_tasks_is_compared_and_its_draws_vary_as_a_mean_does(cells, compared):
    row = compared[(compared.benchmark == "blink") & (compared.method == "savs") & (compared.paper == "second paper")]
    assert row.task.tolist() == ["mean of 14 tasks"]
    assert row.published_n.tolist() == [816]
    by_task = {}
    for cell in cells:
        if cell.facts.benchmark == "blink" and cell.facts.method == "savs":
            value = [r["value"] for r in cell.rows if r["setting"] == "SAVs, 20 heads" and r["metric"] == "accuracy"]
            by_task.setdefault(cell.facts.task, []).extend(value)
    expected = sum(np.var(values, ddof=1) for values in by_task.values()) / 14**2
    assert row.draw_sd.item() ** 2 == pytest.approx(expected)


def test_one_draw_says_that_it_is_one(tmp_path):
    one = run(write_random(tmp_path, "eurosat"), folder=tmp_path / "out", draws=1)
    compared = beside_published(one)
    savs = compared[compared.method == "savs"]
    assert savs.draw_sd.isna().all()
    assert savs.notes.str.contains(NOTES["one draw"], regex=False).all()
    assert savs.z.isna().all()
    assert set(savs.verdict) == {"one draw: not judged"}
    zero = compared[compared.method == "zero-shot"]
    assert (zero.draw_sd == 0).all()
    assert set(zero.verdict) <= {"agrees", "higher", "lower"}
    assert f"of {len(zero)}; {len(compared) - len(zero)} rows are of one draw" in " ".join(papers_notes(compared))


def test_what_is_printed_has_numbered_notes(compared):
    table, notes = papers_table(compared), papers_notes(compared)
    assert len(table) == len(compared)
    numbered = dict(note.split(". ", 1) for note in notes[3:])
    for shown, row in zip(table.itertuples(), compared.itertuples(), strict=True):
        assert {numbered[number] for number in shown.notes.split()} == {
            note for note in NOTES.values() if note in row.notes
        }
        assert f"{100 * row.published:.1f} ± " in shown.theirs
    assert "eurosat" in set(table.benchmark)
    assert "blink, mean of 14 tasks" in set(table.benchmark)


def test_another_model_has_no_counterpart(cells):
    other = [replace(cell, facts=replace(cell.facts, model="tiny")) for cell in cells]
    assert beside_published(other).empty


def test_the_command(tmp_path):
    run(write_random(tmp_path, "pets"), folder=tmp_path / "out", draws=2)
    run(write_random(tmp_path, "digits", model="tiny"), folder=tmp_path / "none", draws=2)

    def called(*arguments):
        result = CliRunner().invoke(app, ["compare-paper", *map(str, arguments)], catch_exceptions=False)
        assert result.exit_code == 0
        return result

    rows = pd.read_csv(io.StringIO(called(tmp_path / "out", "--format", "csv").stdout))
    assert set(rows.paper) == {"SAVs", "second paper"}
    assert len(pd.read_json(io.StringIO(called(tmp_path / "out", "--format", "json").stdout))) == len(rows)
    assert "Figures 5 and 6 show validation samples" in called(tmp_path / "out").stdout
    nothing = called(tmp_path / "none", "--format", "csv")
    assert pd.read_csv(io.StringIO(nothing.stdout)).columns.tolist() == rows.columns.tolist()
    assert "nothing here has a published counterpart: these are results of tiny on digits" in nothing.stderr.lower()
    assert "llava-ov" in nothing.stderr
    assert "naturalbench-retrieval" in nothing.stderr
    assert "verdict" in called(tmp_path / "none").stdout


def test_the_numbers_of_the_first_papers_second_table_are_there():
    figures = published_figures()
    table = figures[(figures.paper == "SAVs") & (figures.place == "Table 2")]
    found = {(r.model, r.benchmark, r.method): round(100 * r.value, 1) for r in table.itertuples()}
    assert found["llava-ov", "mhalu", "transfer"] == 55.3
    assert found["llava-ov", "mhalu", "lora-transfer"] == 34.1
    assert {r.settings for r in table.itertuples() if "transfer" in r.method} == {"source=vlguard"}
    encoders = {key: value for key, value in found.items() if key[0] != "llava-ov"}
    assert sorted(encoders.values()) == [1.2, 1.2, 1.2, 6.8, 48.6, 51.9, 86.4, 88.2]
    # Its zero-shot row is that of Table 1.
    for row in table[table.method == "zero-shot"].itertuples():
        same = (figures.place == "Table 1") & (figures.model == row.model) & (figures.benchmark == row.benchmark)
        [first] = figures[same & (figures.method == "zero-shot")].value
        assert row.value == first


def test_transfer_stands_beside_its_published_value(tmp_path):
    stores = [str(write_random(tmp_path, name)) for name in ("mhalu-paper", "vlguard")]
    words = [word for store in stores for word in ("--store", store)]
    asked = ["transfer", *words, "--k", "5", "--shots", "5", "--draws", "2", "--out", str(tmp_path / "t.svg")]
    rows = pd.read_csv(io.StringIO(CliRunner().invoke(app, [*asked, "--format", "csv"]).stdout))
    known = rows[rows.published.notna()]
    assert known[["source", "target", "takes"]].to_numpy().tolist() == [["vlguard", "mhalu-paper", "heads"]]
    assert known.published.tolist() == [0.553]
    shown = " ".join(CliRunner().invoke(app, asked).output.split())
    assert "55.3" in shown
    assert "beside it, on mhalu-paper: LoRA of the source 34.1, zero-shot 34.7." in shown


def test_transfer_between_other_tasks_has_no_published_column(tmp_path):
    stores = [write_random(tmp_path, name, model="tiny") for name in ("mhalu", "vlguard")]
    rows = transfer(tasks_of([open_store(path) for path in stores]), k=5, shots=5, draws=1)
    assert beside_transfer(rows) is rows
    assert "published" not in transfer_table(rows)
