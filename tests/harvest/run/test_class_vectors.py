"""Class vectors of a harvest: the model's own forward on a text without a picture, once a class."""

from dataclasses import replace

import numpy as np
import pytest

from kit.alone import ROUNDING, alone
from savs_benchmarks import Sample, load_jsonl
from savs_harvest.asking.class_texts import class_texts
from savs_harvest.asking.few_shot import InContext
from savs_harvest.run.harvest import harvest
from savs_harvest.run.listener import Listener
from savs_harvest.run.ranks import Rank
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import MismatchError, class_vectors, open_store


@pytest.fixture
def benchmark(write_benchmark, lines):
    """Ten samples that are all asked the same."""
    return load_jsonl(write_benchmark([line | {"question": "odd or even ?"} for line in lines]))


def kept(place, name):
    return class_vectors(open_store(place, allow_partial=True).peek(name, check_files=False))


def test_they_are_what_the_model_gives_for_the_text_alone(model, benchmark, tmp_path):
    harvest(model, benchmark, tmp_path / "s.zarr")
    found = kept(tmp_path / "s.zarr", model.name)
    [task] = benchmark.tasks
    vectors = found.read(task).astype(np.float32)
    for place, name in enumerate(("even", "odd")):
        text = f"You are given an image of a {name}\nodd or even ?"
        assert found.texts[task][name] == text
        expected, _, _ = alone(model, Sample("text", (), text, name, "either"))
        np.testing.assert_allclose(vectors[place], np.concatenate(expected).reshape(vectors[place].shape), **ROUNDING)
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-2


def test_a_harvest_with_them_has_the_same_shards_as_one_without(model, benchmark, tmp_path):
    harvest(model, benchmark, tmp_path / "with.zarr")
    harvest(model, benchmark, tmp_path / "without.zarr", Settings(class_prompt=""))
    one, other = (open_store(tmp_path / f"{name}.zarr")[model.name] for name in ("with", "without"))
    assert kept(tmp_path / "without.zarr", model.name) is None
    assert one.fingerprint == other.fingerprint
    assert one.records.tolist() == other.records.tolist()


def test_a_store_from_before_gets_them_by_the_same_command(model, benchmark, tmp_path):
    harvest(model, benchmark, tmp_path / "s.zarr", Settings(class_prompt=""))
    told = []
    harvest(model, benchmark, tmp_path / "s.zarr", listener=Listener(samples=told.append))
    assert kept(tmp_path / "s.zarr", model.name) is not None
    assert sum(told) == 0


def test_of_several_processes_the_first_makes_them(model, benchmark, tmp_path):
    keeping = Keeping(shard_samples=4)
    harvest(model, benchmark, tmp_path / "s.zarr", keeping=keeping, rank=Rank(1, 2))
    assert kept(tmp_path / "s.zarr", model.name) is None
    harvest(model, benchmark, tmp_path / "s.zarr", keeping=keeping, rank=Rank(0, 2))
    assert kept(tmp_path / "s.zarr", model.name) is not None


def test_other_words_are_refused_and_the_same_are_not_run_again(model, benchmark, tmp_path, monkeypatch):
    harvest(model, benchmark, tmp_path / "s.zarr", Settings(class_prompt="it is a {class} number ."))
    monkeypatch.setattr("savs_harvest.run.class_vectors.Encoder", None)  # nothing runs
    harvest(model, benchmark, tmp_path / "s.zarr", Settings())
    harvest(model, benchmark, tmp_path / "s.zarr", Settings(class_prompt="it is a {class} number ."))
    with pytest.raises(MismatchError, match=r"all, even: 'it is a even number \.' in the store, 'is it even \?' now"):
        harvest(model, benchmark, tmp_path / "s.zarr", Settings(class_prompt="is it {class} ?"))


def test_prompts_with_shots_have_none(loaded, benchmark, tmp_path):
    qwen2vl = loaded["qwen2vl"]
    harvest(qwen2vl, benchmark, tmp_path / "s.zarr", Settings(in_context=InContext(1)))
    assert kept(tmp_path / "s.zarr", "qwen2vl-icl1") is None


def test_a_text_that_does_not_run_is_told_and_leaves_its_task_without(loaded, benchmark, tmp_path):
    qwen2vl, words = loaded["qwen2vl"], []
    long = replace(benchmark, answers={"even": "odd " * 40_000})
    harvest(qwen2vl, long, tmp_path / "s.zarr", Settings(logits=False), listener=Listener(warning=words.append))
    assert any("class 'even' has no class vector: too_long" in word for word in words)
    found = kept(tmp_path / "s.zarr", "qwen2vl")
    [task] = benchmark.tasks
    assert found.read(task) is None
    assert set(class_texts(long, list(long.samples()))[task]) == {"even", "odd"}
