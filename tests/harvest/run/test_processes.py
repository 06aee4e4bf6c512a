"""Killed, raced, or out of disk: the same command finishes the store to the same bytes, in any number of processes."""

import shutil
import signal
import subprocess
import sys

import pytest

from kit.objects import content_of
from savs_benchmarks import load_jsonl
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.specs import find_model
from savs_harvest.run.harvest import harvest
from savs_harvest.run.ranks import Rank
from savs_harvest.run.writing import Keeping
from savs_stores import open_store, verify
from savs_stores.place import disk

SHARD, SHARDS, WRITES = 2, 5, 8

# Harvests the lines with the embedded model; stands still at a chosen batch until it is killed, or waits for a start.
CHILD = """
import sys, time, torch
from pathlib import Path
from savs_benchmarks import load_jsonl
from savs_harvest.run import harvest as run
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.specs import find_model
from savs_harvest.models.loading import quiet_libraries

torch.set_num_threads(1)  # as in this process: sums of another number of threads have other last bits
quiet_libraries()
file, place, rank, world, still = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])
model, benchmark, calls = load_model(find_model("tiny"), "cpu"), load_jsonl(Path(file)), iter(range(1, 10**6))
real = run.Runner.run

def stand_still(*arguments):
    if next(calls) == still:
        print("here", flush=True)
        time.sleep(600)
    return real(*arguments)

run.Runner.run = stand_still
if not still:
    print("ready", flush=True)
    sys.stdin.readline()
run.harvest(model, benchmark, place, keeping=run.Keeping(shard_samples=2), rank=run.Rank(rank, world))
"""


@pytest.fixture(scope="module")
def tiny():
    return load_model(find_model("tiny"), "cpu")


@pytest.fixture
def file(write_benchmark, lines):
    return write_benchmark(lines)


@pytest.fixture
def resume(tiny, file):
    return lambda place, rank=0, world=1: harvest(
        tiny, load_jsonl(file), place, keeping=Keeping(shard_samples=SHARD), rank=Rank(rank, world)
    )


@pytest.fixture
def undisturbed(resume, tmp_path):
    resume(tmp_path / "undisturbed.zarr")
    return content_of(tmp_path / "undisturbed.zarr")


def child(file, place, rank, world, still):
    words = [sys.executable, "-c", CHILD, *map(str, (file, place, rank, world, still))]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_after_a_kill_any_number_of_processes_finishes(file, resume, undisturbed, tmp_path):
    killed = tmp_path / "killed.zarr"
    with child(file, killed, 0, 2, 0) as whole, child(file, killed, 1, 2, 2) as stopped:
        whole.stdin.write("\n")
        whole.stdin.flush()
        assert stopped.stdout.readline() == "here\n"
        whole.wait(timeout=100)
        stopped.kill()
    assert (whole.returncode, stopped.returncode) == (0, -signal.SIGKILL)
    left = open_store(killed).peek("tiny").missing
    assert 3 in left  # it stood in the middle of its second shard
    assert set(left) <= {1, 3}
    with_three = shutil.copytree(killed, tmp_path / "three.zarr")
    resume(killed)
    for rank in (2, 0, 1):
        resume(with_three, rank, 3)
    for place in (killed, with_three):
        assert content_of(place) == undisturbed
        assert list(verify(open_store(place))) == []


@pytest.mark.slow
@pytest.mark.parametrize("worlds", [(1, 1), (2, 2)], ids=["the whole store twice", "a half each"])
def test_two_at_once_make_one_store(file, undisturbed, tmp_path, worlds):
    place = tmp_path / "raced.zarr"
    runners = [child(file, place, rank % world, world, 0) for rank, world in enumerate(worlds)]
    assert [runner.stdout.readline() for runner in runners] == ["ready\n"] * 2
    for runner in runners:
        runner.stdin.write("\n")
        runner.stdin.flush()
    for runner in runners:
        runner.communicate(timeout=100)
    assert [runner.returncode for runner in runners] == [0, 0]
    assert content_of(place) == undisturbed


# Those of the class vectors come first: two files, the three folders around one of them, and the name of them all.
CLASS_WRITES = 6
ALL_WRITES = range(1, CLASS_WRITES + SHARDS * WRITES + 1)


@pytest.mark.parametrize("number", [n if n % 11 == 1 else pytest.param(n, marks=pytest.mark.slow) for n in ALL_WRITES])
def test_a_full_disk_at_any_write_stops_the_harvest_and_loses_one_shard_at_most(
    resume, undisturbed, tmp_path, monkeypatch, number
):
    place = tmp_path / "full.zarr"
    begin_only = resume(place, rank=SHARDS, world=SHARDS + 1)  # a rank without shards: the group is there, empty
    assert begin_only.statuses == {}
    real, calls = disk.flush, []

    def flush(*arguments, **options):
        calls.append(arguments)
        if len(calls) == number:
            raise OSError(28, "No space left on device")
        real(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(disk, "flush", flush)
        with pytest.raises(OSError, match="No space left"):
            resume(place)
    left = open_store(place).peek("tiny").missing
    assert left == list(range(max(0, number - CLASS_WRITES) // WRITES, SHARDS))
    resume(place)
    assert content_of(place) == undisturbed


def test_more_processes_than_shards_make_the_same_store(resume, undisturbed, tmp_path):
    reports = [resume(tmp_path / "many.zarr", rank, 7) for rank in (6, 3, 0, 1, 5, 4, 2)]
    assert [report.statuses.total() for report in reports] == [0, 2, 2, 2, 0, 2, 2]
    assert content_of(tmp_path / "many.zarr") == undisturbed
