"""Models that read words alone: a folder with a tokenizer and no processor is harvested as any other."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tokenizers.processors import TemplateProcessing
from transformers import AutoConfig, AutoTokenizer
from typer.testing import CliRunner

from kit.alone import SHAPES, check_store
from kit.families import BASE, LANGUAGE, SHORTENED, save_language_model
from savs_benchmarks import load_jsonl
from savs_harvest.asking.preparing import Question
from savs_harvest.batches.layout_check import load_model
from savs_harvest.cli import commands as cli
from savs_harvest.errors import ModelError
from savs_harvest.models.families import rules
from savs_harvest.models.loading import empty_model
from savs_harvest.models.processors import NO_TEMPLATE, load_processor
from savs_harvest.models.prompts import prepare, render
from savs_harvest.models.specs import ModelSpec, find_model
from savs_harvest.run.encoding import Encoder, encode
from savs_harvest.run.harvest import harvest
from savs_harvest.run.settings import Settings
from savs_harvest.run.writing import Keeping
from savs_stores import Status, open_store

EVERY = pytest.mark.parametrize("words_model", LANGUAGE, indirect=True)
LLAMA = pytest.mark.parametrize("words_model", ["llama"], indirect=True)
ASKED = [
    *("is it odd ?", "look carefully , is the digit odd , or is it even ? please answer", "name it"),
    *("are both digits equal ? please answer yes or no .", "say what you see .", "<image> odd ? <|im_end|>", "odd ?"),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Return a function that gives the folder of a random language model, made once."""
    place = tmp_path_factory.mktemp("language")

    def folder(name):
        return place / name if (place / name).exists() else save_language_model(name, place / name)

    return folder


def spec_of(folder):
    return ModelSpec("words", str(folder), "float32")


@pytest.fixture(scope="module")
def words_model(request, folders):
    return load_model(spec_of(folders(request.param)), "cpu")


@pytest.fixture
def texts(tmp_path):
    rows = [{"question": words, "label": ("even", "odd")[n % 2]} for n, words in enumerate(ASKED)]
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "texts.jsonl"


@EVERY
def test_every_stored_vector_is_what_the_text_gives_alone(words_model, texts, tmp_path):
    shape = SHAPES[words_model.model.config.model_type]
    assert [(p.layer, p.heads, p.head_dim, p.kind) for p in words_model.projections] == list(shape)
    harvest(words_model, load_jsonl(texts), tmp_path / "s.zarr", keeping=Keeping(shard_samples=4))
    check_store(words_model, load_jsonl(texts), tmp_path / "s.zarr")
    identity = open_store(tmp_path / "s.zarr")["words"].identity
    assert (identity["image_processor"], identity["image_backend"]) == (None, None)


@EVERY
def test_texts_are_packed_where_no_layer_has_a_window(words_model, texts, tmp_path):
    if words_model.model.config.model_type in ("mistral", "gemma2", "gemma3_text", "opt"):
        assert not words_model.family.packs
        with pytest.raises(ModelError, match="cannot be packed"):
            harvest(words_model, load_jsonl(texts), tmp_path / "s.zarr", Settings(pack=True))
        return
    before = words_model.model.config._attn_implementation
    harvest(words_model, load_jsonl(texts), tmp_path / "s.zarr", Settings(pack=True))
    check_store(words_model, load_jsonl(texts), tmp_path / "s.zarr")
    assert words_model.model.config._attn_implementation == before


@EVERY
def test_what_the_rules_say_of_a_family_holds(words_model):
    """What the loaded model's own check does not confirm would be among the remarks."""
    assert words_model.family == rules(words_model.model.config)
    expected = (NO_TEMPLATE,) if words_model.model.config.model_type in BASE else ()
    assert words_model.remarks == expected


@EVERY
def test_the_prompt_is_what_the_template_says_or_a_plain_form(words_model):
    base = words_model.model.config.model_type in BASE
    written = "odd ?\nAnswer:" if base else "<|im_start|>user\nodd ?<|im_end|>\n<|im_start|>assistant\n"
    assert render(words_model.processor, 0, "odd ?") == written
    tokenizer = words_model.processor.tokenizer
    ids = prepare(words_model.processor, [], "odd ?")["input_ids"][0].tolist()
    assert ids == tokenizer.encode(written, add_special_tokens=False)


@pytest.mark.parametrize("template", [True, False])
def test_a_token_that_the_tokenizer_puts_in_front_stands_there_once(tmp_path, template):
    """As Llama's and Mistral's do; some templates write it themselves."""
    save_language_model("llama", tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    front = ("<|endoftext|>", tokenizer.convert_tokens_to_ids("<|endoftext|>"))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{front[0]} $A", special_tokens=[front])
    tokenizer.bos_token = front[0]
    tokenizer.chat_template = f"{{{{ bos_token }}}}{tokenizer.chat_template}" if template else None
    tokenizer.save_pretrained(tmp_path)
    ids = prepare(load_processor(tmp_path), [], "odd ?")["input_ids"][0].tolist()
    assert ids[0] == front[1]
    assert ids.count(front[1]) == 1
    assert load_model(spec_of(tmp_path), "cpu").family == rules(AutoConfig.from_pretrained(tmp_path))


@LLAMA
def test_texts_are_prepared_by_processes_of_their_own(words_model, texts, tmp_path):
    harvest(words_model, load_jsonl(texts), tmp_path / "s.zarr", Settings(workers=1))
    check_store(words_model, load_jsonl(texts), tmp_path / "s.zarr")


@LLAMA
def test_shots_stand_before_a_text(words_model, texts, tmp_path):
    from savs_harvest.asking.few_shot import InContext

    settings = Settings(in_context=InContext(shots=2))
    report = harvest(words_model, load_jsonl(texts), tmp_path / "s.zarr", settings)
    assert report.statuses == {"OK": len(ASKED)}
    assert open_store(tmp_path / "s.zarr")["words-icl2"].n_tokens.min() > 20


@pytest.mark.parametrize("words_model", ["gpt2"], indirect=True)
def test_a_text_with_more_positions_than_the_model_has_is_not_run(words_model):
    found = Encoder(words_model).run([Question((), "odd ? " * 40), Question((), "odd ?")])
    assert found.status.tolist() == [Status.TOO_LONG, Status.OK]


@pytest.mark.parametrize("name", SHORTENED)
def test_the_layers_that_stay_give_the_same_to_the_bit(folders, name):
    whole, part = (load_model(spec_of(folders(name)), "cpu", layers=layers) for layers in (None, 1))
    assert part.remarks == whole.remarks
    assert len(part.model.model.layers) == 1
    asked = [Question((), words) for words in ASKED[:4]]
    heads = part.projections[0].heads
    assert (Encoder(part).run(asked).vectors == Encoder(whole).run(asked).vectors[:, :heads]).all()


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_an_adapter_is_merged(folders, tmp_path):
    model = load_model(spec_of(folders("llama")), "cpu").model
    torch.manual_seed(1)
    wrapped = get_peft_model(model, LoraConfig(r=4, target_modules=r".*(q_proj|o_proj|up_proj)"))
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.2)
    wrapped.save_pretrained(tmp_path / "lora")
    merged = load_model(find_model(str(folders("llama")), str(tmp_path / "lora")), "cpu")
    inputs = prepare(merged.processor, [], "odd ?")
    with torch.inference_mode():
        expected, found = wrapped(**inputs).logits, merged.model(**inputs).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert merged.identity["adapter"]


# Pictures


def pictured(tmp_path):
    from savs_benchmarks.digits.digits import benchmark_pictures

    benchmark_pictures("test", 3)[0].save(tmp_path / "3.png")
    rows = [{"question": "odd ?", "label": "a"}, {"question": "odd ?", "label": "b", "image": "3.png", "id": "shown"}]
    (tmp_path / "mixed.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path / "mixed.jsonl"


REFUSED = "is a language model and reads no pictures: 1 of 2 samples of mixed show some, first 'shown'"


@LLAMA
def test_pictures_are_refused(words_model, tmp_path):
    with pytest.raises(ModelError, match=REFUSED):
        harvest(words_model, load_jsonl(pictured(tmp_path)), tmp_path / "s.zarr")
    assert not (tmp_path / "s.zarr").exists()
    with pytest.raises(ValueError, match="sample 0: rejected: it is a language model and reads no pictures"):
        encode(words_model, [tmp_path / "3.png"], "odd ?")
    assert encode(words_model, [[], ()], "odd ?").shape == (2, 8, 8)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_pictures_are_refused_before_weights_are_read(folders, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(folders("llama"), tmp_path / "llama")
    (tmp_path / "llama/model.safetensors").write_bytes(b"never read")
    data = str(pictured(tmp_path))
    done = CliRunner().invoke(cli.app, [command, "--model", "llama", "--data", data], standalone_mode=False)
    assert REFUSED in str(done.exception)


def test_the_commands_know_language_models(folders, tmp_path, texts, monkeypatch):
    """From a forecast to answers: pictures are refused by the classifier, too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    rows = [{"question": f"is {n} odd ?", "label": ("even", "odd")[n % 2]} for n in range(60)]
    texts.write_text("\n".join(map(json.dumps, rows)))
    model = str(folders("llama"))

    def said(*words):
        done = CliRunner().invoke(cli.app, list(map(str, words)))
        return done.exit_code, done.stdout + done.stderr

    code, words = said("plan", "--model", model, "--data", texts)
    assert code == 0, words
    assert "60 samples" in words or "samples    60" in words
    code, words = said("data", "show", texts, "--model", model)
    assert "pictures   none" in words
    assert "  | <|im_start|>user" in words
    fitted = said(
        "fit", "--model", model, "--data", texts, "--method", "ridge", "--shots", 10, "--out", "c.safetensors"
    )
    assert fitted[0] == 0, fitted[1]
    code, words = said("predict", "c.safetensors", texts, "--model", model, "--out", "answers.csv")
    assert code == 0, words
    assert "60 texts, " in words
    lines = (tmp_path / "answers.csv").read_text().splitlines()
    assert len(lines) == 61
    assert lines[1].startswith("1,")
    mixed = pictured(tmp_path)
    for source in ("3.png", mixed):
        done = CliRunner().invoke(cli.app, ["predict", "c.safetensors", str(source), "--model", model])
        assert "a language model, which reads no pictures" in str(done.exception)
    code, words = said("models")
    assert "language models, too" in words


# What is no checkpoint


def test_a_gguf_is_no_checkpoint(tmp_path):
    (tmp_path / "model.Q4.gguf").write_bytes(b"GGUF")
    with pytest.raises(ModelError, match=r"holds model\.Q4\.gguf: a GGUF file is no checkpoint"):
        empty_model(find_model(str(tmp_path)))
    with pytest.raises(ModelError, match="a GGUF file is no checkpoint"):
        find_model(str(tmp_path / "model.Q4.gguf"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "t5"}, "is a 't5': transformers knows no model of pictures and text, or of text, by it"),
        (
            {"auto_map": {"AutoModelForCausalLM": "code.Mine"}, "model_type": "mine"},
            "code of its own, which is never run",
        ),
    ],
)
def test_other_models_and_code_are_refused(folders, tmp_path, change, words):
    shutil.copytree(folders("llama"), tmp_path / "llama")
    config = json.loads((tmp_path / "llama/config.json").read_text()) | change
    (tmp_path / "llama/config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=words):
        empty_model(spec_of(tmp_path / "llama"))


def test_pickled_weights_are_refused(folders, tmp_path):
    shutil.copytree(folders("llama"), tmp_path / "llama")
    (tmp_path / "llama/model.safetensors").rename(tmp_path / "llama/pytorch_model.bin")
    with pytest.raises(ModelError, match="weights"):
        load_model(spec_of(tmp_path / "llama"), "cpu")


def test_a_folder_without_a_tokenizer_is_refused(folders, tmp_path):
    shutil.copytree(folders("llama"), tmp_path / "llama")
    for file in tmp_path.glob("llama/tokenizer*"):
        file.unlink()
    with pytest.raises(ModelError, match="its processor"):
        load_processor(tmp_path / "llama")
