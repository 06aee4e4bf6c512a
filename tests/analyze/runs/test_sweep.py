"""The sweep against the estimator and brute force; its resuming, its one pass, what it refuses."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

from kit.sweeps import FEW, LEARNING, MANY, run
from savs_analyze.findings.findings import Findings
from savs_analyze.methods.estimator import SAVClassifier
from savs_analyze.methods.kinds.probes import Ridge
from savs_analyze.methods.learners import learn
from savs_analyze.methods.recipes import METHODS
from savs_analyze.methods.settings import Setting
from savs_analyze.runs.audit import audit
from savs_analyze.runs.results import Results
from savs_stores import ModelVectors


def estimator(setting, seed):
    """Return the estimator of a setting on the stores of these tests."""
    parameters = dict(setting.parameters)
    return SAVClassifier(
        n_heads=parameters.get("k", 20),
        head_dim=8,
        heads_per_layer=4,
        method=setting.name,
        parameters=parameters,
        random_state=seed,
    )


@pytest.mark.parametrize("classes", [2, 4, 10])
def test_every_value_is_the_estimators_accuracy(toys, tmp_path, classes):
    store = toys(classes)
    methods = {2: LEARNING, 4: MANY, 10: ["savs", "savs-rbf", "class-favoured", "layers"]}[classes]
    grid = {"gamma": [0.5, 3], "a": [0.3], "b": [1.5], "layers": [1, 2], "neighbours": [3]}
    grid = {key: values for key, values in grid.items() if any(key in METHODS[name].defaults for name in methods)}
    rows = run(store, tmp_path / "out", methods=methods, grid=grid, heads=(1, 8), draws=2)
    rows = rows[rows.metric == "accuracy"].set_index(["draw", "setting"]).value
    flat, labels = store["planted"].read().reshape(len(store.samples), -1).astype(float), store.samples.label
    checked = set()
    for cell in Results(tmp_path / "out").loaded():
        support, test, draw = cell.facts.support, cell.arrays["sample"], cell.facts.draw
        for setting in (Setting.from_json(found) for found in cell.facts.settings):
            model = estimator(setting, draw).fit(flat[support], labels[support])
            assert rows[draw, setting.column()] == accuracy_score(labels[test], model.predict(flat[test])), setting
            checked.add(setting.name)
    assert checked == set(methods)


def test_the_planted_heads_are_found(toys, tmp_path):
    named = [name for name in LEARNING if "k" in METHODS[name].defaults]
    named = [name for name in named if not name.startswith(("class-", "calm", "paper-", "random"))]
    run(toys(4), tmp_path / "out", heads=(3,), methods=named)
    cells = Results(tmp_path / "out").loaded()
    chosen = [(cell.facts.method, kept) for cell in cells for kept in cell.facts.kept]
    assert len(chosen) == 3 * len(named)
    assert [name for name, heads in chosen if sorted(heads) != [[0, 0], [0, 1], [0, 2]]] == []


def test_zero_shot_is_the_argmax_of_the_logits(make_store, tmp_path):
    generator = np.random.default_rng(5)
    logits = generator.normal(size=(120, 2)).astype(np.float32)
    store = make_store(classes=2, logits=logits)
    rows = run(store, tmp_path / "out", draws=1)
    test = store.samples.in_split("test")
    expected = accuracy_score(store.samples.label[test], logits[test].argmax(axis=1))
    assert rows[(rows.method == "zero-shot") & (rows.metric == "accuracy")].value.tolist() == [expected]


def test_without_logits_there_is_no_zero_shot(toy, tmp_path):
    assert set(run(toy, tmp_path / "out").method) == {"savs"}


def test_a_second_sweep_computes_nothing_and_changes_nothing(toy, tmp_path, monkeypatch):
    first = run(toy, tmp_path / "out")
    monkeypatch.setattr(
        "savs_analyze.runs.draw_pass.learn", lambda *_: pytest.fail("a finished cell was computed again")
    )
    pd.testing.assert_frame_equal(first, run(toy, tmp_path / "out"))


def test_an_interrupted_sweep_goes_on_where_it_was(toy, tmp_path, monkeypatch):
    out = tmp_path / "out"
    save, saved = Results.save, []

    def save_two(self, key, result):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(key)
        save(self, key, result)

    monkeypatch.setattr(Results, "save", save_two)
    with pytest.raises(KeyboardInterrupt):
        run(toy, out)
    monkeypatch.setattr(Results, "save", save)
    before = {key: (out / "cells" / f"{key}.json").stat().st_mtime_ns for key in saved}
    resumed = run(toy, out)
    assert before == {key: (out / "cells" / f"{key}.json").stat().st_mtime_ns for key in saved}
    undisturbed = run(toy, tmp_path / "other")
    pd.testing.assert_frame_equal(resumed.drop(columns="seconds"), undisturbed.drop(columns="seconds"))


def test_another_method_computes_nothing_else_again(toy, tmp_path, monkeypatch):
    out = tmp_path / "out"
    few = run(toy, out, methods=["savs", "savs-l2"])
    before = {path: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}
    learnt = []
    monkeypatch.setattr(
        "savs_analyze.runs.draw_pass.learn", lambda methods, support: learnt.extend(methods) or learn(methods, support)
    )
    many = run(toy, out, methods=["savs", "ridge", "savs-l2"])
    assert {type(method) for method in learnt} == {Ridge}
    assert {path: path.stat().st_mtime_ns for path in before} == before
    pd.testing.assert_frame_equal(many[many.method != "ridge"].reset_index(drop=True), few)


def test_results_do_not_depend_on_the_other_methods(toys, tmp_path):
    store = toys(4)
    together = run(store, tmp_path / "together", methods=MANY, draws=2)
    for name in MANY[:: 4 if len(MANY) > 8 else 1]:
        alone = run(store, tmp_path / name, methods=[name], draws=2).drop(columns="seconds")
        of_all = together[together.method == name].drop(columns="seconds").reset_index(drop=True)
        of_all = of_all.dropna(axis=1, how="all") if "gap" not in alone else of_all
        alone = alone.dropna(axis=1, how="all") if "gap" not in alone else alone
        pd.testing.assert_frame_equal(alone, of_all, check_dtype=False)


def test_settings_that_are_the_same_are_learnt_once_and_say_so(toy, tmp_path, monkeypatch):
    learnt = []
    monkeypatch.setattr(
        "savs_analyze.runs.draw_pass.learn", lambda methods, support: learnt.extend(methods) or learn(methods, support)
    )
    pairs = np.linspace(0.3, 1.5, 6).tolist()
    names = ["savs-artanh", "savs-penalty", "savs", "savs-balanced", "savs-rbf", "savs-l2"]
    rows = run(toy, tmp_path / "out", methods=names, grid={"a": pairs, "b": pairs, "gamma": [0.1, 1]}, draws=2)
    # The cosine and l2, for three numbers of heads, in two draws.
    assert len(learnt) == 2 * 3 * 2
    same = {name: set(of.fillna("")) for name, of in rows.groupby("method").same_as}
    assert same == {
        "savs": {""},
        "savs-l2": {""},
        "savs-rbf": {"savs-l2"},
        **{name: {"savs"} for name in ("savs-artanh", "savs-penalty", "savs-balanced")},
    }
    of_setting = rows[rows.metric == "accuracy"].set_index(["method", "setting", "draw", "heads"]).value
    for (name, _, draw, heads), value in of_setting.items():
        if name in ("savs-artanh", "savs-penalty", "savs-balanced"):
            assert value == of_setting["savs", f"SAVs, {heads} {'heads' if heads > 1 else 'head'}", draw, heads]
    assert len(of_setting) == (36 + 1 + 1 + 1 + 2 + 1) * 2 * 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"methods": ["svas"]}, "there is no method 'svas'; did you mean 'savs'"),
        ({"grid": {"gamma": [1.0]}}, "no method here has gamma"),
        ({"methods": ["savs-rbf"], "grid": {"gamma": [0.0]}}, "gamma must be above 0"),
        ({"heads": (0,)}, "k must be at least 1"),
        ({"methods": ["savs-loo"], "shots": 1}, "savs-loo needs at least 2 shots, not 1"),
        ({"shots": 31}, "has 30 usable samples to draw from, 31 shots need more"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_written(toy, tmp_path, settings, words):
    with pytest.raises(ValueError, match=words):
        run(toy, tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


def test_one_shot_is_enough_or_refused(toy, tmp_path):
    refused = ("savs-loo", "savs-loo-margin", "gaussian", "auto", "lda", "calm", "calm-probability", "calm-brier")
    for name in refused:
        with pytest.raises(ValueError, match=f"{name} needs at least 2 shots, not 1"):
            run(toy, tmp_path / "out", methods=[name], shots=1, draws=1)
    rows = run(toy, tmp_path / "out", methods=[name for name in MANY if name not in refused], shots=1, draws=1)
    assert rows.value.notna().all()


def test_more_draws_keep_the_finished_ones(toy, tmp_path):
    few = run(toy, tmp_path / "out", draws=2)
    many = run(toy, tmp_path / "out", draws=4)
    kept = many[many.draw < 2]
    assert len(many[many.method == "savs"]) == 2 * len(few[few.method == "savs"])
    assert kept.value.tolist() == few.value.tolist()
    assert kept.seconds.tolist() == few.seconds.tolist()


@pytest.mark.parametrize("methods", [["savs"], FEW], ids=["savs", "few"])
def test_every_needed_byte_is_read_once(make_store, tmp_path, monkeypatch, methods):
    store = make_store(count=40)
    read, supports, tested = ModelVectors.read, [], []

    def counting(self, samples=None, heads=None, layers=None):
        if heads is None:
            supports.append(np.asarray(samples).tolist())
        else:
            tested.append((np.asarray(samples).tolist(), list(heads)))
        return read(self, samples, heads, layers)

    monkeypatch.setattr(ModelVectors, "read", counting)
    run(store, tmp_path / "out", heads=(1, 3), methods=methods)
    cells = list(Results(tmp_path / "out").loaded())
    samples = [sample for block, _ in tested for sample in block]
    assert sorted(samples) == np.flatnonzero(store.samples.in_split("test")).tolist()
    needed = {4 * layer + head for cell in cells for heads in cell.facts.kept for layer, head in heads}
    assert all(set(heads) == needed for _, heads in tested)
    # The support of a draw is read once for all methods.
    assert sorted(map(tuple, supports)) == sorted({tuple(cell.facts.support) for cell in cells})


def test_small_blocks_give_the_same_rows(make_store, tmp_path, monkeypatch):
    store = make_store(count=40)
    whole = run(store, tmp_path / "whole", methods=FEW)
    blocks = ModelVectors.blocks
    monkeypatch.setattr(
        ModelVectors, "blocks", lambda self, samples, heads: blocks(self, samples, heads, block_bytes=1)
    )
    parts = run(store, tmp_path / "parts", methods=FEW)
    pd.testing.assert_frame_equal(whole.drop(columns="seconds"), parts.drop(columns="seconds"))


def test_more_heads_than_there_are_means_all(make_store, tmp_path):
    rows = run(make_store(), tmp_path / "out", heads=(5, 50, 100))
    assert sorted(set(rows.heads)) == [5, 12]
    rows = run(make_store("other"), tmp_path / "other", methods=["layers"], grid={"layers": [1.0, 3.0, 30.0]})
    assert rows.setting.unique().tolist() == ["layers, 1 layer", "layers, 3 layers"]


def test_run_json_tells_how_the_rows_were_made(toy, tmp_path):
    run(toy, tmp_path / "out", command="savs-analyze sweep --store toy.zarr")
    facts = json.loads((tmp_path / "out" / "run.json").read_text())
    assert facts["command"] == "savs-analyze sweep --store toy.zarr"
    assert len(facts["cells"]) == 3
    assert {"python", "numpy", "scikit-learn"} <= set(facts["versions"])


def test_a_sweep_of_nothing_is_refused(toy, tmp_path):
    with pytest.raises(ValueError, match="nothing to run: no task has a logit for each of its classes"):
        run(toy, tmp_path / "out", methods=["zero-shot"])


def test_too_many_shots_are_refused_before_anything_is_computed(toys, tmp_path):
    with pytest.raises(ValueError, match="30 usable samples to draw from, 31 shots need more"):
        run(toys(2), tmp_path / "out", shots=31)
    assert not (tmp_path / "out" / "cells").exists()
    assert set(run(toys(2), tmp_path / "some", shots=(5, 30, 31)).shots) == {5, 30}


@pytest.fixture
def clumped(make_store):
    """Return a store whose draws of two may have one class in one group: then there are no folds to choose on."""
    labels = make_store(name="alone").samples.label
    rows = np.flatnonzero(labels[:60] == 1)[:20].tolist()
    return make_store(name="clumped", group=["clump" if row in rows else None for row in range(len(labels))])


def test_a_draw_that_cannot_be_split_is_the_fault_of_its_cell_alone(clumped, tmp_path):
    """It ended the whole sweep."""
    rows = run(clumped, tmp_path / "out", methods=["savs", "auto"], shots=2, draws=8)
    results = Results(tmp_path / "out")
    supports = {cell.facts.draw: cell.facts.support for cell in results.loaded() if cell.facts.method == "savs"}
    table = clumped.samples
    split = {
        draw: any(table.group[row] < 0 for row in support if table.label[row] == 1)
        for draw, support in supports.items()
    }
    assert len(set(split.values())) == 2
    assert sorted(set(rows.draw[rows.method == "auto"])) == [draw for draw in range(8) if split[draw]]
    assert sorted(set(rows.draw[rows.method == "savs"])) == list(range(8))
    [note] = results.notes()
    failed = ", ".join(str(draw) for draw in range(8) if not split[draw])
    assert f"auto has no result at 2 shots in the draws {failed}: class 'dog' has one sample, or only" in note
    assert all(finding.sound for seed in range(3) for finding in audit(tmp_path / "out", seed))
    findings = Findings.of_folder(tmp_path / "out")
    assert len(findings.table())
    assert len(findings.compare())
    before = {path: path.stat().st_mtime_ns for path in results.cells.iterdir()}
    run(clumped, tmp_path / "out", methods=["savs", "auto"], shots=2, draws=8)
    assert {path: path.stat().st_mtime_ns for path in results.cells.iterdir()} == before


def test_a_sweep_of_which_nothing_can_be_learnt_says_why(make_store, tmp_path):
    labels = make_store(name="alone").samples.label
    store = make_store(name="one", group=["clump" if row < 60 and labels[row] else None for row in range(len(labels))])
    with pytest.raises(ValueError, match="no draw can be learnt from: class 'dog' has one sample, or only"):
        run(store, tmp_path / "out", methods=["auto"], shots=2, draws=2)
