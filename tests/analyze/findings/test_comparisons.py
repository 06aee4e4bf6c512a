"""Paired tests by hand; what is chosen by validation, by hand; tables that say so."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import brentq
from scipy.stats import t as student
from statsmodels.stats.multitest import multipletests
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_analyze.cli.planted import write_planted
from savs_analyze.findings.choice import choose, hyperparameters
from savs_analyze.findings.comparisons import compare, indistinct
from savs_analyze.findings.summary import _is_close, summarize
from savs_analyze.methods.settings import make_setting
from savs_analyze.report.layout import differences, spread
from savs_analyze.report.notes import footnotes
from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.results import CellResult, Results


def made_cell(method, predicted, draw, benchmark="made", columns=("only",), validation=None, **facts):
    """Return a cell of samples whose label is 0; predicted is [setting, sample]."""
    predicted = np.atleast_2d(predicted)
    count = predicted.shape[1]
    arrays = {"predicted": predicted, "sample": np.arange(count), "label": np.zeros(count, dtype=int)}
    arrays |= {"group": np.full(count, -1), "slot": np.full(count, -1)}
    arrays["validation"] = np.zeros(count, dtype=bool) if validation is None else validation
    names = {"benchmark": benchmark, "model": "m", "task": "all", "method": method, "draw": draw}
    named = names | {"shots": 0 if method == "zero-shot" else 20, "metric": "accuracy", "classes": 2}
    named |= {"settings": [make_setting("savs", k=k + 1).to_json() for k in range(len(columns))]}
    named |= {"columns": list(columns), "validation": {"share": 0.25, "first": False}, "chooses": True} | facts
    cell = CellResult(CellFacts(**{"fingerprint": "", **named}), [], arrays)
    for place, setting in enumerate(columns):
        for split in ("validation", "test") if arrays["validation"].any() else ("test",):
            value = cell.units(place, split).values()["accuracy"]
            row = {**names, "shots": named["shots"], "setting": setting, "split": split, "metric": "accuracy"}
            cell.rows.append(row | {"value": value})
    return cell


def chance_by_hand(difference):
    """Return the p of a `[draw, sample]` table of differences, of the mean squares of a two-way layout."""
    draws, samples = difference.shape
    of_draws, of_samples, mean = difference.mean(axis=1), difference.mean(axis=0), difference.mean()
    rest = difference - of_draws[:, None] - of_samples + mean
    squares = {
        "samples": draws * of_samples.var(ddof=1) / difference.size,
        "draws": samples * of_draws.var(ddof=1) / difference.size,
        "rest": (rest**2).sum() / (draws - 1) / (samples - 1) / difference.size,
    }
    by_samples = (samples**2 * squares["samples"] + 2) / (samples + 2) ** 2
    by_draws = max(squares["draws"], squares["rest"])
    score = abs(mean) / np.sqrt(by_samples + by_draws - squares["rest"])

    def exceeds(p):
        quantiles = student.isf(p / 2, samples - 1), student.isf(p / 2, draws - 1)
        return (by_samples * quantiles[0] + by_draws * quantiles[1]) / (by_samples + by_draws) - score

    return brentq(exceeds, 1e-15, 1 - 1e-12)


def test_two_methods_are_judged_by_their_two_way_layout():
    generator = np.random.default_rng(0)
    right = {name: (generator.random((3, 200)) > wrong) for name, wrong in (("savs", 0.1), ("ridge", 0.2))}
    cells = [
        made_cell(name, np.where(of_draw[draw], 0, 1), draw, columns=[name])
        for name, of_draw in right.items()
        for draw in range(3)
    ]
    [row] = compare(cells).to_dict("records")
    difference = right["savs"].astype(float) - right["ridge"]
    assert row["difference"] == pytest.approx(difference.mean())
    assert row["p"] == pytest.approx(chance_by_hand(difference), rel=1e-6)
    assert row["p"] == row["holm"]
    assert (row["n"], row["level"]) == (200, pytest.approx(0.95))


def test_what_learns_nothing_meets_every_draw():
    generator = np.random.default_rng(1)
    zero, right = generator.random(300) > 0.5, generator.random((3, 300)) > 0.1
    cells = [made_cell("zero-shot", np.where(zero, 0, 1), 0, columns=["zero-shot"])]
    cells += [made_cell("savs", np.where(right[draw], 0, 1), draw, columns=["savs"]) for draw in range(3)]
    [row] = compare(cells).to_dict("records")
    assert (row["setting"], row["other"], row["verdict"]) == ("savs", "zero-shot", "differ")
    assert row["p"] == pytest.approx(chance_by_hand(right.astype(float) - zero), rel=1e-6)


def test_methods_that_learn_nothing_are_compared_where_nothing_learns():
    """`hec-t-fixed` beside zero-shot had no row: pairs were those beside some number of shots."""
    generator = np.random.default_rng(2)
    right = {name: generator.random(300) > wrong for name, wrong in (("zero-shot", 0.5), ("hec-t-fixed", 0.1))}
    cells = [made_cell(name, np.where(of, 0, 1), 0, columns=[name], shots=0) for name, of in right.items()]
    [row] = compare(cells).to_dict("records")
    assert (row["setting"], row["other"], row["shots"], row["verdict"]) == ("hec-t-fixed", "zero-shot", 0, "differ")
    difference = right["hec-t-fixed"].astype(float) - right["zero-shot"]
    count = len(difference)
    squared = difference.var(ddof=1) / count
    variance = (count**2 * squared + 2) / (count + 2) ** 2  # of the mean, with two more samples that differ by 1 and -1
    assert row["difference"] == pytest.approx(difference.mean())
    assert row["p"] == pytest.approx(2 * student.sf(difference.mean() / np.sqrt(variance), count - 1), rel=1e-6)


def made_cells(right, names=None, **facts):
    """Return the cells of methods that are right on `[method, draw, sample]`."""
    names = names or [f"s{place}" for place in range(len(right))]
    return [
        made_cell("savs", np.where(right[:, draw], 0, 1), draw, columns=names, **facts)
        for draw in range(right.shape[1])
    ]


def test_the_interval_holds_zero_unless_the_verdict_is_that_they_differ():
    generator = np.random.default_rng(2)
    for seed in range(30):
        right = generator.random((5, 3, 120)) < generator.uniform(0.4, 0.9, (5, 1, 1))
        found = compare(made_cells(right))
        assert found.holm.tolist() == pytest.approx(multipletests(found.p, method="holm")[1].tolist()), seed
        assert ((found.holm < 0.05) == (found.verdict == "differ")).all()
        assert (((found.low > 0) | (found.high < 0)) == (found.verdict == "differ")).all()
        assert (found.level >= 0.95 - 1e-12).all()
        assert (found.low <= found.difference).all()
        assert (found.difference <= found.high).all()


def test_one_draw_is_not_judged():
    """Two equal methods once differed in 43 to 48 % of tables of one draw."""
    right = np.arange(200)[None] < np.array([[180], [60]])
    [row] = compare(made_cells(right[:, None])).to_dict("records")
    assert row["verdict"] == "one draw: not judged"
    assert np.isnan(row["p"])
    assert np.isnan(row["holm"])
    assert 0 < row["low"] < row["difference"] < row["high"]
    assert indistinct(compare(made_cells(right[:, None]))) == {}


def test_two_draws_that_cannot_tell_are_named_so():
    generator = np.random.default_rng(0)
    right = generator.random((2, 2, 400)) < np.array([0.9, 0.82])[:, None, None]
    [row] = compare(made_cells(right)).to_dict("records")
    assert row["verdict"] == "too few draws"
    [row] = compare(made_cells(np.concatenate([right] * 4, axis=1))).to_dict("records")
    assert row["verdict"] == "differ"


def test_equal_methods_count_once():
    generator = np.random.default_rng(5)
    right = generator.random((3, 5, 300)) < np.array([0.8, 0.7, 0.6])[:, None, None]
    once = compare(made_cells(right)).set_index(["setting", "other"])
    twice = compare(made_cells(np.concatenate([right, right[[1, 1]]]), list("abcde")))
    equal = twice[twice.verdict == "equal on all samples"]
    assert set(zip(equal.setting, equal.other, strict=True)) == {("b", "d"), ("b", "e"), ("d", "e")}
    assert (equal[["difference", "low", "high"]] == 0).all(axis=None)
    judged = twice.set_index(["setting", "other"])
    for copy in "bde":
        pd.testing.assert_series_equal(judged.loc[("a", copy)], once.loc[("s0", "s1")], check_names=False)


def test_three_samples_are_too_few_for_anything():
    """Where one method is right on all and another on none, the variance is 0: p was too."""
    right = np.repeat([[[True]], [[False]]], 3, axis=2).repeat(5, axis=1)
    [row] = compare(made_cells(right)).to_dict("records")
    assert row["p"] > 0.01


def heads(k):
    return make_setting("savs", k=k).column()


def cells_of_tasks(sizes, rights, draws=2):
    """Return cells of tasks of these sizes in which SAVs of 1, 2 ... heads are right so often, over draws."""
    generator = np.random.default_rng(3)
    names, least = [heads(k + 1) for k in range(len(rights))], np.array(rights)[:, None]
    return [
        made_cell("savs", (generator.random((len(rights), size)) > least).astype(int), draw, columns=names, task=task)
        for task, size in sizes.items()
        for draw in range(draws)
    ]


def test_the_mean_over_tasks_is_tested_too():
    cells = cells_of_tasks({"one": 6, "two": 5}, (0.9, 0.4))
    *_, row = compare(cells).to_dict("records")
    assert (row["task"], row["n"]) == ("mean of 2 tasks", 11)
    means = [[(cell.arrays["predicted"] == 0).mean(axis=1) for cell in of_task] for of_task in (cells[:2], cells[2:])]
    difference = np.mean([np.mean(of_task, axis=0) @ [1, -1] for of_task in means])
    assert row["difference"] == pytest.approx(difference)
    assert row["low"] < difference < row["high"]


def test_tasks_together_tell_apart_what_none_does_alone():
    cells = cells_of_tasks(dict.fromkeys("tuvwxyz", 60), (0.8, 0.7, 0.7))
    found = compare(cells)
    alone, together = (found[found.task.str.startswith("mean") == mean] for mean in (False, True))
    assert (alone.verdict == "differ").sum() <= 2
    assert together.set_index(["setting", "other"]).verdict.to_dict()[heads(1), heads(2)] == "differ"
    near = indistinct(found)
    assert ("made", "m", "mean of 7 tasks", "accuracy", 20) not in near
    summary = summarize(cells, compared=found)
    on_mean = summary[(summary.task == "mean of 7 tasks") & (summary.metric == "accuracy")]
    assert len(on_mean) == 3
    assert not on_mean.close.any()
    assert summary[summary.task == "t"].close.any()
    equal = compare(cells_of_tasks({"t": 60, "u": 90}, (0.8, 0.8)))
    assert indistinct(equal)[("made", "m", "mean of 2 tasks", "accuracy", 20)] == {heads(1), heads(2)}


def test_a_setting_that_lacks_a_task_is_in_no_mean():
    cells = cells_of_tasks({"one": 40, "two": 40}, (0.9, 0.5))
    found = compare([*cells, *(made_cell("ridge", np.zeros(40, int), draw, task="one") for draw in (0, 1))])
    assert set(found[found.task == "one"].setting) | set(found[found.task == "one"].other) == {
        heads(1),
        heads(2),
        "only",
    }
    assert set(found[found.task == "mean of 2 tasks"].setting) == {heads(1)}


def test_a_draw_decides_nothing_that_other_draws_contradict():
    # In one draw the first is always right, in the other the second: a sample's test alone would see a difference.
    one, other = np.zeros((2, 100), dtype=int), np.ones((2, 100), dtype=int)
    one[1, :60], other[1, :] = 1, 0
    cells = [
        made_cell(name, of[d], d, columns=[name]) for name, of in (("savs", one), ("ridge", other)) for d in (0, 1)
    ]
    [row] = compare(cells).to_dict("records")
    assert row["low"] < 0 < row["high"]
    assert row["verdict"] == "not distinguishable"


def test_many_settings_are_compared_with_the_best_only():
    generator = np.random.default_rng(1)
    right = generator.random((14, 4, 100)) < 0.5
    right[5, :, :90] = True
    found = compare(made_cells(right))
    assert len(found) == 13
    assert set(found.setting) == {"s5"}
    assert indistinct(found) == {}
    # The best was found among all: holm is of all 91 pairs.
    assert found.holm.min() == pytest.approx(91 * found.p.min())


def test_zero_shot_and_shots_are_marked_line_by_line(swept):
    pairs = pd.DataFrame(
        [
            ("b", "m", "all", "accuracy", 5, "savs", "zero-shot", "not distinguishable"),
            ("b", "m", "all", "accuracy", 10, "savs", "zero-shot", "differ"),
        ],
        columns=["benchmark", "model", "task", "metric", "shots", "setting", "other", "verdict"],
    )
    near = indistinct(pairs)
    line = {"benchmark": "b", "model": "m", "task": "all", "metric": "accuracy"}
    assert _is_close({**line, "setting": "savs", "shots": 5}, near)
    assert not _is_close({**line, "setting": "savs", "shots": 10}, near)
    assert not _is_close(
        {**line, "setting": "zero-shot", "shots": 0}, {**near, ("b", "m", "all", "accuracy", 10): {"savs"}}
    )
    assert not _is_close({**line, "metric": "group_accuracy", "setting": "savs", "shots": 5}, near)


@pytest.mark.parametrize("command", ["table", "compare", "stability", "report"])
def test_a_benchmark_with_fewer_heads_shows_its_capped_setting(tmp_path, command):
    big = write_planted(tmp_path / "big.zarr", 4, 20, 120, layers=3, heads=8, dim=8, strength=1).path
    small = write_planted(tmp_path / "small.zarr", 4, 20, 20, layers=2, heads=3, dim=8, strength=1).path
    sweep([big, small], tmp_path / "out", draws=2, heads=(10, 20), methods=["savs", "savs-soft"])
    assert {choice.setting for choice in choose(Results(tmp_path / "out").loaded())} < {
        f"{name}, {k} heads" for name in ("SAVs", "savs-soft") for k in (10, 20)
    }
    printed = CliRunner().invoke(app, [command, str(tmp_path / "out")])
    assert printed.exit_code == 0, printed.output
    if command != "report":
        assert "small" in printed.stdout
        assert "6 heads" in printed.stdout


def test_what_is_close_to_the_best_is_marked():
    generator = np.random.default_rng(2)
    right = generator.random((3, 4, 300)) < np.array([0.9, 0.89, 0.3])[:, None, None]
    found = compare(made_cells(right, ["a", "b", "c"]))
    assert indistinct(found) == {("made", "m", "all", "accuracy", 20): {"a", "b"}}


def test_validation_chooses_by_the_mean_over_benchmarks_and_reports_on_the_rest():
    validation = np.arange(100) < 40

    def of(benchmark, rights, draw, chooses=True):
        predicted = np.ones((3, 100), dtype=int)
        for place, (on_validation, on_test) in enumerate(rights):
            predicted[place, :on_validation] = 0
            predicted[place, 40 : 40 + on_test] = 0
        columns = ["k=1", "k=2", "k=3"]
        return made_cell("savs", predicted, draw, benchmark, columns, validation, chooses=chooses)

    cells = [
        of("one", [(20, 60), (30, 10), (24, 5)], 0),
        of("one", [(20, 60), (34, 10), (24, 5)], 1),
        of("two", [(40, 60), (32, 20), (36, 5)], 0),
        of("two", [(40, 60), (32, 20), (36, 5)], 1),
        of("small", [(40, 60), (0, 20), (0, 5)], 0, chooses=False),
    ]
    [choice] = choose(cells)
    assert choice.setting == "k=2"
    assert choice.value == pytest.approx((32 / 40 + 32 / 40) / 2)
    assert (choice.benchmarks, choice.settings, choice.tied) == (("one", "two"), 3, 1)
    assert cells[0].units(1).values()["accuracy"] == pytest.approx(10 / 60)
    assert hyperparameters([choice]).to_dict("records")[0]["setting"] == "k=2"
    # The papers judge by plain accuracy, and equal settings are taken in their order.
    even = [of("one", [(30, 0), (30, 9), (1, 9)], 0)]
    assert (choose(even)[0].setting, choose(even)[0].tied) == ("k=1", 2)
    assert choose([of("one", [(30, 0)] * 3, 0, chooses=False)]) == []


@pytest.fixture(scope="module")
def swept(write_toy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("chosen")
    generator = np.random.default_rng(0)
    stores = [write_toy(folder, generator, name, classes=2, count=210).path for name in ("one", "two")]
    sweep(stores, folder / "out", shots=5, draws=3, heads=(1, 3, 12), methods=["savs", "random"])
    return folder / "out"


def test_a_sweep_reports_the_chosen_setting_on_the_samples_that_did_not_choose(swept):
    cells = list(Results(swept).loaded())
    rows = pd.read_csv(swept / "rows.csv")
    assert set(rows.split) == {"validation", "test"}
    assert set(rows[rows.split == "validation"].n) == {104}
    assert set(rows[rows.split == "test"].n) == {316}
    choices = choose(cells)
    first = rows[(rows.split == "validation") & (rows.metric == "accuracy")]
    for choice in choices:
        means = (
            first[first.method == choice.method]
            .groupby(["setting", "benchmark"])
            .value.mean()
            .groupby("setting")
            .mean()
        )
        assert choice.value == means.max() == means[choice.setting]
    table = spread(summarize(cells, choices))
    assert table.columns.tolist()[5:] == [choice.setting for choice in choices]
    tested = rows[(rows.split == "test") & (rows.metric == "accuracy") & (rows.setting == choices[0].setting)]
    assert summarize(cells, choices).iloc[0].value == pytest.approx(tested[tested.benchmark == "one"].value.mean())
    assert summarize(cells, choices).iloc[0].sd == pytest.approx(tested[tested.benchmark == "one"].value.std())
    notes = footnotes(cells, choices)
    assert any(note.startswith("25 % of the test samples of one, two validate (stratified") for note in notes)
    assert any("chosen of 3" in note and "by validation on 2 benchmarks" in note for note in notes)


@pytest.mark.parametrize("form", ["table", "csv", "json", "markdown", "latex"])
@pytest.mark.parametrize("command", ["table", "compare", "hyperparameters", "stability"])
def test_every_table_comes_in_every_format(swept, command, form):
    printed = CliRunner().invoke(app, [command, str(swept), "--format", form])
    assert printed.exit_code == 0, printed.output
    if form == "json":
        assert json.loads(printed.stdout)
    if form == "markdown":
        assert "|---" in printed.stdout
    if form == "latex":
        assert printed.stdout.startswith("\\begin{tabular}")
        assert "toprule" in printed.stdout


def test_differences_for_people_are_in_points(swept):
    shown = differences(compare(Results(swept).loaded()))
    assert shown.difference.str.match(r"[+-]\d+\.\d \[[+-]\d+\.\d, [+-]\d+\.\d\]").all()
    assert set(shown.columns) >= {"setting", "other", "p", "holm", "verdict"}
