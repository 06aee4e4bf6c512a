"""Systems side by side: which groups are one, their names, and numbers against plain NumPy on common samples."""

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from savs_analyze.cli.commands import app
from savs_analyze.findings.groups import Cost, Group, cost_of, is_asked, systems_of
from savs_analyze.findings.systems import compare_systems, summarize_systems
from savs_analyze.methods.settings import make_setting
from savs_analyze.papers.studies import STUDIES
from savs_analyze.papers.systems import beside_systems
from savs_analyze.report.systems import draw_costs, systems_table
from savs_analyze.runs.request import Data, Execution
from savs_analyze.runs.results import Results
from savs_analyze.runs.sweep import sweep
from savs_stores import (
    BenchmarkInfo,
    HeadTable,
    SampleTable,
    Status,
    add_model,
    answer_table,
    answered_shard,
    open_store,
    write_store,
)

CLASSES, SAMPLES = ["ant", "bee", "cat"], 240
WEIGHTS = {"weights": "w", "dtype": "float32"}
MADE = {"environment": {"device": "a machine"}, "run": {"seconds": 12.0, "peak_memory": {"host": 2_000_000_000}}}
NONE: dict = {"index_hash": "", "samples": [], "pictures": []}  # they are not what is tested here
OWN = {  # name: the identity beside the weights, and how often the answer is right
    "m": ({}, 0.5),
    "m-icl4": ({"in_context": {"shots": 4, "seed": 0}}, 0.6),
    "other-name": ({"in_context": {"shots": 4, "seed": 7}}, 0.7),
    "m-icl2": ({"in_context": {"shots": 2, "seed": 0}}, 0.55),
    "m-lora-b": ({"adapter": "b", "tuned_on": {"benchmark": "animals", "shots": 20, "draw": 1} | NONE}, 0.9),
    "m-lora-a": ({"adapter": "a", "tuned_on": {"benchmark": "animals", "shots": 20, "draw": 0} | NONE}, 0.85),
    "m-vqa": ({"system": "vqascore", "score": "P(Yes)"}, 0.4),
}
FAILED = 5  # of the samples that are tested, the first of those that the endpoint did not answer


def logits_of(random, label, right):
    """Return logits of answers that are as often right."""
    said = np.where(random.random(len(label)) < right, label, (label + 1) % 3)
    return (np.eye(3)[said] - 1).astype(np.float32)


def make(path, name="animals", seed=0):
    """Write a store of every kind of system, and return what each group says of every sample."""
    random = np.random.default_rng(seed)
    label = np.arange(SAMPLES) % 3
    info = BenchmarkInfo(name, tasks={"all": CLASSES})
    split = np.where(np.arange(SAMPLES) < 90, "pool", "test")
    table = SampleTable.from_columns(info.tasks, {"label": [CLASSES[one] for one in label], "split": split.tolist()})
    said = {}
    for group, (more, right) in OWN.items():
        heads = random.normal(size=(SAMPLES, 6, 5)) + 0.6 * np.eye(3, 5)[label][:, None] * (np.arange(6) > 2)[:, None]
        logits = logits_of(random, label, right)
        said[group] = logits.argmax(axis=1)
        more = {**more, "tuned_on": {**more["tuned_on"], "benchmark": name}} if "tuned_on" in more else more
        write_store(path, benchmark=info, samples=table, model=group, heads=heads, logits=logits,
                    identity=WEIGHTS | more)  # fmt: skip
    said["asked"] = np.where(random.random(SAMPLES) < 0.8, label, -1)
    writer = add_model(path, "asked", {"system": "endpoint", "reading": "a rule"}, answer_table(3))
    failed = np.flatnonzero(split == "test")[:FAILED]
    for shard in range(writer.plan.shards):
        rows = np.array(writer.plan.rows(shard))
        status = np.where(np.isin(rows, failed), Status.REJECTED, Status.OK).astype(np.uint8)
        content = answered_shard(said["asked"][rows].tolist(), 3, status, np.full(len(rows), 5, dtype=np.int32))
        writer.write(shard, content, MADE)
    tested = np.flatnonzero(split == "test")[FAILED:]
    return said, label, tested


def run(paths, out, draws=3, models=()):
    study = STUDIES["systems"]
    data = Data([str(path) for path in paths], models=models, shots=(20,), draws=draws, wanted=is_asked)
    sweep(study.ask(), data, Execution(out))
    groups = [Group.of(store[name]) for store in map(open_store, paths) for name in store]
    return list(Results(out).loaded()), groups


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("systems")
    said = make(folder / "a.zarr")
    cells, groups = run([folder / "a.zarr"], folder / "results")
    compared = compare_systems(cells, groups)
    return folder, said, summarize_systems(cells, groups, compared), compared


def test_systems_go_by_identity_and_not_by_name(made):
    _, _, rows, _ = made
    assert set(rows["system"]) == {
        *("m, zero-shot", "m, SAVs 6 heads", "m, kernel-ridge", "m, 4 in context", "m, 2 in context", "m, LoRA"),
        *("m, VQAScore", "asked, written answers"),
    }
    found = rows.set_index("system")
    assert found.loc["m, 4 in context", ["of", "repeats", "draws", "in_context"]].tolist() == [2, "seeds", 2, 4]
    assert found.loc["m, LoRA", ["of", "repeats", "draws", "tuned"]].tolist() == [2, "draws", 2, "animals"]
    assert found.loc["m, SAVs 6 heads", ["of", "draws", "shots", "model"]].tolist() == [1, 3, 20, "m"]


def test_values_are_those_of_plain_numpy_on_the_samples_that_all_have(made):
    _, (said, label, tested), rows, _ = made
    right = {name: (of[tested] == label[tested]).mean() for name, of in said.items()}
    found = rows.set_index("system")["value"]
    assert found["m, zero-shot"] == pytest.approx(right["m"])
    assert found["asked, written answers"] == pytest.approx(right["asked"])
    assert found["m, VQAScore"] == pytest.approx(right["m-vqa"])
    assert found["m, 4 in context"] == pytest.approx((right["m-icl4"] + right["other-name"]) / 2)
    assert found["m, LoRA"] == pytest.approx((right["m-lora-a"] + right["m-lora-b"]) / 2)
    assert (rows["n"] == len(tested)).all()
    assert len(tested) < SAMPLES - 90  # the failed ones count for nobody


def test_differences_are_means_of_differences_of_samples(made):
    _, (said, label, tested), _, compared = made
    right = {name: (of[tested] == label[tested]).astype(float) for name, of in said.items()}
    of = {frozenset({row["system"], row["other"]}): row for row in compared.to_dict("records")}
    expected = {
        "m, VQAScore": right["m"] - right["m-vqa"],
        "m, LoRA": (right["m-lora-a"] + right["m-lora-b"]) / 2 - right["m"],
        "m, 4 in context": (right["m-icl4"] + right["other-name"]) / 2 - right["m"],
        "asked, written answers": right["asked"] - right["m"],
    }
    for system, differences in expected.items():
        row = of[frozenset({system, "m, zero-shot"})]
        assert row["difference"] == pytest.approx(abs(differences.mean()))
        assert row["n"] == len(tested)
        assert row["draws"] == 2  # draws of LoRA are two, so of three draws two count
    best = {row["system"] for row in of.values()} - {row["other"] for row in of.values()}
    assert len(best) == 1
    assert all({*best, "m, zero-shot"} & pair for pair in of)
    assert of[frozenset({"m, VQAScore", "m, zero-shot"})]["holm"] >= of[frozenset({"m, VQAScore", "m, zero-shot"})]["p"]


def test_the_order_of_stores_and_cells_changes_nothing(made, tmp_path):
    folder = made[0]
    make(tmp_path / "b.zarr", "beasts", seed=1)
    paths = [folder / "a.zarr", tmp_path / "b.zarr"]
    found = []
    for order, out in ((paths, "one"), (paths[::-1], "other")):
        cells, groups = run(order, tmp_path / out)
        compared = compare_systems(cells, groups)
        found.append((summarize_systems(cells, groups, compared), compared))
    for one, other in zip(*found, strict=True):
        pd.testing.assert_frame_equal(one, other)
    alone = made[2]
    pd.testing.assert_frame_equal(found[0][0][found[0][0]["benchmark"] == "animals"], alone)


def test_one_system_is_a_table_of_one_row_and_no_tests(made, tmp_path):
    folder = made[0]
    cells, groups = run([folder / "a.zarr"], tmp_path / "one", models=["m-vqa"])
    compared = compare_systems(cells, groups)
    rows = summarize_systems(cells, groups, compared)
    assert rows["system"].tolist() == ["m, VQAScore"]
    assert rows[["best", "close"]].to_numpy().tolist() == [[True, False]]
    assert compared.empty


def test_a_reference_that_there_is_not_is_refused_with_those_that_are(made):
    folder = made[0]
    words = ["study", "systems", "--store", str(folder / "a.zarr"), "--draws", "3", "--out", str(folder / "cli")]
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "80"})
    assert shown.exit_code == 0, shown.output
    assert "m, 4 in context (2 seeds)" in shown.stdout
    assert (folder / "cli" / "systems.csv").exists()
    with pytest.raises(ValueError, match="no system 'x' to compare with; there are: asked, written answers; m, 2 in"):
        CliRunner().invoke(app, [*words, "--reference", "x"], catch_exceptions=False)
    other = CliRunner().invoke(app, [*words, "--reference", "m, VQAScore"], catch_exceptions=False)
    assert other.exit_code == 0
    compared = pd.read_csv(folder / "cli" / "systems.csv")
    best = (set(compared["system"]) - set(compared["other"])).pop()
    assert all(
        "m, VQAScore" in pair or best in pair for pair in zip(compared["system"], compared["other"], strict=True)
    )


def test_equal_repeats_and_equal_names_are_told_apart():
    twice = {"in_context": {"shots": 4, "seed": 0}}
    groups = [Group("b", "m", WEIGHTS), Group("b", "x", WEIGHTS | twice | {"date": "1"}), *(
        Group("b", name, WEIGHTS | twice | {"date": "2"}) for name in ("y", "z"))]  # fmt: skip
    found = {name: system.words for (_, name), system in systems_of(groups).items()}
    assert found == {"m": "m", **{name: f"m, 4 in context ({name})" for name in "xyz"}}
    assert {system.of for system in systems_of(groups).values()} == {1}


@pytest.mark.parametrize(
    ("identity", "kind", "setting", "asked"),
    [
        ({}, "self", make_setting("savs", k=20), True),
        ({}, "self", make_setting("savs", k=1), False),
        ({}, "self", make_setting("tip-adapter"), False),
        ({}, "embedding", make_setting("savs", k=1), True),
        ({}, "embedding", make_setting("savs", k=20), False),
        ({}, "embedding", make_setting("tip-adapter"), True),
        ({"in_context": {"shots": 4, "seed": 0}}, "self", make_setting("savs", k=20), False),
        ({"in_context": {"shots": 4, "seed": 0}}, "self", make_setting("zero-shot"), True),
        ({"tuned_on": {"draw": 0}}, "self", make_setting("kernel-ridge"), False),
    ],
)
def test_what_is_run_on_which_vectors(tmp_path, identity, kind, setting, asked):
    info = BenchmarkInfo("b", tasks={"all": CLASSES})
    store = write_store(tmp_path / "s.zarr", benchmark=info, samples={"label": CLASSES}, model="m",
                        heads=np.ones((3, 2, 4)), head_table=HeadTable.from_layers([(0, 2, 4, kind)]),
                        identity={"model": "m"} | identity)  # fmt: skip
    assert is_asked(store["m"], setting) is asked


def test_costs_are_medians_over_shards_and_the_most_memory():
    def shard(seconds, memory, device="a"):
        return {"environment": {"device": device}, "run": {"seconds": seconds, "peak_memory": memory}}

    shards = [(10, shard(1.0, {"host": 5})), (10, shard(9.0, {"host": 7})), (5, shard(1.0, {"host": 6}, "b")), (3, {})]
    assert cost_of(shards) == Cost(0.2, 7, "host", ("a", "b"))
    assert cost_of([(2, shard(1.0, {"device": 3, "host": 9}))]) == Cost(0.5, 3, "device", ("a",))
    assert cost_of([(3, {})]) is None


def test_the_papers_numbers_stand_beside_the_same_systems():
    names = ["model", "benchmark", "task", "metric", "asked", "method", "setting", "in_context", "tuned"]
    pets = ["pets-paper", "all", "accuracy"]
    rows = pd.DataFrame(
        [
            ["llava-ov", *pets, "", "savs", "SAVs, 20 heads", 0, ""],
            ["llava-ov", *pets, "", "savs", "SAVs, 5 heads", 0, ""],
            ["llava-ov", *pets, "", "zero-shot", "zero-shot", 4, ""],
            ["llava-ov", *pets, "", "zero-shot", "zero-shot", 8, ""],
            ["llava-ov", *pets, "", "zero-shot", "zero-shot", 0, "pets-paper"],
            ["llava-ov", *pets, "generated", "said", "said", 0, ""],
            ["llava-ov", *pets, "vqascore", "zero-shot", "zero-shot", 0, ""],
            ["gpt-4o", *pets, "endpoint", "said", "said", 0, ""],
            ["clip", *pets, "", "zero-shot", "zero-shot", 0, ""],
            ["clip", *pets, "", "kernel-ridge", "kernel-ridge", 0, ""],
        ],
        columns=names,
    )
    none = np.nan
    expected = [0.97, none, 0.639, none, 0.968, 0.881, none, 0.983, 0.881, none]
    np.testing.assert_array_equal(beside_systems(rows)["published"], expected)


def test_the_table_and_the_figure_have_every_system(made, tmp_path):
    _, _, rows, _ = made
    rows = beside_systems(rows)
    table = systems_table(rows)
    assert len(table) == len(rows)
    assert sum("*" in cell for cell in table["animals"]) == 1
    assert table.set_index("system").loc["asked, written answers", "GB"] == "2.00"
    assert draw_costs(rows, tmp_path / "none.svg") is None  # one system tells its seconds
    drawn = draw_costs(rows.assign(seconds=0.5, devices="a machine"), tmp_path / "all.svg").read_text()
    assert all(f">{system}<" in drawn for system in rows["system"])
