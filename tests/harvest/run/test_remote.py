"""A harvest into a bucket, and what is computed from it: the same bytes and rows as in a folder."""

import pandas as pd
import pytest
from typer.testing import CliRunner

import savs_analyze.cli.commands
import savs_harvest.cli.commands
from kit.objects import content_of, upload
from savs_analyze.runs import work
from savs_analyze.runs.work import compute_part
from savs_stores import open_store
from savs_stores.terminal import counted, run_app

SHARD, SHARDS = 4, 3
kind = pytest.fixture(lambda: "s3", name="kind")


def analyze(*words):
    return CliRunner().invoke(savs_analyze.cli.commands.app, list(map(str, words)))


@pytest.fixture
def file(write_benchmark, lines):
    return write_benchmark(lines)


@pytest.fixture
def run(file, tmp_path, monkeypatch):
    """Return a function that harvests the ten lines into a store by the command line."""
    monkeypatch.chdir(tmp_path)

    def run(store, *options, command="run"):
        words = [command, "--model", "tiny", "--data", file, "--store", store, "--shard-samples", SHARD, *options]
        return CliRunner().invoke(savs_harvest.cli.commands.app, list(map(str, words)))

    return run


@pytest.fixture
def in_a_folder(run, tmp_path):
    """Return a store in a folder, harvested in one go."""
    assert run(tmp_path / "local.zarr").exit_code == 0
    return tmp_path / "local.zarr"


def test_two_ranks_fill_a_bucket_with_the_bytes_of_a_folder(run, home, in_a_folder):
    store = home / "s.zarr"
    plan = run(store, command="plan")
    assert f"in {store}" in plan.stdout
    assert "all 3 shards" in plan.stdout
    for rank, owned in ((1, 1), (0, 2)):
        result = run(store, "--rank", rank, "--world", 2)
        assert result.exit_code == 0
        assert f"in {counted(owned, 'shard')} to do" in result.stderr
    assert f"next: savs-analyze sweep --store {store}\n" in result.stderr
    assert "nothing, the store is complete" in run(store, command="plan").stdout
    assert content_of(store) == content_of(in_a_folder)


def test_a_stopped_harvest_goes_on_and_another_is_refused(run, home, in_a_folder):
    store = home / "s.zarr"
    for rank in (0, 2):
        assert run(store, "--rank", rank, "--world", SHARDS).exit_code == 0
    verify = analyze("verify", store)
    assert (verify.exit_code, verify.stdout) == (1, "tiny: shard 1 (samples 4-7) is not harvested yet\n")
    sweep = analyze("sweep", "--store", store)
    how = f"finish it with: savs-harvest run --model tiny --store {store} --data parity and the options that it began"
    assert how in str(sweep.exception)
    words = "begun, in the store's own words, with 'savs-harvest run --model tiny --data FOLDER/parity.jsonl'"
    assert words in analyze("info", store).stdout
    before = content_of(store)
    other = run(store, "--no-share")
    assert "already holds vectors of 'tiny' that were made otherwise" in str(other.exception)
    assert content_of(store) == before
    assert "4 samples in 1 shard to do, 2 of 3 shards done" in run(store).stderr
    assert content_of(store) == content_of(in_a_folder)


def test_a_sweep_of_a_bucket_gives_the_rows_of_a_folder(home, in_a_folder, tmp_path, monkeypatch):
    remote, opened = upload(in_a_folder, home / "s.zarr"), []
    # What another process would do with its part: open the store by what it is told.
    monkeypatch.setattr(work, "_in_parallel", lambda parts, *_: [opened.append(p[0]) or compute_part(p) for p in parts])
    rows = []
    for store, out in ((f"{home}/s*.zarr", "results/s"), (in_a_folder, "results/local")):
        assert analyze("sweep", "--store", store, "--shots", 2, "--draws", 2, "--jobs", 2).exit_code == 0
        rows.append(pd.read_csv(tmp_path / out / "rows.csv").drop(columns="seconds"))
    assert set(opened) == {str(remote), str(in_a_folder)}
    pd.testing.assert_frame_equal(*rows, check_exact=True)
    assert (open_store(remote)["tiny"].read() == open_store(in_a_folder)["tiny"].read()).all()
    shown = [analyze("info", store).stdout.replace(str(store), "HERE") for store in (remote, in_a_folder)]
    assert shown[0] == shown[1]
    assert analyze("verify", remote).stderr == f"{remote} is sound\n"
    audit = analyze("audit", "results/s")
    assert (audit.exit_code, audit.stdout.count("sound")) == (0, 4)


def test_a_mistaken_bucket_is_told_before_the_model_is_run(bucket, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["savs-analyze", "info", "s3://no-such-bucket/a.zarr"])
    with pytest.raises(SystemExit) as stop:
        run_app(savs_analyze.cli.commands.app)
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: s3://no-such-bucket/a.zarr cannot be reached: there is no such bucket; make it, or correct the URL\n"
    )
