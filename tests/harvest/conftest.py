"""Tiny random models of both of the papers' families, saved as ordinary checkpoints and loaded as any other."""

import json
import shutil

import pytest
import torch
from transformers import (
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionProcessor,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
)
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

from kit.families import word_tokenizer
from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.loading import quiet_libraries
from savs_harvest.models.processors import image_only
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import ModelSpec
from savs_harvest.models.tiny import CHECKPOINT
from savs_harvest.models.tiny.corpus import vocabulary
from savs_harvest.models.tiny.processor import build_processor

quiet_libraries()
torch.set_num_threads(1)  # the models are tiny

LLAVA_TOKENS = ("<|endoftext|>", "<unk>", "<|im_start|>", "<|im_end|>", "<image>", "<video>")
LLAVA_TEMPLATE = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>
{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def randomize(model):
    """Give every weight a size at which attention is far from uniform and layers differ."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3 if parameter.ndim > 1 else 0.5)
    return model


def save_qwen2vl(folder, **text_config):
    """Write a Qwen2-VL of 2 layers, 4 heads x 8 on 2 key-value heads."""
    processor = build_processor()
    token = processor.tokenizer.convert_tokens_to_ids
    config = Qwen2VLConfig(
        text_config={
            "vocab_size": len(processor.tokenizer),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
            "bos_token_id": None,
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
            "tie_word_embeddings": True,
            **text_config,
        },
        vision_config={
            "depth": 1,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 4,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    randomize(Qwen2VLForConditionalGeneration(config)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_llava_onevision(folder):
    """Write a LLaVA-OneVision of 2 layers, 4 heads x 8; 4 image tokens a tile."""
    words = [*LLAVA_TOKENS, *vocabulary()]
    tokenizer = word_tokenizer(words, additional_special_tokens=["<|im_start|>", "<image>", "<video>"])
    pinpoints = [[16, 16], [16, 32], [32, 16], [32, 32]]
    processor = image_only(LlavaOnevisionProcessor)(
        image_processor=LlavaOnevisionImageProcessorPil(
            size={"height": 16, "width": 16}, image_grid_pinpoints=pinpoints
        ),
        tokenizer=tokenizer,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=LLAVA_TEMPLATE,
    )
    config = LlavaOnevisionConfig(
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(words),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "bos_token_id": None,
            "eos_token_id": words.index("<|im_end|>"),
            "pad_token_id": words.index("<|endoftext|>"),
        },
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 16,
            "patch_size": 8,
            "vision_use_head": False,
        },
        image_token_index=words.index("<image>"),
        video_token_index=words.index("<video>"),
        image_grid_pinpoints=pinpoints,
    )
    randomize(LlavaOnevisionForConditionalGeneration(config)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Folders of the random checkpoints by family; a test that changes one copies it first."""
    folder = tmp_path_factory.mktemp("checkpoints")
    return {
        "qwen2vl": save_qwen2vl(folder / "qwen2vl"),
        "llava-ov": save_llava_onevision(folder / "llava-ov"),
    }


@pytest.fixture
def copy(checkpoints, tmp_path):
    """Return a function that copies a family's checkpoint into a place of its own, always under one name."""

    def make(family="qwen2vl", place="here"):
        return shutil.copytree(checkpoints[family], tmp_path / place / "mine")

    return make


@pytest.fixture
def load(checkpoints):
    """Return a function that loads a family afresh."""
    return lambda family: load_model(ModelSpec(family, str(checkpoints[family]), "float32"), "cpu")


@pytest.fixture(scope="session")
def loaded(checkpoints):
    """The random models by family; no test changes them."""
    return {family: load_model(ModelSpec(family, str(path), "float32"), "cpu") for family, path in checkpoints.items()}


@pytest.fixture(params=["qwen2vl", "llava-ov"])
def family(request):
    return request.param


@pytest.fixture
def model(loaded, family):
    return loaded[family]


@pytest.fixture(scope="session")
def prompts():
    """Pictures and questions of different sizes and lengths, one with two pictures."""
    one, two, three = (benchmark_pictures("pool", digit)[0] for digit in (1, 2, 3))
    return [
        ([one], "which digit is this ?"),
        ([two.resize((64, 30))], "name it"),
        ([three.resize((40, 32)), one], "are both digits equal ? please answer yes or no ."),
        ([three], "say what you see ."),
    ]


@pytest.fixture
def singles(model, prompts):
    """The model's inputs of every prompt alone."""
    return [prepare(model.processor, pictures, question) for pictures, question in prompts]


@pytest.fixture
def lines():
    """Ten lines of a benchmark: other sizes and lengths each, one with two pictures."""
    questions = ["odd or even ?", "is the digit odd or even ?", "look carefully , is it odd , or is it even ?"]
    rows = [{"images": [f"{i}.png"], "question": questions[i % 3], "label": ("even", "odd")[i % 2]} for i in range(10)]
    rows[4] |= {"images": ["4.png", "5.png"], "id": "two pictures"}
    return rows


@pytest.fixture
def write_benchmark(tmp_path):
    """Return a function that writes lines and the pictures they name; gives the file."""

    def write(rows, folder="mine"):
        (tmp_path / folder).mkdir(exist_ok=True)
        for digit in range(10):
            picture = benchmark_pictures("test", digit)[0].resize((32 + 6 * (digit % 3), 32 + 9 * (digit % 2)))
            picture.save(tmp_path / folder / f"{digit}.png")
        file = tmp_path / folder / "parity.jsonl"
        file.write_text("\n".join(map(json.dumps, rows)))
        return file

    return write


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the hub that holds the tiny model as owner/name, without a connection; its folder there."""
    folder = tmp_path / "hub" / "models--owner--name"
    shutil.copytree(CHECKPOINT, folder / "snapshots" / ("1" * 40))
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("1" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return folder / "snapshots" / ("1" * 40)
