"""Samples become model inputs ahead of the model, in processes of their own where there are any."""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from savs_benchmarks import PictureError, load_picture
from savs_benchmarks.pictures.pictures import Picture
from savs_harvest.asking.once import LastPictures, keep_last
from savs_harvest.errors import ModelError
from savs_harvest.models.processors import load_processor
from savs_harvest.models.prompts import Shot, prepare, render
from savs_harvest.models.templates import DATE, Refusal
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


class MakesInputs(Protocol):
    """Whatever makes model inputs of questions, and travels to other processes."""

    def inputs(self, question: Question) -> Prepared:
        """Return the model inputs of a question, or why there are none."""


class Preparer:
    """Makes model inputs of questions. Travels to other processes as a folder's name; each loads its own processor."""

    def __init__(
        self,
        folder: Path,
        dtype: torch.dtype,
        parity: tuple[str, ...],
        single_tile_of_many: bool,
        processor: Any = None,
        date: str = DATE,
        one_picture: bool = False,
    ) -> None:
        self.folder, self.dtype, self.parity, self.single_tile_of_many = folder, dtype, parity, single_tile_of_many
        self.date, self.one_picture = date, one_picture
        self.processor = processor or load_processor(folder)
        self._pictures = LastPictures()
        if self.processor.image_processor is not None:
            keep_last(self.processor.image_processor)
        self._tokens = lru_cache(4096)(self._count_tokens)
        self._frame = lru_cache(64)(self._count_frame)
        self._shown = lru_cache(4096)(self._picture_tokens)

    def __reduce__(self) -> tuple[Any, ...]:
        return Preparer, (
            self.folder,
            self.dtype,
            self.parity,
            self.single_tile_of_many,
            None,
            self.date,
            self.one_picture,
        )

    def inputs(self, question: Question) -> Prepared:
        """Return the model inputs of a question, floating numbers in the model's type, or why there are none."""
        try:
            shots = [Shot([load_picture(p) for p in shown], words, answer) for shown, words, answer in question.shots]
            pictures = self._pictures.load(question.pictures)
            if self.one_picture and (shown := len(pictures) + sum(len(shot.pictures) for shot in shots)) > 1:
                return Refused(Status.REJECTED, f"rejected: {shown} pictures, of which this model reads the first only")
            found = prepare(self.processor, pictures, question.words, shots, self.parity, self.date)
        except ModelError:
            raise
        except PictureError as error:
            return Refused(Status[error.code.upper()], f"{error.code}: {error}")
        except ValueError as error:
            return Refused(Status.REJECTED, f"rejected: {error}")
        return {name: tensor.to(self.dtype) if tensor.is_floating_point() else tensor for name, tensor in found.items()}

    def length(self, question: Question, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
        """Return how many tokens the prompt has, and how many of them its pictures take.

        From the sizes (width, height) of its pictures, its shots' first, where it has none or the family has a
        formula, else by preparing it. It may be off by a few where tokenizers join words: it is for planning batches,
        nothing else.
        """
        try:
            each = self._shown(tuple(sizes))
        except (ValueError, ZeroDivisionError):  # pictures that will be refused
            return 0, 0
        with suppress(Refusal):  # of this prompt, or of one without words
            if each is not None:
                words = [question.words, *(text for _, asked, answer in question.shots for text in (asked, answer))]
                frame = self._frame(len(question.pictures), tuple(len(shown) for shown, _, _ in question.shots))
                return frame + sum(map(self._tokens, words)) + sum(each), sum(each)
        found = self.inputs(question)
        return (0, 0) if isinstance(found, Refused) else (found["input_ids"].shape[1], 0)

    def _picture_tokens(self, sizes: tuple[tuple[int, int], ...]) -> list[int] | None:
        if not sizes:
            return []
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
        # Not by the tokenizer's own wrapper, in which most of the time would go; what it does beside is not for plans.
        return len(self.processor.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False))

    def _count_frame(self, pictures: int, shots: tuple[int, ...]) -> int:
        """Return the tokens of a prompt that are neither words nor pictures."""
        blank = Image.new("RGB", (32, 32))
        empty = [Shot([blank] * count, "", "") for count in shots]
        text = render(self.processor, pictures, "", empty, self.parity, self.date)
        return max(0, self._count_tokens(text) - pictures - sum(shots))


@contextmanager
def preparing(
    preparer: MakesInputs, workers: int
) -> Iterator[Callable[[Iterable[list[Question]]], Iterator[list[Prepared]]]]:
    """Give a function that yields the inputs of one list of questions after another, a few lists ahead of its reader.

    With no workers they are made when they are asked for, in this process. Raises ChildProcessError, out of the block,
    where a worker has died.
    """
    if not workers:
        yield lambda lists: ([preparer.inputs(question) for question in questions] for questions in lists)
        return
    idle: SimpleQueue[Connection] = SimpleQueue()
    with ThreadPoolExecutor(workers) as threads, ExitStack() as processes:
        try:
            for _ in range(workers):
                idle.put(processes.enter_context(_worker(preparer)))
            yield lambda lists: _ahead(threads, idle, lists, 2 * workers)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)


def _ahead(
    threads: ThreadPoolExecutor, idle: SimpleQueue[Connection], lists: Iterable[list[Question]], depth: int
) -> Iterator[list[Prepared]]:
    waiting: deque[Future[list[Any]]] = deque()
    for questions in lists:
        waiting.append(threads.submit(_ask, idle, questions))
        if len(waiting) > depth:
            yield [_unpacked(content) for content in waiting.popleft().result()]
    while waiting:
        yield [_unpacked(content) for content in waiting.popleft().result()]


def _ask(idle: SimpleQueue[Connection], questions: list[Question]) -> list[Any]:
    connection = idle.get()
    try:
        connection.send(questions)
        found = connection.recv()
    except (EOFError, OSError):
        raise ChildProcessError(
            "a process that prepares samples has died, perhaps for want of memory: the same command goes on, "
            "with fewer --workers if it happens again"
        ) from None
    finally:
        idle.put(connection)
    if isinstance(found, Exception):
        raise found
    return found


@contextmanager
def _worker(preparer: MakesInputs) -> Iterator[Connection]:
    """Begin a process that prepares samples, and give its end of a pipe that it alone writes to.

    Of a queue that several share, a reader would wait for ever where one was killed in the middle of its sentence.
    """
    context = multiprocessing.get_context("spawn")  # a fork would inherit the locks of a GPU's threads
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, preparer), daemon=True)
    with _interruptions_blocked():
        process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


@contextmanager
def _interruptions_blocked() -> Iterator[None]:
    """Let a process that begins inside the block hear of no interruption: they are for this one, which ends it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # when it begins, it lets them through
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, preparer: MakesInputs) -> None:
    """Prepare what is asked for until nobody is at the other end."""
    from savs_harvest.models.loading import quiet_libraries

    torch.set_num_threads(1)
    quiet_libraries()
    with suppress(EOFError, OSError):
        while True:
            questions = connection.recv()
            try:
                found: Any = [_packed(preparer.inputs(question)) for question in questions]
            except Exception as error:  # raised where it was asked for
                found = error
            connection.send(found)


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
