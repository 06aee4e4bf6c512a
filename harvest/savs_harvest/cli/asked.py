"""What a classifier is asked: files, folders and patterns of pictures, tables, or a list of files on stdin."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from zlib import crc32

from savs_benchmarks import Benchmark, BenchmarkError, Reading, Sample, find_benchmark
from savs_benchmarks.files.folders import walk
from savs_benchmarks.pictures.pictures import ENDINGS
from savs_harvest.asking.preparing import Question

TABLES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
# What is said of a table, or a line of it, without a question.
WITHOUT_QUESTION = ("does not say what the model is asked", "the field 'question' is missing")
STDIN = "-"
WORDS_ONLY = "the classifier was fitted on a language model, which reads no pictures: give a table with questions only"
# Between the names of a sample that shows several pictures.
BETWEEN = " + "


class AskedError(ValueError):
    """What was asked cannot be answered: nothing is there, or it is another question."""


@dataclass(frozen=True)
class Asked:
    """A sample by its name: the file of its picture, the files of several, its id where it has none."""

    name: str
    question: Question

    def stamp(self) -> list[list[int] | None]:
        """Return size and time of last change of each picture that is a file, None for others; of words what they are.

        Words alone are known by their length and a checksum.
        """
        if not self.question.pictures:
            words = self.question.words.encode("utf-8", "surrogatepass")
            return [[len(words), crc32(words)]]
        return [_stamp(picture) if isinstance(picture, Path) else None for picture in self.question.pictures]


def _stamp(path: Path) -> list[int] | None:
    try:
        found = path.stat()
    except (OSError, ValueError):  # what is no name of a file
        return None
    return [found.st_size, found.st_mtime_ns]


def asked_of(sources: Sequence[str], question: str | None) -> Iterator[Asked]:
    """Yield what the sources name, one after another, in an order that is the same every time.

    Pictures are asked the classifier's question; a table may ask its own where the classifier has none. The sources
    have been checked. Raises `AskedError` for another question.
    """
    for source in chain.from_iterable(map(_expanded, sources)):
        if _is_table(source):
            yield from (_sample(sample, question) for sample in _table(source, question).samples())
        else:
            yield from (Asked(str(path), Question((path,), question or "")) for path in _files(source))


def check_sources(sources: Sequence[str], question: str | None, pictures: bool = True) -> None:
    """Raise `AskedError` naming all sources that cannot be answered, before a model is loaded.

    They were typed, and are mended in one go; tables are read, and their questions compared. A list on stdin was
    written by a program, perhaps hours ago: there, a file that is gone costs its own row only. `pictures` says whether
    the classifier's model reads any.
    """
    if sources.count(STDIN) > 1:
        raise AskedError("stdin can be read once: say - once")
    if STDIN in sources and sys.stdin.isatty():
        raise AskedError("- reads a list of files from stdin, and stdin is a terminal: savs-harvest predict ... < LIST")
    each = [one for source in sources for one in _expanded(source) or [source]]
    faults = [fault for one in each if (fault := _fault(one, question, pictures))]
    if faults:
        raise AskedError("\n".join(dict.fromkeys(faults)))


def _fault(source: str, question: str | None, pictures: bool) -> str:
    if source != STDIN and not os.path.exists(source):  # noqa: PTH110  a name too long for a path is none
        return f"there is no file, folder or pattern {source}"
    if _is_table(source):
        return _fault_of_table(source, question, pictures)
    if not pictures:
        return f"{source}: {WORDS_ONLY}"
    if question is None:
        return (
            "the classifier was fitted on samples with questions of their own: give a table with one for each picture"
        )
    if source != STDIN and next(_files(source), None) is None:
        return f"{source} names no picture: there is none ending in {', '.join(ENDINGS)}"
    return ""


def _fault_of_table(source: str, question: str | None, pictures: bool) -> str:
    try:
        for sample in _table(source, question).samples():
            _sample(sample, question)
            if sample.images and not pictures:
                return f"{source}, sample {sample.sample_id}: {WORDS_ONLY}"
    except (ValueError, OSError) as error:
        return str(error)
    return ""


def count(sources: Sequence[str]) -> int | None:
    """Return how many samples the sources have, None where only reading stdin or a table would tell."""
    every = [one for source in sources for one in _expanded(source)]
    if STDIN in every or any(map(_is_table, every)):
        return None
    return sum(1 for source in every for _ in _files(source))


def _expanded(source: str) -> list[str]:
    """Return the files that a pattern stands for; what is there, and stdin, stands for itself."""
    is_one = source == STDIN or os.path.exists(source)  # noqa: PTH110  a name too long for a path is none
    return [source] if is_one else _matching(source)


def _is_table(source: str) -> bool:
    return source.lower().endswith(TABLES) and not Path(source).is_dir()


def _table(source: str, question: str | None) -> Benchmark:
    """Return a table as --data reads it; the classifier's question is asked where the table has none at all."""
    try:
        return find_benchmark(source)
    except BenchmarkError as error:
        found = find_benchmark(source, reading=Reading(question)) if question else None
        if found is None or not _silent(error, sum(1 for _ in found.samples())):
            raise
        return found


def _silent(error: BenchmarkError, samples: int) -> bool:
    """Tell whether all that is wrong with a table is that none of its rows says what is asked."""
    words = list(map(str, error.faults)) or [str(error)] * samples
    return len(words) == samples and all(any(said in word for said in WITHOUT_QUESTION) for word in words)


def _sample(sample: Sample, question: str | None) -> Asked:
    if question is not None and sample.question != question:
        raise AskedError(
            f"sample {sample.sample_id} asks {sample.question!r}, the classifier was fitted on {question!r}: its heads "
            "know no other question"
        )
    return Asked(BETWEEN.join(map(str, sample.images)) or sample.sample_id, Question(sample.images, sample.question))


def _files(source: str) -> Iterator[Path]:
    if source == STDIN:
        yield from _listed()
    elif os.path.isdir(source):  # noqa: PTH112  a name too long for a path is no folder
        yield from _below(Path(source))
    else:
        yield Path(source)


def _listed() -> Iterator[Path]:
    """Yield the files that stdin names. Raises `AskedError` where it names none, as a search that found nothing."""
    names = (line.rstrip(b"\r\n") for line in sys.stdin.buffer)
    found = (Path(os.fsdecode(name)) for name in names if name.strip())
    if (first := next(found, None)) is None:
        raise AskedError("stdin names no picture")
    yield first
    yield from found


def _matching(pattern: str) -> list[str]:
    """Return the files that match a pattern, `**` any folders between."""
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207  a pattern may begin at the root, or with ..
    return sorted(name for name in names if not Path(name).is_dir())


def _below(folder: Path) -> Iterator[Path]:
    """Yield the pictures below a folder, found as those of `--data` are."""
    return (file.path for file in walk(folder, []) if file.path.suffix.lower() in ENDINGS)
