"""What methods cost: every one that can learn, alone, with the heads and bytes that it reads."""

import numpy as np

from savs_analyze.across.costs import COLUMNS, costs
from savs_analyze.draws.task import Task
from savs_analyze.methods.settings import make_setting
from savs_stores import BenchmarkInfo, write_store


def test_heads_and_bytes_are_those_that_an_answer_reads(tmp_path):
    generator = np.random.default_rng(0)
    labels = ["ab"[place % 2] for place in range(60)]
    store = write_store(
        tmp_path / "toy.zarr",
        benchmark=BenchmarkInfo("toy", {"all": ["a", "b"]}),
        samples={"label": labels, "split": ["either"] * 60},
        model="toy",
        heads=generator.normal(size=(60, 9, 4)).astype(np.float16),
    )
    names = ("zero-shot", "savs", "lda", "hec-t")
    settings = [make_setting(name, **({"k": 3} if name in ("savs", "hec-t") else {})) for name in names]
    found = costs(Task(store["toy"], "all"), settings, shots=5)
    assert found.columns.tolist() == COLUMNS
    assert found["setting"].tolist() == ["SAVs, 3 heads", "lda"]  # zero-shot learns nothing, hec-t has no class vectors
    assert found["heads_read"].tolist() == [3, 9]
    assert found["bytes_read"].tolist() == [3 * 4 * 2, 9 * 4 * 2]
    assert (found[["learn_seconds", "answer_milliseconds"]] >= 0).all().all()
