"""What systems answer, in the same tables as what is learnt from heads."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from kit.sweeps import sweep
from savs_analyze.findings.answers import answers_of
from savs_analyze.findings.findings import Findings
from savs_analyze.report.page import write_report
from savs_analyze.runs.results import Results
from savs_stores import BenchmarkInfo, SampleTable, Status, add_model, answer_table, answered_shard, create_store

CLASSES, SAMPLES = ["ant", "bee", "cat"], 90


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Return a store of answers alone, the labels of its test samples, and what was said of them."""
    path = tmp_path_factory.mktemp("answers") / "s.zarr"
    random = np.random.default_rng(0)
    label = random.integers(3, size=SAMPLES)
    said = np.where(random.random(SAMPLES) < 0.6, label, random.integers(-1, 3, size=SAMPLES))
    info = BenchmarkInfo("animals", tasks={"all": CLASSES})
    split = ["pool" if row % 3 == 0 else "test" for row in range(SAMPLES)]
    table = SampleTable.from_columns(info.tasks, {"label": [CLASSES[one] for one in label], "split": split})
    create_store(path, info, table)
    writer = add_model(path, "asked", {"system": "generated", "reading": "a rule"}, answer_table(3))
    for shard in range(writer.plan.shards):
        rows = list(writer.plan.rows(shard))
        status = np.full(len(rows), Status.OK, dtype=np.uint8)
        writer.write(shard, answered_shard(said[rows].tolist(), 3, status, np.full(len(rows), 5, dtype=np.int32)))
    tests = np.array(split) == "test"
    return path, label[tests], said[tests]


@pytest.fixture(scope="module")
def results(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    sweep([store[0]], out, methods=["zero-shot", "said", "savs", "kernel-ridge"])
    return Results(out)


def test_only_what_learns_nothing_is_run(results):
    rows = pd.read_csv(results.folder / "rows.csv")
    assert set(rows["method"]) == {"said"}
    assert set(rows["shots"]) == {0}


def test_answers_are_scored_as_scikit_learn_scores_them(store, results):
    _, label, said = store
    assert (said == -1).any()
    rows = pd.read_csv(results.folder / "rows.csv").query("split == 'test'").set_index("metric")["value"]
    cell = next(iter(results.loaded()))
    tested = ~cell.arrays["validation"]
    np.testing.assert_array_equal(cell.arrays["predicted"][0], said)
    label, said = label[tested], said[tested]
    assert rows["accuracy"] == pytest.approx(accuracy_score(label, said))
    recalls = [(said[label == one] == one).mean() for one in range(3)]
    assert rows["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert rows["macro_f1"] == pytest.approx(f1_score(label, said, labels=[0, 1, 2], average="macro"))
    assert balanced_accuracy_score(label[said >= 0], said[said >= 0]) > rows["balanced_accuracy"]


def test_unread_answers_are_counted_and_shown(store, results):
    unread = (store[2] == -1).sum()
    [note] = [note for note in results.run()["notes"] if "name no class" in note]
    assert "answers name no class, and count as wrong" in note
    page = write_report(results.folder, results.folder / "report.html").read_text()
    assert "name no class" in page
    answers = Findings.of_folder(results.folder).answers()
    assert (answers["answer"] == "").sum() == unread
    assert not answers["correct"][answers["answer"] == ""].any()
    [over_draws] = answers_of(results.loaded())
    rows = over_draws.rows(None)
    assert (rows["answer"] == "").any()
    np.testing.assert_array_equal(rows["correct"], rows["answer"] == rows["label"])
