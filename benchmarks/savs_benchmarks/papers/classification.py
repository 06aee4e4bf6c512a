"""Image classification as the papers ask it: the class's name, some of the names printed as lettered options."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from savs_benchmarks.pictures.pictures import Picture
from savs_benchmarks.sample import Sample, Split
from savs_benchmarks.splits import order

PROMPT = "{question}\n{options} Answer with the class name."


def draw_options(sample_id: str, label: str, classes: Sequence[str], count: int) -> tuple[str, ...]:
    """Return `count` classes in random order, the label among them; the sample's id alone decides."""
    options = {label}
    draw = 0
    while len(options) < min(count, len(set(classes))):
        options.add(classes[order("option", sample_id, str(draw)) % len(classes)])
        draw += 1
    return tuple(sorted(options, key=lambda name: order("place", sample_id, name)))


def classification_sample(
    sample_id: str, picture: Picture, label: str, split: Split, question: str, classes: Sequence[str], count: int = 4
) -> Sample:
    """Return the sample of one labelled picture, asked with `count` printed options."""
    options = draw_options(sample_id, label, classes, count)
    printed = " ".join(f"{letter}. {name}" for letter, name in zip(ascii_uppercase, options, strict=False))
    text = PROMPT.format(question=question, options=printed)
    return Sample(sample_id, (picture,), text, label, split, options=options)
