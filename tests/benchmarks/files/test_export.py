"""A benchmark written out is the same benchmark when it is read again."""

import json
from dataclasses import fields

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.replicas import REPLICAS
from savs_benchmarks import check, find_benchmark, load_own
from savs_benchmarks.files.export import export
from savs_benchmarks.files.reading import Reading
from savs_benchmarks.pictures.pictures import read_picture
from savs_benchmarks.registry import EMBEDDED
from savs_harvest.cli.commands import app

SAID = ("sample_id", "question", "label", "split", "task", "group", "slot", "options")


def same(one, other):
    """Tell whether samples say the same and show the same pictures."""
    assert set(SAID) | {"images"} == {field.name for field in fields(one)}
    assert [getattr(one, name) for name in SAID] == [getattr(other, name) for name in SAID]
    assert len(one.images) == len(other.images)
    return all(
        np.array_equal(read_picture(mine).pixels, read_picture(theirs).pixels)
        for mine, theirs in zip(one.images, other.images, strict=True)
    )


@pytest.mark.parametrize("name", REPLICAS)
def test_every_published_benchmark_comes_back(name, data_root, tmp_path):
    samples = check(find_benchmark(name, data_root))
    root = export(samples, tmp_path / "x.jsonl")
    again = check(load_own(tmp_path / "x.jsonl", Reading(image_root=root, keep_near_duplicates=True)))
    assert len(again) == len(samples)
    assert all(same(one, other) for one, other in zip(samples[::7], again[::7], strict=True))
    assert [one.label for one in again] == [one.label for one in samples]


@pytest.mark.parametrize("name", EMBEDDED)
def test_pictures_in_memory_are_written_once_beside(name, tmp_path):
    samples = check(EMBEDDED[name])[::25]
    samples = [one for one in samples if one.group is None] or check(EMBEDDED[name])[:8]
    assert export(samples, tmp_path / "x.jsonl") == tmp_path.resolve()
    again = check(load_own(tmp_path / "x.jsonl", Reading(keep_near_duplicates=True)))
    assert all(same(one, other) for one, other in zip(samples, again, strict=True))
    written = list((tmp_path / "x-pictures").iterdir())
    assert len(written) == len({id(picture) for one in samples for picture in one.images})


def test_the_command_tells_where_paths_begin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["data", "export", "digits", "--out", "digits.jsonl"])
    assert done.exit_code == 0, done.output
    assert "947 samples" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "digits.jsonl").read_text().splitlines()]
    assert len(rows) == 947
    assert {row["split"] for row in rows} == {"pool", "test"}
    # Written again, it replaces itself, and nothing else.
    assert CliRunner().invoke(app, ["data", "export", "digits", "--out", "digits.jsonl"]).exit_code == 0
    (tmp_path / "mine.jsonl").write_text("mine\n")
    refused = CliRunner().invoke(app, ["data", "export", "digits", "--out", "mine.jsonl"])
    assert isinstance(refused.exception, ValueError)
    assert (tmp_path / "mine.jsonl").read_text() == "mine\n"
