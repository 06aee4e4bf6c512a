"""From a sample to model inputs: the words of a prompt, its tokens, its pictures."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers.utils.chat_template_utils import encode_marked_chat, mark_control_tokens

from savs_harvest.errors import ModelError
from savs_harvest.models.families import FAMILIES, SWITCHES, check_switches
from savs_harvest.models.inputs import begun_with
from savs_harvest.models.templates import DATE, ChatTemplate, Refusal, texts_of

BREAKS_TOKENS = frozenset(name for family in FAMILIES.values() for name in family.breaks_tokens)

# How the papers' code made its prompts, with the families that have it.
PARITY = {
    switch: (tuple(name for name, family in FAMILIES.items() if switch in family.parity), words)
    for switch, words in SWITCHES.items()
}
SYSTEM_TURN = """<|im_start|>system
You are a helpful assistant.<|im_end|>
{% for message in messages %}<|im_start|>{{ message['role'] }}
{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>
{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


NO_PICTURES = "it is a language model and reads no pictures"
# What stands in front of a control token that is a word of a question.
MARK = mark_control_tokens("?", re.compile(r"\?"))[0]
# What is asked for `prompt_hash`: letters, digits and signs, a line break.
QUESTION = "Is this picture 64 x 48?\nAnswer: yes or no."


@dataclass(frozen=True)
class Shot:
    """An answered question in front of the one that is asked."""

    pictures: Sequence[Image.Image]
    question: str
    answer: str


def reads_pictures(processor: Any) -> bool:
    """Tell whether a processor prepares pictures, or is that of a language model: words alone."""
    return processor.image_processor is not None


def sample_pictures(processor: Any, size: tuple[int, int] = (32, 32)) -> list[Image.Image]:
    """Return a picture that is nowhere flat to try a model with, none where it reads none."""
    return [Image.radial_gradient("L").resize(size).convert("RGB")] if reads_pictures(processor) else []


def check_parity(model_type: str, parity: Sequence[str]) -> None:
    """Raise `ModelError` for a switch that does not exist, or that is for other families."""
    check_switches(parity)
    for switch in parity:
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


def _tag(parity: Sequence[str]) -> str:
    """Return what stands in front of a question once a picture."""
    return "<image>\n" if "image-tag" in parity else ""


def prepare(
    processor: Any,
    pictures: Sequence[Image.Image],
    question: str,
    shots: Sequence[Shot] = (),
    parity: Sequence[str] = (),
    date: str = DATE,
) -> dict[str, Tensor]:
    """Return the model inputs of one sample, every tensor with a first axis of its own.

    Control tokens in a question are encoded as plain text, so that no question can open a turn or claim an image.
    Raises ValueError where the processor refuses the pictures, where the chat template leaves out words, or where the
    prompt has another number of placeholders than the pictures need; `ModelError` where prompts are cut short.
    """
    prompt = write(processor, conversation(pictures, question, shots, _tag(parity)), parity, date)
    # Each in a list of its own, every picture counts as the only one of a sample.
    if (pictures or any(shot.pictures for shot in shots)) and not reads_pictures(processor):
        raise ValueError(NO_PICTURES)
    each = [picture for shown in (*(shot.pictures for shot in shots), pictures) for picture in shown]
    images = [[picture] for picture in each] if "anyres" in parity else [each]
    encoded = _encoded(processor, prompt, images if each else None)
    inputs = begun_with(prompt.before, _of_the_model(processor, encoded))
    _check_placeholders(processor, inputs)
    _check_whole(processor.tokenizer, prompt, inputs["input_ids"][0].tolist())
    return inputs


def _encoded(processor: Any, prompt: Prompt, images: Sequence[Sequence[Image.Image]] | None) -> Mapping[str, Tensor]:
    """Return what a processor makes of a prompt; one that takes no list of lists gets the only picture as it is."""
    call = partial(
        processor, text=[prompt.text], return_tensors="pt", truncation=False, padding=False, **prompt.options
    )
    try:
        return call(images=images)
    except ValueError as error:
        if not (images and len(images) == len(images[0]) == 1 and "nested" in str(error).lower()):
            raise
        return call(images=list(images[0]))


def _of_the_model(processor: Any, encoded: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what a model takes of it: no labels, which would ask for a loss, and the kinds of its tokens.

    Some processors say that their models take these, and make them only where they are asked for.
    """
    kinds = "mm_token_type_ids"
    found = {name: tensor for name, tensor in encoded.items() if name != "labels"}
    if kinds not in found and kinds in getattr(processor, "model_input_names", ()) and reads_pictures(processor):
        found[kinds] = torch.tensor(processor.create_mm_token_type_ids(found["input_ids"].tolist()))
    return found


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt: its text, with marks around control tokens that are words of a question.

    `before` are the tokens that the tokenizer puts in front, `end` is its text from the last control token on, and
    `options` are what the processor is told.
    """

    text: str
    before: tuple[int, ...]
    end: str
    options: Mapping[str, Any]


def write(
    processor: Any,
    messages: Sequence[Mapping[str, Any]],
    parity: Sequence[str] = (),
    date: str = DATE,
    begin_answer: bool = True,
) -> Prompt:
    """Return the prompt of a conversation. Raises ValueError where the chat template leaves out words of it."""
    template = ChatTemplate.of(processor, SYSTEM_TURN if "system-turn" in parity else None, date)
    breaks = any(base.__name__ in BREAKS_TOKENS for base in type(processor).__mro__)
    control_tokens = _control_tokens(processor.tokenizer, template.text)
    change = partial(_broken, processor.tokenizer) if breaks else partial(_marked, control_tokens)
    said = [_changed(message, change) for message in messages]
    text = template.render(said, begin_answer)
    _check_said(said, text)
    begins = processor.tokenizer.bos_token is not None and text.lstrip().startswith(processor.tokenizer.bos_token)
    end = text[_last(control_tokens, text) :]
    if breaks:
        return Prompt(text, (), end, {"add_special_tokens": False} if begins else {})
    before = () if begins else tokens_before(processor.tokenizer)
    return Prompt(text, before, end, {"add_special_tokens": False, "sanitize_control_tokens": True})


def tokens_before(tokenizer: Any) -> tuple[int, ...]:
    """Return the tokens that a tokenizer puts in front of every text by itself.

    Raises `ModelError` where it also puts some behind: the last token of a prompt would be none of the prompt's.
    """
    if not tokenizer.num_special_tokens_to_add(pair=False):
        return ()
    plain, found = (tokenizer.encode("a", add_special_tokens=added) for added in (False, True))
    begin = next((n for n in range(len(found)) if found[n : n + len(plain)] == plain), 0)
    if found[begin:] != plain:
        behind = tokenizer.convert_ids_to_tokens(found[begin + len(plain) :])
        raise ModelError(
            f"its tokenizer writes {' '.join(behind)} behind every prompt, after which no answer can follow: "
            "set add_eos_token to false in its tokenizer_config.json, or take its post-processor out of tokenizer.json"
        )
    return tuple(found[:begin])


def _changed(message: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    parts = [part | {"text": change(part["text"])} if part["type"] == "text" else part for part in message["content"]]
    return {**message, "content": parts}


@lru_cache(8)
def _control_tokens(tokenizer: Any, template: str) -> re.Pattern[str]:
    """Return what matches the tokens that a question must not write: special ones, and those the template writes."""
    added = tokenizer.added_tokens_decoder.values()
    words = [t.content for t in added if t.special or (t.content in template and not t.content.isspace())]
    return re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))) or "(?!)")


def _last(control_tokens: re.Pattern[str], text: str) -> int:
    """Return where the last control token of a prompt begins that is no word of a question."""
    found = (match.start() for match in control_tokens.finditer(text))
    return max((start for start in found if text[start - 1 : start] != MARK), default=0)


def _marked(control_tokens: re.Pattern[str], text: str) -> str:
    return mark_control_tokens(text, control_tokens)


def _check_said(messages: Sequence[Mapping[str, Any]], text: str) -> None:
    """Raise ValueError where a prompt lacks words of its conversation. Templates may strip the ends of what is said."""
    end = 0
    for message in messages:
        for words in texts_of(message):
            start = text.find(words.strip(), end)
            if start < 0:
                raise ValueError(f"the chat template leaves out words of the prompt: {words.strip()[:60]!r}")
            end = start + len(words.strip())


def _check_whole(tokenizer: Any, prompt: Prompt, ids: Sequence[int]) -> None:
    """Raise `ModelError` where the end of a prompt is not there, or whatever cuts prompts short is at work."""
    limit = tokenizer.backend_tokenizer.truncation
    if limit is not None:
        raise ModelError(f"its processor cuts prompts to {limit['max_length']} tokens: a prompt must be whole")
    end, found = _end(tokenizer, prompt.end), _words_at_the_end(tokenizer, ids)
    if not any(found[n : n + len(end)] == end for n in range(len(found) - len(end) + 1)):
        raise ModelError(f"its processor does not keep the end of a prompt: {tokenizer.decode(end)!r} is not there")


@lru_cache(1024)
def _end(tokenizer: Any, text: str) -> list[int]:
    return _words_at_the_end(tokenizer, encode_marked_chat(tokenizer, text))


def _words_at_the_end(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """Return the tokens behind the last control token of a prompt, which may stand for a picture."""
    added = _added_tokens(tokenizer)
    return list(ids[next((place for place in range(len(ids), 0, -1) if ids[place - 1] in added), 0) :])


@lru_cache(8)
def _added_tokens(tokenizer: Any) -> frozenset[int]:
    return frozenset(tokenizer.added_tokens_decoder)


def check_template(processor: Any) -> None:
    """Raise `ModelError` where the chat template writes another text each time, needs too much, or does not render.

    Templates that refuse a conversation without a picture, or with two, may do so: that is for its samples to see.
    """
    blank = Image.new("RGB", (32, 32))
    template = ChatTemplate.of(processor)
    for pictures in range(3 if reads_pictures(processor) else 1):
        with suppress(Refusal):
            template.check(conversation([blank] * pictures, QUESTION))


def prompt_hash(processor: Any, parity: Sequence[str] = (), date: str = DATE) -> str:
    """Return a hash of the tokens of one question about one picture, if any: the same hash, the same way to ask."""
    inputs = prepare(processor, sample_pictures(processor, (64, 48)), QUESTION, parity=parity, date=date)
    return sha256(" ".join(map(str, inputs["input_ids"][0].tolist())).encode()).hexdigest()


def _check_placeholders(processor: Any, inputs: Mapping[str, Tensor]) -> None:
    """Compare placeholders and patches of this one sample: transformers compares sums over a batch only."""
    merge = getattr(processor.image_processor, "merge_size", None)
    token = getattr(processor, "image_token_id", None)
    if merge is None or token is None or "image_grid_thw" not in inputs:
        return
    needed = int(inputs["image_grid_thw"].prod(1).sum()) // merge**2
    if hasattr(processor, "replace_image_token"):  # some write a place behind every row of patches, and around all
        pictures = range(len(inputs["image_grid_thw"]))
        needed = sum(processor.replace_image_token(inputs, each).count(processor.image_token) for each in pictures)
    found = int((inputs["input_ids"] == token).sum())
    if found != needed:
        raise ValueError(f"the prompt has {found} placeholders, its pictures need {needed}")


def _broken(tokenizer: Any, text: str) -> str:
    """Return the text with a space inside every control token, so that it is read as words."""
    for token in tokenizer.added_tokens_decoder.values():
        if token.special:
            text = text.replace(token.content, f"{token.content[0]} {token.content[1:]}")
    return text


def render(
    processor: Any,
    pictures: int,
    question: str,
    shots: Sequence[Shot] = (),
    parity: Sequence[str] = (),
    date: str = DATE,
) -> str:
    """Return the prompt as text, each picture as the model's own placeholder."""
    if pictures and not reads_pictures(processor):
        raise ModelError(NO_PICTURES)
    template = ChatTemplate.of(processor, SYSTEM_TURN if "system-turn" in parity else None, date)
    blank = [Image.new("RGB", (32, 32))] * pictures
    return template.render(conversation(blank, question, shots, _tag(parity)))
