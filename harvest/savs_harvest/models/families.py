"""What the code of a family allows beyond what is right for all. Each claim is proven by a test of that family."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from savs_harvest.errors import ModelError

# How the papers' code made its prompts, where that is not how the model's own files say, in words.
SWITCHES = {
    "system-turn": "a system turn, and every picture on a line of its own",
    "anyres": "every one of several pictures read in tiles",
    "image-tag": "the word <image> in front of the question, once a picture",
}


@dataclass(frozen=True)
class Family:
    """Rules of a family; an unknown one gets a mask, one sequence a sample, any mixture in a batch."""

    # No token sees a later one, so that padding on the right needs no mask.
    causal: bool = False
    # A mask of our own reaches every layer unchanged, and nothing but it and the positions says what a token sees.
    shares: bool = False
    # A sample beside others is not what it is alone: each is a batch of its own.
    alone: bool = False
    # What a layer computes of a token depends on all tokens of a call: none may be left out.
    mixes: bool = False
    # Only samples with the same number of pictures may share a batch: pictures that pad are seen.
    same_pictures: bool = False
    # Of a prompt's pictures only the first is read.
    one_picture: bool = False
    # Several pictures are read whole, one picture is read in tiles.
    tiles_one_picture: bool = False
    # An attention function of our own reaches every layer, so that samples lie in one row without padding.
    packs: bool = False
    # What token_type_ids say of a token behind the prompt.
    answer_type: int = 0
    # The vision tower lays all pictures of a batch end to end, and tells attention where each begins.
    packs_pictures: bool = False
    # Its processor, by name, counts control tokens before questions are sanitized, or asks for places of characters.
    breaks_tokens: tuple[str, ...] = ()
    # Its first layers give the same vectors where the ones behind them were never loaded.
    shortens: bool = False
    # The switches of `--parity` that the papers' code has for it.
    parity: tuple[str, ...] = ()


PLAIN = Family(causal=True, shares=True, packs=True, shortens=True)
CAUSAL = Family(causal=True, shortens=True)
# A language model: there are no pictures to share.
WORDS = replace(PLAIN, shares=False)
QWEN = replace(PLAIN, packs_pictures=True)
QWEN_OF_PAPERS = replace(QWEN, parity=("image-tag",))
FAMILIES = {
    "aya_vision": replace(CAUSAL, breaks_tokens=("AyaVisionProcessor",)),
    "dots3_note": CAUSAL,
    "gemma2": CAUSAL,
    "gemma3": replace(CAUSAL, breaks_tokens=("Gemma3Processor",)),
    "gemma3_text": CAUSAL,
    "gemma4": CAUSAL,
    "gpt2": replace(WORDS, shortens=False),
    "gpt_neox": replace(WORDS, shortens=False),
    "idefics3": replace(PLAIN, breaks_tokens=("Idefics3Processor",)),
    "internvl": replace(PLAIN, breaks_tokens=("InternVLProcessor",)),
    "llama": WORDS,
    "llava": PLAIN,
    "llava_next": PLAIN,
    "llava_onevision": replace(PLAIN, tiles_one_picture=True, parity=("system-turn", "anyres")),
    # It lays the patches of a picture along one row, and takes one row.
    "minicpmv4_6": Family(alone=True, shortens=True, breaks_tokens=("MiniCPMV4_6Processor",)),
    "minicpmv4_7": Family(breaks_tokens=("MiniCPMV4_7Processor",)),
    "mistral": WORDS,
    "mistral3": PLAIN,
    "mllama": replace(CAUSAL, same_pictures=True, breaks_tokens=("MllamaProcessor",)),
    # Its prompts are read in both directions, its answers are not.
    "paligemma": Family(answer_type=1, shortens=True, breaks_tokens=("PaliGemmaProcessor",)),
    "qwen2": WORDS,
    "qwen2_vl": QWEN_OF_PAPERS,
    "qwen2_5_vl": QWEN_OF_PAPERS,
    "qwen3": WORDS,
    "qwen3_5": CAUSAL,
    "qwen3_vl": QWEN,
    "smolvlm": PLAIN,
    "vipllava": PLAIN,
}


# Settings by which a token sees less, or otherwise, only behind so many tokens: no trial on short prompts shows it.
FAR = re.compile(
    r"chunk|sparse(?!_step)|index_|indexer|floor_scale|temperature_tuning|scaling_beta|compress|mamba|recurrent"
)


def rules(config: Any) -> Family:
    """Return the rules of a model's family; layers that see a window only never share a prefix."""
    family = FAMILIES.get(config.model_type, Family())
    return replace(family, shares=False, packs=False) if changes_far_away(config) else family


def changes_far_away(config: Any) -> bool:
    """Tell whether what a token of the language model sees depends on how many tokens there are, or how far away."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    windowed = set(kinds) != {"full_attention"} if kinds else bool(getattr(text, "sliding_window", None))
    return windowed or any(value for name, value in vars(text).items() if FAR.search(name))


def most_positions(config: Any) -> float:
    """Return how many positions the language model was made for, infinite where its configuration is silent.

    Positions that are scaled reach further by their factor than the number they were made from.
    """
    text = config.get_text_config()
    most = getattr(text, "max_position_embeddings", None)
    if not isinstance(most, int) or most < 1:
        return inf
    return max([most, *(_reach(scaling, most) for scaling in _scalings(getattr(text, "rope_parameters", None)))])


def _reach(scaling: dict[str, Any], most: int) -> float:
    return (scaling.get("original_max_position_embeddings") or most) * (scaling.get("factor") or 1.0)


def _scalings(parameters: Any) -> list[dict[str, Any]]:
    """Return the parameters of rotary positions, of each kind of layers where they have their own."""
    if not isinstance(parameters, dict):
        return []
    return [parameters, *(each for each in parameters.values() if isinstance(each, dict))]


def check_switches(parity: Iterable[str]) -> None:
    """Raise `ModelError` for a parity switch that does not exist."""
    for switch in parity:
        if switch not in SWITCHES:
            raise ModelError(f"unknown parity switch {switch!r}; there are {', '.join(SWITCHES)}")
