"""Every different picture of a benchmark is read once, in processes of their own where there are many of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from PIL import Image

from savs_benchmarks import PictureError, Sample
from savs_benchmarks.pictures.near import Look, look_of
from savs_benchmarks.pictures.pictures import Picture, read_picture
from savs_benchmarks.pictures.traits import Traits
from savs_stores.format.fingerprint import short_hash

# More would ask for pictures that lie too far apart in their files.
THREADS = 8
# Pictures that wait for a thread or a process: a few, however many there are.
AT_ONCE = 1024
# Fewer are read before processes have begun.
WORTH_PROCESSES = 512
# Pictures that a process reads before it answers.
TOGETHER = 16

Found = TypeVar("Found")


@dataclass(frozen=True)
class HashedPicture:
    """A hash of a picture's size and pixels, equal for equal pictures in different files, and its size.

    One that cannot be read has hash 0, no size, and a `code`. `faults` are those beside the pixels. `look` is what
    near-duplicates are found by, `traits` what its file has beside the pixels.
    """

    hash: int
    size: tuple[int, int]
    code: str = ""
    faults: tuple[str, ...] = ()
    look: Look | None = None
    traits: Traits | None = None


def key_of(picture: Picture) -> Hashable:
    """Return what tells a picture from others without reading it: where it lies, or that it is this one in memory."""
    return id(picture) if isinstance(picture, Image.Image) else picture


def distinct(samples: Iterable[Sample]) -> list[Picture]:
    """Return every different picture once, in the order in which samples show them."""
    found: dict[Hashable, Picture] = {}
    for sample in samples:
        for picture in sample.images:
            found.setdefault(key_of(picture), picture)
    return list(found.values())


def hash_picture(source: Picture, looked: bool = False) -> HashedPicture:
    """Hash a picture's pixels, or say why it cannot be read; `looked` keeps what it looks like."""
    try:
        read = read_picture(source)
    except PictureError as error:
        return HashedPicture(0, (0, 0), error.code)
    size = read.pixels.size
    number = short_hash(repr(size).encode(), read.pixels.tobytes())
    look = look_of(read.pixels) if looked else None
    return HashedPicture(number, size, faults=read.faults, look=look, traits=read.traits)


def hash_pictures(pictures: Sequence[Picture], looked: bool = False) -> Iterator[HashedPicture]:
    """Yield what pictures hash to, in their order. Raises `ChildProcessError` where a process that reads has died."""
    return in_parallel(partial(hash_picture, looked=looked), pictures)


def in_parallel(function: Callable[[Any], Found], pictures: Sequence[Picture]) -> Iterator[Found]:
    """Yield what a function gives for each picture, in order; a few are ahead of the reader."""
    workers = _workers()
    if workers > 1 and len(pictures) >= WORTH_PROCESSES and not any(isinstance(one, Image.Image) for one in pictures):
        yield from _in_processes(function, pictures, workers)
        return
    with ThreadPoolExecutor(min(THREADS, workers)) as threads:
        parts = (pictures[start : start + AT_ONCE] for start in range(0, len(pictures), AT_ONCE))
        yield from chain.from_iterable(threads.map(function, part) for part in parts)


def _in_processes(function: Callable[[Any], Found], pictures: Sequence[Picture], workers: int) -> Iterator[Found]:
    from joblib import Parallel, delayed
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parts = (pictures[start : start + TOGETHER] for start in range(0, len(pictures), TOGETHER))
    run = Parallel(workers, return_as="generator", batch_size=1, pre_dispatch=2 * workers)
    try:
        yield from chain.from_iterable(run(delayed(_each)(function, part) for part in parts))
    except TerminatedWorkerError:
        raise ChildProcessError(
            "a process that reads pictures has died, perhaps for want of memory: the same command goes on"
        ) from None


def _each(function: Callable[[Any], Found], pictures: Sequence[Picture]) -> list[Found]:
    return [function(picture) for picture in pictures]


def _workers() -> int:
    from joblib import cpu_count

    return cpu_count()
