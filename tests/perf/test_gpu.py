"""The measurement of a harvest on a GPU, run whole on the CPU with tiny models: what it says must hold there too."""

import json
from dataclasses import replace

import gpu
import numpy as np
import pytest
import torch
from cells import group_operations
from devices import Gpu, Processor, busy
from inputs import INPUTS, SEEN_CLASSES, make_benchmark
from records import TABLES, Records
from rounding import changed, cosines
from shapes import SHAPES, build_model

from savs_benchmarks import check
from savs_harvest.models.heads import find_projections
from savs_harvest.run.forecast import Cost, picture_size


@pytest.mark.parametrize(
    ("intervals", "length"),
    [([], 0), ([(0, 1), (2, 4)], 3), ([(2, 4), (0, 3)], 4), ([(0, 9), (1, 2), (3, 4)], 9), ([(1, 2), (1, 2)], 1)],
)
def test_busy_time_counts_what_overlaps_once(intervals, length):
    assert busy(intervals) == length


@pytest.mark.parametrize(("shape", "weights"), zip(SHAPES["7b"], (8.03e9, 8.29e9), strict=True))
def test_the_shapes_are_those_of_the_papers(shape, weights):
    model = build_model(shape, "meta", torch.bfloat16)
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(weights, rel=0.01)
    assert [(p.layer, p.heads, p.head_dim) for p in find_projections(model)] == [(i, 28, 128) for i in range(28)]


PLAN = gpu.Plan(
    scale="tiny",
    device="cpu",
    dtype=torch.float32,
    tokens=300,
    budgets=(64,),
    official=(2, 4),
    singles=16,
    observed=2,
    product=(64, 64, 64),
    inputs=tuple(kind.smaller(8) for kind in INPUTS if kind.name in ("EuroSAT", "NaturalBench")),
)
PAIRS = [(shape.name, kind.name) for shape in SHAPES["tiny"] for kind in PLAN.inputs]


def measure(plan, folder):
    records = Records(folder / "log.jsonl", folder / "gpu.md")
    return gpu.measure(plan, records, folder / "work"), records


@pytest.mark.parametrize("kind", INPUTS, ids=lambda kind: kind.name)
def test_inputs_are_of_the_size_that_is_asked(kind, tmp_path):
    samples = check(make_benchmark(kind, 12, tmp_path))
    assert len(samples) == 12
    sizes = [picture_size(picture) for sample in samples for picture in sample.images]
    assert all(kind.width[0] <= width <= kind.width[1] for width, _ in sizes)
    assert all(kind.height[0] <= height <= kind.height[1] for _, height in sizes)
    assert {len(sample.images) for sample in samples} == set(range(kind.pictures[0], kind.pictures[1] + 1))
    assert len({sample.images for sample in samples}) == 12 // kind.questions
    assert all(kind.words[0] <= len(sample.question.split()) <= kind.words[1] for sample in samples)
    assert len({sample.label for sample in samples}) == min(SEEN_CLASSES, kind.classes)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Records of everything, on the CPU."""
    with torch.compiler.set_stance("force_eager"):  # compiling is for those who wait
        failures, records = measure(PLAN, tmp_path_factory.mktemp("gpu"))
    assert failures == 0, records.text()
    return records


def merged(records, pair, table):
    chosen = [r for r in records.all if (r["model"], r["input"], r["table"]) == (*pair, table)]
    return {name: value for record in chosen for name, value in record.items()}


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_speeds_are_measured_of_every_model_and_input(measured, pair):
    speeds = merged(measured, pair, "harvest")
    assert min(speeds[name] for name in ("official", "steady", "speed", "workers_0", "limit")) > 0
    assert speeds["tokens"] > 10
    device = merged(measured, pair, "device")
    assert min(device[name] for name in ("alone", "share", "prepared", "samples")) > 0
    assert 0 < device["idle"] < 1
    assert device["idle_harvest"] < 1
    assert min(device[name] for name in ("memory_official", "memory", "memory_double")) >= 0


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_one_setting_is_changed_at_a_time(measured, pair):
    found = {r["setting"]: r for r in measured.all if r["table"] == "ablation" and (r["model"], r["input"]) == pair}
    expected = {"default", "64 tokens a batch", "packed"}
    expected |= {"pictures not shared"} if pair[1] == "NaturalBench" else set()
    expected |= {"compiled"} if pair[1] == PLAN.inputs[0].name else set()
    assert found.keys() == expected
    assert all(record["speed"] > 0 and record["halved"] == 0 for record in found.values())


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_samples_run_together_are_what_they_are_alone(measured, pair):
    found = [r for r in measured.all if r["table"] == "rounding" and (r["model"], r["input"]) == pair]
    assert [record["layout"] for record in found] == ["default", "packed"]
    assert min(record["least"] for record in found) > 0.99999
    assert max(record["heads"] + record["flips"] for record in found) == 0
    assert min(record["predictions"] for record in found) > 0


def test_every_record_is_in_the_tables_and_in_the_log(measured):
    lines = [json.loads(line) for line in measured.log.read_text().splitlines()]
    assert lines == measured.all
    text = measured.document.read_text()
    sections = dict(zip([title for title, _ in TABLES.values()], text.split("\n## ")[1:], strict=True))
    for title, times in zip(sections, (1, 1, 3, 2), strict=True):
        rows = [line for line in sections[title].splitlines() if line.startswith("| tiny")]
        for name, given in PAIRS:
            assert sum(row.startswith(f"| {name} | {given} |") for row in rows) >= times
        assert not any("| -" in row for row in rows)
        assert all(row.count("|") == sections[title].splitlines()[2].count("|") for row in rows)
    assert "times faster (goal 8)" in text


def test_a_failed_step_is_noted_and_the_next_one_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu.Cell, "official", lambda *_: 1 / 0)
    monkeypatch.setitem(SHAPES, "tiny", SHAPES["tiny"][:1])
    plan = replace(PLAN, inputs=PLAN.inputs[:1], budgets=())
    with torch.compiler.set_stance("force_eager"):
        failures, records = measure(plan, tmp_path)
    assert failures == 1
    assert "- tiny-llava_onevision, EuroSAT, papers' way: ZeroDivisionError: division by zero" in records.text()
    assert merged(records, PAIRS[0], "harvest")["steady"] > 0
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_nothing_is_begun_when_the_time_is_up(tmp_path):
    failures, records = measure(replace(PLAN, seconds=-1.0), tmp_path)
    assert failures == 0
    assert [record["text"] for record in records.all] == [f"{s.name}: no time was left" for s in SHAPES["tiny"]]


def test_a_model_that_does_not_fit_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Processor, "free_bytes", lambda _: 10**9)
    _, records = measure(replace(PLAN, scale="7b"), tmp_path)
    assert [record["text"].split(":")[0] for record in records.all] == [shape.name for shape in SHAPES["7b"]]
    assert "are needed, 1 GB are free: take smaller shapes with SCALE=small" in records.text()


def test_the_command_writes_what_there_is_and_tells_where(tmp_path, capsys):
    paths = tmp_path / "gpu.md", tmp_path / "log.jsonl"
    command = ["--scale", "tiny", "--device", "cpu", "--seconds", "-1"]
    with pytest.raises(SystemExit) as ended:
        gpu.main([*command, "--out", str(paths[0]), "--log", str(paths[1])])
    assert ended.value.code == 0
    assert "no time was left" in paths[0].read_text()
    assert len(paths[1].read_text().splitlines()) == len(SHAPES["tiny"])
    assert str(paths[0]) in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_the_command_says_so():
    with pytest.raises(SystemExit, match="torch sees no GPU"):
        gpu.main([])


def test_the_cpu_stands_in_for_all_that_a_gpu_is_asked():
    public = lambda kind: {name for name in vars(kind) if not name.startswith("_")}  # noqa: E731
    assert public(Processor) == public(Gpu)
    assert (Gpu.kind, Processor.kind) == ("cuda", "cpu")


def test_changed_heads_and_predictions_are_counted():
    labels = np.arange(16) % 2
    first = np.random.default_rng(0).normal(size=(16, 3, 4))
    first[:, 0] += 9 * labels[:, None]
    second = first[:, [1, 0, 2]]
    assert changed(first, first, labels, kept=1) == (0, 0, 8)
    assert changed(first, second, labels, kept=1) == (1, 0, 8)  # the same head stands elsewhere
    assert changed(first, np.where(np.arange(16)[:, None, None] < 8, first, -first), labels, kept=1)[1] > 0


def test_the_cosine_of_zeros_is_one_to_zeros_only():
    first, second = np.zeros((1, 3, 2)), np.zeros((1, 3, 2))
    first[0, 1:] = second[0, 2] = [3, 4]
    assert cosines(first, second).tolist() == [[1, 0, 1]]


def test_what_a_group_shares_is_computed_once():
    cost = Cost(token=1, picture_token=10, pair=100, prompt=1000)
    assert group_operations(cost, [(7, 4)]) == cost.of(7, 4)
    both = group_operations(cost, [(7, 4), (6, 4)])
    assert both == 9 + 40 + 100 * (7**2 + 6**2 - 4**2) + 2000
