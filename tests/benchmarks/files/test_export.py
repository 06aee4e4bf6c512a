"""A benchmark written out is the same benchmark when it is read again."""

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kit.replicas import REPLICAS
from savs_benchmarks import BenchmarkError, check, find_benchmark, load_own
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


def test_words_without_pictures_come_back(tmp_path):
    (tmp_path / "t.jsonl").write_text('{"question": "odd ?", "label": "a"}\n{"question": "even ?", "label": "b"}')
    samples = check(load_own(tmp_path / "t.jsonl"))
    assert export(samples, tmp_path / "x.jsonl") == tmp_path.resolve()
    assert check(load_own(tmp_path / "x.jsonl")) == samples


def test_the_command_tells_where_paths_begin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["data", "export", "digits", "--out", "digits.jsonl"])
    assert done.exit_code == 0, done.output
    assert "947 samples" in done.stderr
    rows = [json.loads(line) for line in (tmp_path / "digits.jsonl").read_text().splitlines()]
    assert len(rows) == 947
    assert {row["split"] for row in rows} == {"pool", "test"}


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Return a function that exports by the command, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["data", "export", *map(str, words)])


def test_nothing_is_replaced_unless_it_is_asked_for(command, tmp_path, monkeypatch):
    """A user's own lines, that began as ours do, and pictures in a folder of that name were replaced."""
    (tmp_path / "mine.jsonl").write_text('{"id": 1}\n')
    (tmp_path / "other-pictures").mkdir()
    (tmp_path / "other-pictures" / "000000.png").write_text("mine")
    with monkeypatch.context() as untouched:
        untouched.setattr("savs_benchmarks.check", lambda _: pytest.fail("pictures are read"))
        for name in ("mine.jsonl", "other.jsonl"):
            found = command("digits", "--out", name)
            assert isinstance(found.exception, ValueError)
            assert "is there already: name another file, or say --force" in str(found.exception)
    assert (tmp_path / "mine.jsonl").read_text() == '{"id": 1}\n'
    assert (tmp_path / "other-pictures" / "000000.png").read_text() == "mine"
    (tmp_path / "other-pictures" / "kept").write_text("mine")
    assert command("digits", "--out", "other.jsonl", "--force").exit_code == 0
    assert (tmp_path / "other-pictures" / "000000.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "other-pictures" / "kept").read_text() == "mine"
    again = command("other.jsonl", "--out", "other.jsonl", "--force")
    assert "is read by this command" in str(again.exception)


def test_a_folder_that_is_not_there_is_made(command, tmp_path):
    assert command("digits", "--out", "new/folder/x.jsonl").exit_code == 0
    assert (tmp_path / "new/folder/x-pictures").is_dir()


def test_what_fails_leaves_nothing(tmp_path):
    """A begun file, and pictures, were left."""
    samples = check(EMBEDDED["digits"])[:3]
    odd = [*samples[:2], replace(samples[2], question="\udcff")]
    with pytest.raises(BenchmarkError, match="cannot be written in UTF-8"):
        export(odd, tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="no such names")
def test_a_name_that_is_no_utf8_is_said(tmp_path):
    """The error named neither the picture nor what to do."""
    picture = Path(os.fsdecode(bytes(tmp_path) + b"/\xff.png"))
    sample = replace(check(EMBEDDED["digits"])[0], images=(picture,))
    with pytest.raises(BenchmarkError, match=r"\\udcff\.png' cannot be written in UTF-8, as JSON lines are: rename it"):
        export([sample], tmp_path / "x.jsonl")
