"""The tokenizer, image processor and chat template of `tiny`: a word-level Qwen2-VL prompt."""

from __future__ import annotations

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from savs_harvest.models.processors import image_only
from savs_harvest.models.tiny.corpus import vocabulary

PATCH_SIZE, MERGE_SIZE, PICTURE_SIDE = 4, 2, 32
IMAGE_TOKENS = (PICTURE_SIDE // PATCH_SIZE // MERGE_SIZE) ** 2
CONTROL_TOKENS = (
    "<|endoftext|>",
    "<unk>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHAT_TEMPLATE = """{% for message in messages %}<|im_start|>{{ message['role'] }}
{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}\
{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% elif part['type'] == 'text' %}\
{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def build_tokenizer() -> PreTrainedTokenizerFast:
    words = [*CONTROL_TOKENS, *vocabulary()]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        additional_special_tokens=list(CONTROL_TOKENS[2:3] + CONTROL_TOKENS[4:]),
        padding_side="right",
        model_max_length=1024,
    )


def build_processor() -> Qwen2VLProcessor:
    """Return the processor: any picture is resized to about 32x32 pixels, which makes 16 image tokens."""
    area = PICTURE_SIDE**2
    images = Qwen2VLImageProcessorPil(
        patch_size=PATCH_SIZE, merge_size=MERGE_SIZE, size={"shortest_edge": area, "longest_edge": area}
    )
    return image_only(Qwen2VLProcessor)(
        image_processor=images, tokenizer=build_tokenizer(), chat_template=CHAT_TEMPLATE
    )
