"""From a sample to model inputs, and from classes to the tokens a model would answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from torch import Tensor

from savs_benchmarks import Benchmark
from savs_harvest.errors import ModelError

# Processors that count control tokens in the text before it is sanitized, or ask for places of characters in it.
BREAKS_TOKENS = (
    "AyaVisionProcessor",
    "Gemma3Processor",
    "Idefics3Processor",
    "InternVLProcessor",
    "MllamaProcessor",
    "PaliGemmaProcessor",
)

# How the papers' code made its prompts, where that is not how the model's own files say: switch, families, in words.
PARITY = {
    "system-turn": (("llava_onevision",), "a system turn, and every picture on a line of its own"),
    "anyres": (("llava_onevision",), "every one of several pictures read in tiles"),
    "image-tag": (("qwen2_vl", "qwen2_5_vl"), "the word <image> in front of the question, once a picture"),
}
SYSTEM_TURN = """<|im_start|>system
You are a helpful assistant.<|im_end|>
{% for message in messages %}<|im_start|>{{ message['role'] }}
{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>
{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@dataclass(frozen=True)
class Shot:
    """An answered question in front of the one that is asked."""

    pictures: Sequence[Image.Image]
    question: str
    answer: str


def check_parity(model_type: str, parity: Sequence[str]) -> None:
    """Raise `ModelError` for a switch that does not exist, or that is for other families."""
    for switch in parity:
        if switch not in PARITY:
            raise ModelError(f"unknown parity switch {switch!r}; there are {', '.join(PARITY)}")
        families, words = PARITY[switch]
        if model_type not in families:
            raise ModelError(
                f"parity switch {switch!r} ({words}) is for {', '.join(families)}, the model is a {model_type}"
            )


def conversation(
    pictures: Sequence[Image.Image], question: str, shots: Sequence[Shot] = (), tag: str = ""
) -> list[dict[str, Any]]:
    """Return the messages of a prompt: of every shot and of what is asked the pictures in their order, then the words.

    `tag` stands in front of a question once a picture.
    """
    messages = []
    for shot in shots:
        messages += conversation(shot.pictures, shot.question, tag=tag)
        messages.append({"role": "assistant", "content": [{"type": "text", "text": shot.answer}]})
    parts: list[dict[str, Any]] = [{"type": "image", "image": picture} for picture in pictures]
    words = {"type": "text", "text": tag * len(pictures) + question}
    return [*messages, {"role": "user", "content": [*parts, words]}]


def _style(parity: Sequence[str]) -> tuple[str, str | None]:
    """Return what stands in front of a question once a picture, and the chat template where it is not the model's."""
    return "<image>\n" if "image-tag" in parity else "", SYSTEM_TURN if "system-turn" in parity else None


def prepare(
    processor: Any,
    pictures: Sequence[Image.Image],
    question: str,
    shots: Sequence[Shot] = (),
    parity: Sequence[str] = (),
) -> dict[str, Tensor]:
    """Return the model inputs of one sample, every tensor with a first axis of its own.

    Control tokens in a question are encoded as plain text, so that no question can open a turn or
    claim an image. Raises ValueError where the processor refuses the pictures, or where the prompt has
    another number of placeholders than the pictures need.
    """
    breaks = any(base.__name__ in BREAKS_TOKENS for base in type(processor).__mro__)
    if breaks:
        question = _broken(processor.tokenizer, question)
        shots = [
            replace(
                shot,
                question=_broken(processor.tokenizer, shot.question),
                answer=_broken(processor.tokenizer, shot.answer),
            )
            for shot in shots
        ]
    tag, template = _style(parity)
    # Each in a list of its own, every picture counts as the only one of a sample.
    shown = [[picture] for pictures in (*(shot.pictures for shot in shots), pictures) for picture in pictures]
    flat = {"processor_kwargs": {"images": shown}} if "anyres" in parity else {}
    encoded = processor.apply_chat_template(
        [conversation(pictures, question, shots, tag)],
        chat_template=template,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        sanitize_control_tokens=not breaks,
        return_tensors="pt",
        **flat,
    )
    # PaliGemma's labels would ask for a loss.
    inputs = {name: tensor for name, tensor in encoded.items() if name != "labels"}
    _check_placeholders(processor, inputs)
    return inputs


def _check_placeholders(processor: Any, inputs: Mapping[str, Tensor]) -> None:
    """Compare placeholders and patches of this one sample: transformers compares sums over a batch only."""
    merge = getattr(processor.image_processor, "merge_size", None)
    token = getattr(processor, "image_token_id", None)
    if merge is None or token is None or "image_grid_thw" not in inputs:
        return
    needed = int(inputs["image_grid_thw"].prod(1).sum()) // merge**2
    found = int((inputs["input_ids"] == token).sum())
    if found != needed:
        raise ValueError(f"the prompt has {found} placeholders, its pictures need {needed}")


def _broken(tokenizer: Any, text: str) -> str:
    """Return the text with a space inside every control token, so that it is read as words."""
    for token in tokenizer.added_tokens_decoder.values():
        if token.special:
            text = text.replace(token.content, f"{token.content[0]} {token.content[1:]}")
    return text


def render(processor: Any, pictures: int, question: str, shots: Sequence[Shot] = (), parity: Sequence[str] = ()) -> str:
    """Return the prompt as text, each picture as the model's own placeholder."""
    tag, template = _style(parity)
    blank = [Image.new("RGB", (32, 32))] * pictures
    return processor.apply_chat_template(
        conversation(blank, question, shots, tag), chat_template=template, add_generation_prompt=True, tokenize=False
    )


def answer_tokens(tokenizer: Any, benchmark: Benchmark) -> dict[str, list[int] | None]:
    """Return the first token of each class's answer for every task.

    None where two classes begin with the same token, or one has no answer in words: then the next token
    alone cannot tell them apart.
    """
    tokens: dict[str, list[int] | None] = {}
    for task, classes in benchmark.tasks.items():
        encoded = [tokenizer.encode(benchmark.answer(label), add_special_tokens=False) for label in classes]
        first = [answer[0] for answer in encoded if answer]
        tokens[task] = first if len(set(first)) == len(classes) else None
    return tokens


def ambiguous_tasks(tokens: Mapping[str, list[int] | None]) -> list[str]:
    """Return the tasks whose classes cannot be told apart by the next token."""
    return [task for task, first in tokens.items() if first is None]
