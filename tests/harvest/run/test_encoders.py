"""Encoders: a store holds what transformers' own model gives for each sample alone, and its own logits."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModel, AutoTokenizer
from typer.testing import CliRunner

from kit.encoders import FAMILIES, POSITIONS, READING, build_tokenizer, save_encoder
from kit.own import write_folder
from savs_analyze.cli import app as analyze
from savs_benchmarks import load_jsonl, load_picture
from savs_harvest.asking.class_templates import template_of
from savs_harvest.asking.few_shot import InContext
from savs_harvest.batches.embedding import EncoderBatching
from savs_harvest.batches.layout_check import load_model
from savs_harvest.cli import app
from savs_harvest.errors import ModelError
from savs_harvest.models.encoder_processors import TensorPictures
from savs_harvest.models.specs import ModelSpec
from savs_harvest.run.encoding import encode
from savs_harvest.run.harvest import harvest
from savs_harvest.run.listener import Listener
from savs_harvest.run.ranks import Rank
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import MismatchError, Status, class_vectors, open_store
from savs_stores.verification import verify

ROUNDING = {"rtol": 2**-11, "atol": 1e-5}  # half a step of float16, and fp32 sums in another order
SIZE = 16
CLASSES = ("even", "odd")


@pytest.fixture(scope="session")
def encoders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    return {family: save_encoder(family, folder / family) for family in FAMILIES}


@pytest.fixture(params=list(FAMILIES))
def kind(request):
    return request.param


@pytest.fixture
def model(encoders, kind):
    return load_model(ModelSpec(kind, str(encoders[kind])), "cpu")


@pytest.fixture(params=READING)
def reader(request, encoders):
    return load_model(ModelSpec(request.param, str(encoders[request.param])), "cpu")


@pytest.fixture
def benchmark(write_benchmark, lines):
    """Ten samples, one with two pictures, three with questions longer than the encoders here read."""
    lines[7] |= {"question": "is the digit odd or even ? " * 4}
    lines[8] |= {"question": "odd <pad> or <eos> even ?"}
    return load_jsonl(write_benchmark(lines))


class Own:
    """What transformers gives of a checkpoint, by its own processors; of DINOv3, which need torchvision, by hand."""

    def __init__(self, folder):
        self.model = AutoModel.from_pretrained(folder)
        self.type = self.model.config.model_type
        if self.type != "dinov3_vit":
            self.prepare = AutoImageProcessor.from_pretrained(folder, backend="pil")
        if self.type in READING:
            self.tokenizer = AutoTokenizer.from_pretrained(folder)

    def picture(self, image):
        """Return the embedding of one picture."""
        inputs = (
            self.prepare(images=load_picture(image), return_tensors="pt")
            if self.type != "dinov3_vit"
            else by_hand(image)
        )
        with torch.inference_mode():
            found = self.model.get_image_features(**inputs) if self.type in READING else self.model(**inputs)
        return found.pooler_output[0]

    def text(self, words):
        """Return the embedding of one text, read as its family does, and how many tokens it has."""
        padding = False if self.type == "clip" else "max_length"
        options = {"truncation": True, "max_length": POSITIONS, "padding": padding, "split_special_tokens": True}
        inputs = self.tokenizer([words], return_tensors="pt", **options)
        with torch.inference_mode():
            found = self.model.get_text_features(input_ids=inputs["input_ids"]).pooler_output[0]
        return found, inputs["input_ids"].shape[1]

    def logits(self, image, words):
        """Return the model's own logits of a picture against texts."""
        padding = True if self.type == "clip" else "max_length"
        texts = self.tokenizer(list(words), return_tensors="pt", padding=padding, max_length=POSITIONS, truncation=True)
        if self.type != "clip":
            texts = {"input_ids": texts["input_ids"]}
        with torch.inference_mode():
            return self.model(
                **texts, **self.prepare(images=load_picture(image), return_tensors="pt")
            ).logits_per_image[0]


def by_hand(image):
    """Return a picture as DINOv3 reads it: every colour resized by Pillow as floats."""
    pixels = np.asarray(load_picture(image), dtype=np.float32) / 255
    planes = [
        np.asarray(Image.fromarray(pixels[..., c]).resize((SIZE, SIZE), Image.Resampling.BILINEAR)) for c in range(3)
    ]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    normal = (np.stack(planes, -1) - mean) / std
    return {"pixel_values": torch.tensor(normal.transpose(2, 0, 1)[None], dtype=torch.float32)}


def harvest_small(model, benchmark, place, settings=Settings(), rank=Rank(), **told):  # noqa: B008  they are frozen
    return harvest(model, benchmark, place, settings, Keeping(shard_samples=4), rank, Listener(**told))


def heads_of(own, sample):
    """Return what every head must hold of a sample, and the tokens of its text."""
    found = torch.stack([own.picture(image) for image in sample.images])
    shown = found[0] if len(found) == 1 else torch.nn.functional.normalize(found, dim=-1).mean(0)
    if own.type not in READING:
        return [shown], 0
    text, tokens = own.text(sample.question)
    return [shown, text], tokens


def test_every_stored_row_is_what_the_sample_gives_alone(model, encoders, kind, benchmark, tmp_path):
    report = harvest_small(model, benchmark, tmp_path / "s.zarr")
    assert (report.statuses, report.failures) == ({"OK": 10}, [])
    store = open_store(tmp_path / "s.zarr")
    assert list(verify(store)) == []
    stored, own = store[kind], Own(encoders[kind])
    vectors = stored.read().astype(np.float32)
    assert vectors.shape[1] == (2 if kind in READING else 1)
    assert stored.heads.describe().endswith("(1 layers embedding)")
    for row, sample in enumerate(benchmark.samples()):
        expected, tokens = heads_of(own, sample)
        for head, vector in enumerate(expected):
            np.testing.assert_allclose(vectors[row, head], vector.numpy(), **ROUNDING)
        assert stored.n_tokens[row] == tokens
    assert np.abs(vectors[:, None, 0] - vectors[None, :, 0]).max(2)[np.triu_indices(10, 1)].min() > 1e-3


@pytest.mark.parametrize("pictures", [1, 3, 32])
def test_a_sample_does_not_depend_on_its_batch(model, benchmark, tmp_path, monkeypatch, pictures):
    monkeypatch.setattr("savs_harvest.run.settings.EncoderBatching", lambda: EncoderBatching(pictures))
    harvest_small(model, benchmark, tmp_path / "s.zarr")
    found = open_store(tmp_path / "s.zarr")[model.name].read().astype(np.float32)
    for row, sample in enumerate(benchmark.samples()):
        [alone] = encode(model, [[load_picture(image) for image in sample.images]], sample.question)
        np.testing.assert_allclose(found[row], alone.astype(np.float32), rtol=2**-10, atol=1e-5)


def test_batches_have_at_most_so_many_pictures_in_the_order_of_samples():
    batches = EncoderBatching(4).plan(None, [(shown, 0) for shown in (1, 2, 1, 1, 9, 1, 4)], [])
    assert batches == [[[0], [1], [2]], [[3]], [[4]], [[5]], [[6]]]


def test_logits_are_the_models_own_through_log_softmax(reader, encoders, benchmark, tmp_path):
    harvest_small(reader, benchmark, tmp_path / "s.zarr")
    stored, own = open_store(tmp_path / "s.zarr")[reader.name], Own(encoders[reader.name])
    for row, sample in enumerate(benchmark.samples()):
        if len(sample.images) == 1:
            logits = own.logits(sample.images[0], [f"a photo of a {name}." for name in CLASSES])
            np.testing.assert_allclose(stored.logits[row], logits.log_softmax(-1).numpy(), rtol=1e-4, atol=1e-4)
    assert np.isfinite(stored.logits).all()
    assert len(set(stored.logits[:, 0].tolist())) == 10


def test_class_vectors_stand_in_both_places_and_are_the_templates_embeddings(reader, encoders, benchmark, tmp_path):
    harvest_small(reader, benchmark, tmp_path / "s.zarr")
    own = Own(encoders[reader.name])
    [task] = benchmark.tasks
    found = class_vectors(open_store(tmp_path / "s.zarr").peek(reader.name))
    vectors = found.read(task).astype(np.float32)
    for place, name in enumerate(CLASSES):
        assert found.texts[task][name] == f"a photo of a {name}."
        for head in (0, 1):
            np.testing.assert_allclose(vectors[place, head], own.text(f"a photo of a {name}.")[0].numpy(), **ROUNDING)
    # The cosine with the picture's head, scaled, is zero-shot.
    pictures = open_store(tmp_path / "s.zarr")[reader.name].read().astype(np.float64)[:, 0]
    cosines = unit(pictures) @ unit(vectors[:, 0].astype(np.float64)).T
    logits = open_store(tmp_path / "s.zarr")[reader.name].logits
    scale = own.model.logit_scale.exp().item()
    np.testing.assert_allclose(logits[:, 0] - logits[:, 1], scale * (cosines[:, 0] - cosines[:, 1]), atol=scale * 2e-3)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_several_templates_are_the_mean_of_their_unit_embeddings(reader, encoders, benchmark, tmp_path):
    prompt = "a photo of a {class}.\nit is {class} ?"
    harvest_small(reader, benchmark, tmp_path / "s.zarr", Settings(class_prompt=prompt))
    own = Own(encoders[reader.name])
    [task] = benchmark.tasks
    vectors = class_vectors(open_store(tmp_path / "s.zarr").peek(reader.name)).read(task).astype(np.float32)
    for place, name in enumerate(CLASSES):
        each = [own.text(line.format(**{"class": name}))[0].numpy() for line in prompt.splitlines()]
        expected = unit(np.mean([unit(one) for one in each], axis=0))
        np.testing.assert_allclose(vectors[place, 0], expected, rtol=2**-11, atol=1e-5)
    with pytest.raises(MismatchError, match="answers"):
        harvest_small(reader, benchmark, tmp_path / "s.zarr")


@pytest.mark.parametrize(
    ("name", "template"),
    [("eurosat", "a centered satellite photo of {class}."), ("pets", "a photo of a {class}, a type of pet.")],
)
def test_benchmarks_have_their_own_template(name, template):
    assert template_of(name) == template
    for part in (f"{name}-60", f"{name}-td"):  # --limit 60, --wording td
        assert template_of(part) == template
    assert template_of("mine") == template_of(f"my{name}") == "a photo of a {class}."


def test_without_names_or_a_text_tower_there_are_no_logits(encoders, benchmark, write_benchmark, lines, tmp_path):
    yes_no = load_jsonl(write_benchmark([line | {"label": ("yes", "no")[n % 2]} for n, line in enumerate(lines)]))
    for name, of in (("clip", yes_no), ("dinov2", benchmark)):
        encoder = load_model(ModelSpec(name, str(encoders[name])), "cpu")
        harvest_small(encoder, of, tmp_path / f"{name}.zarr")
        opened = open_store(tmp_path / f"{name}.zarr")
        assert np.isnan(opened[name].logits).all()
        assert class_vectors(opened.peek(name)) is None


def test_texts_that_are_cut_are_counted(reader, benchmark, tmp_path):
    report = harvest_small(reader, benchmark, tmp_path / "s.zarr")
    assert "3 questions cut to 12 tokens, all that the encoder reads" in report.remarks
    assert any("several pictures" in remark for remark in report.remarks)
    stored = open_store(tmp_path / "s.zarr")[reader.name]
    assert set(report.remarks) <= set(stored.provenance["remarks"])


def test_a_bad_picture_costs_its_own_row_only(model, benchmark, tmp_path):
    harvest_small(model, benchmark, tmp_path / "good.zarr")
    folder = tmp_path / "mine"
    (folder / "1.png").write_bytes((folder / "1.png").read_bytes()[:60])
    (folder / "2.png").unlink()
    (folder / "5.png").write_bytes(b"<html>404</html>")  # also the second picture of sample 4
    report = harvest_small(model, benchmark, tmp_path / "bad.zarr")
    good, bad = (open_store(tmp_path / f"{name}.zarr")[model.name] for name in ("good", "bad"))
    failed = {1: Status.IMAGE_CORRUPT, 2: Status.IMAGE_MISSING, 4: Status.NOT_AN_IMAGE, 5: Status.NOT_AN_IMAGE}
    assert {row: status for row, status in enumerate(bad.status.tolist()) if status != Status.OK} == failed
    assert report.failed == 4
    left = [row for row in range(10) if row not in failed]
    np.testing.assert_allclose(bad.read(left).astype(float), good.read(left).astype(float), rtol=2**-10, atol=1e-5)


def test_words_alone_have_a_text_and_no_picture(encoders, write_benchmark, lines, tmp_path):
    words = [{"question": "is it odd ?", "label": "odd", "id": "words"}, *lines[:3]]
    mixed = load_jsonl(write_benchmark(words))
    for name in ("clip", "dinov2"):
        encoder = load_model(ModelSpec(name, str(encoders[name])), "cpu")
        report = harvest_small(encoder, mixed, tmp_path / f"{name}.zarr")
        stored = open_store(tmp_path / f"{name}.zarr")[name]
        if name == "clip":
            assert not stored.read()[0, 0].any()
            np.testing.assert_allclose(
                stored.read()[0, 1].astype(np.float32), Own(encoders[name]).text("is it odd ?")[0].numpy(), **ROUNDING
            )
            assert np.isnan(stored.logits[0]).all()
            assert np.isfinite(stored.logits[1:]).all()
        else:
            assert stored.status.tolist() == [Status.REJECTED, *[Status.OK] * 3]
            assert "reads pictures only" in report.failures[0]


def test_what_was_killed_is_finished_to_the_same_bytes(model, benchmark, tmp_path):
    harvest_small(model, benchmark, tmp_path / "whole.zarr")

    class Killed(Exception):
        pass

    def kill(samples, seen=[]):  # noqa: B006  it counts
        seen.append(samples)
        if sum(seen) > 5:
            raise Killed

    with pytest.raises(Killed):
        harvest_small(model, benchmark, tmp_path / "killed.zarr", samples=kill)
    assert open_store(tmp_path / "killed.zarr", allow_partial=True).peek(model.name).missing
    harvest_small(model, benchmark, tmp_path / "killed.zarr", rank=Rank(1, 2))
    harvest_small(model, benchmark, tmp_path / "killed.zarr", rank=Rank(0, 2))
    one, other = (open_store(tmp_path / f"{name}.zarr")[model.name] for name in ("whole", "killed"))
    assert one.records.tolist() == other.records.tolist()
    assert one.fingerprint == other.fingerprint


@pytest.mark.slow
def test_workers_prepare_the_same(encoders, benchmark, tmp_path):
    clip = load_model(ModelSpec("clip", str(encoders["clip"])), "cpu")
    for workers in (0, 1):
        harvest_small(clip, benchmark, tmp_path / f"{workers}.zarr", Settings(workers=workers))
    one, other = (open_store(tmp_path / f"{workers}.zarr")["clip"] for workers in (0, 1))
    assert one.records.tolist() == other.records.tolist()


def test_what_does_not_fit_runs_in_halves(encoders, benchmark, tmp_path, monkeypatch):
    clip = load_model(ModelSpec("clip", str(encoders["clip"])), "cpu")
    whole = type(clip).of_pictures

    def small(self, inputs):
        if len(inputs["pixel_values"]) > 2:
            raise torch.OutOfMemoryError("full")
        return whole(self, inputs)

    harvest_small(clip, benchmark, tmp_path / "whole.zarr")
    monkeypatch.setattr(type(clip), "of_pictures", small)
    report = harvest_small(clip, benchmark, tmp_path / "halved.zarr")
    assert report.failed == 0
    assert report.halved > 0
    one, other = (open_store(tmp_path / f"{name}.zarr")["clip"].read() for name in ("whole", "halved"))
    np.testing.assert_allclose(one.astype(float), other.astype(float), rtol=2**-10, atol=1e-5)


def test_options_of_prompts_are_refused_in_words(encoders, benchmark, tmp_path):
    clip = load_model(ModelSpec("clip", str(encoders["clip"])), "cpu")
    asked = {
        "--icl": Settings(in_context=InContext(2)),
        "--pack": Settings(pack=True),
        "--no-share": Settings(share=False),
        "--parity": Settings(parity=("anyres",)),
        "--batch-tokens": Settings(token_budget=50),
    }
    for option, settings in asked.items():
        with pytest.raises(ModelError, match=f"clip is an encoder.*leave out {option}"):
            harvest_small(clip, benchmark, tmp_path / "s.zarr", settings)
    with pytest.raises(ModelError, match="--adapter is for models that answer"):
        load_model(ModelSpec("clip", str(encoders["clip"]), adapter=str(tmp_path)), "cpu")


def test_files_that_are_none_of_ours_are_refused_in_words(tmp_path):
    (tmp_path / "open_clip_config.json").write_text("{}")
    with pytest.raises(ModelError, match="laid out for open_clip: convert it"):
        load_model(ModelSpec("dfn", str(tmp_path)), "cpu")
    other = save_encoder("dinov2", tmp_path / "dinov2")
    (other / "model.safetensors").rename(other / "pytorch_model.bin")
    with pytest.raises(ModelError, match="no weights in safetensors"):
        load_model(ModelSpec("dinov2", str(other)), "cpu")


def test_dinov3_pictures_are_resized_as_floats():
    image = Image.effect_noise((37, 29), 90).convert("RGB")
    settings = {"size": {"height": SIZE, "width": SIZE}, "resample": 2}
    normal = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    found = TensorPictures({**settings, **normal})([image])["pixel_values"]
    np.testing.assert_allclose(found.numpy(), by_hand(image)["pixel_values"].numpy(), atol=1e-4)


def test_siglip2_of_gemmas_tokenizer_reads_small_letters(tmp_path):
    folder = save_encoder("siglip", tmp_path / "siglip2")
    build_tokenizer("siglip", lower=False).save_pretrained(folder)
    said = json.loads((folder / "tokenizer_config.json").read_text())
    plain = load_model(ModelSpec("one", str(folder)), "cpu")
    assert not torch.equal(plain.processor.tokens("ODD"), plain.processor.tokens("odd"))
    (folder / "tokenizer_config.json").write_text(json.dumps(said | {"tokenizer_class": "GemmaTokenizerFast"}))
    monkey = load_model(ModelSpec("two", str(folder)), "cpu")
    assert torch.equal(monkey.processor.tokens("ODD"), monkey.processor.tokens("odd"))
    assert "small letters" in monkey.remarks[0]
    assert monkey.identity["texts"].endswith("in small letters")


def test_siglips_tokenizer_is_refused_without_its_libraries(tmp_path, monkeypatch):
    folder = save_encoder("siglip", tmp_path / "siglip")
    said = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(said | {"tokenizer_class": "SiglipTokenizer"}))
    monkeypatch.setattr("transformers.utils.is_sentencepiece_available", lambda: False)
    with pytest.raises(ModelError, match="pip install sentencepiece protobuf"):
        load_model(ModelSpec("siglip", str(folder)), "cpu")


def run(*words):
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_the_commands_plan_run_and_sweep(encoders, benchmark, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoder, data = encoders["siglip"], tmp_path / "mine" / "parity.jsonl"
    planned = run("plan", "--model", encoder, "--data", data, "--measure")
    assert "siglip: 1 layers x 2 heads x 16 (1 layers embedding)" in planned
    run("run", "--model", encoder, "--data", data, "--store", "s.zarr", "--device", "cpu")
    assert "nothing, the store is complete" in run("plan", "--model", encoder, "--data", data, "--store", "s.zarr")


@pytest.mark.slow
def test_an_analysis_runs_on_the_store(encoders, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run("run", "--model", encoders["clip"], "--data", "digits", "--store", "s.zarr", "--limit", "300")
    methods = ["zero-shot", "savs", "kernel-ridge", "linear-probe-all", "gaussian-text"]
    words = [word for method in methods for word in ("--method", method)]
    done = CliRunner().invoke(analyze, ["sweep", "--store", "s.zarr", *words, "--shots", "5", "--draws", "2"])
    assert done.exit_code == 0, (done.output, done.exception)
    rows = pd.read_csv("results/s/rows.csv")
    assert set(rows["method"]) == set(methods)
    assert set(rows["heads"]) <= {0, 1, 2}  # as many as there are, however many were asked for
    table = CliRunner().invoke(analyze, ["table", "results/s"])
    assert "2 heads" in table.output


def refused(*words):
    done = CliRunner().invoke(app, list(map(str, words)))
    assert isinstance(done.exception, ModelError)
    return str(done.exception)


def test_what_an_encoder_has_not_is_refused_in_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in ("generate", "vqascore"):
        assert "tiny-clip is an encoder: it answers no question" in refused(
            command, "--model", "tiny-clip", "--data", "digits"
        )
    assert "--site residual is for models that answer" in refused(
        "run", "--model", "tiny-clip", "--data", "digits", "--site", "residual"
    )
    assert "is an encoder (clip): it has no prompt" in refused("data", "show", "digits", "--model", "tiny-clip")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["tiny-clip", "dinov2"])
def test_a_classifier_is_fitted_on_it_and_answers(model, encoders, tmp_path, monkeypatch):
    """The embedded encoder need not be named again; a folder must be."""
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "pics", per_class=12)
    named = encoders.get(model, model)
    run(
        "fit",
        "--model",
        named,
        "--data",
        "pics",
        "--question",
        "which digit ?",
        "--out",
        "c.safetensors",
        "--shots",
        "8",
    )
    words = [] if model == "tiny-clip" else ["--model", named]
    answers = [line.split() for line in run("predict", "c.safetensors", "pics/one", *words).splitlines()]
    found = [line[1] for line in answers if line[0].startswith("pics/one")]
    assert len(found) == 12
    if model == "tiny-clip":
        assert found.count("one") >= 10
