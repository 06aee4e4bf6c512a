"""A forecast counts what a model does, and measures what it says it measures."""

import struct
import zlib
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from savs_benchmarks import load_jsonl
from savs_benchmarks.pictures.pictures import picture_size
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.forecast import check_space, duration, forecast, measured_time, model_cost, prompt_lengths
from savs_harvest.run.harvest import harvest
from savs_harvest.run.ranks import Rank
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import open_store
from savs_stores.place.folder import Folder


def test_the_closed_form_counts_what_the_language_model_does(load, family):
    """A prompt of words only, against the operations that torch counts; eager attention does both triangles."""
    model = load(family)
    model.model.set_attn_implementation("eager")
    inputs = prepare(model.processor, [], "which digit is this ? " * 20)
    tokens = inputs["input_ids"].shape[1]
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model.model(**{name: inputs[name] for name in ("input_ids", "attention_mask")}, logits_to_keep=1)
    cost = model_cost(model.model, model.projections)
    assert cost.of(tokens, 0) + cost.pair * tokens**2 == pytest.approx(counter.get_total_flops(), rel=0.03)


def test_prompt_lengths_are_those_of_a_harvest(model, checkpoints, family, write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(lines))
    harvest(model, benchmark, tmp_path / "s.zarr")
    samples = list(benchmark.samples())
    lengths = prompt_lengths(ModelSpec(family, str(checkpoints[family])), model.model, samples)
    assert [total for total, _ in lengths] == open_store(tmp_path / "s.zarr")[model.name].n_tokens.tolist()
    assert all(0 < shown < total for total, shown in lengths)


def test_sizes_come_from_headers(write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(lines))
    assert [picture_size(image) for image in next(iter(benchmark.samples())).images] == [(32, 32)]
    (tmp_path / "text.png").write_text("no picture")
    assert picture_size(tmp_path / "text.png") == (0, 0)
    assert picture_size(tmp_path / "nothing.png") == (0, 0)


def test_a_measurement_runs_batches_of_the_whole_harvest(model, write_benchmark, lines):
    benchmark = load_jsonl(write_benchmark(lines))
    calls = []
    handle = model.model.register_forward_pre_hook(
        lambda _module, _args, inputs: calls.append(inputs["input_ids"].shape), with_kwargs=True
    )
    words = measured_time(model, benchmark, Settings(token_budget=60))
    handle.remove()
    batches = int(words.split(" of ")[1].split()[0])
    assert len(calls) == min(10, batches) + 1  # the first one twice
    assert "samples/s" in words
    assert f"of {batches} batches took" in words


def test_a_header_that_pillow_stumbles_over_has_no_size(tmp_path):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(b"x" * 2**21))
    (tmp_path / "text.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + text + chunk(b"IEND", b""))
    assert picture_size(tmp_path / "text.png") == (0, 0)


def test_a_measurement_of_nothing_says_so(model, write_benchmark, lines, tmp_path):
    benchmark = load_jsonl(write_benchmark(lines))
    for picture in (tmp_path / "mine").glob("*.png"):
        picture.write_bytes(b"")
    assert measured_time(model, benchmark, Settings()).startswith("no sample could be run")


def test_a_measurement_has_the_shards_of_the_harvest(model, write_benchmark, lines):
    benchmark = load_jsonl(write_benchmark(lines))
    assert " of 10 batches" in measured_time(model, benchmark, Settings(), shard_samples=1)


def test_a_plan_knows_the_shards_of_the_store(model, checkpoints, family, write_benchmark, lines, tmp_path):
    benchmark, store = load_jsonl(write_benchmark(lines)), tmp_path / "s.zarr"
    spec = ModelSpec(family, str(checkpoints[family]))
    assert dict(forecast(spec, benchmark, store, family).lines)["to do"] == "all 1 shards"
    harvest(model, benchmark, store, keeping=Keeping(shard_samples=4), rank=Rank(1, 2))
    told = dict(forecast(spec, benchmark, store, model.name).lines)
    assert told["shards"].startswith("3 of 4 samples")
    assert told["to do"] == "2 of 3 shards (0, 2)"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.5, "0.5 seconds"), (90, "1.5 minutes"), (3600, "1.0 hours"), (1e6, "277.8 hours")]
)
def test_a_duration_is_in_words(seconds, words):
    assert duration(seconds) == words


def test_a_store_of_other_samples_is_no_part_of_a_plan(model, checkpoints, family, write_benchmark, lines, tmp_path):
    """Data that grew, or another wording, were told as complete, and the disk was asked for no room."""
    benchmark, place = load_jsonl(write_benchmark(lines[:6])), tmp_path / "s.zarr"
    harvest(model, benchmark, place, keeping=Keeping(shard_samples=4))
    spec = ModelSpec(family, str(checkpoints[family]))
    plan = lambda of: dict(forecast(spec, of, place, model.name, shard_samples=4).lines)["to do"]  # noqa: E731
    assert plan(benchmark) == "nothing, the store is complete"
    grown = load_jsonl(write_benchmark(lines))
    assert plan(grown) == "all 3 shards: the store holds other samples"
    assert plan(replace(benchmark, wording="td")) == "all 2 shards: the store holds other samples"


def test_room_is_asked_for_data_that_grew(model, checkpoints, family, write_benchmark, lines, tmp_path, monkeypatch):
    benchmark, place = load_jsonl(write_benchmark(lines[:6])), tmp_path / "s.zarr"
    harvest(model, benchmark, place)
    spec = ModelSpec(family, str(checkpoints[family]))
    monkeypatch.setattr(Folder, "free", lambda place: 1)
    check_space(spec, benchmark, place, model.name)
    with pytest.raises(OSError, match="no space for"):
        check_space(spec, load_jsonl(write_benchmark(lines)), place, model.name)
