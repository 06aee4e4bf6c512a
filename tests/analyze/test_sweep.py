"""The sweep against the estimator and brute force; its resuming, its exclusions, its one pass."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import transcription as slow
from sklearn.metrics import accuracy_score

from savs_analyze.cells import Cell, parse_range, plan_cells
from savs_analyze.classifier import SAVClassifier
from savs_analyze.learners import learn
from savs_analyze.methods import METHODS, Savs
from savs_analyze.results import Results
from savs_analyze.settings import Setting, expand_settings, make_setting
from savs_analyze.sweep import expand, sweep
from savs_analyze.validation import Validation
from savs_stores import BenchmarkInfo, IncompleteStoreError, ModelVectors, add_model, open_store, write_store

LEARNING = [name for name in METHODS if name != "zero-shot"]
# One of every way to learn and to vote.
FEW = [
    "savs",
    "savs-rbf",
    "savs-soft",
    "class-favoured",
    "class-similarity-balanced",
    "layers",
    "random",
    "knn",
    "ridge",
]
MANY = [name for name in LEARNING if name not in ("linear-probe", "mlp-probe")]


def run(store, out, **settings):
    return pd.read_csv(sweep([store.path], out, **{"shots": 5, "draws": 3, "heads": (1, 3, 8), **settings}))


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
        support, test, draw = cell.facts["support"], cell.arrays["sample"], cell.facts["draw"]
        for setting in (Setting.from_json(found) for found in cell.facts["settings"]):
            model = estimator(setting, draw).fit(flat[support], labels[support])
            assert rows[draw, setting.column()] == accuracy_score(labels[test], model.predict(flat[test])), setting
            checked.add(setting.name)
    assert checked == set(methods)


def test_the_planted_heads_are_found(toys, tmp_path):
    named = [name for name in LEARNING if "k" in METHODS[name].defaults]
    named = [name for name in named if not name.startswith(("class-", "paper-", "random"))]
    run(toys(4), tmp_path / "out", heads=(3,), methods=named)
    cells = Results(tmp_path / "out").loaded()
    chosen = [(cell.facts["method"], kept) for cell in cells for kept in cell.facts["kept"]]
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
    monkeypatch.setattr("savs_analyze.group.learn", lambda *_: pytest.fail("a finished cell was computed again"))
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
        "savs_analyze.group.learn", lambda methods, support: learnt.extend(methods) or learn(methods, support)
    )
    many = run(toy, out, methods=["savs", "ridge", "savs-l2"])
    assert {method.name for method in learnt} == {"ridge"}
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
        "savs_analyze.group.learn", lambda methods, support: learnt.extend(methods) or learn(methods, support)
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


def papers(store, out, **settings):
    return run(store, out, papers_order=True, keep_leaks=True, **settings)


def test_the_papers_protocol_follows_the_papers_code(make_store, tmp_path):
    # Weak heads, of which many tie at the cut and in the vote.
    def weaken(vectors):
        vectors += np.random.default_rng(7).normal(size=vectors.shape) * 4

    store = make_store(classes=4, change=weaken)
    papers(store, tmp_path / "out", methods=["savs", "savs-artanh", "class-favoured"], draws=2, heads=(2, 5))
    vectors, labels = store["planted"].read().astype(float).tolist(), store.samples.label
    cells = list(Results(tmp_path / "out").loaded())
    for cell in cells:
        support, test = cell.facts["support"], cell.arrays["sample"]
        assert cell.rows[0]["keep_leaks"]
        for place, k in enumerate((2, 5)):
            arguments = [vectors[i] for i in support], labels[support].tolist(), 4, k, [vectors[i] for i in test]
            if cell.facts["method"] == "class-favoured":
                expected = slow.papers_class_favoured(*arguments)
            else:
                kept, expected = slow.papers_savs(*arguments)
                assert sorted(4 * layer + head for layer, head in cell.facts["kept"][place]) == kept
            assert cell.arrays["predicted"][place].tolist() == expected
    assert any(row["tied_at_cut"] for cell in cells for row in cell.rows)
    ours = run(store, tmp_path / "ours", methods=["savs"], draws=2, heads=(2, 5))
    assert set(ours.value) != {row["value"] for cell in cells for row in cell.rows if row["method"] == "savs"}


def test_leaks_are_kept_by_the_papers_protocol(make_store, tmp_path):
    images = [(1 + i % 60,) for i in range(120)]  # every test image is one of the pool
    store = make_store(image_hash=images)
    ours, theirs = run(store, tmp_path / "ours", draws=1), papers(store, tmp_path / "papers", draws=1)
    assert set(ours.leaked) == {10}
    assert set(ours.n) == {50}
    assert set(theirs.leaked) == {0}
    assert set(theirs.n) == {60}


def test_printed_options_restrict_every_method(make_store, tmp_path):
    generator = np.random.default_rng(3)
    names = ["ant", "bee", "cat", "dog"]
    labels = np.tile(np.repeat(np.arange(4), 30), 2)
    options = [[names[label], names[(label + generator.integers(1, 4)) % 4]] for label in labels]
    options[:60] = [[]] * 60  # these print none
    store = make_store(
        classes=4,
        options=options,
        change=lambda vectors: vectors.__iadd__(generator.normal(size=vectors.shape) * 5),
        logits=generator.normal(size=(240, 4)).astype(np.float32),
    )
    free = run(store, tmp_path / "free", methods=list(METHODS), draws=1, heads=(3,))
    among = run(store, tmp_path / "among", methods=list(METHODS), draws=1, heads=(3,), restricted=True)
    assert set(among.setting) == {f"{setting}, printed options" for setting in free.setting}
    for cell in Results(tmp_path / "among").loaded():
        for predicted in cell.arrays["predicted"]:
            for sample, label in zip(cell.arrays["sample"], predicted, strict=True):
                assert not options[sample] or names[label] in options[sample], cell.facts["method"]
    # Half of the classes are ruled out, and never the right one.
    by_method = [rows[rows.metric == "accuracy"].set_index("method").value for rows in (free, among)]
    assert (by_method[1] > by_method[0]).all()


def test_options_that_are_not_printed_restrict_nothing(toys, tmp_path):
    store = toys(4)
    free = run(store, tmp_path / "free", methods=FEW, draws=1)
    among = run(store, tmp_path / "among", methods=FEW, draws=1, restricted=True)
    assert free.value.tolist() == among.value.tolist()


def test_a_restricted_zero_shot_takes_the_best_printed_option(make_store, tmp_path):
    logits = np.random.default_rng(5).normal(size=(240, 4)).astype(np.float32)
    names = ["ant", "bee", "cat", "dog"]
    printed = np.random.default_rng(6).random((240, 4)) < 0.5
    options = [[name for name, shown in zip(names, row, strict=True) if shown] for row in printed]
    store = make_store(classes=4, logits=logits, options=options)
    run(store, tmp_path / "out", methods=["zero-shot"], restricted=True)
    [cell] = Results(tmp_path / "out").loaded()
    for sample, label in zip(cell.arrays["sample"], cell.arrays["predicted"][0], strict=True):
        among = [names.index(name) for name in options[sample]] or range(4)
        assert label == max(among, key=lambda place: logits[sample, place])


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
    refused = ("savs-loo", "savs-loo-margin", "gaussian")
    for name in refused:
        with pytest.raises(ValueError, match=f"{name} needs at least 2 shots, not 1"):
            run(toy, tmp_path / "out", methods=[name], shots=1, draws=1)
    rows = run(toy, tmp_path / "out", methods=[name for name in MANY if name not in refused], shots=1, draws=1)
    assert rows.value.notna().all()


def test_a_benchmark_of_one_class_is_answered_or_refused(tmp_path, generator):
    store = write_store(
        tmp_path / "one.zarr",
        benchmark=BenchmarkInfo("one", {"all": ["cat"]}),
        samples={"label": ["cat"] * 20, "split": ["pool"] * 10 + ["test"] * 10},
        model="m",
        heads=generator.normal(size=(20, 2, 3, 4)),
    )
    savs = [name for name in METHODS if isinstance(make_setting(name).method, Savs)]
    rows = run(store, tmp_path / "out", methods=[*savs, "knn"])
    assert (rows.value == 1).all()
    with pytest.raises(ValueError, match="ridge tells classes apart: samples of one class teach it nothing"):
        run(store, tmp_path / "out", methods=["ridge"])


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
    needed = {4 * layer + head for cell in cells for heads in cell.facts["kept"] for layer, head in heads}
    assert all(set(heads) == needed for _, heads in tested)
    # The support of a draw is read once for all methods.
    assert sorted(map(tuple, supports)) == sorted({tuple(cell.facts["support"]) for cell in cells})


def test_small_blocks_give_the_same_rows(make_store, tmp_path, monkeypatch):
    store = make_store(count=40)
    whole = run(store, tmp_path / "whole", methods=FEW)
    blocks = ModelVectors.blocks
    monkeypatch.setattr(
        ModelVectors, "blocks", lambda self, samples, heads: blocks(self, samples, heads, block_bytes=1)
    )
    parts = run(store, tmp_path / "parts", methods=FEW)
    pd.testing.assert_frame_equal(whole.drop(columns="seconds"), parts.drop(columns="seconds"))


def test_failed_samples_are_left_out_and_counted(make_store, tmp_path):
    def spoil(vectors):
        vectors[[0, 70, 71]] = np.nan  # one of the pool, two of the test split

    rows = run(make_store(change=spoil), tmp_path / "out", draws=1, methods=FEW)
    assert set(rows.method) == set(FEW)
    assert rows.failed.tolist() == [2] * len(rows)
    assert set(rows.n) == {58}


def test_an_unfinished_store_is_refused_unless_asked_for(tmp_path, make_store):
    store = make_store(count=40)
    writer = add_model(store.path, "half", {"model": "half"}, store["planted"].heads, shard_samples=16)
    for shard in range(writer.plan.shards - 1):
        writer.write(shard, whole_shard(store["planted"], shard))
    with pytest.raises(IncompleteStoreError):
        run(store, tmp_path / "out")
    rows = run(store, tmp_path / "out", allow_partial=True)
    assert rows.groupby("model").partial.first().to_dict() == {"half": True, "planted": False}


def whole_shard(vectors, shard):
    from savs_stores import Shard
    from savs_stores.schema import PER_SAMPLE

    rows = vectors.plan.rows(shard)
    beside = {name: getattr(vectors, name)[rows.start : rows.stop] for name in PER_SAMPLE}
    return Shard(heads=vectors.read(rows), **beside)


def test_groups_are_scored_whole(tmp_path):
    generator = np.random.default_rng(0)
    labels = np.tile([1, 0, 0, 1], 30)
    vectors = generator.normal(size=(120, 2, 3, 8)) + np.array([[-1.0], [1.0]])[labels][:, None, None, :]
    groups = [f"g{i // 4}" for i in range(120)]
    store = write_store(
        tmp_path / "pairs.zarr",
        benchmark=BenchmarkInfo("pairs", {"all": ["no", "yes"]}, metric="question-image-group"),
        samples={
            "label": [["no", "yes"][i] for i in labels],
            "split": ["pool"] * 60 + ["test"] * 60,
            "group": groups,
            "slot": [i % 4 for i in range(120)],
        },
        model="m",
        heads=vectors,
    )
    rows = run(store, tmp_path / "out", draws=1, heads=(3,))
    savs = rows[rows.method == "savs"].set_index("metric")
    cell = next(c for c in Results(tmp_path / "out").loaded() if c.facts["method"] == "savs")
    right = (cell.arrays["predicted"][0] == cell.arrays["label"]).reshape(15, 4)
    assert savs.value["group_accuracy"] == right.all(axis=1).mean()
    assert savs.value["accuracy"] == right.mean()
    assert savs.n.tolist() == [15] * 6


def test_a_store_without_models_says_so(tmp_path):
    from savs_stores import SampleTable, create_store

    info = BenchmarkInfo("empty", {"all": ["a"]})
    create_store(tmp_path / "empty.zarr", info, SampleTable.from_columns(info.tasks, {"label": ["a"]}))
    with pytest.raises(ValueError, match="no model's vectors yet"):
        sweep([tmp_path / "empty.zarr"], tmp_path / "out")


def test_vectors_that_are_named_twice_count_once(toy, tmp_path):
    path = toy.path
    once = pd.read_csv(sweep([path], tmp_path / "once", shots=5, draws=2))
    twice = pd.read_csv(
        sweep(
            [path, path.parent / "." / path.name], tmp_path / "twice", shots=5, draws=2, models=["planted", "planted"]
        )
    )
    assert once.value.tolist() == twice.value.tolist()


def test_different_vectors_under_one_name_are_refused(make_store, tmp_path):
    first = make_store().path
    second = first.rename(tmp_path / "elsewhere.zarr")
    make_store(count=31)
    with pytest.raises(ValueError, match="hold different vectors of 'planted' on 'toy'"):
        sweep([first, second], tmp_path / "out", shots=5)


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


def test_cells_differ_in_name_when_anything_differs():
    base = Cell("b", "m", "f", "i", "r", "accuracy")
    both = expand_settings(["zero-shot", "savs"], {"k": [5, 20]})
    few, twenty = {"one": [10]}, {"one": [20], "two": [20]}
    cells = plan_cells(base, {"one": True, "two": False}, twenty, 3, both)
    assert len(cells) == 1 + 2 * 3
    other = [
        *plan_cells(base, {"one": True}, few, 1, both),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs"], {"k": [5]})),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs"], {"k": [5, 20]}, restricted=True)),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs"], {"k": [5, 20]}, papers_order=True)),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs-l2"], {"k": [5, 20]})),
        *plan_cells(base, {"one": True}, twenty, 1, expand_settings(["savs-rbf"], {"k": [5], "gamma": [1, 2]})),
        *plan_cells(replace(base, keep_leaks=True), {"one": True}, twenty, 1, both),
        *plan_cells(replace(base, validation=Validation(0.5)), {"one": True}, twenty, 1, both),
        *plan_cells(replace(base, validation=Validation(first=True)), {"one": True}, twenty, 1, both),
        *plan_cells(Cell("b", "m", "g", "i", "r", "accuracy"), {"one": True}, twenty, 1, both),
        *plan_cells(Cell("b", "m", "f", "i", "s", "accuracy"), {"one": True}, twenty, 1, both),
        *plan_cells(Cell("b", "m", "f", "i", "r", "question-image-group"), {"one": True}, twenty, 1, both),
    ]
    learning = [cell.key for cell in cells + other if cell.method != "zero-shot"]
    assert len(set(learning)) == len(learning) == 6 + 12


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("20", [20]),
        ("5,10,200", [5, 10, 200]),
        ("5,5", [5]),
        ("5:20:5", [5, 10, 15, 20]),
        ("5:21:5", [5, 10, 15, 20]),
        ("3:3:1", [3]),
    ],
)
def test_ranges_include_their_end(text, numbers):
    assert parse_range(text) == numbers


@pytest.mark.parametrize("text", ["", "0", "-1", "a", "5:1:1", "1:5", "1:5:0", "1:5:1:1", "1.5"])
def test_what_is_no_range_is_refused_with_all_forms(text):
    with pytest.raises(ValueError, match="write 20, or 5,10,20, or 5:50:5"):
        parse_range(text)


def test_a_sweep_of_nothing_is_refused(toy, tmp_path):
    with pytest.raises(ValueError, match="nothing to run: no task has a logit for each of its classes"):
        run(toy, tmp_path / "out", methods=["zero-shot"])


def test_too_many_shots_are_refused_before_anything_is_computed(toys, tmp_path):
    with pytest.raises(ValueError, match="30 usable samples to draw from, 31 shots need more"):
        run(toys(2), tmp_path / "out", shots=31)
    assert not (tmp_path / "out" / "cells").exists()
    assert set(run(toys(2), tmp_path / "some", shots=(5, 30, 31)).shots) == {5, 30}


def test_patterns_name_stores_once(tmp_path):
    for name in ("b", "a"):
        (tmp_path / f"{name}.zarr").mkdir()
    a, b = str(tmp_path / "a.zarr"), str(tmp_path / "b.zarr")
    assert expand([str(tmp_path / "*.zarr"), a]) == [a, b]
    with pytest.raises(ValueError, match="no store is named like"):
        expand([str(tmp_path / "*.nothing")])


def test_opening_does_not_change_a_store(toy, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in toy.path.rglob("*")}
    run(open_store(toy.path), tmp_path / "out")
    assert before == {path: path.stat().st_mtime_ns for path in toy.path.rglob("*")}
