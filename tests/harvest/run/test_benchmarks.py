"""Every registered benchmark, from its files through the embedded model to a result."""

import numpy as np
import pandas as pd
import pytest

from kit.replicas import REPLICAS
from kit.sweeps import sweep
from savs_analyze.measure.metrics import METRICS
from savs_benchmarks import BENCHMARKS, check, find_benchmark
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.specs import find_model
from savs_harvest.run.harvest import harvest
from savs_metrics import OF_SCORES
from savs_stores import open_store
from savs_stores.format.schema import SPLITS
from savs_stores.verification import verify


@pytest.fixture(scope="module")
def tiny():
    return load_model(find_model("tiny"), "cpu")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_a_benchmark_goes_from_its_files_to_a_result(name, tiny, data_root, tmp_path):
    benchmark = find_benchmark(name, data_root)
    samples = check(benchmark)
    report = harvest(tiny, benchmark, tmp_path / "s.zarr")
    assert report.failures == []
    store = open_store(tmp_path / "s.zarr")
    assert list(verify(store)) == []
    assert (store.benchmark.name, store.benchmark.metric) == (name, benchmark.metric)
    assert store.benchmark.split == benchmark.split
    table = store.samples
    for row, sample in enumerate(samples):
        classes = benchmark.tasks[sample.task]
        assert table.sample_id[row] == sample.sample_id
        assert classes[table.label[row]] == sample.label
        assert SPLITS[table.split[row]] == sample.split
        assert [classes[code] for code in table.options[row] if code >= 0] == list(sample.options)
        assert (table.image_hash[row] != 0).sum() == len(sample.images)
        assert table.slot[row] == (-1 if sample.slot is None else sample.slot)
    assert np.isfinite(store["tiny"].read()).all()
    rows = pd.read_csv(sweep([tmp_path / "s.zarr"], tmp_path / "out", shots=2, draws=2, heads=(5,)))
    savs = rows[(rows.method == "savs") & (rows.split == "test")]
    assert set(savs.task) == set(benchmark.tasks)
    reported = savs[~savs.metric.isin(OF_SCORES)]
    assert set(reported.metric) == set(METRICS[benchmark.metric].reports)
    assert len(reported) == 2 * len(benchmark.tasks) * len(METRICS[benchmark.metric].reports)
    assert {"log_loss", "brier_score", "calibration_error"} <= set(savs.metric) <= {*reported.metric, *OF_SCORES}
    assert reported.value.between(0, 1).all()
    assert (savs.n > 0).all()


@pytest.mark.parametrize("name", [name for name in REPLICAS if BENCHMARKS[name].paper.samples])
def test_the_papers_split_goes_there_as_well(name, tiny, data_root, tmp_path):
    benchmark = find_benchmark(name, data_root, splitting="paper")
    harvest(tiny, benchmark, tmp_path / "s.zarr")
    assert open_store(tmp_path / "s.zarr").benchmark.split.startswith("the papers' split; what could not be")
    rows = pd.read_csv(sweep([tmp_path / "s.zarr"], tmp_path / "out", shots=2, draws=1, heads=(5,), keep_leaks=True))
    assert set(rows.benchmark) == {f"{name}-paper"}


def test_a_prediction_among_printed_options_is_one_of_them(tiny, data_root, tmp_path):
    harvest(tiny, find_benchmark("pets", data_root), tmp_path / "s.zarr")
    sweep([tmp_path / "s.zarr"], tmp_path / "out", shots=2, draws=1, heads=(5,), restricted=True)
    from savs_analyze.runs.results import Results

    [cell] = [cell for cell in Results(tmp_path / "out").loaded() if cell.facts.method == "savs"]
    options = open_store(tmp_path / "s.zarr").samples.options[cell.arrays["sample"]]
    assert (options == cell.arrays["predicted"][0][:, None]).any(axis=1).all()
