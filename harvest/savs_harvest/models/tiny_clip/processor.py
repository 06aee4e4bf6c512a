"""The tokenizer and the image processor of `tiny-clip`: whole words, pictures of 32 x 32."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from savs_harvest.models.encoder_processors import EncoderProcessor
from savs_harvest.models.tiny_clip.corpus import vocabulary

PICTURE_SIDE, POSITIONS = 32, 64
CONTROL_TOKENS = ("<|pad|>", "<unk>", "<|startoftext|>", "<|endoftext|>")


def build_tokenizer() -> PreTrainedTokenizerFast:
    words = [*CONTROL_TOKENS, *vocabulary()]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    pad, unknown, begin, end = CONTROL_TOKENS
    tokenizer.post_processor = processors.TemplateProcessing(
        f"{begin} $A {end}", special_tokens=[(begin, words.index(begin)), (end, words.index(end))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        unk_token=unknown,
        bos_token=begin,
        eos_token=end,
        padding_side="right",
        model_max_length=POSITIONS,
    )


def build_processor() -> EncoderProcessor:
    """Return the processor: any picture is resized to 32 pixels at its shorter side, and its middle is taken."""
    square = {"height": PICTURE_SIDE, "width": PICTURE_SIDE}
    pictures = CLIPImageProcessorPil(size={"shortest_edge": PICTURE_SIDE}, crop_size=square)
    return EncoderProcessor(pictures, build_tokenizer(), POSITIONS)


def save_processor(processor: EncoderProcessor, folder: Path) -> None:
    """Write both parts as they lie in a checkpoint."""
    processor.image_processor.save_pretrained(folder)
    processor.tokenizer.save_pretrained(folder)
