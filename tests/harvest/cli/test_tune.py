"""The command that tunes a model: what it refuses, and what it says is next."""

import shlex

import pytest
from typer.testing import CliRunner

from savs_harvest.cli import commands as cli


def called(*words):
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def tuned(store, *words):
    return called("tune", "lora", "--model", "tiny", "--store", store, "--shots", 2, "--epochs", 0, *words)


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "digits.zarr"
    assert called("run", "--model", "tiny", "--data", "digits", "--limit", 60, "--store", path).exit_code == 0
    return path


def test_what_is_next_is_asked_of_the_same_samples(store, tmp_path):
    found = tuned(store, "--data", "digits", "--limit", 60, "--out", tmp_path / "lora")
    assert found.exit_code == 0
    words = shlex.split(found.stderr.split("savs-harvest run ")[1].splitlines()[0])
    assert words[-8:-4] == ["--data", "digits", "--limit", "60"]
    assert called("run", *words).exit_code == 0


def test_a_store_of_other_samples_is_refused_before_its_rows_are_looked_at(store, tmp_path):
    found = tuned(store, "--data", "digits", "--limit", 20, "--out", tmp_path / "lora")
    assert "holds other samples than --data gives" in str(found.exception)


def test_without_labels_there_is_nothing_to_learn(write_benchmark, lines, tmp_path):
    file, path = write_benchmark([{**line, "label": None} for line in lines]), tmp_path / "store.zarr"
    assert called("run", "--model", "tiny", "--data", file, "--store", path).exit_code == 0
    found = tuned(path, "--data", file, "--out", tmp_path / "lora")
    assert str(found.exception) == f"{path}: no sample has a label, so there is nothing to learn"
