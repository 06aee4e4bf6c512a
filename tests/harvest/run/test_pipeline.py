"""Whatever is done for speed or for parity, a row is what its sample gives alone; what differs is in the identity."""

import numpy as np
import pytest
import torch
from PIL import Image

from kit.objects import content_of
from savs_benchmarks import Benchmark, Sample, load_jsonl, load_picture
from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.asking.few_shot import InContext
from savs_harvest.asking.index import index_samples
from savs_harvest.batches.batching import Batching
from savs_harvest.batches.layouts import padded
from savs_harvest.batches.packing import packed_attention
from savs_harvest.batches.runner import Runner
from savs_harvest.errors import ModelError
from savs_harvest.models.compiled import compilable, compiled_layers
from savs_harvest.models.families import FAMILIES
from savs_harvest.models.heads import capture_heads, last_real_token
from savs_harvest.models.prompts import PARITY, Shot, check_parity, prepare, render
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_harvest.run.work import Work
from savs_harvest.run.writing import Keeping
from savs_stores import Status, open_store

ROUNDING = {"rtol": 2**-11, "atol": 1e-5}


@pytest.fixture
def benchmark(write_benchmark, lines):
    return load_jsonl(write_benchmark(lines))


def run(model, benchmark, place, name=None, **settings):
    alone = {"class_prompt": ""}  # whoever counts calls counts those of samples
    report = harvest(model, benchmark, place, Settings(**alone | settings), Keeping(name, shard_samples=4))
    stored = open_store(place)
    return report, stored[stored.models[0]]


def capture(model, inputs):
    last = last_real_token(inputs["attention_mask"])
    with capture_heads(model.projections, last) as vectors, torch.inference_mode():
        model.model(**inputs)
    return vectors[0].numpy()


def test_the_call_ends_at_the_last_projection_when_no_logits_are_wanted(model, benchmark, tmp_path):
    reached = []
    last_norm = model.model.get_decoder().norm
    handle = last_norm.register_forward_hook(lambda *_: reached.append("norm"))
    _, with_logits = run(model, benchmark, tmp_path / "with.zarr")
    assert reached
    reached.clear()
    _, without = run(model, benchmark, tmp_path / "without.zarr", logits=False)
    handle.remove()
    assert not reached
    assert np.array_equal(without.read(), with_logits.read())
    assert np.isnan(without.logits).all()
    assert np.isfinite(with_logits.logits).all()
    assert (without.identity["logits"], with_logits.identity["logits"]) == ("none", "last position")


class SmallMemory:
    """Lets every model call fail that has more rows than fit, as a full GPU does."""

    def __init__(self, model, rows, error=None):
        self.model, self.rows, self.calls = model, rows, []
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")

    def __enter__(self):
        self.handle = self.model.register_forward_pre_hook(self.check, with_kwargs=True)
        return self.calls

    def check(self, _module, _args, inputs):
        self.calls.append(len(inputs["input_ids"]))
        if self.calls[-1] > self.rows or inputs["input_ids"].shape[1] >= self.longest:
            raise self.error

    longest = 10**9

    def __exit__(self, *_):
        self.handle.remove()


def test_what_does_not_fit_is_run_in_halves(model, benchmark, tmp_path):
    _, whole = run(model, benchmark, tmp_path / "whole.zarr")
    with SmallMemory(model.model, rows=1) as calls:
        report, halved = run(model, benchmark, tmp_path / "halved.zarr")
    assert (report.halved, report.failed) == (7, 0)  # of 4, 4 and 2 samples: 3, 3 and 1
    assert calls == [4, 2, 1, 1, 2, 1, 1] * 2 + [2, 1, 1]
    runs = [found["run"] for found in halved.shard_provenance]
    assert [(run["batches"], run["halved"]) for run in runs] == [([1] * 4, 3), ([1] * 4, 3), ([1] * 2, 1)]
    np.testing.assert_allclose(halved.read(), whole.read(), rtol=2**-10, atol=1e-5)
    assert np.array_equal(halved.n_tokens, whole.n_tokens)


@pytest.mark.parametrize(
    "words", ["CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", "CUDA error: out of memory"]
)
def test_a_library_that_finds_no_memory_is_a_full_gpu_too(model, benchmark, tmp_path, words):
    with SmallMemory(model.model, rows=2, error=RuntimeError(words)):
        report, _ = run(model, benchmark, tmp_path / "s.zarr")
    assert (report.halved, report.failed) == (2, 0)


def test_another_error_of_cuda_ends_the_harvest(model, benchmark, tmp_path):
    error = RuntimeError("CUDA error: device-side assert triggered")
    with SmallMemory(model.model, rows=2, error=error), pytest.raises(RuntimeError, match="device-side assert"):
        run(model, benchmark, tmp_path / "s.zarr")


def test_what_ran_before_a_call_failed_and_runs_again_is_noted_once(loaded, benchmark, tmp_path, monkeypatch):
    real, calls = Runner._run_layout, []

    def one_by_one(self, groups, inputs):
        for group in groups:
            yield [group], padded([inputs[place] for place in group], self.pad_token, mask=False)

    def fail_once(self, *arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise torch.OutOfMemoryError
        real(self, *arguments)

    monkeypatch.setattr(Runner, "_layouts", one_by_one)
    monkeypatch.setattr(Runner, "_run_layout", fail_once)
    _, stored = run(loaded["qwen2vl"], benchmark, tmp_path / "s.zarr")
    assert len(calls) == 12
    runs = [found["run"] for found in stored.shard_provenance]
    assert [(run["batches"], run["halved"]) for run in runs] == [([1] * 4, 1), ([1] * 4, 0), ([1] * 2, 0)]


def test_questions_about_one_picture_are_parted_when_they_do_not_fit(loaded, write_benchmark, lines, tmp_path):
    model = loaded["qwen2vl"]
    shared = load_jsonl(write_benchmark([{**line, "images": ["0.png"], "id": str(i)} for i, line in enumerate(lines)]))
    _, whole = run(model, shared, tmp_path / "whole.zarr", share=False)
    with SmallMemory(model.model, rows=1) as calls:
        calls_of = SmallMemory.longest
        SmallMemory.longest = int(whole.n_tokens.max()) + 1  # one alone fits, two in a row do not
        try:
            report, parted = run(model, shared, tmp_path / "parted.zarr")
        finally:
            SmallMemory.longest = calls_of
    assert report.failed == 0
    assert report.halved > 0
    assert len(calls) > 10
    np.testing.assert_allclose(parted.read(), whole.read(), rtol=2**-10, atol=1e-5)


def test_a_sample_that_does_not_fit_alone_costs_its_own_row(model, benchmark, tmp_path, monkeypatch):
    _, whole = run(model, benchmark, tmp_path / "whole.zarr")
    longest = int(np.argmax(whole.n_tokens))
    monkeypatch.setattr(SmallMemory, "longest", int(whole.n_tokens[longest]))
    with SmallMemory(model.model, rows=99):
        report, stored = run(model, benchmark, tmp_path / "small.zarr")
    failed = np.flatnonzero(whole.n_tokens == whole.n_tokens[longest])
    assert np.flatnonzero(stored.status == Status.OUT_OF_MEMORY).tolist() == failed.tolist()
    assert np.isnan(stored.read(failed)).all()
    assert report.statuses == {"OK": 10 - len(failed), "OUT_OF_MEMORY": len(failed)}
    assert "out_of_memory: does not fit, even alone" in report.failures[0]
    others = np.setdiff1d(np.arange(10), failed)
    np.testing.assert_allclose(stored.read(others), whole.read(others), rtol=2**-10, atol=1e-5)


def test_a_device_that_is_full_from_the_start_costs_no_samples(model, benchmark, tmp_path):
    """What another process takes is free again later: nothing is recorded that no resume would run again."""
    with SmallMemory(model.model, rows=0), pytest.raises(ModelError, match="is another process using it"):
        run(model, benchmark, tmp_path / "s.zarr")
    _, stored = run(model, benchmark, tmp_path / "s.zarr")
    assert (stored.status == Status.OK).all()


@pytest.mark.slow
def test_workers_change_nothing(model, benchmark, tmp_path):
    (tmp_path / "mine" / "3.png").write_bytes(b"")  # of the fourth sample, whose id is its line
    run(model, benchmark, tmp_path / "here.zarr")
    report, _ = run(model, benchmark, tmp_path / "there.zarr", workers=2)
    assert content_of(tmp_path / "there.zarr") == content_of(tmp_path / "here.zarr")
    assert report.failures[0].startswith("4: not_an_image")


def test_layers_are_compiled_inside_the_block_only(load):
    model = load("qwen2vl").model
    compiled = lambda: [part._compiled_call_impl is not None for part in compilable(model)]  # noqa: E731
    with compiled_layers(model):
        assert compiled() == [True]
    assert compiled() == [False]


def test_a_call_outside_segments_leaves_nothing_for_the_next(load, singles, family):
    model = load(family)
    expected = [capture(model, inputs) for inputs in singles]
    with packed_attention(model.model):
        found = [capture(model, inputs) for inputs in singles]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "layout"),
    [({"in_context": InContext(6)}, {}), ({"compile": True}, {}), ({}, {"codec": "zip"})],
    ids=["shots", "compile", "codec"],
)
def test_a_refused_command_leaves_its_name_free(loaded, pooled, tmp_path, monkeypatch, settings, layout):
    monkeypatch.setattr("savs_harvest.run.settings.compilable", lambda model: [])
    with pytest.raises(ValueError, match=r"use a smaller --icl|leave out --compile|unknown codec"):
        harvest(loaded["qwen2vl"], pooled, tmp_path / "s.zarr", Settings(**settings), Keeping(**layout))
    assert not (tmp_path / "s.zarr").exists()


@pytest.mark.slow
def test_compiled_layers_give_the_same_to_rounding(load, benchmark, tmp_path):
    model = load("qwen2vl")
    _, plain = run(model, benchmark, tmp_path / "plain.zarr")
    _, compiled = run(model, benchmark, tmp_path / "compiled.zarr", compile=True)
    assert compiled.identity["compiled"]
    np.testing.assert_allclose(compiled.read(), plain.read(), rtol=2**-10, atol=1e-5)
    assert (plain.identity["compiled"], compiled.identity["compiled"]) == (False, True)


def no_formula(*_args, **_options):
    raise NotImplementedError


NO_EMPTY_WORDS = "{% if not messages[0].content[-1].text %}{{ raise_exception('ask something') }}{% endif %}"


@pytest.mark.parametrize("known", ["by a formula", "by preparing it", "for all but empty words"])
def test_lengths_are_known_before_a_batch_is_prepared(model, benchmark, tmp_path, monkeypatch, known):
    if known == "by preparing it":
        monkeypatch.setattr(model.processor, "_get_num_multimodal_tokens", no_formula, raising=False)
    if known == "for all but empty words":
        monkeypatch.setattr(model.processor, "chat_template", NO_EMPTY_WORDS + model.processor.chat_template)
    from savs_harvest.asking.index import index_samples
    from savs_harvest.models.answers import find_answers

    samples = list(benchmark.samples())
    index = index_samples(benchmark, samples)
    tokens = find_answers(model.processor, benchmark)
    work = Work(model, Settings(), benchmark, samples, index, tokens)
    _, stored = run(model, benchmark, tmp_path / "s.zarr")
    assert [work.length(row)[0] for row in range(10)] == stored.n_tokens.tolist()


# The papers' prompts.


def test_the_system_turn_of_the_papers_is_there_to_the_letter(loaded):
    text = render(loaded["llava-ov"].processor, 1, "Is it odd?", parity=["system-turn"])
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<image>\nIs it odd?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_an_image_tag_stands_before_the_question_once_a_picture(loaded, prompts):
    pictures, question = prompts[2]
    processor = loaded["qwen2vl"].processor
    assert f"<image>\n<image>\n{question}" in render(processor, 2, question, parity=["image-tag"])
    plain, tagged = (prepare(processor, pictures, question, parity=parity) for parity in ((), ("image-tag",)))
    assert torch.equal(plain["pixel_values"], tagged["pixel_values"])
    assert (plain["input_ids"] == processor.image_token_id).sum() == (
        tagged["input_ids"] == processor.image_token_id
    ).sum()
    assert tagged["input_ids"].shape[1] > plain["input_ids"].shape[1]


def test_with_anyres_every_picture_is_read_as_if_it_were_the_only_one(loaded, prompts):
    pictures, question = prompts[2]
    processor = loaded["llava-ov"].processor
    count = lambda inputs: int((inputs["input_ids"] == processor.image_token_id).sum())  # noqa: E731
    alone = [count(prepare(processor, [picture], question)) for picture in pictures]
    assert count(prepare(processor, pictures, question, parity=["anyres"])) == sum(alone)
    assert count(prepare(processor, pictures, question)) < sum(alone)
    assert prepare(processor, pictures, question, parity=["anyres"])["batch_num_images"].tolist() == [1, 1]


@pytest.mark.parametrize(("family", "parity"), [("llava-ov", ("anyres", "system-turn")), ("qwen2vl", ("image-tag",))])
def test_a_harvest_with_the_papers_prompts_is_what_each_prompt_gives_alone(loaded, benchmark, tmp_path, family, parity):
    model = loaded[family]
    _, stored = run(model, benchmark, tmp_path / "s.zarr", parity=parity)
    _, plain = run(model, benchmark, tmp_path / "plain.zarr")
    for row, sample in enumerate(benchmark.samples()):
        pictures = [load_picture(image) for image in sample.images]
        expected = capture(model, prepare(model.processor, pictures, sample.question, parity=parity))
        np.testing.assert_allclose(stored.read([row])[0], expected, **ROUNDING)
    assert np.abs(stored.read().astype(np.float32) - plain.read()).max((1, 2)).min() > 0.01
    assert (stored.identity["parity"], plain.identity["parity"]) == (sorted(parity), [])


@pytest.mark.parametrize("switch", PARITY)
def test_a_parity_switch_is_for_its_families(switch):
    check_parity(PARITY[switch][0][0], [switch])
    with pytest.raises(ModelError, match=f"'{switch}' .* is for .*, the model is a gemma3"):
        check_parity("gemma3", [switch])
    with pytest.raises(ModelError, match="unknown parity switch 'papers'"):
        check_parity("qwen2_vl", ["papers"])


# Answered questions in front.


@pytest.fixture
def pooled(write_benchmark, lines):
    splits = ["pool"] * 6 + ["test"] * 4
    return load_jsonl(write_benchmark([line | {"split": split} for line, split in zip(lines, splits, strict=True)]))


def test_in_context_rows_are_what_the_longer_prompt_gives_alone(model, pooled, tmp_path):
    report, stored = run(model, pooled, tmp_path / "s.zarr", in_context=InContext(2, seed=5))
    assert report.failed == 0
    assert stored.name == f"{model.name}-icl2-seed5"
    assert stored.identity["in_context"] == {"shots": 2, "seed": 5}
    check_in_context(model, pooled, stored, InContext(2, seed=5))
    assert np.isfinite(stored.logits).all()


def check_in_context(model, benchmark, stored, in_context):
    """Compare every row with what its prompt, shots and all, gives alone."""
    samples = list(benchmark.samples())
    rows = shots_of_harvest(model, benchmark, in_context)
    for row, sample in enumerate(samples):
        shots = [
            Shot([load_picture(image) for image in samples[shot].images], samples[shot].question, samples[shot].label)
            for shot in rows[row]
        ]
        pictures = [load_picture(image) for image in sample.images]
        inputs = prepare(model.processor, pictures, sample.question, shots)
        assert stored.n_tokens[row] == inputs["input_ids"].shape[1]
        np.testing.assert_allclose(stored.read([row])[0], capture(model, inputs), **ROUNDING)


def small_benchmark(samples):
    return Benchmark("t", "s", "s", "1", "l", "accuracy", {"all": ("even", "odd")}, "p", lambda: iter(samples))


def test_questions_about_one_picture_keep_the_pictures_of_their_own_shots(model, tmp_path):
    pool, asked = benchmark_pictures("pool", 3)[:4], benchmark_pictures("test", 4)[0]
    samples = [
        *(Sample(f"p{i}", (shown,), "odd or even ?", "odd", "pool", group=f"g{i}") for i, shown in enumerate(pool)),
        *(Sample(f"t{i}", (asked,), "is it odd ?", "even", "test", group=f"g{i}") for i in range(4)),
    ]
    benchmark, in_context = small_benchmark(samples), InContext(2)
    assert len({tuple(shots) for shots in shots_of_harvest(model, benchmark, in_context)[4:]}) > 1
    _, stored = run(model, benchmark, tmp_path / "s.zarr", in_context=in_context)
    check_in_context(model, benchmark, stored, in_context)


@pytest.mark.parametrize("seed", range(6))
def test_prompts_with_other_numbers_of_pictures_never_share_a_batch_where_the_family_forbids_it(loaded, seed):
    """Shots count: the first sample shows three pictures, as a shot it makes another prompt longer."""
    shown = benchmark_pictures("pool", 1)[:8]
    samples = [
        Sample(str(i), tuple(shown[0:3] if i == 0 else shown[i + 2 : i + 3]), "odd ?", "odd", "either")
        for i in range(6)
    ]
    work = work_of_harvest(loaded["qwen2vl"], small_benchmark(samples), InContext(1, seed))
    counts = [sum(len(samples[each].images) for each in (*work.shots(row), row)) for row in range(6)]
    lengths = [work.length(row) for row in range(6)]
    batches = Batching(9999).plan(FAMILIES["mllama"], lengths, [work.pictures(row) for row in range(6)])
    assert all(len({counts[place] for group in batch for place in group}) == 1 for batch in batches)


def work_of_harvest(model, benchmark, in_context):
    samples = list(benchmark.samples())
    return Work(model, Settings(in_context=in_context), benchmark, samples, index_samples(benchmark, samples), {})


def shots_of_harvest(model, benchmark, in_context):
    work = work_of_harvest(model, benchmark, in_context)
    return [work.shots(row) for row in range(len(work.samples))]


def test_shots_come_from_the_pool_one_of_each_class_in_turn_and_give_nothing_away(loaded, pooled):
    samples = list(pooled.samples())
    for seed in range(5):
        for row, shots in enumerate(shots_of_harvest(loaded["qwen2vl"], pooled, InContext(4, seed))):
            assert len(set(shots)) == 4
            assert all(samples[shot].split == "pool" for shot in shots)
            assert row not in shots
            assert not {image for shot in shots for image in samples[shot].images} & set(samples[row].images)
            if samples[row].split == "test" and row > 5:
                labels = [samples[shot].label for shot in shots]
                assert labels[0] != labels[1]
    draws = {str(shots_of_harvest(loaded["qwen2vl"], pooled, InContext(4, seed))) for seed in range(5)}
    assert len(draws) > 1


def test_an_answer_stands_in_a_turn_of_its_own(loaded):
    picture = Image.new("RGB", (32, 32))
    text = render(loaded["qwen2vl"].processor, 1, "odd ?", [Shot([picture], "even ?", "no")])
    assert text.index("even ?") < text.index("assistant\nno<|im_end|>") < text.index("odd ?")
    assert text.count("<|image_pad|>") == 2


@pytest.mark.parametrize("seed", range(3))
def test_a_picture_that_the_processor_refuses_is_no_shot(loaded, pooled, tmp_path, seed):
    Image.new("RGB", (1, 400)).save(tmp_path / "mine" / "2.png")
    report, stored = run(loaded["qwen2vl"], pooled, tmp_path / "s.zarr", in_context=InContext(3, seed))
    assert np.flatnonzero(stored.status != Status.OK).tolist() == [2]
    assert report.statuses["REJECTED"] == 1


def test_too_few_shots_are_told(loaded, pooled, tmp_path):
    with pytest.raises(
        ValueError, match="'all' has 5 samples to show before '1', 6 are asked for: use a smaller --icl"
    ):
        run(loaded["qwen2vl"], pooled, tmp_path / "s.zarr", in_context=InContext(6))


@pytest.mark.parametrize(("budget", "rows"), [(8, 2), (10**6, 8)])
def test_short_prompts_get_shards_that_do_not_cut_their_batches(loaded, benchmark, tmp_path, monkeypatch, budget, rows):
    """EuroSAT's 81 tokens fill a batch 202 at a time: shards of 256 left every second one a quarter full."""
    for name, value in {"SMALL_STORE_SAMPLES": 4, "SHARD_SAMPLES": 2, "LEAST_SHARDS": 1}.items():
        monkeypatch.setattr(f"savs_stores.format.plan.{name}", value)
    place = tmp_path / "s.zarr"
    for _ in range(2):  # what is begun keeps its shards
        harvest(loaded["qwen2vl"], benchmark, place, Settings(token_budget=budget))
        monkeypatch.setattr("savs_stores.format.plan.SHARD_SAMPLES", 1)
    stored = open_store(place)["qwen2vl"]
    assert stored.plan.shard_samples == rows
    assert (stored.status == Status.OK).all()
