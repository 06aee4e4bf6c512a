"""Paired tests against scipy and statsmodels; what is chosen by validation, by hand; tables that say so."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, permutation_test
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.cli.commands import app
from savs_analyze.cli.planted import write_planted
from savs_analyze.findings.choice import choose, hyperparameters
from savs_analyze.findings.comparisons import compare, indistinct
from savs_analyze.findings.summary import _is_close, summarize
from savs_analyze.measure.paired_tests import holm, sign_flip_test
from savs_analyze.methods.settings import make_setting
from savs_analyze.report.layout import differences, spread
from savs_analyze.report.notes import footnotes
from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.results import CellResult, Results

seeds = st.integers(0, 2**32 - 1)


@given(better=st.integers(0, 40), worse=st.integers(0, 40), same=st.integers(0, 40))
def test_of_single_samples_it_is_mcnemars_exact_test(better, worse, same):
    differences = np.repeat([1.0, -1.0, 0.0], [better, worse, same])
    expected = mcnemar([[same, better], [worse, 0]], exact=True).pvalue
    assert sign_flip_test(differences) == pytest.approx(expected, rel=1e-9, abs=1e-13)
    if better + worse:
        assert expected == pytest.approx(binomtest(better, better + worse).pvalue)


@given(seed=seeds, count=st.integers(2, 9))
def test_of_groups_it_is_the_exact_permutation_test(seed, count):
    differences = np.random.default_rng(seed).integers(-8, 9, count) / 4
    expected = permutation_test(
        (differences,), lambda values, axis: values.sum(axis=axis), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert sign_flip_test(differences) == pytest.approx(min(1, expected), abs=1e-9)


@settings(max_examples=30)
@given(seed=seeds, count=st.integers(2, 12))
@example(seed=2018, count=12)  # two sums lie within the rounding
def test_what_is_no_multiple_of_a_quarter_is_rounded_and_never_too_sure(seed, count):
    differences = np.random.default_rng(seed).normal(0.4, 1, count)
    sums = np.abs(np.array(list(product((-1, 1), repeat=count))) @ differences)
    # Ten steps of the rounding, which may lie between the mean and the slightly smaller one that p is of.
    margin = 1e-4 * np.abs(differences).sum()
    least, most = ((sums >= abs(differences.sum()) - shift).mean() for shift in (1e-12, margin))
    assert least - 1e-9 <= sign_flip_test(differences) <= most + 1e-9


def test_clusters_of_many_sizes_are_nearly_normal():
    generator = np.random.default_rng(0)
    differences = generator.choice([-1, 0, 1], 3000, p=[0.2, 0.55, 0.25]) / generator.choice([101, 230, 407], 3000)
    expected = 2 * norm.sf(abs(differences.sum()) / np.sqrt((differences**2).sum()))
    assert sign_flip_test(differences) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("sizes", [(50_000, 1_000), (50_000, 100), (300_000, 300_000)], ids=str)
def test_large_tasks_lose_no_weight_by_rounding(sizes):
    """The mean over tasks of very different sizes once gave a p that was 13 times too small."""
    generator = np.random.default_rng(4)
    differences = np.concatenate(
        [generator.binomial(5, 0.052, size) / size - generator.binomial(5, 0.05, size) / size for size in sizes]
    )
    expected = 2 * norm.sf(abs(differences.sum()) / np.sqrt((differences**2).sum()))
    assert sign_flip_test(differences) == pytest.approx(expected, rel=0.15, abs=1e-11)


def test_many_samples_neither_overflow_nor_underflow():
    assert sign_flip_test(np.repeat([1.0, -1.0], [20_000, 20_000])) == 1
    assert sign_flip_test(np.ones(20_000)) == pytest.approx(0, abs=1e-12)
    expected = binomtest(10_150, 20_000).pvalue
    assert sign_flip_test(np.repeat([1.0, -1.0], [10_150, 9_850])) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_statsmodels(chances):
    assert holm(chances) == pytest.approx(multipletests(chances, method="holm")[1])


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


def test_differences_are_paired_by_sample_and_zero_shot_meets_every_draw():
    generator = np.random.default_rng(0)
    right = {name: (generator.random((3, 200)) > wrong) for name, wrong in (("savs", 0.1), ("ridge", 0.12))}
    zero = generator.random(200) > 0.5
    cells = [made_cell("zero-shot", np.where(zero, 0, 1), 0, columns=["zero-shot"])]
    for name, of_draw in right.items():
        cells += [made_cell(name, np.where(of_draw[draw], 0, 1), draw, columns=[name]) for draw in range(3)]
    found = compare(cells).set_index(["setting", "other"])
    totals = {name: of_draw.sum(axis=0) for name, of_draw in right.items()} | {"zero-shot": 3 * zero.astype(int)}
    for (one, other), row in found.iterrows():
        difference = totals[one] - totals[other]
        assert row.difference == pytest.approx(difference.mean() / 3)
        assert row.p == pytest.approx(sign_flip_test(difference.astype(float)))
        assert row.low < row.difference < row.high
        assert row.n == 200
    assert len(found) == 3
    assert found.holm.tolist() == pytest.approx(multipletests(found.p, method="holm")[1].tolist())
    assert found.loc[("savs", "zero-shot"), "verdict"] == "differ"
    assert set(found.verdict) == {"differ", "not distinguishable"}


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
    shares = []  # what every sample adds to the difference of the means, over both draws
    for size, of_task in ((6, cells[:2]), (5, cells[2:])):
        right = sum((cell.arrays["predicted"] == 0).astype(int) for cell in of_task)
        shares += list((right[0] - right[1]) / (2 * 2 * size))
    assert row["difference"] == pytest.approx(sum(shares))
    expected = permutation_test(
        (np.array(shares),), lambda values, axis: values.sum(axis=axis), permutation_type="samples", n_resamples=np.inf
    ).pvalue
    assert row["p"] == pytest.approx(expected, abs=0.02)


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
    cells = [*cells_of_tasks({"one": 40, "two": 40}, (0.9, 0.5)), made_cell("ridge", np.zeros(40, int), 0, task="one")]
    found = compare([cell for cell in cells if cell.facts.draw == 0])
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
    predicted = (generator.random((14, 100)) < 0.5).astype(int)
    predicted[5, :90] = 0
    found = compare([made_cell("savs", predicted, 0, columns=[f"s{i}" for i in range(14)])])
    assert len(found) == 13
    assert set(found.setting) == {"s5"}
    assert indistinct(found) == {}


def test_the_best_of_many_equal_settings_is_not_better_than_chance_allows():
    # Of settings that are the same but for noise, one in twenty experiments at most may find a difference.
    false = 0
    for seed in range(60):
        predicted = (np.random.default_rng(seed).random((20, 200)) > 0.8).astype(int)
        found = compare([made_cell("savs", predicted, 0, columns=[f"s{i}" for i in range(20)])])
        false += (found.verdict == "differ").any()
    assert false <= 6


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
    predicted = np.ones((3, 300), dtype=int)
    for place, right in enumerate((0.9, 0.89, 0.3)):
        predicted[place, : int(300 * right)] = 0
        generator.shuffle(predicted[place])
    found = compare([made_cell("savs", predicted, 0, columns=["a", "b", "c"])])
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
