"""What names a class to an encoder: a caption that a picture of it might have, as CLIP's authors put it."""

from __future__ import annotations

from collections.abc import Mapping

from savs_harvest.asking.class_texts import CLASS

# CLIP (arXiv 2103.00020), section 3.1.4; the others are the ones of its repository that say what the pictures are of.
USUAL = f"a photo of a {CLASS}."
OF_BENCHMARKS: Mapping[str, str] = {
    "cub": f"a photo of a {CLASS}, a type of bird.",
    "dtd": f"{CLASS} texture.",
    "eurosat": f"a centered satellite photo of {CLASS}.",
    "flowers": f"a photo of a {CLASS}, a type of flower.",
    "food-101": f"a photo of {CLASS}, a type of food.",
    "pets": f"a photo of a {CLASS}, a type of pet.",
}


def template_of(benchmark: str) -> str:
    """Return the template of a benchmark, by its name, also that of a part or another wording; else the usual one."""
    return next((frame for name, frame in OF_BENCHMARKS.items() if f"{benchmark}-".startswith(f"{name}-")), USUAL)
