"""A family's tiny checkpoint: its default configuration made small by rules, and its processor on words of the family.

What rules cannot know of a family stands in `recipes`.
"""

import inspect
import re
import sys
from functools import cache

import torch
import transformers
from tokenizers import AddedToken
from transformers import AutoConfig, AutoModelForImageTextToText, ProcessorMixin
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.image_processing_auto import (
    IMAGE_PROCESSOR_MAPPING_NAMES,
    get_image_processor_class_from_name,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
from transformers.utils import is_torchvision_available

from kit.families import FAMILIES as BY_HAND
from kit.families import TEMPLATE, build_model, build_processor, randomize, word_tokenizer
from kit.zoo.recipes import RECIPES, Recipe
from kit.zoo.shrink import is_part, merged, shrunk
from savs_harvest.models.processors import NOT_READ, family_processor, image_only
from savs_harvest.models.tiny.corpus import vocabulary

EVERY = tuple(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES)
PLAIN_WORDS = ("<|endoftext|>", "<unk>", "<|im_start|>", "<|im_end|>")
ENDS = {"bos_token_id": "<|im_start|>", "eos_token_id": "<|im_end|>", "pad_token_id": "<|endoftext|>"}
PLACE = re.compile(r"(\w+?)(_token)?_(id|index)")
ASKED = re.compile(r"tokenizer\.(\w+_token)(?:_id)?\b")
MOST_WEIGHTS = 10_000_000
NO_TWIN = "its pictures are prepared by torchvision only"
NO_PICTURES = "transformers maps nothing to it that prepares pictures"


class NoPillowError(Exception):
    """A family whose pictures transformers prepares with torchvision only."""


def recipe(family):
    return RECIPES.get(family, Recipe())


def processor_class(family):
    """Return the class of a family's processor. Raises KeyError where it has none."""
    if name := recipe(family).processor_class:
        return image_only(getattr(transformers, name))
    return family_processor(recipe(family).processor_of or family)


@cache
def special_words(family):
    """Return the words that stand for something in a family, by the name its tokenizer has for each."""
    made = recipe(family)
    words = {"image_token": "<image>"}
    try:
        source = inspect.getsource(sys.modules[processor_class(family).__module__])
    except (KeyError, ImportError, ValueError, AttributeError):
        source = ""
    for name in ASKED.findall(source):
        if name not in ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token"):
            words.setdefault(name, f"<{name.removesuffix('_token')}>")
    return {name: word for name, word in (words | made.words).items() if word}


@cache
def words_of(family):
    """Return the vocabulary of a family: special words, then those of the corpus."""
    special = (*PLAIN_WORDS, *special_words(family).values(), *recipe(family).also)
    return [*dict.fromkeys(special), *vocabulary()]


def configuration(family):
    """Return the tiny configuration of a family as a dictionary, without its type."""
    made = recipe(family)
    small = shrunk(CONFIG_MAPPING[family](**made.from_defaults).to_dict())
    small = _with_places(family, merged(small, made.config))
    if made.vocabulary_map:
        words = words_of(family)
        small["vocabulary_map"] = {word: words.index(word) for word in words if re.fullmatch(made.vocabulary_map, word)}
    small |= {name: [words_of(family).index(word) for word in words] for name, words in made.places.items()}
    for name in ("model_type", "transformers_version", "architectures"):
        small.pop(name, None)
    return small


def _with_places(family, content, outer=True):
    """Return a configuration in which every word stands at its place in the family's vocabulary."""
    words, made = words_of(family), special_words(family)
    placed = {}
    for name, value in content.items():
        found = PLACE.fullmatch(name)
        if is_part(name, value):
            placed[name] = _with_places(family, value, outer=False)
        elif name in ENDS:
            placed[name] = words.index(ENDS[name])
        elif name == "vocab_size":
            placed[name] = len(words) + 40
        elif isinstance(value, int) and not isinstance(value, bool) and found and _is_place(name, found[1], made):
            word = made.get(f"{found[1]}_token", f"<{found[1]}>")
            placed[name] = words.index(word if word in words else "<unk>")
        else:
            placed[name] = value
    return placed


def _is_place(name, word, made):
    return "token" in name or f"{word}_token" in made


def new_model(family):
    """Return the random model of a family. Raises ValueError where rules have not made it small."""
    if family in BY_HAND:
        return build_model(family)
    config = AutoConfig.for_model(family, **configuration(family))
    with torch.device("meta"):
        weights = sum(weight.numel() for weight in AutoModelForImageTextToText.from_config(config).parameters())
    if weights > MOST_WEIGHTS:
        raise ValueError(f"the rules leave {weights:,} weights")
    return randomize(AutoModelForImageTextToText.from_config(config)).eval()


def tokenizer(family):
    made = special_words(family)
    words = words_of(family)
    found = word_tokenizer(words, bos_token="<|im_start|>", extra_special_tokens=made)
    special = words[len(PLAIN_WORDS) : len(words) - len(vocabulary())]
    found.add_tokens([AddedToken(word, normalized=False, special=True) for word in special], special_tokens=True)
    return found


def needs_torchvision(family):
    """Tell whether transformers prepares a family's pictures with torchvision, and with nothing else."""
    made = recipe(family)
    mapped = IMAGE_PROCESSOR_MAPPING_NAMES.get(made.processor_of or family) or {}
    return not made.pictures and "torchvision" in mapped and "pil" not in mapped


def new_processor(family):
    """Return the processor of a family. Raises `NoPillowError` where its pictures need torchvision."""
    if family in BY_HAND:
        return build_processor(family)
    made = recipe(family)
    mapped = IMAGE_PROCESSOR_MAPPING_NAMES.get(made.processor_of or family)
    backends = ("pil", "torchvision") if is_torchvision_available() else ("pil",)
    name = made.pictures or next((found for each in backends if (found := (mapped or {}).get(each))), None)
    if name is None:
        raise NoPillowError(NO_TWIN if mapped else NO_PICTURES)
    kind = processor_class(family)
    known = inspect.signature(kind.__init__).parameters
    template = TEMPLATE.format(image=made.shown)
    return kind(
        **dict.fromkeys(set(known) & set(NOT_READ)),
        **({"qformer_tokenizer": tokenizer(family)} if "qformer_tokenizer" in known else {}),
        image_processor=get_image_processor_class_from_name(name)(**made.image),
        tokenizer=tokenizer(family),
        **({"chat_template": template} if "chat_template" in known else {}),
        **made.processor,
    )


def save(family, folder):
    """Write a family's tiny checkpoint into a folder."""
    new_model(family).save_pretrained(folder)
    # Not the class's own: one looks for files that belong to videos.
    ProcessorMixin.save_pretrained(new_processor(family), folder)
    return folder
