"""Tiny random checkpoints of many families, saved as ordinary folders: a configuration, weights, and a processor."""

import inspect
from pathlib import Path

import torch
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedTokenizerFast
from transformers.models.auto.image_processing_auto import (
    IMAGE_PROCESSOR_MAPPING_NAMES,
    get_image_processor_class_from_name,
)

from savs_harvest.models.processors import NOT_READ, family_processor
from savs_harvest.models.tiny.corpus import vocabulary

SPECIAL = (
    *("<|endoftext|>", "<unk>", "<|im_start|>", "<|im_end|>", "<image>", "<video>", "<fake_token_around_image>"),
    *("<global-img>", "<end_of_utterance>", "<start_of_image>", "<end_of_image>", "<image_soft_token>"),
    *("<img>", "</img>", "<IMG_CONTEXT>", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "<|image|>", "<|python_tag|>"),
    *("<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>", "<audio>", "<boa>", "<eoa>"),
    *("<|video|>", "<|imgpad|>", "<|audio_comp_pad|>"),
    *("<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>", "TILE_GLOBAL"),
    *(f"TILE_{i}" for i in range(1, 10)),
    *(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)),
)
TEMPLATE = """{{% for message in messages %}}<|im_start|>{{{{ message['role'] }}}}
{{% if message['content'] is string %}}{{{{ message['content'] }}}}{{% else %}}{{% for part in message['content'] %}}\
{{% if part['type'] == 'image' %}}{image}{{% else %}}{{{{ part['text'] }}}}{{% endif %}}{{% endfor %}}{{% endif %}}\
<|im_end|>
{{% endfor %}}{{% if add_generation_prompt %}}<|im_start|>assistant
{{% endif %}}"""
WORDS = [*SPECIAL, *vocabulary()]


def token(word):
    return WORDS.index(word)


def word_tokenizer(words, **special):
    """Return a tokenizer that knows whole words only."""
    model = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    model.normalizer = normalizers.Lowercase()
    model.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"unk_token": "<unk>", "pad_token": "<|endoftext|>", "eos_token": "<|im_end|>"}
    return PreTrainedTokenizerFast(tokenizer_object=model, **named, **special)


def build_tokenizer(names):
    tokenizer = word_tokenizer(WORDS, bos_token="<|im_start|>", extra_special_tokens=names)
    tokenizer.add_tokens(
        [AddedToken(word, normalized=False, special=True) for word in SPECIAL[4:]], special_tokens=True
    )
    return tokenizer


TEXT = {
    "vocab_size": len(WORDS) + 40,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "bos_token_id": token("<|im_start|>"),
    "eos_token_id": token("<|im_end|>"),
    "pad_token_id": token("<|endoftext|>"),
}
ROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
}
SIGLIP = {"model_type": "siglip_vision_model", "vision_use_head": False, **VISION}
CLIP = {"model_type": "clip_vision_model", "projection_dim": 16, **VISION}
QWEN_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "num_heads": 2,
    "patch_size": 4,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
QWEN_IDS = {
    "image_token_id": token("<|image_pad|>"),
    "video_token_id": token("<|video_pad|>"),
    "vision_start_token_id": token("<|vision_start|>"),
    "vision_end_token_id": token("<|vision_end|>"),
}
QWEN_IMAGE = {"patch_size": 4, "merge_size": 2, "size": {"shortest_edge": 256, "longest_edge": 1024}}
QWEN = "<|vision_start|><|image_pad|><|vision_end|>"
SQUARE = {"size": {"height": 16, "width": 16}}
PINPOINTS = [[16, 16], [16, 32], [32, 16], [32, 32]]
QWEN2 = {"model_type": "qwen2", **TEXT}
LLAMA = {"model_type": "llama", **TEXT}


# Of every family: configuration, the image processor's settings, the processor's, and how a prompt shows an image.
IDEFICS = (
    {
        "text_config": LLAMA,
        "vision_config": {**VISION, "patch_size": 4},
        "image_token_id": token("<image>"),
        "scale_factor": 2,
    },
    {"size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 16}},
    {"image_seq_len": 4},
    "<image>",
)
FAMILIES = {
    "qwen2_vl": (
        {
            "text_config": {**TEXT, "rope_parameters": ROPE},
            "vision_config": {**QWEN_VISION, "embed_dim": 32, "mlp_ratio": 2},
            **QWEN_IDS,
        },
        QWEN_IMAGE,
        {},
        QWEN,
    ),
    "qwen2_5_vl": (
        {
            "text_config": {**TEXT, "rope_parameters": ROPE},
            "vision_config": {
                **QWEN_VISION,
                "out_hidden_size": 32,
                "intermediate_size": 48,
                "window_size": 16,
                "fullatt_block_indexes": [1],
            },
            **QWEN_IDS,
        },
        QWEN_IMAGE,
        {},
        QWEN,
    ),
    "qwen3_vl": (
        {
            "text_config": {**TEXT, "head_dim": 16, "rope_parameters": {**ROPE, "mrope_section": [4, 2, 2]}},
            "vision_config": {
                **QWEN_VISION,
                "out_hidden_size": 32,
                "intermediate_size": 48,
                "num_position_embeddings": 16,
                "deepstack_visual_indexes": [0],
            },
            **QWEN_IDS,
        },
        QWEN_IMAGE,
        {},
        QWEN,
    ),
    "llava_onevision": (
        {
            "text_config": QWEN2,
            "vision_config": SIGLIP,
            "image_token_index": token("<image>"),
            "video_token_index": token("<video>"),
            "image_grid_pinpoints": PINPOINTS,
        },
        {**SQUARE, "image_grid_pinpoints": PINPOINTS},
        {"num_image_tokens": 4, "vision_feature_select_strategy": "full"},
        "<image>\n",
    ),
    "llava": (
        {
            "text_config": LLAMA,
            "vision_config": CLIP,
            "image_token_index": token("<image>"),
            "image_seq_length": 4,
            "vision_feature_layer": -1,
        },
        {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}},
        {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        "<image>\n",
    ),
    "llava_next": (
        {
            "text_config": LLAMA,
            "vision_config": CLIP,
            "image_token_index": token("<image>"),
            "image_grid_pinpoints": PINPOINTS,
            "vision_feature_layer": -1,
        },
        {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}, "image_grid_pinpoints": PINPOINTS},
        {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        "<image>\n",
    ),
    "vipllava": (
        {
            "text_config": LLAMA,
            "vision_config": CLIP,
            "image_token_index": token("<image>"),
            "image_seq_length": 4,
            "vision_feature_layers": [-1, -2],
        },
        {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}},
        {"patch_size": 8, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
        "<image>\n",
    ),
    "internvl": (
        {
            "text_config": QWEN2,
            "vision_config": {"model_type": "internvl_vision", **VISION, "image_size": [16, 16], "patch_size": [4, 4]},
            "image_token_id": token("<IMG_CONTEXT>"),
            "image_seq_length": 4,
        },
        {**SQUARE, "crop_to_patches": True, "min_patches": 1, "max_patches": 4},
        {"image_seq_length": 4},
        "<IMG_CONTEXT>\n",
    ),
    "idefics3": IDEFICS,
    "smolvlm": IDEFICS,
    "gemma3": (
        {
            "text_config": {
                **TEXT,
                "head_dim": 16,
                "sliding_window": 8,
                "layer_types": ["sliding_attention", "full_attention"],
                "query_pre_attn_scalar": 16,
            },
            "vision_config": SIGLIP,
            "image_token_index": token("<image_soft_token>"),
            "boi_token_index": token("<start_of_image>"),
            "eoi_token_index": token("<end_of_image>"),
            "mm_tokens_per_image": 4,
        },
        SQUARE,
        {"image_seq_length": 4},
        "<start_of_image>",
    ),
    "mistral3": (
        {
            "text_config": {"model_type": "mistral", **TEXT, "head_dim": 16, "sliding_window": None},
            "vision_config": {"model_type": "pixtral", **VISION, "image_size": 32, "patch_size": 4, "head_dim": 8},
            "image_token_index": token("[IMG]"),
            "vision_feature_layer": -1,
            "spatial_merge_size": 2,
        },
        {"patch_size": 8, "size": {"longest_edge": 32}},
        {"patch_size": 4, "spatial_merge_size": 2},
        "[IMG]",
    ),
    "paligemma": (
        {
            "text_config": {"model_type": "gemma", **TEXT, "head_dim": 16},
            "vision_config": {**SIGLIP, "projection_dim": 32},
            "image_token_index": token("<image>"),
            "projection_dim": 32,
        },
        {**SQUARE, "image_seq_length": 4},
        {},
        "<image>",
    ),
    "mllama": (
        {
            "text_config": {
                **TEXT,
                "num_hidden_layers": 3,
                "cross_attention_layers": [1],
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            },
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 32,
                "num_hidden_layers": 2,
                "num_global_layers": 1,
                "attention_heads": 2,
                "image_size": 16,
                "patch_size": 8,
                "max_num_tiles": 4,
                "intermediate_layers_indices": [0],
                "vision_output_dim": 32,
                "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1], [1, 3], [3, 1], [1, 4], [2, 2], [4, 1]],
            },
            "image_token_index": token("<|image|>"),
        },
        {**SQUARE, "max_image_tiles": 4},
        {},
        "<|image|>",
    ),
    "aya_vision": (
        {
            "text_config": {
                "model_type": "cohere2",
                **TEXT,
                "head_dim": 16,
                "sliding_window": 8,
                "layer_types": ["sliding_attention", "full_attention"],
            },
            "vision_config": SIGLIP,
            "image_token_index": token("<|IMG_PATCH|>"),
            "downsample_factor": 2,
            "adapter_layer_norm_eps": 1e-6,
        },
        {**SQUARE, "crop_to_patches": True, "min_patches": 1, "max_patches": 4},
        {"patch_size": 8, "img_size": 16, "downsample_factor": 2},
        "<image>",
    ),
    "gemma4": (
        {
            "text_config": {
                **TEXT,
                "head_dim": 8,
                "global_head_dim": 16,
                "num_hidden_layers": 3,
                "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
                "sliding_window": 16,
                "hidden_size_per_layer_input": 0,
                "vocab_size_per_layer_input": TEXT["vocab_size"],
            },
            "vision_config": {
                **VISION,
                "num_key_value_heads": 2,
                "head_dim": 8,
                "patch_size": 2,
                "pooling_kernel_size": 3,
                "position_embedding_size": 256,
            },
            "image_token_id": token("<image_soft_token>"),
            "boi_token_id": token("<start_of_image>"),
            "eoi_token_id": token("<end_of_image>"),
            "video_token_id": token("<|video|>"),
            "audio_token_id": token("<audio>"),
        },
        {"patch_size": 2, "max_soft_tokens": 70, "pooling_kernel_size": 3},
        {"image_seq_length": 70},
        "<image_soft_token>",
    ),
    "qwen3_5": (
        {
            "text_config": {
                **TEXT,
                "head_dim": 16,
                "num_hidden_layers": 4,
                "layer_types": ["linear_attention", "full_attention"] * 2,
                "linear_key_head_dim": 8,
                "linear_value_head_dim": 8,
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 2,
                "rope_parameters": {**ROPE, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.25},
            },
            "vision_config": {
                **QWEN_VISION,
                "out_hidden_size": 32,
                "intermediate_size": 48,
                "num_position_embeddings": 16,
            },
            **QWEN_IDS,
        },
        QWEN_IMAGE,
        {},
        QWEN,
    ),
    "dots3_note": (
        {
            "text_config": {
                **TEXT,
                "num_key_value_heads": 4,
                "num_hidden_layers": 3,
                "layer_types": ["full_attention", "sliding_attention", "full_attention"],
                "use_dsa": False,
                "sliding_window": 16,
                "moe_intermediate_size": 16,
                "n_routed_experts": 4,
                "num_experts_per_tok": 2,
                "kv_lora_rank": 16,
                "q_lora_rank": 16,
                "qk_rope_head_dim": 8,
                "qk_nope_head_dim": 8,
                "v_head_dim": 16,
                "swa_num_attention_heads": 2,
                "swa_num_key_value_heads": 2,
                "swa_v_head_dim": 8,
            },
            "vision_config": {
                **VISION,
                "patch_size": 4,
                "moe_intermediate_size": 16,
                "num_local_experts": 2,
                "num_experts_per_tok": 1,
                "adapter_in_dim": 16,
                "adapter_out_dim": 32,
                "mlp_layer_types": ["dense", "dense"],
            },
            "audio_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "adapter_input_size": 16,
                "adapter_out_dim": 32,
                "downsample_hidden_size": 8,
            },
            "image_token_id": token("<|imgpad|>"),
            "video_token_id": token("<|video_pad|>"),
            "audio_token_id": token("<|audio_comp_pad|>"),
        },
        {**QWEN_IMAGE, "temporal_patch_size": 1},
        {},
        "<|imgpad|>",
    ),
    "minicpmv4_6": (
        {
            "text_config": {
                "model_type": "qwen3_5_text",
                **TEXT,
                "head_dim": 16,
                "num_hidden_layers": 4,
                "layer_types": ["linear_attention", "full_attention"] * 2,
                "linear_key_head_dim": 8,
                "linear_value_head_dim": 8,
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 2,
                "rope_parameters": {**ROPE, "mrope_section": [1, 1, 0], "partial_rotary_factor": 0.25},
            },
            "vision_config": {**VISION, "patch_size": 4, "image_size": 32},
            "image_size": 32,
            "insert_layer_id": 0,
            "image_token_id": token("<image>"),
            "video_token_id": token("<video>"),
        },
        {"patch_size": 4, "scale_resolution": 32, "max_slice_nums": 4},
        {},
        "<image>",
    ),
}
NAMES = {
    "gemma3": {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"},
    "gemma4": {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
        "audio_token": "<audio>",
        "boa_token": "<boa>",
        "eoa_token": "<eoa>",
    },
    "internvl": {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    },
    "minicpmv4_6": {
        "image_token": "<image>",
        "video_token": "<video>",
        "image_start_token": "<img>",
        "image_end_token": "</img>",
        "slice_start_token": "<|START_OF_IMG|>",
        "slice_end_token": "<|END_OF_IMG|>",
        "image_id_start_token": "<boa>",
        "image_id_end_token": "<eoa>",
    },
    "mllama": {"image_token": "<|image|>"},
    "paligemma": {"image_token": "<image>"},
}


# Language models, by model type: what of their configuration is not that of `TEXT`.
WINDOWED = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
LANGUAGE = {
    "llama": {},
    "qwen2": {},
    "qwen3": {"head_dim": 16},
    "mistral": {"head_dim": 16, "sliding_window": 8},
    "gemma2": {"head_dim": 16, "query_pre_attn_scalar": 16, **WINDOWED},
    "gemma3_text": {"head_dim": 16, "query_pre_attn_scalar": 16, **WINDOWED},
    "gpt2": {"n_positions": 64},
    "gpt_neox": {},
    # Of no rules of their own: with a mask.
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "max_position_embeddings": 64},
}
# The base models among them: no chat template.
BASE = ("gpt2", "gpt_neox", "opt")
# Those whose layers behind the last that is needed are not loaded.
SHORTENED = tuple(name for name in LANGUAGE if name not in BASE)
# As templates of language models are: what is said is one text.
WORDS_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


def save_language_model(name, folder: Path, **changed):
    """Write a random language model with its tokenizer, and nothing that a processor is made of."""
    config = AutoConfig.for_model(name, **{**TEXT, **LANGUAGE[name], **changed})
    randomize(AutoModelForCausalLM.from_config(config)).save_pretrained(folder)
    tokenizer = build_tokenizer({})
    tokenizer.chat_template = None if name in BASE else WORDS_TEMPLATE
    tokenizer.save_pretrained(folder)
    return folder


def randomize(model):
    """Give every weight a size at which attention is far from uniform and layers differ."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3 if parameter.ndim > 1 else 0.5)
    return model


def randomize_to_scale(model):
    """Give every matrix weights by the square root of what they add up: right for models of any width."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            generator = torch.Generator(parameter.device).manual_seed(parameter.numel())
            with torch.no_grad():
                parameter.normal_(std=parameter[0].numel() ** -0.5, generator=generator)
    return model


def new_model(family, config):
    return AutoModelForImageTextToText.from_config(AutoConfig.for_model(family, **config))


def build_model(family, words=0):
    """Return the random model of a family, with at least so many words."""
    config = FAMILIES[family][0]
    text = config["text_config"]
    return randomize(
        new_model(family, {**config, "text_config": {**text, "vocab_size": max(text["vocab_size"], words)}})
    )


def build_processor(family, **changed):
    """Return the processor of a family; `changed` are settings of its image processor that are not the tiny ones."""
    _, image, settings, placeholder = FAMILIES[family]
    pictures = get_image_processor_class_from_name(IMAGE_PROCESSOR_MAPPING_NAMES[family]["pil"])
    kind = family_processor(family)
    return kind(
        **dict.fromkeys(set(inspect.signature(kind.__init__).parameters) & set(NOT_READ)),
        image_processor=pictures(**{**image, **changed}),
        tokenizer=build_tokenizer(NAMES.get(family, {})),
        chat_template=TEMPLATE.format(image=placeholder),
        **settings,
    )


def save(family, folder: Path):
    build_model(family).save_pretrained(folder)
    build_processor(family).save_pretrained(folder)
    return folder
