"""Models of exact shapes with random weights, built where they run: nothing is downloaded, nothing is saved."""

from dataclasses import dataclass, field, replace

import torch
from official import single_inputs
from PIL import Image
from transformers import AutoConfig, AutoModelForImageTextToText

from kit import families
from savs_harvest.models.families import rules
from savs_harvest.models.heads import check_capture, find_projections
from savs_harvest.models.loading import LoadedModel
from savs_harvest.models.patches import use_patch_products
from savs_harvest.models.processors import load_processor

# The languages are those of Qwen2; what the published configurations share.
QWEN2_7B = {
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
}
QWEN2_2B = {
    "hidden_size": 1536,
    "intermediate_size": 8960,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
}
QWEN2_HALF = {
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
}
IDS = {name: families.TEXT[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
SIGLIP_SO400M = {
    "model_type": "siglip_vision_model",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 26,
    "num_attention_heads": 16,
    "image_size": 384,
    "patch_size": 14,
    "vision_use_head": False,
}
PINPOINTS = [[384 * rows, 384 * columns] for rows in range(1, 7) for columns in range(1, 7)]
QWEN_IMAGE = {"patch_size": 14, "merge_size": 2, "size": {"shortest_edge": 3136, "longest_edge": 12845056}}
LLAVA_IMAGE = {"size": {"height": 384, "width": 384}, "image_grid_pinpoints": PINPOINTS}


@dataclass(frozen=True)
class Shape:
    """A model by its configuration, with the settings of its image processor."""

    name: str
    family: str
    config: dict
    image: dict = field(default_factory=dict)
    image_tokens: int | None = None

    @property
    def full_config(self):
        return AutoConfig.for_model(self.family, **self.config)


def _qwen2_vl(name, text, tied):
    rope = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
    config = {
        **families.QWEN_IDS,
        "text_config": {**IDS, **text, "rope_parameters": rope, "max_position_embeddings": 32768},
        "vision_config": {
            "depth": 32,
            "embed_dim": 1280,
            "hidden_size": text["hidden_size"],
            "num_heads": 16,
            "mlp_ratio": 4,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
        },
        "tie_word_embeddings": tied,
    }
    return Shape(name, "qwen2_vl", config, QWEN_IMAGE)


def _llava_onevision(name, text, tied):
    rope = {"rope_type": "default", "rope_theta": 1e6}
    config = {
        "text_config": {
            **IDS,
            **text,
            "model_type": "qwen2",
            "vocab_size": 152000,
            "rope_parameters": rope,
            "max_position_embeddings": 32768,
            "tie_word_embeddings": tied,
        },
        "vision_config": SIGLIP_SO400M,
        "image_token_index": families.token("<image>"),
        "video_token_index": families.token("<video>"),
        "image_grid_pinpoints": PINPOINTS,
        "vision_aspect_ratio": "anyres_max_9",
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "full",
        "tie_word_embeddings": tied,
    }
    return Shape(name, "llava_onevision", config, LLAVA_IMAGE, (384 // 14) ** 2)


def _tiny(family):
    return Shape(f"tiny-{family}", family, families.FAMILIES[family][0])


# Models of both of the papers' families, by size.
SHAPES = {
    "7b": (
        _llava_onevision("llava-onevision-7b", QWEN2_7B, tied=False),
        _qwen2_vl("qwen2-vl-7b", {**QWEN2_7B, "vocab_size": 152064}, tied=False),
    ),
    "small": (
        _llava_onevision("llava-onevision-0.5b", QWEN2_HALF, tied=True),
        _qwen2_vl("qwen2-vl-2b", {**QWEN2_2B, "vocab_size": 151936}, tied=True),
    ),
    "tiny": (_tiny("llava_onevision"), _tiny("qwen2_vl")),
}


def build_model(shape, device, dtype):
    """Return the model on the device; on `meta` it has shapes only."""
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(shape.full_config, dtype=dtype)
    return (model if device == "meta" else families.randomize_to_scale(model)).eval()


def weights_bytes(shape, dtype):
    return sum(p.numel() for p in build_model(shape, "meta", dtype).parameters()) * dtype.itemsize


def build(shape, device, dtype, folder):
    """Return the model ready to harvest; its processor lies in the folder, where other processes find it."""
    processor = families.build_processor(shape.family, **shape.image)
    if shape.image_tokens:
        processor.num_image_tokens = shape.image_tokens
    processor.save_pretrained(folder)
    model = build_model(shape, device, dtype)
    model.config.save_pretrained(folder)  # which says whether there is a processor for pictures
    use_patch_products(model)
    identity = {"model": shape.name, "weights": "random"}
    found = LoadedModel(
        shape.name, model, load_processor(folder), find_projections(model), identity, folder, rules(model.config)
    )
    probe = single_inputs(found, [Image.radial_gradient("L").convert("RGB")], "yes")
    return replace(found, projections=check_capture(model, found.projections, probe))
