"""What rules cannot know of a family: sizes that belong together, its words, how a prompt shows a picture."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """Changes of what rules make of a family's defaults.

    `config` is laid over the small configuration; `image` and `processor` are settings of both processors; `words`
    are words by the name a tokenizer has for them, `also` words that code names itself; `shown` is how the template
    shows a picture. `from_defaults` is given to the configuration's class, where it has no defaults. `pictures`,
    `processor_of` and `processor_class` name an image processor, a family and a class where transformers maps none;
    `vocabulary_map` is a pattern of the words that a configuration lists with their places, `places` are words whose
    places stand in a list of this name.
    """

    config: dict[str, Any] = field(default_factory=dict)
    image: dict[str, Any] = field(default_factory=dict)
    processor: dict[str, Any] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    shown: str = "<image>"
    from_defaults: dict[str, Any] = field(default_factory=dict)
    pictures: str = ""
    processor_of: str = ""
    processor_class: str = ""
    vocabulary_map: str = ""
    places: dict[str, tuple[str, ...]] = field(default_factory=dict)


QWEN_IMAGE = {"patch_size": 4, "merge_size": 2, "size": {"shortest_edge": 256, "longest_edge": 1024}}
QWEN_WORDS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
QWEN_SHOWN = "<|vision_start|><|image_pad|><|vision_end|>"
GLM_WORDS = {
    "image_token": "<|image|>",
    "video_token": "<|video|>",
    "image_start_token": "<|begin_of_image|>",
    "image_end_token": "<|end_of_image|>",
    "video_start_token": "<|begin_of_video|>",
    "video_end_token": "<|end_of_video|>",
}
GLM_SHOWN = "<|begin_of_image|><|image|><|end_of_image|>"
ROPE = {"rope_type": "default", "rope_theta": 10000.0}
SQUARE = {"size": {"height": 16, "width": 16}}
CROPPED = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}
PINPOINTS = [[16, 16], [16, 32], [32, 16], [32, 32]]
OMNI_WORDS = {**QWEN_WORDS, "vision_bos_token": "<|vision_start|>", "vision_eos_token": "<|vision_end|>"}
OMNI_PLACES = {"vision_start_token_id": 0, "vision_end_token_id": 0}
LETTERS = "ABCDEFGHIJ"


def sections(*parts):
    """Return rotary positions whose sections are these parts of half a head."""
    return {"rope_parameters": {**ROPE, "mrope_section": list(parts)}}


def glm(*parts, **changes):
    """Return a recipe of the GLM families, which differ in their positions and processors."""
    text = {"text_config": sections(*parts)}
    return Recipe(config=text, image=QWEN_IMAGE, words=GLM_WORDS, shown=GLM_SHOWN, **changes)


def qwen(config, **changes):
    """Return a recipe of a family that reads pictures as Qwen does."""
    return Recipe(config=config, **{"image": QWEN_IMAGE, "words": QWEN_WORDS, "shown": QWEN_SHOWN, **changes})


def square(config=None, **changes):
    """Return a recipe of a family whose pictures are squares of 16 pixels."""
    return Recipe(config=config or {}, **{"image": SQUARE, **changes})


BLIP = square(
    {"num_query_tokens": 4, "image_token_index": 0, "text_config": {"ffn_dim": 48}},
    processor={"num_query_tokens": 4},
    words={"image_token": ""},
    also=("<image>",),
)
GOT = square({"vision_config": {"global_attn_indexes": [1], "window_size": 2}}, also=("<imgpad>", "<img>", "</img>"))

RECIPES = {
    "aria": Recipe(
        config={
            "vision_config": {"image_size": 490, "patch_size": 98},
            "projector_patch_to_query_dict": {25: 4, 100: 4},
            "vision_feature_layer": -1,
        },
        image={"max_image_size": 490, "min_image_size": 336},
        processor={"size_conversion": {490: 4, 980: 4}},
    ),
    "blip-2": BLIP,
    "instructblip": BLIP,
    "chameleon": Recipe(
        config={
            "vq_config": {
                "num_embeddings": 16,
                "resolution": 16,
                "base_channels": 32,
                "channel_multiplier": [1, 1],
                "latent_channels": 8,
                "embed_dim": 8,
            },
        },
        image=CROPPED,
        processor={"image_seq_length": 64},
        also=("<racm3:break>", "<eoss>", *(f"IMGIMG{LETTERS[n // 10]}{LETTERS[n % 10]}Z" for n in range(16))),
        vocabulary_map=r"<image>|IMGIMG\w+Z",
    ),
    "cohere_compass": Recipe(
        config={
            "text_config": {
                "layer_types": ["sliding_attention", "full_attention"] * 2,
                "num_hidden_layers": 4,
                "sliding_window": 8,
                "rope_parameters": {
                    "sliding_attention": {**ROPE, "mrope_section": [2, 1, 1]},
                    "full_attention": {**ROPE, "mrope_section": [2, 1, 1]},
                },
            },
            "vision_config": {"deepstack_visual_indexes": [0]},
        },
        image=QWEN_IMAGE,
        words={
            "image_token": "<|IMAGE_PAD|>",
            "video_token": "<|VIDEO_PAD|>",
            "vision_start_token": "<|VISION_START|>",
            "vision_end_token": "<|VISION_END|>",
        },
        shown="<|VISION_START|><|IMAGE_PAD|><|VISION_END|>",
    ),
    "cosmos3_edge": qwen({"text_config": sections(4, 2, 2), "projector_hidden_size": 32}),
    "deepseek_vl": square(image={**SQUARE, "min_size": 8}, processor={"num_image_tokens": 16}),
    "deepseek_vl_hybrid": square(
        {"high_res_vision_config": {"global_attn_indexes": [1], "window_size": 2}},
        image={**SQUARE, "min_size": 8, "high_res_size": {"height": 16, "width": 16}},
        processor={"num_image_tokens": 16},
    ),
    "ernie4_5_vl_moe": Recipe(
        config={
            "text_config": {**sections(1, 1, 2), "moe_intermediate_size": [16, 16]},
            "vision_config": {"intermediate_size": 32},
        },
        image={**QWEN_IMAGE, "temporal_patch_size": 1},
        words={
            "image_token": "<|IMAGE_PLACEHOLDER|>",
            "image_start_token": "<|IMAGE_START|>",
            "image_end_token": "<|IMAGE_END|>",
        },
        shown="<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>",
    ),
    "deepseek_ocr2": square(
        {
            "text_config": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2},
            "vision_config": {"sam_config": {"downsample_channels": [8, 16]}},
        }
    ),
    "exaone4_5": qwen({}),
    "emu3": Recipe(
        config={
            "vq_config": {
                "codebook_size": 16,
                "embed_dim": 4,
                "base_channels": 32,
                "channel_multiplier": [1, 1, 1, 1],
                "latent_channels": 4,
                "attn_resolutions": [1],
                "hidden_size": 32,
                "num_res_blocks": 1,
                "temporal_downsample_factor": 1,
            },
        },
        image={"min_pixels": 256, "max_pixels": 1024},
        also=("<|extra_200|>", *(f"<|visual token {n:06}|>" for n in range(16))),
        vocabulary_map=r"<image>|<\|extra_200\|>|<\|visual token \d+\|>",
    ),
    "fast_vlm": square(pictures="CLIPImageProcessorPil", processor_class="LlavaProcessor"),
    "florence2": square({"vision_config": {"depths": [1] * 4, "embed_dim": [16] * 4, "num_heads": [2] * 4}}),
    "fuyu": Recipe(
        config={"patch_size": 30, "image_size": 30},
        image={"size": {"height": 60, "width": 60}},
        words={"image_token": "|SPEAKER|"},
        also=("|NEWLINE|", "<0x04>", "<0x00>", "<0x01>", "<box>", "</box>", "<point>", "</point>"),
    ),
    "glm4v": glm(2, 1, 1),
    "glm46v": glm(2, 1, 1),
    "glm4v_moe": glm(1, 1, 0, processor_of="glm4v"),
    "glm_ocr": glm(2, 1, 1, processor_of="glm46v"),
    "glmga": glm(2, 1, 1, processor_of="glm46v", pictures="GlmgaImageProcessorPil"),
    "glm5_next": Recipe(
        config={"text_config": {"num_key_value_heads": 4, "linear_num_heads": 4, "linear_head_dim": 8}},
        image=QWEN_IMAGE,
        words=GLM_WORDS,
        shown=GLM_SHOWN,
    ),
    "got_ocr2": GOT,
    "pp_chart2table": GOT,
    "granite4_vision": Recipe(
        config={
            "vision_config": {"hidden_size": 64, "intermediate_size": 32, "num_attention_heads": 2, "patch_size": 4},
            "qformer_config": {"num_hidden_layers": 1, "intermediate_size": 32, "encoder_hidden_size": 64},
            "image_grid_pinpoints": PINPOINTS,
            "downsample_rate": "1/2",
            "deepstack_layer_map": [[-1, 0]],
            "spatial_target_layers": [1, 1, 1, 1],
            "vision_feature_layer": -1,
        },
        image={**CROPPED, "image_grid_pinpoints": PINPOINTS},
        processor={
            "patch_size": 4,
            "vision_feature_select_strategy": "default",
            "num_additional_image_tokens": 1,
            "downsample_rate": "1/2",
        },
    ),
    "granite_docling": square(image={**SQUARE, "max_image_size": {"longest_edge": 16}}, processor={"image_seq_len": 1}),
    "hunyuan_vl": Recipe(
        config={"text_config": {**sections(1, 1, 1, 1), "head_dim": 8}},
        image={**QWEN_IMAGE, "temporal_patch_size": 1},
        shown="<image_start><image><image_end>",
    ),
    "hy_v4_vl": qwen({}),
    "hyperclovax_vision_v2": qwen({}),
    "idefics2": Recipe(
        config={
            "text_config": {"sliding_window": 24},  # wide enough to see the picture
            "perceiver_config": {"resampler_n_latents": 4, "hidden_size": 32},
        },
        image={"size": {"shortest_edge": 16, "longest_edge": 32}},
        processor={"image_seq_len": 4},
        words={"image_boundary_token": "<fake_token_around_image>"},
    ),
    "janus": square(
        {
            "vq_config": {
                "embed_dim": 4,
                "num_embeddings": 16,
                "latent_channels": 8,
                "base_channels": 32,
                "channel_multiplier": [1, 1],
                "num_res_blocks": 1,
                "projection_dim": 32,
                "image_token_embed_dim": 32,
            },
        },
        image={**SQUARE, "min_size": 8},
        processor={"num_image_tokens": 16},
    ),
    "kosmos-2": square(
        {"latent_query_num": 64},
        image=CROPPED,
        processor={"num_patch_index_tokens": 16},
        processor_class="Kosmos2Processor",
    ),
    "kosmos-2.5": Recipe(processor_class="Kosmos2_5Processor", processor={"num_image_tokens": 4}),
    "lfm3_vl": qwen({}),
    "lighton_ocr": Recipe(
        config={"spatial_merge_size": 2},
        image={"patch_size": 8, "size": {"longest_edge": 32}},
        processor={"patch_size": 4, "spatial_merge_size": 2},
    ),
    "llava_next_video": Recipe(
        config={"image_grid_pinpoints": PINPOINTS, "vision_feature_layer": -1, "image_seq_length": 16},
        image={**CROPPED, "image_grid_pinpoints": PINPOINTS},
        processor={"patch_size": 4, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
    ),
    # These have only processors that need torchvision.
    "cohere2_vision": square(
        {"vision_config": {"vision_use_head": False}, "text_config": {"sliding_window": 24}},
        image={**SQUARE, "patch_size": 2, "max_patches": 2},
        also=("<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>"),
    ),
    "llama4": square(
        {
            "text_config": {
                "num_hidden_layers": 4,
                "layer_types": ["chunked_attention", "full_attention"] * 2,
                "moe_layers": [1, 3],
                "no_rope_layers": [1, 0] * 2,
            },
            "vision_config": {
                "intermediate_size": 64,
                "vision_output_dim": 32,
                "projector_input_dim": 32,
                "projector_output_dim": 32,
            },
        },
        image={**SQUARE, "max_patches": 2},
        processor={"patch_size": 4},
        words={"image_token": "<|patch|>"},
        also=("<|image|>", "<|image_start|>", "<|image_end|>", "<|tile_x_separator|>", "<|tile_y_separator|>"),
        shown="<|image|>",
    ),
    "lfm2_vl": Recipe(
        config={
            "vision_config": {"vision_use_head": False, "num_patches": 16},
            "text_config": {
                "num_hidden_layers": 4,
                "layer_types": ["conv", "full_attention"] * 2,
                "block_multiple_of": 16,
            },
            "projector_hidden_size": 32,
        },
        image={
            "encoder_patch_size": 4,
            "tile_size": 16,
            "min_image_tokens": 4,
            "max_image_tokens": 16,
            "max_num_patches": 64,
            "min_tiles": 2,
            "max_tiles": 4,
            "do_image_splitting": False,
        },
        also=("<|image_start|>", "<|image_end|>", "<|img_thumbnail|>"),
    ),
    "kimi_k25": Recipe(
        config={
            "vision_config": {"pos_emb_height": 8, "pos_emb_width": 8},
            "text_config": {"qk_head_dim": 24, "qk_rope_head_dim": 8, "head_dim": 8, "num_key_value_heads": 4},
            "projection_hidden_size": 16,
        },
        image={"patch_size": 4, "max_patches": 64, "size": {"max_height": 32, "max_width": 32}},
        words={"image_token": "<|media_pad|>"},
        shown="<|media_pad|>",
    ),
    "perception_lm": Recipe(
        config={
            "vision_config": {
                "architecture": "vit_pe_core_large_patch14_336",
                "do_pooling": True,
                "global_pool": "map",
                "initializer_range": 0.02,
                "model_args": {
                    "embed_dim": 16,
                    "depth": 2,
                    "num_heads": 2,
                    "img_size": [16, 16],
                    "patch_size": 4,
                    "ref_feat_shape": [4, 4],
                    "global_pool": "",
                    "use_post_transformer_norm": False,
                    "class_token": True,
                },
            },
            "projector_pooling_ratio": 2,
        },
        image={"tile_size": 16, "max_num_tiles": 2, "size": {"width": 16, "height": 16}},
        processor={"patch_size": 4, "pooling_ratio": 2},
        words={"image_token": "<|image|>", "video_token": "<|video|>"},
        shown="<|image|>",
    ),
    "molmo2": Recipe(
        config={
            "vision_config": {"image_size": [16, 16], "num_position_embeddings": 16},
            "adapter_config": {
                "vision_feature_layer": [-1, -2],
                "text_hidden_size": 32,
                "hidden_size": 16,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "head_dim": 8,
            },
            "text_config": {"rope_scaling_layers": None},
        },
        image={"size": {"height": 16, "width": 16}, "patch_size": 4, "max_crops": 2, "overlap_margins": [1, 1]},
        also=(
            "<|image|>",
            "<im_patch>",
            "<im_col>",
            "<im_start>",
            "<im_end>",
            "<low_res_im_start>",
            "<frame_start>",
            "<frame_end>",
            "<|video|>",
        ),
        words={
            "image_token": "<|image|>",
            "image_patch_token": "<im_patch>",
            "image_start_token": "<im_start>",
            "image_end_token": "<im_end>",
            "low_res_image_start_token": "<low_res_im_start>",
            "frame_start_token": "<frame_start>",
            "frame_end_token": "<frame_end>",
        },
        shown="<|image|>",
    ),
    "minicpm_ocr": Recipe(
        config={"image_token_id": 1, "insert_layer_id": 0, "vision_config": {"insert_layer_id": 0, "image_size": 32}},
        image={"patch_size": 4, "scale_resolution": 32, "max_slice_nums": 4},
    ),
    "minimax_m3_vl": Recipe(
        config={
            "text_config": {"rotary_dim": 8, "index_block_size": 4, "index_topk_blocks": 4},
            "projector_hidden_size": 32,
            "merged_hidden_size": 128,
        },
        image=QWEN_IMAGE,
        words={"image_token": "]<]image[>[", "video_token": "]<]video[>["},
        also=("]<]start of image[>[", "]<]end of image[>["),
        shown="]<]image[>[",
    ),
    "step3p7": square(
        {"text_config": {"num_sliding_attention_heads": 4}},
        image={"size": {"height": 16, "width": 16}, "patch_size": 16},
        words={"image_token": "<im_patch>"},
        also=("<im_start>", "<im_end>", "<patch_start>", "<patch_end>", "<patch_newline>"),
        shown="<im_patch>",
    ),
    "gemma4_unified": Recipe(
        config={"text_config": {"per_layer_config": {}, "sliding_window": 64}}, image={"patch_size": 4}
    ),
    "mistral_large4": Recipe(
        config={
            "text_config": {
                "num_hidden_layers": 4,
                "num_key_value_heads": 4,
                "head_dim": 8,
                "rope_parameters": ROPE,
                "layer_types": ["indexed_attention"] * 4,
                "mlp_layer_types": ["dense", "sparse"] * 2,
                "indexer_types": ["full", "shared", "full", "shared"],
                "no_rope_layers": [1, 1, 1, 1],
                "kv_source_layers": [0, 0, 2, 2],
                "index_n_heads": 2,
                "index_head_dim": 16,
            },
            "spatial_merge_size": 2,
        },
        image={"patch_size": 8, "size": {"longest_edge": 32}},
        processor={"patch_size": 4, "spatial_merge_size": 2},
        words={"image_token": "[IMG]"},
        also=("[IMG_BREAK]", "[IMG_END]"),
        shown="[IMG]",
    ),
    "ovis2": square(
        {"vision_config": {"vocab_size": 64}, "hidden_size": 32},
        image={**SQUARE, "crop_to_patches": True, "max_patches": 2},
        processor={"image_seq_length": 16},
        words={"image_token": "<IMG_ATOM>"},
        also=("<image>", "<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"),
        places={"visual_indicator_token_ids": ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")},
    ),
    "paddleocr_vl": qwen({"text_config": sections(4, 2, 2)}),
    "qianfan_ocr": square(
        {"vision_config": {"image_size": [16, 16], "patch_size": [4, 4]}, "image_seq_length": 4},
        image={**SQUARE, "crop_to_patches": True, "max_patches": 2},
        processor={"image_seq_length": 4},
        words={"image_token": "<IMG_CONTEXT>", "context_image_token": "<IMG_CONTEXT>"},
        also=("<image>",),
    ),
    "qwen2_5_omni_thinker": qwen(
        {**OMNI_PLACES, "text_config": sections(2, 1, 1)}, words=OMNI_WORDS, processor_of="qwen2_5_omni"
    ),
    "qwen3_omni_moe_thinker": qwen(OMNI_PLACES, words=OMNI_WORDS, processor_of="qwen3_omni_moe"),
    "qwen3_5_moe": qwen({}),
    "qwen3_vl_moe": qwen({"text_config": sections(4, 2, 2)}, pictures="Qwen2VLImageProcessorPil"),
    "qwen4_exp": qwen(
        {
            "text_config": {
                "indexer_budget": 8,
                "indexer_compress_ratio": 4,
                "indexer_n_heads": 2,
                "indexer_kv_heads": 1,
                "indexer_head_dim": 16,
            }
        }
    ),
    "shieldgemma2": square(processor={"image_seq_length": 4}),
    "video_llama_3": qwen({}),
    "video_llava": Recipe(
        config={"image_seq_length": 16, "vision_feature_layer": -1},
        image=CROPPED,
        processor={"patch_size": 4, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1},
    ),
}
