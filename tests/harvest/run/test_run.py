"""A harvest stores what each sample alone would give, whatever fails, stops, or runs beside it."""

import inspect
import io
import json
import re
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch._inductor.exc import InvalidCxxCompiler

from kit.objects import content_of
from savs_benchmarks import Benchmark, Sample, check, load_jsonl, load_picture
from savs_harvest.asking.index import index_samples
from savs_harvest.batches.layout_check import load_model
from savs_harvest.errors import ModelError
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.harvest import harvest
from savs_harvest.run.listener import Listener
from savs_harvest.run.provenance import driver_version, environment, peak_memory, source_commit
from savs_harvest.run.ranks import Rank
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import MismatchError, ModelWriter, Status, StoreError, open_store
from savs_stores.verification import verify

ANSWERS = ["even", "odd"]
ROUNDING = {"rtol": 2**-11, "atol": 1e-5}  # half a step of float16, and fp32 sums in another order


@pytest.fixture
def qwen2vl(loaded):
    return loaded["qwen2vl"]


@pytest.fixture
def benchmark(write_benchmark, lines):
    return load_jsonl(write_benchmark(lines))


def harvest_small(model, benchmark, store, **options):
    settings = {field.name: options.pop(field.name) for field in fields(Settings) if field.name in options}
    keeping = {name: options.pop(name) for name in ("name", "command") if name in options}
    rank = Rank(options.pop("rank", 0), options.pop("world", 1))
    return harvest(
        model, benchmark, store, Settings(**settings), Keeping(shard_samples=4, **keeping), rank, Listener(**options)
    )


def alone(loaded, sample):
    """Return (head vectors, log-probabilities of the answers, tokens) of one sample, by hooks of our own."""
    inputs = prepare(loaded.processor, [load_picture(image) for image in sample.images], sample.question)
    kept = []
    layers = loaded.model.get_decoder().layers
    handles = [layer.self_attn.o_proj.register_forward_hook(lambda _m, i, _o: kept.append(i[0])) for layer in layers]
    with torch.inference_mode():
        logits = loaded.model(**inputs).logits[0, -1]
    for handle in handles:
        handle.remove()
    answers = loaded.processor.tokenizer.convert_tokens_to_ids(ANSWERS)
    vectors = torch.cat([hidden[0, -1].view(4, 8) for hidden in kept])
    return vectors.numpy(), logits.log_softmax(-1)[answers].numpy(), inputs["input_ids"].shape[1]


class CountedSamples:
    """Counts the samples of every model call while it is open."""

    def __init__(self, loaded):
        self.loaded, self.calls = loaded, []

    def __enter__(self):
        keep = lambda _module, _args, inputs: self.calls.append(len(inputs["input_ids"]))  # noqa: E731
        self.handle = self.loaded.model.register_forward_pre_hook(keep, with_kwargs=True)
        return self.calls

    def __exit__(self, *_):
        self.handle.remove()


@pytest.mark.parametrize("token_budget", [50, 100, None])
def test_every_stored_row_is_what_the_sample_gives_alone(model, benchmark, tmp_path, token_budget):
    report = harvest_small(model, benchmark, tmp_path / "s.zarr", token_budget=token_budget)
    assert (report.statuses, report.failures, report.failed) == ({"OK": 10}, [], 0)
    store = open_store(tmp_path / "s.zarr")
    stored = store[model.name]
    assert stored.status.tolist() == [Status.OK] * 10
    assert stored.plan.shards == 3
    vectors = stored.read()
    for row, sample in enumerate(benchmark.samples()):
        expected, log_probabilities, tokens = alone(model, sample)
        np.testing.assert_allclose(vectors[row], expected, **ROUNDING)
        np.testing.assert_allclose(stored.absmax[row], np.abs(expected).max(), rtol=1e-5)
        np.testing.assert_allclose(stored.logits[row], log_probabilities, rtol=0, atol=1e-5)
        assert stored.n_tokens[row] == tokens
    assert len(set(stored.n_tokens.tolist())) > 3
    assert store.samples.sample_id.tolist() == [sample.sample_id for sample in benchmark.samples()]


def test_every_picture_is_hashed_by_its_pixels(benchmark, write_benchmark, lines, tmp_path):
    hashes = index_samples(benchmark, check(benchmark)).table.image_hash
    assert hashes.shape == (10, 2)
    assert len(set(hashes[:, 0].tolist())) == 10
    assert hashes[4].tolist() == [hashes[4, 0], hashes[5, 0]]
    assert not np.delete(hashes[:, 1], 4).any()
    Image.open(tmp_path / "mine" / "5.png").save(tmp_path / "mine" / "5.bmp")
    other_file = load_jsonl(write_benchmark([*lines[:5], {**lines[5], "images": ["5.bmp"]}, *lines[6:]]))
    assert np.array_equal(index_samples(other_file, check(other_file)).table.image_hash, hashes)


def bomb():
    """Return a BMP of one pixel whose header promises 3.6 billion."""
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "BMP")
    content = bytearray(buffer.getvalue())
    struct.pack_into("<ii", content, 18, 60_000, 60_000)
    return content


def spoil(folder):
    """Spoil pictures after the benchmark was loaded; return the status each sample must get."""
    whole = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(whole[: len(whole) // 2])
    (folder / "2.png").unlink()
    (folder / "5.png").write_bytes(b"<html>404</html>")  # also the second picture of sample 4
    (folder / "6.png").write_bytes(bomb())
    Image.new("F", (4, 4)).save(folder / "7.png", "TIFF")
    Image.new("RGB", (1, 400)).save(folder / "9.png")  # Qwen2-VL refuses such a shape
    return {
        1: Status.IMAGE_CORRUPT,
        2: Status.IMAGE_MISSING,
        4: Status.NOT_AN_IMAGE,
        5: Status.NOT_AN_IMAGE,
        6: Status.IMAGE_TOO_LARGE,
        7: Status.IMAGE_UNSUPPORTED,
        9: Status.REJECTED,
    }


def test_a_bad_picture_costs_its_own_row_only(qwen2vl, benchmark, tmp_path):
    harvest_small(qwen2vl, benchmark, tmp_path / "good.zarr")
    failing = spoil(tmp_path / "mine")
    report = harvest_small(qwen2vl, benchmark, tmp_path / "bad.zarr")
    good, bad = (open_store(tmp_path / f"{name}.zarr")["qwen2vl"] for name in ("good", "bad"))
    assert bad.status.tolist() == [failing.get(row, Status.OK) for row in range(10)]
    assert (report.failed, report.statuses["OK"], len(report.failures)) == (7, 3, 7)
    assert "two pictures: not_an_image" in "\n".join(report.failures)
    for row in range(10):
        if row in failing:
            assert np.isnan(bad.read([row])).all()
            assert np.isnan(bad.logits[row]).all()
            assert bad.n_tokens[row] == -1
        else:
            np.testing.assert_allclose(bad.read([row]), good.read([row]), **ROUNDING)
            assert bad.n_tokens[row] == good.n_tokens[row]
    hashes = open_store(tmp_path / "bad.zarr").samples.image_hash[:, 0]
    assert np.flatnonzero(hashes == 0).tolist() == [1, 2, 5, 6, 7]


def test_a_model_that_refuses_everything_stops_the_harvest(qwen2vl, benchmark, tmp_path):
    for digit in range(10):
        Image.new("RGB", (1, 400)).save(tmp_path / "mine" / f"{digit}.png")
    with pytest.raises(ModelError, match="refuses every sample of shard 0"):
        harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr")


def refuse_pictures_from(folder, start):
    for digit in range(start, 10):
        Image.new("RGB", (1, 400)).save(folder / f"{digit}.png")


@pytest.mark.parametrize("process", [{}, {"rank": 1, "world": 3}, {"rank": 0, "world": 2}])
def test_a_shard_of_refused_samples_is_no_refusal_of_all(qwen2vl, benchmark, tmp_path, monkeypatch, process):
    refuse_pictures_from(tmp_path / "mine", 5 if process else 8)
    if not process:  # the first shards are still being written when the last one is judged
        monkeypatch.setattr(ModelWriter, "missing", property(lambda writer: [*range(writer.plan.shards)]))
    report = harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr", **process)
    assert report.statuses["REJECTED"] > 0


class Stumbling:
    """Lets every model call fail that holds a certain word, as some families do over a picture."""

    def __init__(self, loaded, word, error):
        self.model, self.error = loaded.model, error
        self.token = loaded.processor.tokenizer.convert_tokens_to_ids(word)

    def __enter__(self):
        self.handle = self.model.register_forward_pre_hook(self.check, with_kwargs=True)

    def check(self, _module, _args, inputs):
        if (inputs["input_ids"] == self.token).any():
            raise self.error

    def __exit__(self, *_):
        self.handle.remove()


def test_a_processor_without_memory_says_so(qwen2vl, benchmark, tmp_path):
    """Torch has no class of its own for it: it counted as refused by the model."""
    with Stumbling(qwen2vl, "carefully", RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")):
        report = harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr")
    assert (report.statuses["OUT_OF_MEMORY"], report.statuses["OK"]) == (3, 7)
    assert report.halved > 0


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("no such picture")])
def test_a_sample_that_the_model_itself_refuses_costs_its_own_row(qwen2vl, benchmark, tmp_path, error):
    with Stumbling(qwen2vl, "carefully", error):
        report = harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr")
    told = ["carefully" in sample.question for sample in benchmark.samples()]
    stored = open_store(tmp_path / "s.zarr")["qwen2vl"]
    assert stored.status.tolist() == [Status.REJECTED if word else Status.OK for word in told]
    assert report.failures[0].endswith(f"rejected: {error}")
    assert report.halved == 0


def test_an_error_of_cuda_ends_the_harvest(qwen2vl, benchmark, tmp_path):
    error = RuntimeError("CUDA error: an illegal memory access was encountered")
    with Stumbling(qwen2vl, "carefully", error), pytest.raises(RuntimeError, match="illegal memory"):
        harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr")


def test_a_missing_compiler_is_no_fault_of_the_samples(qwen2vl, benchmark, tmp_path):
    """As one of several processes, the harvest recorded every sample as rejected."""
    with Stumbling(qwen2vl, "odd", InvalidCxxCompiler()), pytest.raises(ModelError, match="leave out --compile"):
        harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr", rank=0, world=2)
    assert open_store(tmp_path / "s.zarr").peek("qwen2vl").missing == [0, 1, 2]


def test_what_float16_cannot_hold_is_recorded_not_stored(load, benchmark, tmp_path):
    model = load("qwen2vl")
    with torch.no_grad():
        model.projections[1].attention.v_proj.weight *= 1e6
    report = harvest_small(model, benchmark, tmp_path / "s.zarr")
    stored = open_store(tmp_path / "s.zarr")["qwen2vl"]
    assert report.statuses == {"NON_FINITE": 10}
    assert np.isnan(stored.read()).all()
    assert (stored.absmax > 65504).all()


def test_a_sample_that_overflows_does_not_stop_the_others(load, benchmark, tmp_path):
    model = load("qwen2vl")
    word = model.processor.tokenizer.convert_tokens_to_ids("carefully")
    with torch.no_grad():
        model.model.get_input_embeddings().weight[word] = float("nan")
    harvest_small(model, benchmark, tmp_path / "s.zarr")
    stored = open_store(tmp_path / "s.zarr")["qwen2vl"]
    told = ["carefully" in sample.question for sample in benchmark.samples()]
    assert stored.status.tolist() == [Status.NON_FINITE if nan else Status.OK for nan in told]
    assert np.isnan(stored.read()).all((1, 2)).tolist() == told


def stop_after(shards):
    """Return a listener to samples that raises while the next shard is under way."""
    done = []

    def samples(count):
        done.append(count)
        if len(done) > shards:
            raise KeyboardInterrupt

    return samples


def test_a_stopped_harvest_goes_on_where_it_was(qwen2vl, benchmark, tmp_path):
    whole, stopped = tmp_path / "whole.zarr", tmp_path / "stopped.zarr"
    with CountedSamples(qwen2vl) as calls:
        harvest_small(qwen2vl, benchmark, whole)
    assert calls == [2, 4, 4, 2]  # the texts of two classes, then the shards
    with pytest.raises(KeyboardInterrupt):
        harvest_small(qwen2vl, benchmark, stopped, samples=stop_after(1))
    assert open_store(stopped).peek("qwen2vl").missing == [1, 2]
    planned = []
    with CountedSamples(qwen2vl) as calls:
        report = harvest_small(qwen2vl, benchmark, stopped, plan=lambda _writer, shards: planned.extend(shards))
    assert (planned, calls, report.statuses) == ([1, 2], [4, 2], {"OK": 6})
    assert content_of(stopped) == content_of(whole)
    assert list(verify(open_store(stopped))) == []
    with CountedSamples(qwen2vl) as calls:
        harvest_small(qwen2vl, benchmark, stopped)
    assert calls == []
    assert content_of(stopped) == content_of(whole)


def test_two_ranks_together_are_one_run(qwen2vl, benchmark, tmp_path):
    one, two = tmp_path / "one.zarr", tmp_path / "two.zarr"
    harvest_small(qwen2vl, benchmark, one)
    reports = [harvest_small(qwen2vl, benchmark, two, rank=rank, world=2) for rank in (1, 0)]
    assert [report.statuses["OK"] for report in reports] == [4, 6]
    assert content_of(two) == content_of(one)


def test_a_rank_does_its_own_shards_only(qwen2vl, benchmark, tmp_path):
    harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr", rank=1, world=2)
    assert open_store(tmp_path / "s.zarr").peek("qwen2vl").missing == [0, 2]


def test_a_changed_benchmark_is_refused(qwen2vl, benchmark, write_benchmark, lines, tmp_path):
    store = tmp_path / "s.zarr"
    harvest_small(qwen2vl, benchmark, store)
    before = content_of(store)
    changes = {
        "label": {"label": "even"},
        "prompt_hash": {"question": "even or odd ?"},
        "split": {"split": "pool"},
        "image_hash": {"images": ["8.png"]},
        "sample_id": {"id": "another"},
    }
    for column, change in changes.items():
        changed = load_jsonl(write_benchmark([{**lines[0]}, {**lines[1], **change}, *lines[2:]]))
        with pytest.raises(MismatchError, match=f"column {column}: differs"):
            harvest_small(qwen2vl, changed, store)
    with pytest.raises(MismatchError, match="samples: 10 in the store, 9 now"):
        harvest_small(qwen2vl, load_jsonl(write_benchmark(lines[:9])), store)
    assert content_of(store) == before


def test_another_model_under_the_same_name_is_refused(qwen2vl, loaded, benchmark, tmp_path):
    store = tmp_path / "s.zarr"
    harvest_small(qwen2vl, benchmark, store)
    before = content_of(store)
    with pytest.raises(MismatchError) as raised:
        harvest_small(loaded["llava-ov"], benchmark, store, name="qwen2vl")
    assert {"model_type", "weights", "tokenizer"} <= {
        line.strip().split(":")[0] for line in str(raised.value).splitlines()
    }
    with pytest.raises(
        MismatchError, match=r"batching: 'at most 1024 padded tokens.*' in the store, 'at most 50"
    ) as raised:
        harvest_small(qwen2vl, benchmark, store, token_budget=50)
    assert "--batch-tokens" in raised.value.__notes__[0]
    assert content_of(store) == before


def test_two_models_share_a_store(qwen2vl, loaded, benchmark, tmp_path):
    store = tmp_path / "s.zarr"
    harvest_small(qwen2vl, benchmark, store)
    before = content_of(store)
    harvest_small(loaded["llava-ov"], benchmark, store, name="other")
    assert open_store(store).models == ["other", "qwen2vl"]
    assert {path: content for path, content in content_of(store).items() if not path.startswith("other")} == before


def test_tasks_have_answers_of_their_own(qwen2vl, tmp_path):
    picture = Image.new("RGB", (32, 32))
    tasks = {"a": ("even", "odd"), "b": ("one", "three", "two"), "c": ("digit one", "digit two")}
    samples = [
        Sample(f"{task}{i}", (picture,), f"{label} ?", label, "either", task)
        for task, classes in tasks.items()
        for i, label in enumerate(classes)
    ]
    benchmark = Benchmark("t", "s", "s", "1", "l", "accuracy", tasks, "p", lambda: iter(samples))
    report = harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr")
    logits = open_store(tmp_path / "s.zarr")["qwen2vl"].logits
    assert report.answers == {"a": "first token", "b": "first token", "c": "whole answer"}
    assert np.isfinite(logits).tolist() == [[True, True, False]] * 2 + [[True] * 3] * 3 + [[True, True, False]] * 2


def test_the_store_says_how_it_was_made(qwen2vl, benchmark, tmp_path, checkpoints):
    harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr", command="savs-harvest run --model x --data y")
    stored = open_store(tmp_path / "s.zarr")["qwen2vl"]
    assert stored.provenance["command"] == "savs-harvest run --model x --data y"
    assert {"images", "batching", "dtype", "weights"} <= set(stored.identity)
    attributes = b"".join(content for path, content in content_of(tmp_path / "s.zarr").items() if "zarr.json" in path)
    assert str(tmp_path).encode() not in attributes
    assert str(checkpoints["qwen2vl"]).encode() not in attributes


def test_the_store_knows_the_licence_of_a_model_that_says_it(qwen2vl, benchmark, tmp_path):
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    harvest_small(qwen2vl, benchmark, tmp_path / "unknown.zarr")
    harvest_small(replace(qwen2vl, folder=tmp_path), benchmark, tmp_path / "known.zarr")
    known, unknown = (open_store(tmp_path / f"{name}.zarr")["qwen2vl"] for name in ("known", "unknown"))
    assert (known.provenance["licence"], unknown.provenance.get("licence")) == ("apache-2.0", None)
    assert known.fingerprint == unknown.fingerprint
    assert "licence apache-2.0" in repr(known.store)


def test_a_checkpoint_loaded_again_makes_the_same_bytes(checkpoints, qwen2vl, benchmark, tmp_path):
    again = load_model(ModelSpec("qwen2vl", str(checkpoints["qwen2vl"]), "float32"), "cpu")
    for model, name in ((qwen2vl, "first"), (again, "second")):
        harvest_small(model, benchmark, tmp_path / f"{name}.zarr")
    assert content_of(tmp_path / "first.zarr") == content_of(tmp_path / "second.zarr")
    assert json.loads(content_of(tmp_path / "first.zarr")["qwen2vl/zarr.json"])["attributes"]["fingerprint"]


def test_every_shard_says_how_it_was_made(qwen2vl, benchmark, tmp_path):
    harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr", rank=0, world=1)
    store = open_store(tmp_path / "s.zarr")
    made = store["qwen2vl"].shard_provenance
    assert [sum(found["run"]["batches"]) for found in made] == [4, 4, 2]
    for found in made:
        assert found["environment"] == json.loads(json.dumps(environment(qwen2vl.device)))
        assert found["environment"]["torch"] == version("torch")
        run = found["run"]
        assert 0 < run["seconds"] < 600
        assert run["peak_memory"]["host"] > 1e8
        assert abs(datetime.now(UTC) - datetime.fromisoformat(run["started"])) < timedelta(minutes=10)
        assert [run[name] for name in ("rank", "world", "workers", "halved", "failed")] == [0, 1, 0, 0, 0]
    assert re.search(r"3 shards made \d{4}-\d\d-\d\d in \d+ s of their processes: savs [\d.]+, torch 2", repr(store))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC 12.2",
            "535.104.05",
        ),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.95  Release Build  (jo@box7.org)", "580.95"),
        ("", None),
    ],
)
def test_of_the_driver_no_user_and_no_host_is_kept(text, version):
    """Who builds the open driver is named in it."""
    assert driver_version(text) == version


def test_a_git_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert source_commit(Path(__file__)) is None

    def hang(command, timeout, **_options):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr("subprocess.run", hang)
    assert source_commit(Path(__file__)) is None


def test_without_the_module_resource_nothing_is_said_of_memory(monkeypatch):
    """Windows has none: every command ended where it was imported."""
    monkeypatch.setitem(sys.modules, "resource", None)
    assert peak_memory(torch.device("cpu")) == {}


def test_a_name_that_cannot_be_is_refused_before_any_picture_is_read(qwen2vl, benchmark, tmp_path):
    read = lambda done, total: pytest.fail("a picture was read")  # noqa: E731
    with pytest.raises(StoreError, match="'Mine' cannot name a model"):
        harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr", name="Mine", pictures=read)


def test_few_samples_wait_for_their_pictures_to_be_read(benchmark, monkeypatch):
    """All were handed to the threads at once, each with a future of its own."""
    monkeypatch.setattr("savs_harvest.asking.hashing.AT_ONCE", 4)
    real, handed = ThreadPoolExecutor.map, []
    monkeypatch.setattr(
        ThreadPoolExecutor, "map", lambda pool, f, part: (handed.append(len(part)), real(pool, f, part))[1]
    )
    samples, done = check(benchmark), []
    index = index_samples(benchmark, samples, lambda number, total: done.append((number, len(handed))))
    assert [len(sizes) for sizes in index.sizes] == [len(sample.images) for sample in samples]
    assert done == [(number, -(-number // 4)) for number in range(1, 11)]


def test_another_environment_is_told_and_goes_on(qwen2vl, benchmark, tmp_path, monkeypatch):
    told = []
    harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr", rank=1, world=2, warning=told.append)
    assert told == []
    elsewhere = environment(qwen2vl.device) | {"torch": "2.99", "driver": "580"}
    monkeypatch.setattr("savs_harvest.run.harvest.environment", lambda device: elsewhere)
    monkeypatch.setattr("savs_harvest.run.provenance.environment", lambda device: elsewhere)
    harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr", warning=told.append)
    lines = [
        "driver: 580 (shards 0, 2), unknown (shards 1)",
        f"torch: 2.99 (shards 0, 2), {version('torch')} (shards 1)",
    ]
    words = "not the same in all shards, whose vectors will agree to rounding only: "
    assert told == [words + line for line in lines]
    store = open_store(tmp_path / "s.zarr")
    assert [line for line in repr(store).splitlines() if "not the same" in line] == [
        f"           not the same in all shards, whose vectors agree to rounding only: {line}" for line in lines
    ]
    harvest_small(qwen2vl, benchmark, tmp_path / "s.zarr", warning=told.append)
    assert told == [words + line for line in lines] * 2  # there is nothing to do, but it is still so


def test_a_sample_whose_positions_cannot_be_counted_costs_its_own_row(load, benchmark, tmp_path, monkeypatch):
    model = load("qwen2vl")
    count, asked = model.model.model.get_rope_index, []

    def refuse_the_third(**inputs):
        asked.append(inputs)
        if len(asked) == 3:
            raise ValueError("no such grid")
        return count(**inputs)

    refuse_the_third.__signature__ = inspect.signature(count)
    monkeypatch.setattr(model.model.model, "get_rope_index", refuse_the_third)
    report = harvest_small(model, benchmark, tmp_path / "s.zarr")
    assert report.statuses["REJECTED"] == 1
    assert report.failures[0].endswith("rejected: no such grid")
