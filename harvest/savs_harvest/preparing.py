"""Samples become model inputs ahead of the model, in processes of their own where there are any."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from savs_benchmarks import PictureError, load_picture
from savs_benchmarks.pictures import Picture
from savs_harvest.processors import load_processor
from savs_harvest.prompts import Shot, prepare, render
from savs_stores import Status


@dataclass(frozen=True)
class Question:
    """A sample as it is asked: its pictures, its words, and answered questions (pictures, words, answer) before it."""

    pictures: tuple[Picture, ...]
    words: str
    shots: tuple[tuple[tuple[Picture, ...], str, str], ...] = ()

    @property
    def all_pictures(self) -> tuple[Picture, ...]:
        return (*(picture for pictures, _, _ in self.shots for picture in pictures), *self.pictures)


@dataclass(frozen=True)
class Refused:
    """A sample that has no model inputs: what became of it, and why."""

    status: Status
    reason: str


Prepared = dict[str, Tensor] | Refused


class Preparer:
    """Makes model inputs of questions. Travels to other processes as a folder's name; each loads its own processor."""

    def __init__(
        self,
        folder: Path,
        dtype: torch.dtype,
        parity: tuple[str, ...],
        single_tile_of_many: bool,
        processor: Any = None,
    ) -> None:
        self.folder, self.dtype, self.parity, self.single_tile_of_many = folder, dtype, parity, single_tile_of_many
        self.processor = processor or load_processor(folder)
        self._tokens = lru_cache(4096)(self._count_tokens)
        self._frame = lru_cache(64)(self._count_frame)

    def __reduce__(self) -> tuple[Any, ...]:
        return Preparer, (self.folder, self.dtype, self.parity, self.single_tile_of_many)

    def inputs(self, question: Question) -> Prepared:
        """Return the model inputs of a question, floating numbers in the model's type, or why there are none."""
        try:
            shots = [Shot([load_picture(p) for p in shown], words, answer) for shown, words, answer in question.shots]
            pictures = [load_picture(picture) for picture in question.pictures]
            found = prepare(self.processor, pictures, question.words, shots, self.parity)
        except PictureError as error:
            return Refused(Status[error.code.upper()], f"{error.code}: {error}")
        except ValueError as error:
            return Refused(Status.REJECTED, f"rejected: {error}")
        return {name: tensor.to(self.dtype) if tensor.is_floating_point() else tensor for name, tensor in found.items()}

    def length(self, question: Question, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Return how many tokens the prompt has, and how many of them its pictures take.

        From the sizes (width, height) of its pictures, its shots' first, where the family has a formula, else by
        preparing it. It may be off by a few where tokenizers join words: it is for planning batches, nothing else.
        """
        try:
            each = self._picture_tokens(sizes)
        except (ValueError, ZeroDivisionError):  # pictures that will be refused
            return 0, 0
        if each is None:
            found = self.inputs(question)
            return (0, 0) if isinstance(found, Refused) else (found["input_ids"].shape[1], 0)
        words = [question.words, *(text for _, asked, answer in question.shots for text in (asked, answer))]
        frame = self._frame(len(question.pictures), tuple(len(shown) for shown, _, _ in question.shots))
        return frame + sum(map(self._tokens, words)) + sum(each), sum(each)

    def _picture_tokens(self, sizes: Sequence[tuple[int, int]]) -> list[int] | None:
        count = getattr(self.processor, "_get_num_multimodal_tokens", None)
        if count is None:
            return None
        if self.single_tile_of_many and len(sizes) > 1 and "anyres" not in self.parity:
            return [self.processor.num_image_tokens + 1] * len(sizes)
        try:
            return list(count(image_sizes=[(height, width) for width, height in sizes]).num_image_tokens)
        except (AttributeError, KeyError, TypeError, NotImplementedError):  # a formula that is no longer what it was
            return None

    def _count_tokens(self, text: str) -> int:
        return len(self.processor.tokenizer.encode(text, add_special_tokens=False))

    def _count_frame(self, pictures: int, shots: tuple[int, ...]) -> int:
        """Return the tokens of a prompt that are neither words nor pictures."""
        blank = Image.new("RGB", (32, 32))
        empty = [Shot([blank] * count, "", "") for count in shots]
        text = render(self.processor, pictures, "", empty, self.parity)
        return max(0, self._count_tokens(text) - pictures - sum(shots))


_here: list[Preparer] = []


@contextmanager
def preparing(
    preparer: Preparer, workers: int
) -> Iterator[Callable[[Iterable[list[Question]]], Iterator[list[Prepared]]]]:
    """Give a function that yields the inputs of one list of questions after another, a few lists ahead of its reader.

    With no workers they are made when they are asked for, in this process.
    """
    if not workers:
        yield lambda lists: ([preparer.inputs(question) for question in questions] for questions in lists)
        return
    context = multiprocessing.get_context("spawn")  # a fork would inherit the locks of a GPU's threads
    with ProcessPoolExecutor(workers, context, _start_worker, (preparer,)) as pool:
        try:
            yield lambda lists: _ahead(pool, lists, 2 * workers)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _ahead(pool: ProcessPoolExecutor, lists: Iterable[list[Question]], depth: int) -> Iterator[list[Prepared]]:
    waiting: deque[Future[list[Any]]] = deque()
    for questions in lists:
        waiting.append(pool.submit(_prepare_here, questions))
        if len(waiting) > depth:
            yield [_unpacked(content) for content in waiting.popleft().result()]
    while waiting:
        yield [_unpacked(content) for content in waiting.popleft().result()]


def _start_worker(preparer: Preparer) -> None:
    """Prepare this process: it ends with the one that started it, and leaves Ctrl-C to it."""
    from savs_harvest.models import quiet_libraries

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    quiet_libraries()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (wait([parent.sentinel]), os._exit(1)), daemon=True).start()
    _here.append(preparer)


def _prepare_here(questions: list[Question]) -> list[Any]:
    return [_packed(_here[0].inputs(question)) for question in questions]


def _packed(prepared: Prepared) -> Any:
    """Return inputs as plain bytes: tensors themselves would travel as open files, of which there are too few."""
    if isinstance(prepared, Refused):
        return prepared
    return {
        name: (tensor.contiguous().view(torch.uint8).numpy(), tensor.dtype, tensor.shape)
        for name, tensor in prepared.items()
    }


def _unpacked(content: Any) -> Prepared:
    if isinstance(content, Refused):
        return content
    return {
        name: torch.from_numpy(np.asarray(raw)).view(dtype).reshape(shape)
        for name, (raw, dtype, shape) in content.items()
    }
