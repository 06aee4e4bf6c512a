"""Heads of other tasks: found, written, read, and refused on the tasks that they were found on."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from kit.sweeps import sweep
from savs_analyze.across.found_heads import find_heads
from savs_analyze.cli.commands import app
from savs_analyze.draws.task import Task
from savs_analyze.runs.found_heads import FoundHeads
from savs_stores import BenchmarkInfo, open_store, write_class_vectors, write_store

LAYERS, HEADS, DIM = 3, 4, 8
KNOWING = [(1, 2), (2, 0)]


def store_of(folder, name, seed, classes=("a", "b", "c"), texts=True, heads=HEADS):
    """Write a store in which two heads see in a sample what they see in the text of its class."""
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(classes)), 20)
    vectors = generator.normal(size=(len(labels), LAYERS, heads, DIM))
    named = generator.normal(size=(len(classes), LAYERS, heads, DIM))
    for layer, head in KNOWING:
        vectors[:, layer, head] = 4 * named[labels, layer, head] + generator.normal(size=(len(labels), DIM))
    store = write_store(
        folder / f"{name}.zarr",
        benchmark=BenchmarkInfo(name, {"all": list(classes)}),
        samples={"label": [classes[label] for label in labels], "split": ["either"] * len(labels)},
        model="toy",
        heads=vectors.astype(np.float16),
    )
    if texts:
        words = {"all": {one: f"a {one}" for one in classes}}
        write_class_vectors(store["toy"], words, named.reshape(len(classes), -1, DIM))
    return open_store(folder / f"{name}.zarr")


def task_of(store):
    return Task(store["toy"], "all")


@pytest.fixture
def found(tmp_path):
    first, second = store_of(tmp_path, "first", 0), store_of(tmp_path, "second", 1, classes=("x", "y"))
    return find_heads([task_of(first), task_of(second)], k=2, shots=5, draws=3)


def test_the_heads_that_know_are_found_and_answer_elsewhere(tmp_path, found):
    assert sorted(found.heads) == KNOWING
    (tmp_path / "heads.json").write_text(found.written())
    again = FoundHeads.read(tmp_path / "heads.json")
    assert again == found
    other = store_of(tmp_path, "other", 2, classes=("p", "q", "r", "s"))
    rows = pd.read_csv(sweep([other.path], tmp_path / "out", methods=["hec-t-fixed", "savs"], found=again, shots=5))
    fixed = rows[(rows["method"] == "hec-t-fixed") & (rows["split"] == "test") & (rows["metric"] == "accuracy")]
    assert len(fixed) == 1  # it learns nothing, so it has no draws
    assert fixed["value"].item() > 0.9
    assert fixed["setting"].item() == "hec-t-fixed, 2 heads of other tasks"


def test_on_a_task_that_they_were_found_on_they_are_refused(tmp_path, found):
    with pytest.raises(ValueError, match="the heads were found on first, task 'all'"):
        found.check(open_store(tmp_path / "first.zarr")["toy"])


def test_another_wording_of_such_a_task_is_the_same_task(tmp_path):
    """Heads found on pets were taken for heads of another task on pets in other words."""
    rows = {"label": ["a", "b"] * 10, "split": ["either"] * 20}
    stores = [
        write_store(
            tmp_path / f"{name}.zarr",
            benchmark=BenchmarkInfo(name, {"all": ["a", "b"]}, source=source, wording=wording),
            samples=rows,
            model="toy",
            heads=np.random.default_rng(0).normal(size=(20, 4, 3)).astype(np.float16),
        )
        for name, source, wording in (("pets", "here", ""), ("pets-td", "here", "td"), ("birds", "there", ""))
    ]
    write_class_vectors(stores[0]["toy"], {"all": {"a": "an a", "b": "a b"}}, np.ones((2, 4, 3)))
    heads = find_heads([task_of(open_store(stores[0].path))], 2, 5, 1)
    with pytest.raises(ValueError, match="found on pets, task 'all', of which pets-td is"):
        heads.check(stores[1]["toy"])
    heads.check(stores[2]["toy"])


def test_heads_of_another_model_are_refused(tmp_path, found):
    wide = store_of(tmp_path, "wide", 3, heads=5)
    with pytest.raises(ValueError, match=r"the heads are of toy, .*wide\.zarr holds others"):
        found.check(wide["toy"])
    with pytest.raises(ValueError, match=r"wide\.zarr holds other heads than .*first\.zarr"):
        find_heads([task_of(open_store(tmp_path / "first.zarr")), task_of(wide)], 2, 5, 1)


def test_the_command_names_tasks_that_say_nothing_of_heads(tmp_path):
    """Stores without class vectors were named, and the heads looked as if they were good on those too."""
    stores = store_of(tmp_path, "first", 0), store_of(tmp_path, "bare", 1, texts=False)
    named = [part for store in stores for part in ("--store", str(store.path))]
    said = CliRunner().invoke(app, ["heads", *named, "--k", "2", "--shots", "5", "--out", str(tmp_path / "heads.json")])
    assert said.exit_code == 0
    assert "left out, as classes have no class vectors: bare" in said.stderr.splitlines()
    assert sorted(FoundHeads.read(tmp_path / "heads.json").heads) == KNOWING


def test_without_class_vectors_nothing_is_found(tmp_path):
    with pytest.raises(ValueError, match="no task has class vectors for all its classes"):
        find_heads([task_of(store_of(tmp_path, "bare", 0, texts=False))], 2, 5, 1)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        json.dumps({"format": "savs heads", "version": 9}),
        json.dumps({"format": "savs heads", "version": 1}),
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_what_is_no_file_of_heads_is_refused(tmp_path, content):
    (tmp_path / "heads.json").write_text(content)
    with pytest.raises(ValueError, match=r"--heads .*heads\.json is no file of savs-analyze heads"):
        FoundHeads.read(tmp_path / "heads.json")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"heads": []}, "no pairs of layer and place"),
        ({"heads": [[1, 2], [1, 2]]}, "each once"),
        ({"heads": [[1.5, 2]]}, "no pairs"),
        ({"heads": ["12"]}, "no pairs"),
        ({"heads": [[True, False]]}, "no pairs"),
        ({"heads": [[-1, 0]]}, "no pairs"),
        ({"heads": [[1, -1]]}, "no pairs"),
        ({"heads": [[10**30, 0]]}, "no pairs"),
        ({"heads": [[float("inf"), 0]]}, "no pairs"),
        ({"found_on": []}, "does not say where"),
    ],
)
def test_a_file_of_heads_that_was_made_up_is_refused(tmp_path, found, changed, words):
    """Heads below 0 were counted from the end, half ones cut off, one named twice voted twice."""
    (tmp_path / "heads.json").write_text(json.dumps(json.loads(found.written()) | changed))
    with pytest.raises(ValueError, match=rf"--heads .*heads\.json is no file of savs-analyze heads: .*{words}"):
        FoundHeads.read(tmp_path / "heads.json")


def test_heads_of_another_model_with_as_many_are_refused(tmp_path, found):
    """A fine-tuned model has the heads of its base by their places, and they do other things."""
    other = store_of(tmp_path, "other", 2)["toy"]
    replace(found, made_by="").check(other)  # a file that does not say it
    found.check(other)
    with pytest.raises(ValueError, match="is another model with as many: their heads do not compare"):
        replace(found, made_by="f" * 12).check(other)


@pytest.mark.parametrize("head", [(0, 4), (3, 0)])
def test_heads_that_the_model_lacks_are_named(tmp_path, found, head):
    other = store_of(tmp_path, "other", 2)
    with pytest.raises(ValueError, match=rf"the heads hold \({head[0]}, {head[1]}\), .*which toy does not have"):
        replace(found, heads=(head,)).check(other["toy"])


@pytest.mark.parametrize(("methods", "given"), [(["hec-t-fixed"], False), (["savs"], True)])
def test_the_method_and_the_file_go_together(tmp_path, found, methods, given):
    other = store_of(tmp_path, "other", 2)
    with pytest.raises(ValueError, match="hec-t-fixed takes the heads of other tasks, and it alone does"):
        sweep([other.path], tmp_path / "out", methods=methods, found=found if given else None, shots=5)


def test_methods_by_class_vectors_are_left_out_where_there_are_none(tmp_path):
    bare, named = store_of(tmp_path, "bare", 0, texts=False), store_of(tmp_path, "named", 1)
    rows = pd.read_csv(sweep([bare.path, named.path], tmp_path / "out", methods=["hec-t", "savs"], shots=5, draws=1))
    assert set(rows.loc[rows["method"] == "hec-t", "benchmark"]) == {"named"}
    [note] = json.loads((tmp_path / "out/run.json").read_text())["notes"]
    assert note == "bare, toy: hec-t left out, as classes have no class vectors: all."
    with pytest.raises(ValueError, match="nothing to run: no task has a class vector for each of its classes: harvest"):
        sweep([bare.path], tmp_path / "none", methods=["hec-t"], shots=5)


def test_other_class_vectors_are_another_cell(tmp_path):
    """A sweep after other texts took over the results of the old ones."""
    store = store_of(tmp_path, "named", 1)
    asked = {"methods": ["hec-t", "savs"], "shots": 5, "draws": 1, "heads": (3,)}
    before = pd.read_csv(sweep([store.path], tmp_path / "out", **asked))
    shutil.rmtree(tmp_path / "named.zarr/toy/class_heads")
    texts = {"all": dict.fromkeys("abc", "other words")}
    write_class_vectors(store["toy"], texts, np.random.default_rng(9).normal(size=(3, LAYERS * HEADS, DIM)))
    after = pd.read_csv(sweep([store.path], tmp_path / "out", **asked))
    pair = [
        rows[(rows["split"] == "test") & (rows["metric"] == "accuracy")].set_index("method")["value"]
        for rows in (before, after)
    ]
    assert pair[0]["savs"] == pair[1]["savs"]
    assert pair[1]["hec-t"] < pair[0]["hec-t"] - 0.2
