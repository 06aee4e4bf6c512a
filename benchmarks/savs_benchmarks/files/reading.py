"""Your own data become a benchmark: rows from any kind of file end here."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from savs_benchmarks.absent import as_word, is_absent
from savs_benchmarks.errors import BenchmarkError, Fault
from savs_benchmarks.pictures.pictures import Picture
from savs_benchmarks.sample import DEFAULT_TASK, Benchmark, Sample, Split

# How others call their splits; what follows the name ("train-00000-of-00002") counts for nothing.
SPLITS: Mapping[str, Split] = {
    **dict.fromkeys(("train", "training", "pool"), "pool"),
    **dict.fromkeys(("test", "testing", "validation", "valid", "val", "dev", "eval"), "test"),
    "either": "either",
}
SHOWN_CLASSES = 10


@dataclass(frozen=True)
class Reading:
    """How your own data are read: what is asked of every row, where pictures lie, which columns, how many rows.

    Empty values leave it to the data. `keep_near_duplicates` leaves near-duplicate pictures where chance puts them.
    """

    question: str = ""
    image_root: Path | None = None
    label_column: str = ""
    image_column: str = ""
    limit: int | None = None
    keep_near_duplicates: bool = False


@dataclass(frozen=True)
class OwnRow:
    """One row as its file has it: a picture with its name, values that may be absent; `place` is said in errors."""

    place: str
    picture: Picture | None
    name: str
    label: Any = None
    question: Any = None
    split: Any = None
    group: Any = None
    task: Any = None
    sample_id: Any = None


@dataclass(frozen=True)
class Found:
    """What was read of a source: its rows, a text that changes when it does, and what a user should know of it."""

    rows: Sequence[OwnRow]
    revision: str
    remarks: tuple[str, ...] = ()


def benchmark_of(path: Path, found: Found, reading: Reading) -> Benchmark:
    """Return the benchmark of rows: classes are the labels sorted, the prompt is the question where all ask one.

    Rows without a label stay without. Where there is only one split, every row may be supports or test.
    Raises `BenchmarkError` naming all bad rows, and where nothing says what is asked.
    """
    if not found.rows:
        raise BenchmarkError(f"{path} has no rows")
    _check_questions(path, found.rows, reading)
    names = _ids(found.rows)
    samples: list[Sample] = []
    faults: list[Fault] = []
    for row, name in zip(found.rows, names, strict=True):
        try:
            samples.append(_sample(row, name, reading))
        except ValueError as error:
            faults.append(Fault(row.place, str(error)))
    faults += _repeated_ids(found.rows, names)
    if faults:
        raise BenchmarkError(f"{path} has {len(faults)} bad {'row' if len(faults) == 1 else 'rows'}", faults)
    samples, remarks = _either(samples)
    replaced = replaced_questions([row.question for row in found.rows], reading)
    return own_benchmark(path, samples, found.revision, (*found.remarks, *replaced, *remarks), reading)


def replaced_questions(own: Iterable[Any], reading: Reading) -> list[str]:
    """Return in words how many rows' own questions `--question` takes the place of."""
    others = sum(bool(reading.question) and not is_absent(one) and str(one) != reading.question for one in own)
    return [f"--question is asked in place of {others:,} questions of the rows"] if others else []


def own_benchmark(
    path: Path, samples: Sequence[Sample], revision: str, remarks: tuple[str, ...], reading: Reading
) -> Benchmark:
    """Return the benchmark of a user's own samples; slots make it one of groups."""
    slots = {sample.slot for sample in samples}
    metric = "accuracy" if None in slots else "pair" if slots <= {0, 1} else "question-image-group"
    questions = {sample.question for sample in samples}
    place = path.resolve()
    return Benchmark(
        name=readable(place.stem if path.is_file() else place.name).lower() or "data",
        summary=f"your own samples from {readable(place.name)}",
        source=readable(place.name) or "/",
        revision=revision,
        licence="yours",
        metric=metric,
        tasks=classes_of(samples),
        prompt=next(iter(questions)) if len(questions) == 1 else "{question}",
        samples=lambda: iter(samples),
        own=True,
        near_duplicates=metric == "accuracy" and not reading.keep_near_duplicates,  # other groups are scored whole
        remarks=remarks,
        folder=reading.image_root or (place.parent if path.is_file() else place),
    )


def classes_of(samples: Iterable[Sample]) -> dict[str, tuple[str, ...]]:
    """Return the labels of every task, sorted."""
    classes: dict[str, set[str]] = {}
    for sample in samples:
        classes.setdefault(sample.task, set()).update({sample.label} - {""})
    return {task: tuple(sorted(labels)) for task, labels in classes.items()}


def readable(name: str) -> str:
    """Return a file's name as text, also one that is no UTF-8."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def split_of(name: str) -> Split | None:
    """Return the split that a folder, a file or a cell names, None where it names none."""
    word = name.strip().lower()
    return SPLITS.get(word) or SPLITS.get(word.partition("-")[0])


def word_of(value: Any, name: str) -> str:
    """Return a value as a word, "" where it is absent. Raises ValueError for lists and the like."""
    if is_absent(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    value = as_word(value)
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"its {name} must be a text or a number, got {value!r:.60}")
    return value.strip()


def _sample(row: OwnRow, name: str, reading: Reading) -> Sample:
    question = reading.question or word_of(row.question, "question")
    if not question:
        raise ValueError("it has no question, other rows have one")
    split = word_of(row.split, "split")
    if split and split_of(split) is None:
        raise ValueError(f"its split must be one of {', '.join(SPLITS)}, got {split!r}")
    return Sample(
        sample_id=name,
        images=() if row.picture is None else (row.picture,),
        question=question,
        label=word_of(row.label, "label"),
        split=(split and split_of(split)) or "either",
        task=word_of(row.task, "task") or DEFAULT_TASK,
        group=word_of(row.group, "group") or None,
    )


def _check_questions(path: Path, rows: Sequence[OwnRow], reading: Reading) -> None:
    if reading.question or not all(is_absent(row.question) for row in rows):
        return
    labels = sorted({str(row.label).strip() for row in rows if not is_absent(row.label)} - {""})
    shown = labels if 1 < len(labels) <= SHOWN_CLASSES else []
    example = f"Which is it: {', '.join(shown[:-1])} or {shown[-1]}?" if shown else "What does the picture show?"
    raise BenchmarkError(
        f'{path} does not say what the model is asked: say it with --question, such as --question "{example}"'
    )


def _ids(rows: Sequence[OwnRow]) -> list[str]:
    """Return the rows' own ids where one has any, else the pictures' names where all differ, else their numbers."""
    if any(not is_absent(row.sample_id) for row in rows):
        return [str(as_word(row.sample_id)).strip() if not is_absent(row.sample_id) else "" for row in rows]
    names = [row.name for row in rows]
    return (
        names if all(names) and len(set(names)) == len(names) else [str(number) for number in range(1, len(rows) + 1)]
    )


def _repeated_ids(rows: Sequence[OwnRow], names: Sequence[str]) -> Iterator[Fault]:
    first: dict[str, str] = {}
    for row, name in zip(rows, names, strict=True):
        if not name:
            yield Fault(row.place, "it has no id, other rows have one")
        elif (before := first.setdefault(name, row.place)) != row.place:
            yield Fault(row.place, f"id {name!r} was used before, in {before}", "its id was used before")


def _either(samples: list[Sample]) -> tuple[list[Sample], tuple[str, ...]]:
    """Let every sample be support or test where all are of one split: nothing could be learnt, or nothing tested."""
    splits = Counter(sample.split for sample in samples)
    [(split, count), *others] = splits.most_common()
    if others or split == "either":
        return samples, ()
    remark = f"all {count:,} rows are of one split ({split}): any of them may be support or test"
    return [replace(sample, split="either") for sample in samples], (remark,)
