"""A checkpoint as its files lie on the hub today and as they lay there in 2024 is one model, to the last bit."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from savs_benchmarks.digits.digits import benchmark_pictures
from savs_harvest.batches.layout_check import load_model
from savs_harvest.models.heads import capture_heads, last_real_token
from savs_harvest.models.prompts import prepare
from savs_harvest.models.specs import ModelSpec

# Weights in a model's own words: (how a name begins in files of 2024 and in saved ones, how in the model).
MODEL_NAMES = {
    "qwen2vl": [("model.", "model.language_model."), ("visual.", "model.visual.")],
    "llava-ov": [
        ("language_model.model.", "model.language_model."),
        ("language_model.lm_head.", "lm_head."),
        ("vision_tower.", "model.vision_tower."),
        ("multi_modal_projector.", "model.multi_modal_projector."),
        ("image_newline", "model.image_newline"),
    ],
}


def rename(folder, names):
    def renamed(name):
        return next((after + name.removeprefix(before) for before, after in names if name.startswith(before)), name)

    weights = {renamed(name): weight for name, weight in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def read(folder, name):
    return json.loads((folder / name).read_text())


def split_processor(folder, image_processor, processor):
    """Write what is one processor_config.json today as the three files of 2024."""
    settings = read(folder, "processor_config.json")
    images = settings["image_processor"] | {"image_processor_type": image_processor, "processor_class": processor}
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    (folder / "chat_template.jinja").unlink()
    (folder / "processor_config.json").unlink()
    return settings


def old_qwen2vl(folder):
    settings = read(folder, "processor_config.json")["image_processor"]["size"]
    split_processor(folder, "Qwen2VLImageProcessor", "Qwen2VLProcessor")
    images = read(folder, "preprocessor_config.json")
    images |= {"min_pixels": settings["shortest_edge"], "max_pixels": settings["longest_edge"]}
    images.pop("size")
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    config = read(folder, "config.json")
    text = config.pop("text_config")
    rope = text.pop("rope_parameters")
    text |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "mrope", "mrope_section": rope["mrope_section"]},
    }
    text.pop("model_type")
    config["torch_dtype"] = config.pop("dtype")
    config["vision_config"] |= {"in_chans": 3, "spatial_patch_size": config["vision_config"]["patch_size"]}
    (folder / "config.json").write_text(json.dumps(text | config))


def old_llava_onevision(folder):
    settings = split_processor(folder, "LlavaOnevisionImageProcessor", "LlavaOnevisionProcessor")
    kept = ("num_image_tokens", "vision_feature_select_strategy", "image_token", "video_token", "processor_class")
    (folder / "processor_config.json").write_text(
        json.dumps({name: settings[name] for name in kept if name in settings})
    )
    config = read(folder, "config.json")
    config["torch_dtype"] = config.pop("dtype")
    config["text_config"]["rope_theta"] = config["text_config"].pop("rope_parameters")["rope_theta"]
    (folder / "config.json").write_text(json.dumps(config))


LAYOUTS = {
    ("qwen2vl", "files of 2024"): old_qwen2vl,
    ("llava-ov", "files of 2024"): old_llava_onevision,
    ("qwen2vl", "weights by the model's names"): lambda folder: rename(folder, MODEL_NAMES["qwen2vl"]),
    ("llava-ov", "weights by the model's names"): lambda folder: rename(folder, MODEL_NAMES["llava-ov"]),
}


@pytest.mark.parametrize(("family", "layout"), LAYOUTS, ids="-".join)
def test_every_layout_of_the_hub_gives_the_same_bits(checkpoints, loaded, family, layout, tmp_path):
    folder = shutil.copytree(checkpoints[family], tmp_path / family)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    LAYOUTS[family, layout](folder)
    assert before != {path.name: path.read_bytes() for path in folder.iterdir()}
    then, now = load_model(ModelSpec(family, str(folder), "float32"), "cpu"), loaded[family]
    pictures = [benchmark_pictures("pool", 1)[0].resize((40, 32)), benchmark_pictures("pool", 2)[0]]
    for shown in (pictures[:1], pictures):
        first, second = (prepare(model.processor, shown, "which digit is this ?") for model in (then, now))
        assert set(first) == set(second)
        assert all(torch.equal(first[name], second[name]) for name in first)
        captured = []
        for model in (then, now):
            last = last_real_token(first["attention_mask"])
            with capture_heads(model.projections, last) as vectors, torch.inference_mode():
                model.model(**first)
            captured.append(vectors)
        assert torch.equal(*captured)
        assert captured[0].std() > 0.1
