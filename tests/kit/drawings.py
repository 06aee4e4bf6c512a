"""Every kind of figure in every format, on small data; run as a program, in a process that knows nothing else."""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from savs_analyze.across.projection import Plane, Projection, task_of
from savs_analyze.across.transfer import tasks_of, transfer
from savs_analyze.report.across import draw_projection, draw_transfer
from savs_analyze.report.charts import inline_curves, inline_reliability
from savs_analyze.report.curves import Curve, draw_curves
from savs_analyze.report.head_maps import draw_head_maps
from savs_analyze.report.reliability import Answers, Diagram, draw_reliability
from savs_stores import BenchmarkInfo, write_store

FORMATS = ("svg", "png", "pdf")
LINE = {"benchmark": "a $frac", "model": "m", "task": "all", "metric": "accuracy"}


def summary_of(*points):
    """Return rows of a summary: (method, heads, value)."""
    rows = [
        LINE | {"method": method, "heads": heads, "value": value, "low": value - 0.1, "high": value + 0.1}
        for method, heads, value in points
    ]
    return pd.DataFrame(rows)


def draw_everything(folder):
    """Draw into a folder, from a store that is made there."""
    generator = np.random.default_rng(0)
    store = write_store(
        folder / "two.zarr",
        benchmark=BenchmarkInfo("two", {"left": ["a", "b"], "right": ["a", "b"]}),
        samples={"label": ["a", "b"] * 20, "task": ["left"] * 20 + ["right"] * 20, "split": ["either"] * 40},
        model="m",
        heads=generator.normal(size=(40, 2, 2, 4)),
    )
    rows = transfer(tasks_of([store]), k=2, shots=3, draws=2)
    labels = generator.integers(2, size=30)
    planes = [Plane((0, 1), 1, 4, 0.9, generator.random((30, 2)), generator.random((2, 2))) for _ in range(2)]
    found = Projection(task_of(store, task="left"), planes, labels, 60, 3)
    summary = summary_of(("zero-shot", 0, 0.4), ("savs", 1, 0.5), ("savs", 5, 0.6), ("ridge", 5, 0.7))
    maps = {"m\none": generator.random((3, 4)), "m\ntwo": np.where(np.eye(3) > 0, np.nan, 0.5)}
    answers = [Answers("SAVs", 0, (50.0, 90.0), (60.0, 95.0), (40.0, 90.0), (75.0, 99.0))]
    diagram = Diagram("a $frac", "m", "a $frac", answers, [("SAVs", 5)])
    for ending in FORMATS:
        draw_transfer(rows, folder / f"transfer.{ending}")
        draw_projection(found, folder / f"projection.{ending}")
        draw_curves(summary, "heads", folder / f"curves.{ending}")
        draw_head_maps(maps, 4, folder / f"maps.{ending}")
        draw_reliability([diagram], folder / f"reliability.{ending}")
    curve = Curve("SAVs", 0, (1, 5), (50.0, 60.0), (40.0, 50.0), (60.0, 70.0))
    (folder / "chart.svg").write_text(inline_curves([curve], 45.0, ("heads", "%"), "chart"))
    (folder / "diagram.svg").write_text(inline_reliability(diagram))


if __name__ == "__main__":
    draw_everything(Path(sys.argv[1]))
    if "matplotlib.pyplot" in sys.modules:
        sys.exit("pyplot was imported")
