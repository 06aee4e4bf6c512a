"""Class vectors of a harvest: the model's own forward on a text without a picture, once a class."""

import errno
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from kit.alone import ROUNDING, alone
from kit.families import save
from savs_benchmarks import Sample, load_jsonl
from savs_harvest.asking.class_texts import class_texts
from savs_harvest.asking.few_shot import InContext
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.harvest import harvest
from savs_harvest.run.listener import Listener
from savs_harvest.run.ranks import Rank
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import MismatchError, class_vectors, open_store
from savs_stores.place.folder import Folder


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


def harvest_told(model, benchmark, place, settings=Settings()):  # noqa: B008  it is frozen
    """Harvest; return what was warned of, when every sample has its vectors."""
    words = []
    report = harvest(model, benchmark, place, settings, listener=Listener(warning=words.append))
    assert open_store(place)[model.name].usable.all()
    assert report.failed == 0
    return words


def test_a_model_that_takes_no_words_alone_is_told_once_and_has_none(benchmark, tmp_path):
    """Every class was told, as if of shards made elsewhere, and vectors that are none were kept."""
    folder = save("paligemma", tmp_path / "checkpoint")
    model = load_model(ModelSpec("paligemma", str(folder), "float32"), "cpu")
    [word] = harvest_told(model, benchmark, tmp_path / "s.zarr")
    assert word.startswith("class 'even' has no class vector: rejected: ")
    assert word.endswith("(2 times, also class 'odd' has no class vector)")
    assert kept(tmp_path / "s.zarr", "paligemma") is None
    assert "class vector" not in repr(open_store(tmp_path / "s.zarr"))


def test_code_that_was_never_asked_without_a_picture_costs_no_sample(load, benchmark, tmp_path, monkeypatch):
    model = load("qwen2vl")
    real = type(model.processor).__call__

    def call(processor, images=None, **options):
        if images is None:
            raise TypeError("it is always given pictures")
        return real(processor, images=images, **options)

    monkeypatch.setattr(type(model.processor), "__call__", call)
    assert harvest_told(model, benchmark, tmp_path / "s.zarr") == ["no class vectors: it is always given pictures"]
    assert kept(tmp_path / "s.zarr", "qwen2vl") is None


def test_damaged_ones_are_told_and_cost_no_sample(loaded, benchmark, tmp_path):
    qwen2vl, place = loaded["qwen2vl"], tmp_path / "s.zarr"
    harvest(qwen2vl, benchmark, place, keeping=Keeping(shard_samples=4), rank=Rank(0, 2))
    (place / "qwen2vl/class_heads/zarr.json").write_text("{}")
    [word] = harvest_told(qwen2vl, benchmark, place)
    assert word.startswith("no class vectors: ")
    assert "class_heads cannot be read, it is damaged" in word


def test_texts_too_long_for_a_store_are_told_before_any_runs(loaded, benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr("savs_stores.class_heads.MOST_TEXT_BYTES", 99)
    monkeypatch.setattr("savs_harvest.run.class_vectors.Encoder", None)  # nothing runs
    [word] = harvest_told(loaded["qwen2vl"], benchmark, tmp_path / "s.zarr")
    assert "no class vectors: the texts of 2 classes are" in word
    assert "--class-prompt" in word


def test_a_finished_store_that_cannot_be_written_stays_as_it_is(loaded, benchmark, tmp_path, monkeypatch):
    """A store from before, on a disk that is read only: the same command had said that nothing is left to do."""
    harvest(loaded["qwen2vl"], benchmark, tmp_path / "s.zarr", Settings(class_prompt=""))

    @contextmanager
    def building(place, group=""):
        raise OSError(errno.EROFS, "Read-only file system", str(place))
        yield

    monkeypatch.setattr(Folder, "building", building)
    [word] = harvest_told(loaded["qwen2vl"], benchmark, tmp_path / "s.zarr")
    assert word.startswith("no class vectors: [Errno 30] Read-only file system")


@pytest.mark.parametrize("answers", [{"even": "", "odd": ""}, {"even": "", "odd": " "}])
def test_a_prompt_that_makes_nothing_is_told(loaded, benchmark, tmp_path, answers):
    silent = replace(benchmark, answers=answers)
    settings = Settings(logits=False, class_prompt="a {class}")
    words = harvest_told(loaded["qwen2vl"], silent, tmp_path / "s.zarr", settings)
    assert words == ["--class-prompt makes nothing: no task has a class with words"]


def test_many_classes_run_in_blocks_and_the_model_is_made_ready_once(loaded, benchmark, tmp_path, monkeypatch):
    """With --compile, which takes a minute, every block of classes had compiled anew."""
    opened = []

    @contextmanager
    def ready(model, settings):
        opened.append(settings.logits)
        yield

    harvest(loaded["qwen2vl"], benchmark, tmp_path / "one.zarr")
    monkeypatch.setattr("savs_harvest.run.class_vectors.BLOCK", 1)
    monkeypatch.setattr("savs_harvest.run.encoding.prepared_for", ready)
    harvest(loaded["qwen2vl"], benchmark, tmp_path / "blocks.zarr")
    assert opened == [False]
    one, blocks = (kept(tmp_path / f"{name}.zarr", "qwen2vl").read_all() for name in ("one", "blocks"))
    np.testing.assert_allclose(one.astype(np.float32), blocks.astype(np.float32), **ROUNDING)
