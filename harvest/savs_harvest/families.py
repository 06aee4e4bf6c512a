"""What the code of a family allows beyond what is right for all. Each claim is proven by a test of that family."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Family:
    """Rules of a family; an unknown one gets a mask, one sequence a sample, any mixture in a batch."""

    # No token sees a later one, so that padding on the right needs no mask.
    causal: bool = False
    # A mask of our own reaches every layer unchanged, and nothing but it and the positions says what a token sees.
    shares: bool = False
    # Only samples with the same number of pictures may share a batch: pictures that pad are seen.
    same_pictures: bool = False
    # Several pictures are read whole, one picture is read in tiles.
    tiles_one_picture: bool = False
    # The vision tower lays all pictures of a batch end to end, and tells attention where each begins.
    packs_pictures: bool = False


PLAIN = Family(causal=True, shares=True)
FAMILIES = {
    **dict.fromkeys(("idefics3", "internvl", "llava", "llava_next", "mistral3", "smolvlm"), PLAIN),
    **dict.fromkeys(("qwen2_vl", "qwen2_5_vl", "qwen3_vl"), replace(PLAIN, packs_pictures=True)),
    **dict.fromkeys(("aya_vision", "gemma3", "gemma4", "qwen3_5", "dots3_note"), Family(causal=True)),
    "llava_onevision": Family(causal=True, shares=True, tiles_one_picture=True),
    "mllama": Family(causal=True, same_pictures=True),
    "paligemma": Family(),
}


def rules(config: Any) -> Family:
    """Return the rules of a model's family; layers that see a window only never share a prefix."""
    family = FAMILIES.get(config.model_type, Family())
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    windowed = set(kinds) != {"full_attention"} if kinds else bool(getattr(text, "sliding_window", None))
    return replace(family, shares=False) if windowed else family
