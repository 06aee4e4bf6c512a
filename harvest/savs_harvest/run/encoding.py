"""Pictures in memory become head vectors: a harvest of a few samples, of which nothing is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice, repeat
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float16, UInt8
from PIL import Image

from savs_benchmarks import PictureError, load_picture
from savs_harvest.asking.index import hash_picture
from savs_harvest.asking.preparing import Preparer, Question, Refused
from savs_harvest.batches.runner import Buffers, Runner
from savs_harvest.models.loading import LoadedModel
from savs_harvest.run.settings import Settings, check_settings, prepared_for
from savs_harvest.run.writing import head_table
from savs_stores import Status

Shown: TypeAlias = Image.Image | Path | str | UInt8[np.ndarray, "height width 3"]
# Samples that run between two yields.
BLOCK = 256
VECTORS_ONLY = Settings(logits=False)


def encode(
    model: LoadedModel,
    images: Sequence[Shown | Sequence[Shown]],
    question: str | Sequence[str],
    settings: Settings = VECTORS_ONLY,
) -> Float16[np.ndarray, "sample head dim"]:
    """Return what the heads give at the last token of each prompt, as a harvest would store it.

    A sample shows one picture, or a list of them; `question` is asked of all, or there is one for each. Raises
    ValueError naming the first sample that a harvest would refuse, and why.
    """
    found = list(encode_blocks(model, images, question, settings))
    table = head_table(model)
    return np.concatenate(found) if found else np.empty((0, len(table), table.dim), dtype=np.float16)


def encode_blocks(
    model: LoadedModel,
    images: Sequence[Shown | Sequence[Shown]],
    question: str | Sequence[str],
    settings: Settings = VECTORS_ONLY,
) -> Iterator[Float16[np.ndarray, "sample head dim"]]:
    """Yield the vectors of at most 256 samples at a time, in order and in bounded memory. Raises as `encode`."""
    check_settings(model, settings)
    if not isinstance(images, Sequence) or isinstance(images, str):
        raise ValueError(f"images must be a list of pictures, not {type(images).__name__}")
    words = repeat(question) if isinstance(question, str) else iter(_checked(question, len(images)))
    preparer = Preparer(
        model.folder, model.model.dtype, settings.parity, model.family.tiles_one_picture, model.processor, settings.date
    )
    runner = Runner(model, settings.batching(model.device))
    for start in range(0, len(images), BLOCK):
        shown = [_pictures(each, start + place) for place, each in enumerate(images[start : start + BLOCK])]
        asked = [Question(pictures, text) for pictures, text in zip(shown, islice(words, len(shown)), strict=True)]
        with prepared_for(model, settings):
            found = _vectors(runner, preparer, asked, start)
        yield found


def _checked(questions: Sequence[str], samples: int) -> Sequence[str]:
    if len(questions) != samples:
        raise ValueError(f"{len(questions):,} questions are asked of {samples:,} samples: one for all, or one for each")
    if wrong := [place for place, question in enumerate(questions) if not isinstance(question, str)]:
        raise ValueError(f"sample {wrong[0]}: its question is no text: {questions[wrong[0]]!r}")
    return questions


def _pictures(shown: Shown | Sequence[Shown], sample: int) -> tuple[Image.Image, ...]:
    several: Sequence[Any] = shown if isinstance(shown, list | tuple) else [shown]
    try:
        return tuple(load_picture(_as_picture(one)) for one in several)
    except (PictureError, TypeError) as error:
        raise ValueError(f"sample {sample}: {error}") from error


def _as_picture(shown: Shown) -> Image.Image | Path:
    if isinstance(shown, np.ndarray):
        if shown.dtype != np.uint8 or shown.ndim != 3 or shown.shape[2] != 3 or not shown.size:
            words = f"{shown.dtype} of shape {shown.shape}"
            raise TypeError(f"an array must be uint8 [height, width, 3], got {words}")
        return Image.fromarray(shown)
    if not isinstance(shown, str | Path | Image.Image):
        raise TypeError(f"a picture is a PIL image, an array or a path, not {type(shown).__name__}")
    return Path(shown) if isinstance(shown, str) else shown


def _vectors(
    runner: Runner, preparer: Preparer, asked: Sequence[Question], start: int
) -> Float16[np.ndarray, "sample head dim"]:
    model, table = runner.model, head_table(runner.model)
    hashed = [[hash_picture(picture) for picture in question.pictures] for question in asked]
    lengths = [
        preparer.length(question, [picture.size for picture in of]) for question, of in zip(asked, hashed, strict=True)
    ]
    buffers = Buffers.empty(model, len(asked), (len(table), table.dim), 1)
    pictures = [tuple(picture.hash for picture in of) for of in hashed]
    for groups in runner.batching.plan(model.family, lengths, pictures):
        inputs = {place: preparer.inputs(asked[place]) for group in groups for place in group}
        ready = {place: found for place, found in inputs.items() if not isinstance(found, Refused)}
        for place, found in inputs.items():
            if isinstance(found, Refused):
                buffers.refuse(place, found.status, found.reason)
        if left := [kept for group in groups if (kept := [place for place in group if place in ready])]:
            runner.run(left, ready, dict.fromkeys(ready), buffers)
    content = buffers.fetch().shard()
    for place in np.flatnonzero(content.status != Status.OK).tolist():
        status = Status(content.status[place]).name.lower()
        raise ValueError(f"sample {start + place}: {buffers.reasons.get(place, status)}")
    return content.heads
