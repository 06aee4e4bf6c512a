"""Tiny random encoders, saved as they lie on the hub: a configuration, weights, an image processor, a tokenizer."""

from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil

from kit.families import VISION, randomize
from savs_harvest.models.tiny.corpus import vocabulary

SPECIAL = ("<pad>", "<unk>", "<bos>", "<eos>")
WORDS = [*SPECIAL, *vocabulary(), "photo", "centered", "even", "odd", "Name"]
WORDS = list(dict.fromkeys(WORDS))
POSITIONS = 12
TEXT = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 2,
    "eos_token_id": 3,
}
SQUARE = {"height": 16, "width": 16}
CROPPED = {"size": {"shortest_edge": 16}, "crop_size": SQUARE}
# Of every family: its configuration, its image processor (DINOv3's needs torchvision: its file is written by hand).
FAMILIES = {
    "clip": (
        {"text_config": TEXT, "vision_config": VISION, "projection_dim": 24},
        lambda: CLIPImageProcessorPil(**CROPPED),
    ),
    "siglip": ({"text_config": TEXT, "vision_config": VISION}, lambda: SiglipImageProcessorPil(size=SQUARE)),
    "siglip2": (
        {"text_config": TEXT, "vision_config": {**VISION, "num_patches": 16}},
        lambda: Siglip2ImageProcessorPil(patch_size=8, max_num_patches=6),
    ),
    "dinov2": (VISION, lambda: BitImageProcessorPil(**CROPPED)),
    "dinov3_vit": ({**VISION, "num_register_tokens": 2}, None),
}
DINOV3_PICTURES = """{"image_processor_type": "DINOv3ViTImageProcessorFast", "size": {"height": 16, "width": 16},
"resample": 2, "do_resize": true, "do_rescale": true, "do_normalize": true, "rescale_factor": 0.00392156862745098,
"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}"""
READING = ("clip", "siglip", "siglip2")


def build_tokenizer(family, lower=True):
    """Return a tokenizer of whole words that ends a text as its family does; one of CLIP begins it, too."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    single = "<bos> $A <eos>" if family == "clip" else "$A <eos>"
    tokenizer.post_processor = processors.TemplateProcessing(single, special_tokens=[("<bos>", 2), ("<eos>", 3)])
    named = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def build_encoder(family, **changed):
    config, _ = FAMILIES[family]
    return randomize(AutoModel.from_config(AutoConfig.for_model(family, **{**config, **changed})))


def save_encoder(family, folder: Path, **changed):
    """Write a random encoder of a family."""
    build_encoder(family, **changed).save_pretrained(folder)
    pictures = FAMILIES[family][1]
    if pictures:
        pictures().save_pretrained(folder)
    else:
        (folder / "preprocessor_config.json").write_text(DINOV3_PICTURES)
    if family in READING:
        build_tokenizer(family).save_pretrained(folder)
    return folder
