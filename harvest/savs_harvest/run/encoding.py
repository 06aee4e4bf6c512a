"""Pictures become head vectors: a harvest of a few samples, of which nothing is kept."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, islice, repeat, tee
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Float16, UInt8
from PIL import Image

from savs_benchmarks import PictureError, load_picture
from savs_benchmarks.pictures.pictures import Picture, picture_size
from savs_harvest.asking.hashing import HashedPicture, hash_picture
from savs_harvest.asking.preparing import Prepared, Question, Refused, preparing
from savs_harvest.batches.batching import Groups
from savs_harvest.batches.buffers import Buffers
from savs_harvest.models.loading import LoadedModel
from savs_harvest.run.settings import Settings, check_settings, prepared_for, preparer_of, runner_of
from savs_harvest.run.writing import head_table
from savs_stores import Status
from savs_stores.format.fingerprint import short_hash

Shown: TypeAlias = Image.Image | Path | str | UInt8[np.ndarray, "height width 3"] | UInt8[np.ndarray, "height width"]
# Samples that run between two yields.
BLOCK = 256
VECTORS_ONLY = Settings(logits=False)


@dataclass(frozen=True)
class Block:
    """What became of some samples: vectors, NaN where a sample failed, its status, and why in words."""

    vectors: Float16[np.ndarray, "sample head dim"]
    status: UInt8[np.ndarray, " sample"]
    reasons: dict[int, str]

    @property
    def failed(self) -> list[int]:
        return np.flatnonzero(self.status != Status.OK).tolist()

    def reason(self, place: int) -> str:
        return self.reasons.get(place, Status(self.status[place]).name.lower())


class Encoder:
    """Runs samples, and brings from the device what is wanted only: `heads` are places on the model's axis of heads."""

    def __init__(
        self, model: LoadedModel, settings: Settings = VECTORS_ONLY, heads: Sequence[int] | None = None
    ) -> None:
        check_settings(model, settings)
        self.model, self.settings = model, settings
        self.runner = runner_of(model, settings)
        self.heads = None if heads is None else torch.tensor(heads, device=model.device)
        self.preparer = preparer_of(model, settings)

    def run(self, asked: Sequence[Question]) -> Block:
        """Return what became of these samples."""
        [found] = self.stream([asked])
        return found

    def stream(self, blocks: Iterable[Sequence[Question]]) -> Iterator[Block]:
        """Yield one block after another, none of which is empty, in bounded memory.

        Where the settings have workers, they prepare a few batches ahead of the model.
        """
        planned = ((n, asked, groups) for n, asked in enumerate(blocks) for groups in self._plan(asked))
        batches, ahead = tee(planned)
        with preparing(self.preparer, self.settings.workers) as prepare, prepared_for(self.model, self.settings):
            prepared = prepare([asked[place] for group in groups for place in group] for _, asked, groups in ahead)
            for _, of_block in groupby(batches, key=itemgetter(0)):
                yield self._run((asked, groups, next(prepared)) for _, asked, groups in of_block)

    def _plan(self, asked: Sequence[Question]) -> list[Groups]:
        if len(asked) == 1:
            return [[[0]]]
        seen = [[_look(picture) for picture in question.pictures] for question in asked]
        lengths = [
            self.preparer.length(question, [picture.size for picture in of])
            for question, of in zip(asked, seen, strict=True)
        ]
        pictures = [tuple(picture.hash for picture in of) for of in seen]
        return self.runner.batching.plan(self.model.family, lengths, pictures)

    def _run(self, batches: Iterable[tuple[Sequence[Question], Groups, list[Prepared]]]) -> Block:
        buffers: Buffers | None = None
        for asked, groups, prepared in batches:
            if buffers is None:
                table = head_table(self.model)
                buffers = Buffers.empty(self.model, len(asked), (len(table), table.dim), 1)
            self._run_batch(groups, prepared, buffers)
        assert buffers is not None
        return self._fetch(buffers)

    def _run_batch(self, groups: Groups, prepared: list[Prepared], buffers: Buffers) -> None:
        inputs = {}
        for place, found in zip((place for group in groups for place in group), prepared, strict=True):
            if isinstance(found, Refused):
                buffers.refuse(place, found.status, found.reason)
            else:
                inputs[place] = found
        if left := [kept for group in groups if (kept := [place for place in group if place in inputs])]:
            self.runner.run(left, inputs, dict.fromkeys(inputs), buffers)

    def _fetch(self, buffers: Buffers) -> Block:
        vectors = buffers.vectors if self.heads is None else buffers.vectors[:, self.heads]
        content = replace(buffers, vectors=vectors).fetch().shard()
        return Block(content.heads, content.status, buffers.reasons)


def encode(
    model: LoadedModel,
    images: Sequence[Shown | Sequence[Shown]],
    question: str | Sequence[str],
    settings: Settings = VECTORS_ONLY,
) -> Float16[np.ndarray, "sample head dim"]:
    """Return what the heads give at the last token of each prompt, as a harvest would store it.

    A sample shows one picture, or a list of them, or none (`[]`); `question` is asked of all, or there is one for
    each. Raises ValueError naming the first sample that a harvest would refuse, and why.
    """
    found = list(encode_blocks(Encoder(model, settings), images, question))
    table = head_table(model)
    return np.concatenate(found) if found else np.empty((0, len(table), table.dim), dtype=np.float16)


def encode_blocks(
    encoder: Encoder, images: Sequence[Shown | Sequence[Shown]], question: str | Sequence[str]
) -> Iterator[Float16[np.ndarray, "sample head dim"]]:
    """Yield the vectors of at most 256 samples at a time, in order and in bounded memory. Raises as `encode`."""
    if not isinstance(images, Sequence) or isinstance(images, str):
        raise ValueError(f"images must be a list of pictures, not {type(images).__name__}")
    words = repeat(question) if isinstance(question, str) else iter(_checked(question, len(images)))
    for start in range(0, len(images), BLOCK):
        shown = [_pictures(each, start + place) for place, each in enumerate(images[start : start + BLOCK])]
        asked = [Question(pictures, text) for pictures, text in zip(shown, islice(words, len(shown)), strict=True)]
        found = encoder.run(asked)
        for place in found.failed:
            raise ValueError(f"sample {start + place}: {found.reason(place)}")
        yield found.vectors


def _look(picture: Picture) -> HashedPicture:
    """Return what a batch is planned by: a file is known by its name and its header, for it is decoded once only."""
    if isinstance(picture, Image.Image):
        return hash_picture(picture)
    there = not isinstance(picture, Path) or os.path.isfile(picture)  # noqa: PTH113  opening a pipe would wait for ever
    size = picture_size(picture) if there else (0, 0)
    return HashedPicture(short_hash(str(picture).encode("utf-8", "surrogateescape")), size)


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
        if shown.dtype != np.uint8 or not (shown.ndim == 2 or shown.shape[2:] == (3,)) or not shown.size:
            words = f"{shown.dtype} of shape {shown.shape}{_advice(shown)}"
            raise TypeError(f"an array must be uint8 [height, width, 3], or [height, width] of grey, got {words}")
        return Image.fromarray(shown)
    if not isinstance(shown, str | Path | Image.Image):
        raise TypeError(f"a picture is a PIL image, an array or a path, not {type(shown).__name__}")
    return Path(shown) if isinstance(shown, str) else shown


def _advice(array: np.ndarray) -> str:
    """Say how an array becomes a picture; nothing is guessed, as 0 to 1 and 0 to 255 may look alike."""
    ways = []
    if array.dtype == bool:
        ways.append("255 * array.astype(np.uint8)")
    elif array.dtype.kind == "f":
        ways.append("np.round(255 * array).astype(np.uint8) where 1 is white, array.astype(np.uint8) where 255 is")
    elif array.dtype != np.uint8:
        ways.append("array.astype(np.uint8) where 255 is white")
    if array.ndim == 3 and array.shape[2] == 1:
        ways.append("array[..., 0] of grey")
    elif array.ndim == 3 and array.shape[2] == 4:
        ways.append("array[..., :3] without alpha")
    elif array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] != 3:
        ways.append("array.transpose(1, 2, 0) where colours come first")
    elif array.ndim == 4:
        ways.append("list(array) of several pictures")
    return f": give {', and '.join(ways)}" if ways and array.size else ""
