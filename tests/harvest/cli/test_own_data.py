"""A user's own folder through the commands: checked, planned, harvested, with labels or without."""

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.own import QUESTION, digit, write_folder
from savs_analyze.cli.commands import app as analyze
from savs_harvest.cli import commands as cli
from savs_stores import open_store


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Return a function that runs a command in an empty folder, in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *arguments: CliRunner().invoke(cli.app, list(map(str, arguments)))


@pytest.fixture
def photos(tmp_path):
    """A folder of three classes, with a picture that has no label."""
    folder = write_folder(tmp_path / "photos", 3)
    digit("nine").save(folder / "who.png")
    return folder


def test_a_folder_is_harvested_with_and_without_labels(invoke, photos, tmp_path):
    result = invoke("run", "--model", "tiny", "--data", "photos", "--question", QUESTION)
    assert result.exit_code == 0, result.stderr
    assert "check: no label: 1 of 10 samples have no label" in result.stderr
    store = open_store(tmp_path / "stores" / "photos.zarr")
    assert store.benchmark.prompt == QUESTION
    assert store.samples.label.tolist() == [0, 0, 0, 1, 1, 1, -1, 2, 2, 2]
    assert not np.isnan(store["tiny"].read()).any()
    assert store["tiny"].provenance["command"].endswith(f"--data photos --question '{QUESTION}'")


def test_new_pictures_without_any_label_are_harvested(invoke, tmp_path):
    (tmp_path / "new").mkdir()
    for number in range(4):
        digit("two", number).save(tmp_path / "new" / f"{number}.png")
    options = ["--model", "tiny", "--data", "new", "--question", QUESTION]
    assert "4 samples" in invoke("plan", *options).stdout
    result = invoke("run", *options)
    assert result.exit_code == 0, result.stderr
    assert "4 of 4 samples have no label" in result.stderr
    store = open_store(tmp_path / "stores" / "new.zarr")
    assert store.samples.label.tolist() == [-1] * 4
    assert store["tiny"].read().shape[0] == 4
    assert store.samples.to_frame()["label"].tolist() == [None] * 4
    for command in (["sweep", "--store"], ["fit", "--out", "c.safetensors", "--store"]):
        refused = CliRunner().invoke(analyze, [*command, "stores/new.zarr"])
        assert "has a label, so nothing can be learnt" in str(refused.exception)


def test_check_and_show_count_what_has_no_label(invoke, photos):
    found = invoke("data", "check", "photos", "--question", QUESTION)
    assert found.exit_code == 0, found.stderr
    assert "classes    one (3), two (3), zero (3), without a label (1)" in found.stdout
    assert "check      no label: 1 of 10 samples have no label" in found.stdout
    shown = invoke("data", "show", "photos", "--question", QUESTION, "--samples", 10)
    assert "who.png (either), no label" in shown.stdout
    assert "check      no label" in shown.stdout


def test_a_limit_and_columns_reach_the_store(invoke, photos, tmp_path):
    (tmp_path / "t.csv").write_text("what,picked\none/0.png,a\ntwo/0.png,b\nzero/0.png,a\n")
    options = ["--image-root", "photos", "--image-column", "what", "--label-column", "picked", "--limit", 2]
    result = invoke("run", "--model", "tiny", "--data", "t.csv", "--question", QUESTION, *options)
    assert result.exit_code == 0, result.stderr
    store = open_store(tmp_path / "stores" / "t-2.zarr")
    assert (len(store.samples), list(store.benchmark.tasks["all"])) == (2, ["a", "b"])


def test_a_folder_with_the_name_of_a_benchmark_is_the_folder_and_is_told(invoke, tmp_path):
    write_folder(tmp_path / "pets", 1)
    result = invoke("plan", "--model", "tiny", "--data", "pets", "--question", QUESTION)
    assert "pets: either 3" in result.stdout
    assert "pets is a file or folder here" in result.stderr


def test_without_a_question_the_options_name_is_said(invoke, photos):
    result = invoke("plan", "--model", "tiny", "--data", "photos")
    assert result.exit_code == 1
    assert "say it with --question" in str(result.exception)
