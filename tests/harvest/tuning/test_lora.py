"""LoRA on a support: against the base model, against a plain loss, against itself after a kill."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from savs_benchmarks import load_jsonl, load_picture
from savs_harvest.batches.layout_check import load_model
from savs_harvest.errors import ModelError
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import ModelSpec, quantized
from savs_harvest.models.tuned import KEY, TunedOn, read_tuned_on
from savs_harvest.run.harvest import find_work, harvest
from savs_harvest.run.settings import Settings
from savs_harvest.tuning.examples import divided, make_examples
from savs_harvest.tuning.lora import Lora, projections_of, tune
from savs_stores import open_store

PLAIN = Settings(class_prompt="")
WEIGHTS = "adapter_model.safetensors"
ON = TunedOn("parity", "0" * 64, 3, 0, ["0", "1"], ["00000000000000ff"])
LABELS = np.array([0, 1] * 5)


@pytest.fixture
def benchmark(write_benchmark, lines):
    return load_jsonl(write_benchmark(lines))


def examples_of(model, benchmark):
    work = find_work(model, benchmark, PLAIN)
    return make_examples(work, range(10))


def tuned(load, family, benchmark, out, on_epochs=lambda done, total: None, **settings):
    """Tune a model that is loaded afresh."""
    model = load(family)
    found = Lora(**{"rank": 2, "alpha": 4, "rates": (1e-2,), "epochs": 2, "batch": 4, **settings})
    return tune(model, examples_of(model, benchmark), LABELS, found, ON, out, on_epochs)


def test_the_loss_is_of_the_answer_alone(model, benchmark):
    """As the mean log-probability of its tokens behind the prompt, each by a forward of its own."""
    work = find_work(model, benchmark, PLAIN)
    for row in (0, 3):
        [example] = make_examples(work, [row])
        sample = work.samples[row]
        inputs = prepare(model.processor, [load_picture(one) for one in sample.images], sample.question)
        asked = inputs["input_ids"].shape[1]
        assert example.inputs["input_ids"][0, asked:].tolist() == list(example.answer)
        losses = []
        for place, token in enumerate(example.answer):
            length = asked + place
            shorter = {
                name: one[:, :length] if name in ("input_ids", "attention_mask", "mm_token_type_ids") else one
                for name, one in example.inputs.items()
            }
            with torch.inference_mode():
                logits = model.model(**shorter, use_cache=False).logits[0, -1].float()
            losses.append(-float(logits.log_softmax(-1)[token]))
        with torch.inference_mode():
            assert float(example.loss(model.model, model.device)) == pytest.approx(np.mean(losses), rel=1e-3)


def test_a_base_in_4_bits_stays_as_it_is_while_its_adapter_learns(checkpoints, benchmark, tmp_path):
    pytest.importorskip("bitsandbytes")
    spec = quantized(ModelSpec("mine", str(checkpoints["qwen2vl"]), "float32"), "bnb4")
    model = load_model(spec, "cpu")
    packed = [weight.data.clone() for weight in model.model.parameters() if weight.dtype == torch.uint8]
    assert len(packed) > 10
    examples = examples_of(model, benchmark)

    def loss(one):
        with torch.inference_mode():
            return float(np.mean([float(example.loss(one.model, one.device)) for example in examples]))

    before = loss(model)
    settings = Lora(rank=2, alpha=4, rates=(1e-2,), epochs=3, batch=4)
    tune(model, examples, LABELS, settings, ON, tmp_path / "lora")
    after = loss(model)  # peft has put the adapter into it
    assert after < before - 0.1
    adapted = load_model(replace(spec, adapter=str(tmp_path / "lora")), "cpu")
    now = [weight.data for weight in adapted.model.parameters() if weight.dtype == torch.uint8]
    assert all(map(torch.equal, packed, now))
    assert loss(adapted) == pytest.approx(after, rel=1e-4)
    assert adapted.identity["adapter"]
    assert adapted.identity["quantization"] == model.identity["quantization"]


def test_an_adapter_that_learnt_nothing_changes_no_bit(load, family, checkpoints, benchmark, tmp_path):
    tuned(load, family, benchmark, tmp_path / "lora", epochs=0)
    adapted = load_model(ModelSpec(family, str(checkpoints[family]), "float32", adapter=str(tmp_path / "lora")), "cpu")
    harvest(load(family), benchmark, tmp_path / "base.zarr", PLAIN)
    harvest(adapted, benchmark, tmp_path / "adapted.zarr", PLAIN)
    base, with_adapter = (open_store(tmp_path / f"{name}.zarr")[family] for name in ("base", "adapted"))
    assert base.read().tobytes() == with_adapter.read().tobytes()
    assert np.asarray(base.logits).tobytes() == np.asarray(with_adapter.logits).tobytes()
    assert base.fingerprint != with_adapter.fingerprint
    assert with_adapter.identity["tuned_on"]["samples"] == ["0", "1"]


def test_it_learns_and_only_in_the_attention_of_the_language_model(load, family, benchmark, tmp_path):
    found = tuned(load, family, benchmark, tmp_path / "lora", epochs=8)
    model = load(family)
    with torch.inference_mode():
        before = np.mean([float(one.loss(model.model, model.device)) for one in examples_of(model, benchmark)])
    assert found.loss < 0.7 * before
    names = projections_of(model)
    assert len(names) == 4 * len(model.projections)
    assert not any("vision" in name or "visual" in name for name in names)
    weights = load_file(tmp_path / "lora" / WEIGHTS)
    assert len(weights) == 2 * len(names)
    assert all(weight.abs().max() > 0 for weight in weights.values())


def test_a_killed_run_goes_on_to_the_same_bytes(load, benchmark, tmp_path):
    """Killed in the choice of the rate, and once more in the training that counts."""

    class Killed(Exception):
        pass

    def kill_at(epoch):
        def on_epochs(done, total):
            if done == epoch:
                raise Killed

        return on_epochs

    options = {"rates": (1e-2, 1e-3), "epochs": 2}
    whole = tuned(load, "qwen2vl", benchmark, tmp_path / "whole", **options)
    for epoch in (3, 5):
        with pytest.raises(Killed):
            tuned(load, "qwen2vl", benchmark, tmp_path / "cut", kill_at(epoch), **options)
        assert not (tmp_path / "cut").exists()
    cut = tuned(load, "qwen2vl", benchmark, tmp_path / "cut", **options)
    assert (cut.rate, cut.held_out, cut.loss) == (whole.rate, whole.held_out, whole.loss)
    for name in (WEIGHTS, "adapter_config.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir() if "tuning" in path.name or "building" in path.name) == []


def test_a_killed_run_of_another_model_or_prompt_is_not_taken_up(load, benchmark, tmp_path):
    """Beside the same folder: what was learnt of other weights, or from other words, is no beginning."""

    def killed(done, total):
        if done == 1:
            raise KeyboardInterrupt

    out, settings = tmp_path / "lora", Lora(rank=2, alpha=4, rates=(1e-2,), epochs=2, batch=4)
    with pytest.raises(KeyboardInterrupt):
        tuned(load, "qwen2vl", benchmark, out, killed)
    for identity, asked in (
        ({"weights": "others"}, benchmark),
        ({}, replace(benchmark, answers={name: f"{name}!" for name in benchmark.tasks["all"]})),
    ):
        model = load("qwen2vl")
        examples = examples_of(model, asked)
        other = replace(model, identity={**model.identity, **identity})
        with pytest.raises(KeyboardInterrupt):
            tune(other, examples, LABELS, settings, ON, out, killed)
    assert len(list((tmp_path / ".lora.tuning").glob("*.pt"))) == 3
    told = []
    tuned(load, "qwen2vl", benchmark, out, lambda done, total: told.append((done, total)))
    assert told == [(1, 2), (2, 2)]


def test_a_damaged_state_is_named(load, benchmark, tmp_path):
    def killed(done, total):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(load, "qwen2vl", benchmark, tmp_path / "lora", killed)
    [state] = (tmp_path / ".lora.tuning").glob("*.pt")
    for damaged in (b"", b"PK", state.read_bytes()[:-400]):
        state.write_bytes(damaged)
        with pytest.raises(ModelError, match=f"{state.name} cannot be read: remove it"):
            tuned(load, "qwen2vl", benchmark, tmp_path / "lora")


def test_what_a_kill_left_unfinished_is_no_part_of_the_adapter(load, benchmark, tmp_path):
    (tmp_path / ".lora.building").mkdir()
    (tmp_path / ".lora.building" / "other").write_text("torn")
    tuned(load, "qwen2vl", benchmark, tmp_path / "lora", epochs=0)
    assert sorted(path.name for path in (tmp_path / "lora").iterdir()) == ["adapter_config.json", WEIGHTS]
    modules = json.loads((tmp_path / "lora" / "adapter_config.json").read_text())["target_modules"]
    assert modules == sorted(modules)


def test_of_few_examples_the_first_rate_is_taken(load, benchmark, tmp_path):
    model, told = load("qwen2vl"), []
    settings = Lora(rank=2, alpha=4, rates=(1e-3, 1e-2), epochs=1)
    examples, labels = examples_of(model, benchmark)[:6], LABELS[:6]
    found = tune(model, examples, labels, settings, ON, tmp_path / "lora", lambda *steps: told.append(steps))
    assert (found.rate, found.held_out, told[-1]) == (1e-3, {}, (1, 1))


def test_less_memory_gives_the_same(load, family, benchmark, tmp_path):
    for name, less in (("plain", False), ("less", True)):
        tuned(load, family, benchmark, tmp_path / name, checkpointing=less, epochs=1)
    plain, less = (load_file(tmp_path / name / WEIGHTS) for name in ("plain", "less"))
    for name, weight in plain.items():
        torch.testing.assert_close(weight, less[name], rtol=1e-3, atol=1e-5)


def test_the_rate_is_chosen_on_a_quarter_that_is_not_learnt():
    labels = np.repeat([0, 1, 2], [8, 5, 3])
    learnt, held = divided(labels, 1)
    assert sorted([*learnt.tolist(), *held.tolist()]) == list(range(16))
    assert np.bincount(labels[held], minlength=3).tolist() == [2, 1, 0]
    assert not np.array_equal(held, divided(labels, 2)[1])


def test_nothing_personal_is_in_the_files(load, benchmark, tmp_path):
    tuned(load, "qwen2vl", benchmark, tmp_path / "lora", epochs=0)
    assert str(tmp_path) not in (tmp_path / "lora" / "adapter_config.json").read_text()
    with safe_open(tmp_path / "lora" / WEIGHTS, "pt") as file:
        assert json.loads(file.metadata()[KEY]) == ON.identity()


@pytest.mark.parametrize("text", ["{", "[]", '{"samples": 3}', json.dumps(ON.identity() | {"pictures": [1]})])
def test_what_it_was_tuned_on_is_readable_or_it_is_refused(tmp_path, text):
    save_file({"weight": torch.zeros(1)}, tmp_path / WEIGHTS, metadata={KEY: text})
    with pytest.raises(ModelError, match="what it was tuned on cannot be read"):
        read_tuned_on(tmp_path / WEIGHTS)


def test_adapters_of_others_say_nothing(tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / WEIGHTS)
    assert read_tuned_on(tmp_path / WEIGHTS) is None


def test_two_that_make_one_folder_do_not_mix(load, benchmark, tmp_path):
    def another(done, total):
        tuned(load, "qwen2vl", benchmark, tmp_path / "lora", rank=1)

    with pytest.raises(ModelError, match="is being made by another process"):
        tuned(load, "qwen2vl", benchmark, tmp_path / "lora", another)
    assert not list(tmp_path.glob(".lora.lock"))


def test_a_folder_that_is_there_is_left_alone(load, benchmark, tmp_path):
    (tmp_path / "lora").mkdir()
    with pytest.raises(ModelError, match="is there already"):
        tuned(load, "qwen2vl", benchmark, tmp_path / "lora")


def test_a_folder_that_another_process_wrote_meanwhile_is_left_alone(load, benchmark, tmp_path):
    with pytest.raises(ModelError, match="is there already"):
        tuned(
            load, "qwen2vl", benchmark, tmp_path / "lora", lambda *_: (tmp_path / "lora").mkdir(exist_ok=True), epochs=1
        )
    assert not list((tmp_path / "lora").iterdir())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rank": 0}, "rank must be at least 1, got 0"),
        ({"rates": ()}, "rates must be between 0 and 1, got none"),
        ({"rates": (2.0,)}, "got 2.0"),
        ({"epochs": -1}, "epochs must not be below 0"),
    ],
)
def test_settings_that_train_nothing(settings, words):
    with pytest.raises(ValueError, match=words):
        Lora(**settings)
