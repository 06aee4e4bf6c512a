"""What a folder of 2,000 cells costs to read: table, compare and report, each a process of its own.

make perf        prints the table and writes docs/findings-performance.md
"""

import datetime
import os
import platform
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from test_harvest import processor_name

from savs_analyze.methods.settings import make_setting
from savs_analyze.runs.facts import CellFacts
from savs_analyze.runs.results import CellResult, Results

TASKS, DRAWS, SAMPLES, CLASSES = 10, 20, 400, 4
METHODS = {
    **dict.fromkeys(
        ("savs", "savs-soft", "savs-l2", "savs-rbf", "class-favoured", "class-similarity", "gaussian"), (5, 20)
    ),
    **dict.fromkeys(("ridge", "knn", "linear-probe"), (None,)),
}
REPEATS = 3
DOCUMENT = Path(__file__).parents[2] / "docs" / "findings-performance.md"
TEXT = """# Performance of reading results

Measured by `make perf`, each command in a process of its own, the best of {repeats}, file cache warm.
{date}, {machine}.

A folder of {cells:,} cells ({tasks} tasks x {methods} methods x {draws} draws), {samples} test samples and one or two
settings each, with scores of {classes} classes: {size:.0f} MB in {files:,} files.

| | seconds |
|---|---|
{rows}
| bare reading of the bytes of all files | {floor:.2f} |
| start of `savs-analyze table --help` | {start:.2f} |

Every command reads all cells and compares their checksums. `report` measures
{settings:,} settings under accuracy, balanced accuracy and macro-F1, and the best
under metrics of scores too; `table` under accuracy; `--all-metrics` and `--format csv` under all nine.
"""


def write_cells(folder):
    """Write made-up cells: samples are easy or hard, for all methods alike; return how many."""
    results, generator, keys = Results(folder), np.random.default_rng(0), []
    table = [[place // 28 for place in range(784)], [place % 28 for place in range(784)]]
    for (task, (name, ks)), draw in product(product(range(TASKS), METHODS.items()), range(DRAWS)):
        settings = [make_setting(name, **({"k": k} if k else {})) for k in ks]
        label = np.arange(SAMPLES) % CLASSES
        wrong = generator.random((len(settings), SAMPLES)) < 0.3
        arrays = {"predicted": (label + wrong) % CLASSES, "sample": np.arange(SAMPLES), "label": label}
        arrays |= {"group": np.full(SAMPLES, -1), "slot": np.full(SAMPLES, -1), "validation": np.zeros(SAMPLES, bool)}
        scores = generator.normal(size=(len(settings), SAMPLES, CLASSES))
        np.put_along_axis(scores, arrays["predicted"][:, :, None], 3, axis=2)
        arrays["scores"] = (scores - scores.max(axis=2, keepdims=True)).astype(np.float16)
        facts = CellFacts(
            **{"benchmark": "made", "model": "m", "fingerprint": "f", "index_hash": "i", "records": "r"},
            **{"metric": "accuracy", "task": f"t{task}", "method": name, "shots": 20, "draw": draw, "chooses": False},
            settings=[setting.to_json() for setting in settings],
            columns=[setting.column() for setting in settings],
            validation={"share": 0.25, "first": False},
            classes=CLASSES,
            class_names=list("abcd"),
            kept=[[[0, place] for place in range(5)] for _ in settings],
            head_table=table,
            support=list(range(80)),
        )
        keys.append(f"{task}-{name}-{draw}")
        results.save(keys[-1], with_rows(CellResult(facts, [], arrays)))
    results.finish({"command": "made", "cells": keys, "versions": {"savs": "0"}, "sources": [], "notes": []})
    return len(keys)


def with_rows(cell):
    facts = cell.facts
    named = {
        "benchmark": "made",
        "model": "m",
        "task": facts.task,
        "method": facts.method,
        "shots": 20,
        "draw": facts.draw,
    }
    named |= {"same_as": "", "split": "test", "n": SAMPLES, "leaked": 0, "failed": 0, "incomplete": 0}
    named |= {"tied_at_cut": 0, "partial": False, "keep_leaks": False}
    for place, setting in enumerate(facts.columns):
        for metric, value in cell.units(place).values().items():
            cell.rows.append(named | {"setting": setting, "metric": metric, "value": value})
    return cell


def seconds(*words):
    """Return the least time of a command."""
    code = "import sys; from savs_analyze.cli import entry; sys.argv[0] = 'savs-analyze'; entry()"
    times = []
    for _ in range(REPEATS):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", code, *map(str, words)], check=True, capture_output=True)
        times.append(time.perf_counter() - begun)
    return min(times)


@pytest.mark.perf
def test_a_large_folder_of_results(tmp_path):
    cells = write_cells(tmp_path / "results")
    files = [path for path in (tmp_path / "results").rglob("*") if path.is_file()]
    begun = time.perf_counter()
    size = sum(len(path.read_bytes()) for path in files)
    floor = time.perf_counter() - begun
    commands = {"table": ["table"], "compare": ["compare"], "report": ["report"]}
    rows = [
        f"| `savs-analyze {name}` | {seconds(*words, tmp_path / 'results'):.1f} |" for name, words in commands.items()
    ]
    text = TEXT.format(
        **{
            "repeats": REPEATS,
            "cells": cells,
            "tasks": TASKS,
            "methods": len(METHODS),
            "draws": DRAWS,
            "samples": SAMPLES,
            "classes": CLASSES,
        },
        **{
            "date": datetime.date.today(),
            "size": size / 1e6,
            "files": len(files),
            "rows": "\n".join(rows),
            "floor": floor,
        },
        machine=f"{os.cpu_count()} cores ({processor_name()}), Python {platform.python_version()}",
        start=seconds("table", "--help"),
        settings=TASKS * DRAWS * sum(map(len, METHODS.values())),
    )
    DOCUMENT.write_text(text)
    print("\n" + text)
