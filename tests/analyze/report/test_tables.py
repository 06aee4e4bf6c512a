import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.sweeps import sweep
from savs_analyze.findings.summary import summarize
from savs_analyze.measure.metrics import unit_scores
from savs_analyze.measure.scored import WITHOUT_INTERVAL
from savs_analyze.report.head_maps import draw_head_maps, selection_frequency
from savs_analyze.report.layout import listed, spread
from savs_analyze.report.notes import footnotes
from savs_analyze.runs.results import Results
from savs_metrics import OF_CLASSES, OF_SCORES


@pytest.fixture(scope="module")
def cells(write_toy, tmp_path_factory):
    folder, generator, stores = tmp_path_factory.mktemp("cells"), np.random.default_rng(0), []
    for name, classes in (("one", 2), ("two", 4)):
        logits = np.tile(np.arange(classes, dtype=np.float32), (2 * 30 * classes, 1))  # always the last class
        stores.append(write_toy(folder, generator, name, classes=classes, logits=logits).path)
    sweep(stores, folder / "out", shots=5, draws=3, heads=(1, 3))
    return list(Results(folder / "out").loaded())


def test_means_over_draws_are_the_rows_means(cells):
    summary = summarize(cells)
    for row in summary.itertuples():
        values = [
            measured["value"]
            for cell in cells
            for measured in cell.rows
            if all(measured[name] == getattr(row, name) for name in ("benchmark", "method", "heads", "metric"))
        ]
        assert row.value == pytest.approx(np.mean(values))
        assert row.draws == len(values)
        # Nor has a log loss an interval where a truth had no probability, as classes that no head votes for.
        if row.metric in WITHOUT_INTERVAL or (row.metric == "log_loss" and np.isnan(row.low)):
            assert np.isnan(row.low)
            assert np.isnan(row.high)
        else:
            assert row.low <= row.value <= row.high


def test_the_table_has_a_line_a_benchmark_and_a_column_a_method(cells):
    table = spread(summarize(cells))
    assert table.benchmark.tolist() == ["one", "two"]
    assert table.columns.tolist()[4:] == ["n", "zero-shot", "SAVs, 1 head", "SAVs, 3 heads"]
    assert not (table == "").to_numpy().any()


def test_metrics_of_classes_have_lines_when_asked_for(cells):
    table = spread(summarize(cells), all_metrics=True)
    of_both = ["accuracy", *OF_CLASSES, "log_loss", "brier_score", "calibration_error"]
    of_two = ["auroc", "average_precision"]
    assert table.metric.tolist() == of_both[:3] + of_two + of_both[3:] + of_both
    # Zero-shot always says the last class: right in one of 2, one of 4, which nothing but few samples leaves open.
    shown = table.set_index(["benchmark", "metric"])["zero-shot"].loc[:, "balanced_accuracy"]
    assert [round(100 * number.value, 1) for number in shown] == [50.0, 25.0]
    for number in shown:
        # Half a sample more of each of the 30 a class: 0.5 / 30, twice on both sides.
        assert 0.02 < number.high - number.low < 5 * 0.5 / 30


def test_a_list_has_a_line_a_benchmark_and_method(cells):
    summary = summarize(cells)
    table, wide = listed(summary), spread(summary)
    assert table[["benchmark", "setting"]].to_numpy().tolist() == [
        [benchmark, setting]
        for benchmark in ("one", "two")
        for setting in ("zero-shot", "SAVs, 1 head", "SAVs, 3 heads")
    ]
    # The same numbers as in columns; nothing is the same as anything here.
    for row in table.itertuples():
        assert row.result == wide.set_index("benchmark").loc[row.benchmark, row.setting]
    assert table.columns.tolist() == ["benchmark", "model", "task", "metric", "setting", "n", "result"]
    assert set(listed(summary, all_metrics=True).metric) == {"accuracy", *OF_CLASSES, *OF_SCORES} - {
        "recall_at_1_percent",
        "recall_at_5_percent",
    }


def test_methods_that_are_the_same_have_the_same_numbers_and_intervals(toys, tmp_path):
    names = ["savs", "savs-penalty", "savs-artanh", "savs-l2", "savs-rbf"]
    sweep([toys(4).path], tmp_path / "out", shots=5, draws=2, heads=(2,), methods=names)
    table = listed(summarize(Results(tmp_path / "out").loaded())).set_index("setting")
    assert table["same as"].to_dict() == {
        "SAVs, 2 heads": "",
        "savs-penalty, 2 heads": "savs",
        "savs-artanh, 2 heads": "savs",
        "savs-l2, 2 heads": "",
        "savs-rbf, 2 heads": "savs-l2",
    }
    assert (
        table.result["savs-penalty, 2 heads"] == table.result["savs-artanh, 2 heads"] == table.result["SAVs, 2 heads"]
    )
    assert table.result["savs-rbf, 2 heads"] == table.result["savs-l2, 2 heads"]


def test_footnotes_speak_of_all_methods_that_learn(toys, tmp_path):
    sweep([toys().path], tmp_path / "out", shots=5, draws=2, heads=(2,), methods=["savs", "ridge"])
    assert any(
        note.startswith("All but zero-shot learn from 5") for note in footnotes(Results(tmp_path / "out").loaded())
    )


def test_zero_shot_alone_has_a_table(make_store, tmp_path):
    store = make_store(logits=np.zeros((120, 2), dtype=np.float32))
    sweep([store.path], tmp_path / "out", methods=["zero-shot"])
    cells = list(Results(tmp_path / "out").loaded())
    assert spread(summarize(cells)).columns.tolist()[-1] == "zero-shot"
    assert not any("learn" in note for note in footnotes(cells))


@pytest.mark.parametrize("lost", [1, 60, 120])
def test_zero_shot_that_is_left_out_is_a_footnote(make_store, tmp_path, lost):
    """One lost logit made zero-shot vanish, without a row or a note."""
    logits = np.zeros((120, 2), dtype=np.float32)
    logits[:lost, 1] = np.nan
    store = make_store(logits=logits)
    sweep([store.path], tmp_path / "out", shots=5, draws=1, heads=(2,))
    results = Results(tmp_path / "out")
    assert {cell.facts.method for cell in results.loaded()} == {"savs"}
    name = store.benchmark.name
    words = (
        f"{name}, planted: zero-shot is left out, as samples lack a logit for some class: all ({lost} of 120 samples)."
    )
    assert footnotes(results.loaded(), noted=results.notes())[-1] == words
    sweep([store.path], tmp_path / "learnt", shots=5, draws=1, heads=(2,), methods=["savs"])
    assert Results(tmp_path / "learnt").notes() == []


@pytest.mark.parametrize(
    ("answers", "noted"),
    [
        ({"all": "whole answer"}, ["zero-shot sums the log-probabilities of all tokens of an answer in all."]),
        ({"all": "first token"}, []),
        ({"other": "whole answer"}, []),
        ("whole answer", []),
        (None, []),
    ],
)
def test_zero_shot_that_reads_whole_answers_is_a_footnote(make_store, tmp_path, answers, noted):
    store = make_store(logits=np.zeros((120, 2), dtype=np.float32), identity={"answers": answers})
    sweep([store.path], tmp_path / "out", shots=5, draws=1, heads=(2,))
    assert Results(tmp_path / "out").notes() == [f"{store.benchmark.name}, planted: {words}" for words in noted]


def test_several_tasks_have_a_mean_line(tmp_path, generator):
    from savs_stores import BenchmarkInfo, write_store

    tasks = {"left": ["a", "b"], "right": ["a", "b"]}
    store = write_store(
        tmp_path / "two.zarr",
        benchmark=BenchmarkInfo("two", tasks),
        samples={"label": ["a", "b"] * 40, "task": ["left"] * 40 + ["right"] * 40, "split": ["either"] * 80},
        model="m",
        heads=generator.normal(size=(80, 1, 4, 8)),
    )
    sweep([store.path], tmp_path / "out", shots=5, draws=2, heads=(2,))
    summary = summarize(Results(tmp_path / "out").loaded())
    savs = summary[(summary.method == "savs") & (summary.metric == "accuracy")].set_index("task").value
    assert savs["mean of 2 tasks"] == pytest.approx((savs["left"] + savs["right"]) / 2)


def test_tasks_of_one_size_are_resampled_apart(tmp_path, generator):
    from savs_stores import BenchmarkInfo, write_store

    # Zero-shot is right on the first half of one task and the second half of the other: were both
    # resampled alike, their mean would have no width.
    tasks = {"left": ["a", "b"], "right": ["a", "b"]}
    right = np.r_[np.ones(60), np.zeros(60), np.zeros(60), np.ones(60)].astype(int)
    labels = np.tile([0, 1], 120)
    store = write_store(
        tmp_path / "two.zarr",
        benchmark=BenchmarkInfo("two", tasks),
        samples={
            "label": [["a", "b"][i] for i in labels],
            "task": ["left"] * 120 + ["right"] * 120,
            "split": ["either"] * 240,
        },
        model="m",
        heads=generator.normal(size=(240, 1, 4, 8)),
        logits=np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)],
    )
    sweep([store.path], tmp_path / "out", shots=5, draws=1, heads=(2,))
    summary = summarize(Results(tmp_path / "out").loaded())
    zero_shot = summary[(summary.method == "zero-shot") & (summary.metric == "accuracy")].set_index("task")
    width = zero_shot.high - zero_shot.low
    assert width["mean of 2 tasks"] == pytest.approx(width["left"] / np.sqrt(2), rel=0.15)


def test_a_method_that_lacks_a_task_has_no_mean(tmp_path, generator):
    from savs_stores import BenchmarkInfo, write_store

    logits = np.zeros((80, 2), dtype=np.float32)
    logits[40:] = np.nan
    store = write_store(
        tmp_path / "two.zarr",
        benchmark=BenchmarkInfo("two", {"left": ["a", "b"], "right": ["a", "b"]}),
        samples={"label": ["a", "b"] * 40, "task": ["left"] * 40 + ["right"] * 40, "split": ["either"] * 80},
        model="m",
        heads=generator.normal(size=(80, 1, 4, 8)),
        logits=logits,
    )
    sweep([store.path], tmp_path / "out", shots=5, draws=1, heads=(2,))
    summary = summarize(Results(tmp_path / "out").loaded())
    assert set(summary[summary.task == "mean of 2 tasks"].method) == {"savs"}
    # Methods that are tested on other numbers of samples show both.
    assert spread(summary).set_index("task").n.to_dict() == {"left": "40 / 30", "right": "30", "mean of 2 tasks": "60"}


def test_no_figure_claims_more_heads_than_were_kept(cells):
    with pytest.raises(ValueError, match="hold the best 3 heads, not 20"):
        selection_frequency(cells, 20)


def test_footnotes_say_what_was_left_out(cells):
    notes = " ".join(footnotes(cells))
    assert "5 samples a class" in notes
    assert "3 random draws" in notes
    assert "left out" not in notes


def test_selection_frequency_is_the_share_of_draws(cells):
    frequencies = selection_frequency(cells, heads=3)
    assert list(frequencies) == ["planted\none", "planted\ntwo"]
    for grid in frequencies.values():
        assert grid.shape == (3, 4)
        assert grid.sum() == pytest.approx(3)


def test_the_same_results_draw_the_same_bytes(cells, tmp_path):
    paths = [draw_head_maps(selection_frequency(cells, 3), 3, tmp_path / f"{i}.svg") for i in range(2)]
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    assert b"layer" in first


def test_nothing_selected_nothing_drawn(tmp_path):
    with pytest.raises(ValueError, match="no selected heads"):
        draw_head_maps({}, 20, tmp_path / "empty.svg")


def test_a_draw_that_lacks_in_one_task_leaves_the_mean_over_tasks(cells):
    """A cell that could not be computed once took the method out of all means."""
    from dataclasses import replace

    two = [replace(cell, facts=replace(cell.facts, benchmark="both", task=cell.facts.benchmark)) for cell in cells]
    whole, lacking = (
        summarize(two),
        summarize([cell for cell in two if (cell.facts.task, cell.facts.draw) != ("one", 2)]),
    )
    for summary, draws in ((whole, 3), (lacking, 2)):
        means = summary[
            (summary.task == "mean of 2 tasks") & (summary.method == "savs") & (summary.metric == "accuracy")
        ]
        assert set(means.draws) == {draws}
        assert len(means) == 2


@given(st.integers(1, 30), st.integers(1, 30))
def test_a_class_of_few_samples_is_never_known_for_sure(few, many):
    """With 5 of 5 and 900 of 1,000 right, the interval of balanced accuracy once was 94.0 to 95.9."""
    label = np.repeat([0, 1], [few, many])
    index, none = np.arange(len(label)), np.full(len(label), -1)
    units = unit_scores("accuracy", label, label, index, none, none, 2)
    assert units.answers.half_sample_a_class == pytest.approx((0.5 / few**2 + 0.5 / many**2) / 4)
