"""What a model answers by itself, against its own plain forward passes."""

import numpy as np
import pytest
import torch

from savs_benchmarks import load_jsonl, load_picture
from savs_harvest.asking.captions import ASKED, find_captions
from savs_harvest.asking.few_shot import InContext
from savs_harvest.asking.said import read_answer
from savs_harvest.models.answers import first_words
from savs_harvest.models.prompts import Shot, prepare
from savs_harvest.run.answering import CaptionScores, Generated, answer_all
from savs_harvest.run.harvest import find_work
from savs_harvest.run.listener import Listener
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import Status, open_store

PLAIN = Settings(logits=False, class_prompt="")
TWO = Keeping(shard_samples=4)


@pytest.fixture
def benchmark(write_benchmark, lines):
    return load_jsonl(write_benchmark(lines))


def inputs_of(model, sample, words=None, shots=()):
    return prepare(model.processor, [load_picture(one) for one in sample.images], words or sample.question, shots)


def logits_behind(model, inputs):
    """Return the logits behind a prompt, by one plain forward without a cache."""
    with torch.inference_mode():
        return model.model(**inputs, use_cache=False).logits[0, -1].double()


def written(model, inputs, count):
    """Return what the model writes, token by token, each by a forward over everything before it."""
    tokenizer, ends = model.processor.tokenizer, model.model.generation_config.eos_token_id
    ends = {ends} if isinstance(ends, int) else set(ends or [tokenizer.eos_token_id])
    tokens = []
    while len(tokens) < count and not (tokens and tokens[-1] in ends):
        more = torch.tensor([tokens], dtype=torch.long)
        longer = {**inputs, "input_ids": torch.cat([inputs["input_ids"], more], dim=1)}
        for name, fill in (("attention_mask", 1), ("mm_token_type_ids", 0), ("token_type_ids", 0)):
            if name in inputs:
                longer[name] = torch.cat([inputs[name], torch.full_like(more, fill, dtype=inputs[name].dtype)], dim=1)
        tokens.append(int(logits_behind(model, longer).argmax()))
    return tokenizer.decode(tokens, skip_special_tokens=True).strip()


def said(store, name):
    """Return the words of all samples, from what is kept of each shard."""
    vectors = open_store(store)[name]
    found = [
        vectors.plan.rows(shard)[int(place)]
        for shard, made in enumerate(vectors.shard_provenance)
        for place in made["said"]
    ]
    words = [text for made in vectors.shard_provenance for text in made["said"].values()]
    return dict(zip(found, words, strict=True))


def test_what_is_generated_is_what_the_model_finds_most_probable(model, benchmark, tmp_path):
    work = find_work(model, benchmark, PLAIN)
    answer_all(Generated(work, most_tokens=5), tmp_path / "s.zarr", TWO)
    found = said(tmp_path / "s.zarr", f"{model.name}-generated")
    assert len(found) == len(work.samples)
    for row, sample in enumerate(work.samples):
        assert found[row] == written(model, inputs_of(model, sample), 5)


def test_words_are_read_by_the_rule(model, benchmark, tmp_path, monkeypatch):
    words = ["even", "It is odd.", "odd or even", "seven", ""]
    work = find_work(model, benchmark, PLAIN)
    generated = Generated(work)
    monkeypatch.setattr(generated, "answer", lambda row: (words[row % 5], 3))
    answer_all(generated, tmp_path / "s.zarr", TWO)
    vectors = open_store(tmp_path / "s.zarr")[f"{model.name}-generated"]
    wanted = [read_answer(words[row % 5], ["even", "odd"]) for row in range(10)]
    assert wanted[:5] == [0, 1, -1, -1, -1]
    read = vectors.read()[:, 0]
    assert [int(one.argmax()) if one.any() else -1 for one in read] == wanted
    assert np.isnan(vectors.logits).all()


def test_the_models_own_settings_of_sampling_change_nothing(load, family, benchmark, tmp_path):
    for name, change in (("plain", {}), ("own", {"do_sample": True, "temperature": 9.0, "repetition_penalty": 50.0})):
        model = load(family)
        model.model.generation_config.update(**change)
        answer_all(Generated(find_work(model, benchmark, PLAIN), 5), tmp_path / f"{name}.zarr", TWO)
    plain, own = (said(tmp_path / f"{name}.zarr", f"{family}-generated") for name in ("plain", "own"))
    assert plain == own


def test_vqascore_is_the_share_of_yes_among_all_words(model, benchmark, tmp_path):
    work = find_work(model, benchmark, PLAIN)
    answer_all(
        CaptionScores(work, find_captions(benchmark, work.samples, "an {class} digit")), tmp_path / "s.zarr", TWO
    )
    store = open_store(tmp_path / "s.zarr")
    published, ratio = (store[f"{model.name}-{name}"] for name in ("vqascore", "yes-ratio"))
    yes, no = first_words(model.processor, ("Yes", "No"))
    for row, sample in enumerate(work.samples):
        for place, name in enumerate(("even", "odd")):
            asked = ASKED.format(caption=f"an {name} digit")
            shares = logits_behind(model, inputs_of(model, sample, asked)).softmax(-1)
            assert np.exp(published.logits[row, place]) == pytest.approx(float(shares[yes]), rel=2e-3)
            assert np.exp(ratio.logits[row, place]) == pytest.approx(
                float(shares[yes] / (shares[yes] + shares[no])), rel=2e-3
            )
        assert published.read([row])[0, 0].argmax() == published.logits[row].argmax()


def test_answered_questions_stand_in_front(model, benchmark, tmp_path):
    settings = Settings(logits=False, class_prompt="", in_context=InContext(2, seed=3))
    work = find_work(model, benchmark, settings)
    answer_all(Generated(work, 3), tmp_path / "s.zarr", TWO)
    found = said(tmp_path / "s.zarr", f"{model.name}-icl2-seed3-generated")
    for row in (0, 7):
        shown = [work.samples[shot] for shot in work.shots(row)]
        shots = [Shot([load_picture(p) for p in one.images], one.question, one.label) for one in shown]
        assert found[row] == written(model, inputs_of(model, work.samples[row], shots=shots), 3)


@pytest.mark.parametrize("kind", [Generated, CaptionScores])
def test_a_resumed_run_asks_only_what_is_missing_and_writes_the_same(kind, loaded, benchmark, tmp_path):
    model = loaded["qwen2vl"]
    work = find_work(model, benchmark, PLAIN)

    def answering():
        return Generated(work) if kind is Generated else CaptionScores(work, find_captions(benchmark, work.samples))

    class Killed(Exception):
        pass

    def kill(count, seen=[]):  # noqa: B006
        seen.append(count)
        if len(seen) == 6:
            raise Killed

    answer_all(answering(), tmp_path / "whole.zarr", TWO)
    with pytest.raises(Killed):
        answer_all(answering(), tmp_path / "cut.zarr", TWO, listener=Listener(samples=kill))
    asked = []
    answer_all(answering(), tmp_path / "cut.zarr", TWO, listener=Listener(samples=asked.append))
    assert len(asked) == 6  # the first shard of four was whole
    for suffix in kind.suffixes:
        whole, cut = (open_store(tmp_path / f"{name}.zarr")[model.name + suffix] for name in ("whole", "cut"))
        assert whole.records.tolist() == cut.records.tolist()


def test_a_lost_picture_has_its_status(loaded, write_benchmark, lines, tmp_path):
    file = write_benchmark(lines)
    (file.parent / "2.png").write_bytes(b"no picture")
    model, benchmark = loaded["qwen2vl"], load_jsonl(file)
    report = answer_all(Generated(find_work(model, benchmark, PLAIN)), tmp_path / "s.zarr", TWO)
    vectors = open_store(tmp_path / "s.zarr")["qwen2vl-generated"]
    assert vectors.status[2] == Status.NOT_AN_IMAGE
    assert np.isnan(vectors.read([2])).all()
    assert report.failed == 1
    assert "2.png" in report.failures[0]


def test_without_labels_words_are_kept_and_read_as_no_class(loaded, write_benchmark, lines, tmp_path):
    unlabelled = load_jsonl(write_benchmark([{**line, "label": None} for line in lines]))
    answer_all(Generated(find_work(loaded["qwen2vl"], unlabelled, PLAIN)), tmp_path / "store.zarr", TWO)
    answers = open_store(tmp_path / "store.zarr")["qwen2vl-generated"].read()
    assert len(said(tmp_path / "store.zarr", "qwen2vl-generated")) == len(lines)
    assert not answers.any()


def test_a_caption_is_of_a_picture(loaded, write_benchmark, lines, tmp_path):
    lines[3] |= {"images": []}
    work = find_work(loaded["qwen2vl"], load_jsonl(write_benchmark(lines)), PLAIN)
    report = answer_all(CaptionScores(work, find_captions(work.benchmark, work.samples)), tmp_path / "store.zarr", TWO)
    assert report.failures == ["4: rejected: it shows no picture that a caption could be of"]
    assert open_store(tmp_path / "store.zarr")["qwen2vl-vqascore"].status.tolist().count(Status.REJECTED) == 1
