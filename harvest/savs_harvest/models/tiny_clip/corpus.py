"""What `tiny-clip` is trained on: captions of pictures of digits, none of them a caption that names a class to it."""

from __future__ import annotations

import numpy as np

from savs_benchmarks.digits.digits import DIGIT_WORDS
from savs_harvest.models.tiny.corpus import FILLER, LETTERS

CAPTIONS = (
    "the digit {}",
    "a handwritten {}",
    "the number {} in black ink",
    "a picture of the digit {}",
    "an image that shows a {}",
    "someone wrote a {}",
    "{} , written by hand",
    "it is a {}",
    "a {} on white paper",
    "the photo is of number {}",
    "this is the digit {} , by hand",
    "{}",
)
# How the benchmarks' classes are named to it (`savs_harvest.asking.class_templates`): never a caption.
HELD_OUT = "a photo of a"
MOST_FILLER = 12


def caption(generator: np.random.Generator, digit: int) -> str:
    """Return a random caption of a digit, with unrelated words between its own; the generator decides everything."""
    while True:
        words = str(generator.choice(CAPTIONS)).format(DIGIT_WORDS[digit]).split()
        for _ in range(int(generator.integers(0, MOST_FILLER + 1))):
            words.insert(int(generator.integers(len(words) + 1)), str(generator.choice(FILLER)))
        if HELD_OUT not in (found := " ".join(words)):
            return found


def vocabulary() -> list[str]:
    """Return every word the model knows, sorted."""
    words = {word for text in CAPTIONS for word in text.replace("{}", "").split()}
    return sorted(words | set(FILLER) | set(LETTERS) | set(DIGIT_WORDS) | set(HELD_OUT.split()) | set(".,:;?!()'\"|-"))
