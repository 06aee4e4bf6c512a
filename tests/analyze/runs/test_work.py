"""Sweeps by several processes, parts and a cluster: the same rows as alone, nothing lost when something dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.sweeps import sweep
from savs_analyze.cli.parse import parse_part
from savs_analyze.methods.settings import make_setting
from savs_analyze.runs.cells import Cell, deal, of_one_draw
from savs_analyze.runs.results import Results
from savs_analyze.runs.work import share_out

SWEEP = {"shots": 5, "draws": 4, "heads": (1, 3), "methods": ["savs", "savs-soft", "lasso"]}

TESTS = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stores(toys):
    return [toys(2).path, toys(4).path]


@pytest.fixture(scope="module")
def alone(stores, tmp_path_factory):
    return rows(sweep(stores[:1], tmp_path_factory.mktemp("alone"), **SWEEP))


def rows(path):
    return pd.read_csv(path).drop(columns="seconds")


def cell(**facts):
    return Cell("b", "m", "", "", "", "accuracy", **facts)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("xy"),
            st.sampled_from(["savs", "ridge", "zero-shot"]),
            st.sampled_from([5, 20]),
            st.integers(0, 3),
        ),
        unique=True,
    ),
    st.integers(1, 6),
)
def test_dealing_loses_and_doubles_nothing_and_keeps_draws_together(facts, hands):
    cells = [
        cell(task=task, method=method, settings=(make_setting(method),), shots=shots, draw=draw)
        for task, method, shots, draw in facts
    ]
    parts = deal(cells, hands)
    dealt = [one for part in parts for one in part]
    assert sorted(one.key for one in dealt) == sorted(one.key for one in cells)
    draws = [{id_of(one) for one in part} for part in parts]
    assert all(not a & b for i, a in enumerate(draws) for b in draws[:i])
    counts = [len(of_one_draw(part)) for part in parts]
    assert not counts or max(counts) - min(counts) <= 1


def id_of(one):
    return one.method != "zero-shot", one.task, one.shots, one.draw


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "1", "1/0", "a/b", "1/4/2", "-1/4"])
def test_what_is_no_part_is_refused(text):
    with pytest.raises(ValueError, match="is no part: write 1/4 for the first of four"):
        parse_part(text)


@pytest.mark.parametrize("jobs", [2, 3])
def test_processes_give_the_same_rows(stores, alone, tmp_path, jobs):
    seen = []
    found = rows(
        sweep(stores[:1], tmp_path, **SWEEP, jobs=jobs, on_cells=lambda done, total: seen.append((done, total)))
    )
    pd.testing.assert_frame_equal(found, alone)
    assert seen[0] == (0, 12)
    assert seen[-1] == (12, 12)


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 1, 2)])
def test_parts_in_any_order_make_the_whole(stores, alone, tmp_path, order, capsys):
    for number in order[:2]:
        assert sweep(stores[:1], tmp_path, **SWEEP, part=(number, 3)) == tmp_path / "cells"
        assert "cells are left to the other parts" in capsys.readouterr().err
        with pytest.raises(FileNotFoundError, match="holds no finished sweep"):
            Results(tmp_path).run()
    path = sweep(stores[:1], tmp_path, **SWEEP, part=(order[2], 3))
    pd.testing.assert_frame_equal(rows(path), alone)


def test_more_parts_than_draws_leave_some_without_work(stores, alone, tmp_path):
    for number in range(1, 10):
        sweep(stores[:1], tmp_path, **SWEEP, part=(number, 9))
    pd.testing.assert_frame_equal(rows(tmp_path / "rows.csv"), alone)


def test_a_cluster_gives_the_same_rows(stores, alone, tmp_path):
    distributed = pytest.importorskip("distributed")
    # Workers that close complain about it in their own threads.
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        path = sweep(stores[:1], tmp_path, **SWEEP, jobs=None, backend="dask", scheduler=cluster.scheduler_address)
    pd.testing.assert_frame_equal(rows(path), alone)


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"backend": "dask"}, "the backend dask needs --scheduler ADDRESS"),
        ({"scheduler": "tcp://localhost:1"}, "the backend dask needs --scheduler ADDRESS, and only it does"),
        ({"backend": "ray"}, "there is no backend 'ray'; choose one of loky, dask"),
    ],
)
def test_backends_that_cannot_work_are_refused(stores, tmp_path, choice, words):
    with pytest.raises(ValueError, match=words):
        sweep(stores[:1], tmp_path, **SWEEP, **choice)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_all_workers_have_something_to_do_and_read_little_twice(stores, workers):
    from savs_stores import open_store

    found = [open_store(path) for path in stores]
    settings = (make_setting("savs"),)
    cells = [cell(method="savs", settings=settings, shots=5, draw=draw) for draw in range(6)]
    parts = share_out([(store["planted"], cells) for store in found], workers, Results(stores[0].parent).folder)
    assert workers <= len(parts) <= workers + 1 or len(parts) == 2
    assert sum(len(part[2]) for part in parts) == 12


def test_a_killed_sweep_goes_on_and_gives_the_same_rows(stores, alone, tmp_path):
    code = (
        f"import sys, time; sys.path.append({str(TESTS)!r}); from kit.sweeps import sweep\n"
        "from savs_analyze.runs.results import Results\n"
        "save = Results.save\n"
        "def slowly(self, key, result):\n"
        "    save(self, key, result); print('saved', flush=True); time.sleep(0.5)\n"
        "Results.save = slowly\n"
        f"sweep([{str(stores[0])!r}], __import__('pathlib').Path({str(tmp_path)!r}), **{SWEEP!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    for _ in range(2):
        assert process.stdout.readline() == b"saved\n"
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = {path.stem: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")}
    assert 2 <= len(done) < 12
    pd.testing.assert_frame_equal(rows(sweep(stores[:1], tmp_path, **SWEEP)), alone)
    assert done == {key: (tmp_path / "cells" / f"{key}.json").stat().st_mtime_ns for key in done}
