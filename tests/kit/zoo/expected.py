"""What is to be found in the tiny checkpoints of families that no rule of ours knows, as their configurations say."""

TWO = ((0, 4, 8, "self"), (1, 4, 8, "self"))
WIDE = ((0, 4, 16, "self"), (1, 4, 16, "self"))

# (layer, heads, width, kind) of every layer with heads.
HEADS = {
    **dict.fromkeys("glm4v glm46v glm4v_moe glm_ocr glmga qwen2_5_omni_thinker qwen3_omni_moe_thinker".split(), TWO),
    **dict.fromkeys("video_llama_3 granite4_vision granite_docling hunyuan_vl ovis2 blip-2 instructblip".split(), TWO),
    **dict.fromkeys("chameleon got_ocr2 pp_chart2table emu3".split(), TWO),
    **dict.fromkeys("qwen3_vl_moe cosmos3_edge deepseek_vl deepseek_vl_hybrid hyperclovax_vision_v2".split(), WIDE),
    **dict.fromkeys(
        "lighton_ocr llava_next_video paddleocr_vl qianfan_ocr aria video_llava janus idefics2".split(), WIDE
    ),
    **dict.fromkeys(("exaone4_5", "ernie4_5_vl_moe"), tuple((layer, 4, 8, "self") for layer in range(4))),
    "cohere_compass": tuple((layer, 4, 16, "self") for layer in range(4)),
    **dict.fromkeys(("qwen3_5_moe", "qwen4_exp"), ((1, 4, 16, "gated"), (3, 4, 16, "gated"))),
    "kosmos-2": ((0, 4, 8, "gated"), (1, 4, 8, "gated")),
    "mistral_large4": tuple((layer, 4, 16, ("latent", "shared")[layer % 2]) for layer in range(4)),
    "lfm3_vl": tuple((layer, 4, 16, "gated") for layer in (1, 2, 4, 5)),
    "hy_v4_vl": tuple((layer, 4, 16, "gated") for layer in range(6)),
    "glm5_next": tuple((layer, 4, *([16, "latent"] if layer in (1, 4) else [8, "linear"])) for layer in range(6)),
}
# Of families whose pictures transformers prepares with torchvision only.
WITH_TORCHVISION = {
    "cohere2_vision": tuple((layer, 4, 16, "self") for layer in range(4)),
    "kimi_k25": ((0, 4, 16, "latent"), (1, 4, 16, "latent")),
    "lfm2_vl": ((1, 4, 8, "self"), (3, 4, 8, "self")),
    "minicpm_ocr": ((1, 4, 16, "gated"), (3, 4, 16, "gated")),
    **dict.fromkeys(("minimax_m3_vl", "molmo2", "perception_lm"), WIDE),
}
# Whose questions about one picture run one a row: windows, states, pickers of tokens, pictures at the end of a prompt.
UNPACKED = (
    *("exaone4_5", "cohere_compass", "qwen3_5_moe", "lfm3_vl", "hy_v4_vl", "glm5_next"),
    *("chameleon", "emu3", "idefics2", "kosmos-2", "mistral_large4", "qwen4_exp"),
)
# The Q-Former of an InstructBLIP reads the question with the picture.
UNSHARED = (*UNPACKED, "instructblip")
# Where another number of pictures than one cannot be asked about.
ONE_PICTURE = ("blip-2", "instructblip", "got_ocr2", "kosmos-2")
WANTS_PICTURES = (*ONE_PICTURE, "pp_chart2table", "chameleon")
