"""From a sample to model inputs, and from classes to the tokens a model would answer with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image
from torch import Tensor

from savs_benchmarks import Benchmark

# Processors that count control tokens in the text before it is sanitized, or ask for places of characters in it.
BREAKS_TOKENS = ("Idefics3Processor", "PaliGemmaProcessor")


def conversation(pictures: Sequence[Image.Image], question: str) -> list[dict[str, Any]]:
    """Return one user turn: pictures in their order, then the question."""
    parts: list[dict[str, Any]] = [{"type": "image", "image": picture} for picture in pictures]
    return [{"role": "user", "content": [*parts, {"type": "text", "text": question}]}]


def prepare(processor: Any, pictures: Sequence[Image.Image], question: str) -> dict[str, Tensor]:
    """Return the model inputs of one sample, every tensor with a first axis of its own.

    Control tokens in the question are encoded as plain text, so that no question can open a turn or
    claim an image. Raises ValueError where the processor refuses the pictures.
    """
    breaks = any(name in BREAKS_TOKENS for name in (base.__name__ for base in type(processor).__mro__))
    encoded = processor.apply_chat_template(
        [conversation(pictures, _broken(processor.tokenizer, question) if breaks else question)],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        sanitize_control_tokens=not breaks,
    )
    return {name: tensor for name, tensor in encoded.items() if name != "labels"}  # PaliGemma's would ask for a loss


def _broken(tokenizer: Any, text: str) -> str:
    """Return the text with a space inside every control token, so that it is read as words."""
    for token in tokenizer.added_tokens_decoder.values():
        if token.special:
            text = text.replace(token.content, f"{token.content[0]} {token.content[1:]}")
    return text


def render(processor: Any, pictures: int, question: str) -> str:
    """Return the prompt as text, each picture as the model's own placeholder."""
    blank = [Image.new("RGB", (32, 32))] * pictures
    return processor.apply_chat_template(conversation(blank, question), add_generation_prompt=True, tokenize=False)


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
