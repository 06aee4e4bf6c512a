"""Transfer of heads between tasks: against plain loops on planted stores, and what a user sees."""

import io
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib import image
from typer.testing import CliRunner

from savs_analyze.across.transfer import ALL, HEADS, OWN, RANDOM, tasks_of, transfer, without_leaks
from savs_analyze.cli.commands import app
from savs_analyze.report.across import draw_transfer, grids
from savs_stores import BenchmarkInfo, open_store, write_store

HEADS_THERE, DIM, PER_CLASS = 24, 6, 30
# First and second read the same heads by the same directions; the third has other heads.
PLANTED = {"first": range(6), "second": range(6), "third": range(12, 18)}


def write_tasks(folder, name, planted, classes=("cat", "dog"), directions=None, model="m", **more):
    """Write a store of tasks, each of whose classes shows in its planted heads."""
    generator = np.random.default_rng(len(name))
    labels = np.tile(np.repeat(range(len(classes)), PER_CLASS), len(planted))
    vectors = generator.normal(size=(len(labels), HEADS_THERE, DIM))
    for place, heads in enumerate(planted.values()):
        rows = slice(place * PER_CLASS * len(classes), (place + 1) * PER_CLASS * len(classes))
        for head in heads:
            vectors[rows, head] += directions[labels[rows], head]
    columns = {"split": ["either"] * len(labels), "label": [classes[label] for label in labels]}
    columns["task"] = np.repeat(list(planted), PER_CLASS * len(classes)).tolist()
    metric, identity = more.pop("metric", "accuracy"), more.pop("identity", None)
    return write_store(
        folder / f"{name}.zarr",
        benchmark=BenchmarkInfo(name, {task: list(classes) for task in planted}, metric=metric),
        samples={**columns, **more},
        model=model,
        identity=identity,
        heads=vectors.reshape(len(labels), 3, 8, DIM),
        shard_samples=32,
    )


@pytest.fixture(scope="module")
def directions():
    return 1.5 * np.random.default_rng(1).normal(size=(3, HEADS_THERE, DIM))


@pytest.fixture(scope="module")
def tasks(tmp_path_factory, directions):
    write_tasks(tmp_path_factory.mktemp("transfer"), "planted", PLANTED, directions=directions)
    return tasks_of([open_store(next(tmp_path_factory.getbasetemp().glob("transfer*/planted.zarr")))])


@pytest.fixture(scope="module")
def rows(tasks):
    return transfer(tasks, k=5, shots=8, draws=3)


def cosine(x, u):
    return sum(a * b for a, b in zip(x, u, strict=True)) / np.sqrt(sum(a * a for a in x) * sum(b * b for b in u))


def centroids_of(vectors, labels):
    return [vectors[labels == label].astype(np.float64).mean(axis=0) for label in range(2)]


def heads_of(vectors, labels, k):
    centroids, found = centroids_of(vectors, labels), []
    for head in range(HEADS_THERE):
        count, margin = 0, 0.0
        for x, label in zip(vectors[:, head].astype(np.float64), labels, strict=True):
            mine, other = cosine(x, centroids[label][head]), cosine(x, centroids[1 - label][head])
            count, margin = count + (mine > other), margin + mine - other
        found.append((-count, -margin, head))
    return [head for _, _, head in sorted(found)][:k]


def accuracy_of(vectors, labels, heads, centroids):
    right = 0
    for sample, label in zip(vectors.astype(np.float64), labels, strict=True):
        said = [int(cosine(sample[h], centroids[1][h]) > cosine(sample[h], centroids[0][h])) for h in heads]
        right += (sum(said) * 2 > len(said)) == label  # five heads: no ties
    return right / len(labels)


def test_every_number_is_that_of_plain_loops(tasks, rows):
    expected = {}
    for seed in range(3):
        known = {}
        for task in tasks:
            draw, label = task.draw(8, seed), task.vectors.store.samples.label
            vectors = task.vectors.read(draw.support)
            centroids, heads = centroids_of(vectors, label[draw.support]), heads_of(vectors, label[draw.support], 5)
            known[task.name] = heads, centroids, task.vectors.read(draw.test), label[draw.test]
        chance = np.random.default_rng([seed, HEADS_THERE]).permutation(HEADS_THERE)[:5]
        for target, (_, own, test, label) in known.items():
            for source, (heads, centroids, _, _) in known.items():
                first = OWN if source == target else HEADS
                expected.setdefault((source, target, first), []).append(accuracy_of(test, label, heads, own))
                if source != target:
                    expected.setdefault((source, target, ALL), []).append(accuracy_of(test, label, heads, centroids))
            expected.setdefault((RANDOM, target, HEADS), []).append(accuracy_of(test, label, chance, own))
    found = rows.set_index(["source", "target", "takes"]).value.to_dict()
    assert found == pytest.approx({key: np.mean(values) for key, values in expected.items()})


def test_heads_transfer_where_tasks_share_them_and_nowhere_else(rows):
    found = rows.set_index(["source", "target", "takes"])
    first, third, other = (f"planted / {name}" for name in ("first", "third", "second"))
    for source, target in ((first, other), (other, first)):
        for takes in (HEADS, ALL):
            assert found.value[source, target, takes] > 0.9
            assert abs(found.against_own[source, target, takes]) < 0.05
    for source, target in ((first, third), (third, first), (other, third), (third, other)):
        for takes in (HEADS, ALL):
            assert found.value[source, target, takes] < 0.7
            assert found.against_own_high[source, target, takes] < -0.1
    assert found.value[third, third, OWN] > 0.9


def test_intervals_hold_their_values_and_own_heads_differ_from_themselves_by_nothing(rows):
    assert ((rows.low <= rows.value) & (rows.value <= rows.high)).all()
    assert ((rows.against_own_low <= rows.against_own) & (rows.against_own <= rows.against_own_high)).all()
    own = rows[rows.takes == OWN][["against_own", "against_own_low", "against_own_high"]]
    assert (own == 0).all(axis=None)
    assert set(rows.n) == {2 * PER_CLASS - 16}


def test_stores_of_other_classes_and_sizes_lend_their_heads_only(tmp_path, directions):
    one = write_tasks(tmp_path, "pair", {"all": range(6)}, directions=directions)
    many = write_tasks(tmp_path, "three", {"all": range(6)}, ("ant", "bee", "cat"), directions)
    rows = transfer(tasks_of([open_store(one.path), open_store(many.path)]), k=5, shots=8, draws=2)
    assert set(rows.takes) == {OWN, HEADS}
    assert set(rows.target) == {"pair", "three"}
    found = rows.set_index(["source", "target"]).value
    assert found["pair", "three"] > 0.9
    assert len(grids(rows)) == 1


def test_no_support_shows_an_image_that_is_tested_anywhere(tmp_path, directions):
    shown = {"image_hash": [[1 + i % 40] for i in range(2 * PER_CLASS)]}  # some images twice, and in both stores
    stores = [
        open_store(write_tasks(tmp_path, name, {"all": range(6)}, directions=directions, **shown).path)
        for name in ("here", "there")
    ]
    tasks = tasks_of(stores)
    draws = [task.draw(8, seed) for seed, task in enumerate(tasks)]
    supports = {shown["image_hash"][sample][0] for draw in draws for sample in draw.support}
    for task, draw in zip(tasks, draws, strict=True):
        tested = without_leaks(task, draw, tasks, draws)
        assert 0 < len(tested) < len(draw.test)
        kept = [sample for sample in draw.test if shown["image_hash"][sample][0] not in supports]
        assert tested.tolist() == kept


def test_groups_stay_whole(tmp_path, directions):
    columns = {
        "metric": "question-image-group",
        "group": [str(i // 4) for i in range(2 * PER_CLASS)],
        "slot": [i % 4 for i in range(2 * PER_CLASS)],
    }
    stores = [
        open_store(write_tasks(tmp_path, name, {"all": range(6)}, directions=directions, **columns).path)
        for name in ("here", "there")
    ]
    rows = transfer(tasks_of(stores), k=5, shots=2, draws=2)
    assert set(rows.metric) == {"group_accuracy"}
    assert (rows.n <= 2 * PER_CLASS // 4).all()


@pytest.mark.parametrize("ending", ["svg", "pdf", "png"])
def test_the_figure_is_the_same_again(rows, tmp_path, ending):
    first, second = (draw_transfer(rows, tmp_path / f"{name}.{ending}") for name in ("one", "two"))
    if ending == "svg":
        assert first.read_bytes() == second.read_bytes()
        assert "random heads" in first.read_text()
    if ending == "png":
        assert image.imread(first).std() > 0.05


def test_the_grid_is_source_by_target(rows):
    (value, against), (both, _) = grids(rows).values()
    names = [f"planted / {name}" for name in PLANTED]
    assert (value.index.tolist(), value.columns.tolist()) == ([*names, RANDOM], names)
    found = rows.set_index(["source", "target", "takes"])
    assert value.loc[names[0], names[2]] == found.value[names[0], names[2], HEADS]
    assert value.loc[names[1], names[1]] == found.value[names[1], names[1], OWN]
    assert both.loc[names[2], names[0]] == found.value[names[2], names[0], ALL]
    assert against.loc[names[2], names[2]] == 0
    for one, other in pairwise(names):
        assert against.loc[one, other] == found.against_own[one, other, HEADS]


def test_what_tasks_ask_of_answers_makes_no_other_model(tmp_path, directions):
    """Stores of one model, `digits` and `digits-compare`, were refused as of two, as their tasks have other names."""
    stores = [
        open_store(
            write_tasks(
                tmp_path,
                name,
                {name: range(6)},
                directions=directions,
                identity={"answers": {name: way}, "logits": way},
            ).path
        )
        for name, way in (("one", "first token"), ("two", "whole answer"))
    ]
    assert [task.name for task in tasks_of(stores)] == ["one", "two"]


def test_what_cannot_be_done_says_why(tmp_path, directions, tasks):
    one = open_store(write_tasks(tmp_path, "one", {"all": range(6)}, directions=directions, model="qwen2vl").path)
    two = open_store(write_tasks(tmp_path, "two", {"all": range(6)}, directions=directions, model="llava-ov").path)
    with pytest.raises(ValueError, match="no model is in all of these stores"):
        tasks_of([one, two])
    with pytest.raises(ValueError, match="no model 'qwen2'; did you mean 'qwen2vl'"):
        tasks_of([one], "qwen2")
    other = write_tasks(
        tmp_path, "three", {"all": range(6)}, directions=directions, model="llava-ov", identity={"dtype": "float32"}
    )
    with pytest.raises(ValueError, match="hold different models named 'llava-ov'"):
        tasks_of([two, open_store(other.path)])
    with pytest.raises(ValueError, match="each task can come once"):
        tasks_of([one, one])
    with pytest.raises(ValueError, match="transfer needs two tasks"):
        transfer(tasks_of([one]))


def test_the_command(tmp_path, tasks):
    arguments = ["transfer", "--store", str(tasks[0].vectors.store.path), "--k", "3", "--shots", "5", "--draws", "2"]
    drawn = tmp_path / "figures" / "heads.svg"

    def called(form):
        arguments_here = [*arguments, "--out", str(drawn), "--format", form]
        result = CliRunner().invoke(app, arguments_here, catch_exceptions=False)
        assert result.exit_code == 0
        return result

    written = called("csv")
    rows = pd.read_csv(io.StringIO(written.stdout))
    assert len(rows) == 3 + 6 + 6 + 3
    assert written.stderr.strip() == str(drawn)
    assert drawn.stat().st_size > 1000
    pd.testing.assert_frame_equal(pd.read_json(io.StringIO(called("json").stdout)), rows)
    assert "against own is paired" in called("table").stdout
