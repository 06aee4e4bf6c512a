"""The support of a paper, from the list of training examples that its repository ships."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from string import ascii_uppercase

from savs_benchmarks.errors import BenchmarkError, Fault
from savs_benchmarks.files.rows import Row, json_rows, parse_json
from savs_benchmarks.sample import Sample

# What the repositories call the pictures, the words and the class of an example.
PICTURES = ("image", "image_path", "image_1", "image_2", "image_3", "image_4")
WORDS = ("claim", "instruction", "question")
LABELS = ("label", "claim_label", "answer")
# Options, each behind its letter, to the end of the text.
LETTER = r" [A-Z]\. "
LETTERED = re.compile(r"(?<=\s)A\. .*", re.DOTALL)


@dataclass(frozen=True)
class Example:
    """One training example: the names of its pictures without folders, its words, its class as the file calls it."""

    place: str
    pictures: tuple[str, ...]
    words: str
    label: str

    @property
    def asked(self) -> str:
        """Its words in a single line, without the places of pictures."""
        return " ".join(self.words.replace("<image>", " ").split())

    @property
    def identities(self) -> tuple[str, ...]:
        """The ids that a sample may have whose pictures are no files: BLINK's are those of its pictures without _0."""
        return tuple(re.sub(r"_\d+$", "", PurePosixPath(name).stem) for name in self.pictures[:1])


def read_support(file: Path) -> list[Example]:
    """Return the examples of a file: a JSON array of objects, or one object a line.

    Raises `BenchmarkError` where it is neither, and for examples without a picture or a class in text, all at once.
    """
    examples, faults = [], []
    for row in _rows(file):
        pictures = tuple(_name(str(row.values[name])) for name in PICTURES if row.values.get(name))
        words, label = _first(row, WORDS), _first(row, LABELS)
        if not pictures:
            faults.append(Fault(row.place, f"it has no picture ({', '.join(PICTURES[:3])} ...)"))
        elif label is None:
            faults.append(Fault(row.place, f"it has no {' or '.join(LABELS)}"))
        elif not isinstance(label, str):
            faults.append(Fault(row.place, f"its class must be a text, it is {label!r:.60}"))
        examples.append(Example(row.place, pictures, "" if words is None else str(words), str(label)))
    if faults or not examples:
        raise BenchmarkError(f"{file} is no list of training examples", faults or ["it holds none"])
    return examples


def _first(row: Row, names: Sequence[str]) -> object:
    """Return the first value that says anything, None where none does."""
    return next((row.values[name] for name in names if row.values.get(name) not in (None, "")), None)


def _rows(file: Path) -> Iterator[Row]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{file} cannot be read: {error}") from None
    if text.lstrip()[:1] == "[":
        yield from json_rows(file)
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                found = parse_json(line)
            except (ValueError, RecursionError) as error:
                raise BenchmarkError(f"{file.name}, line {number} is not JSON: {error}") from None
            if not isinstance(found, dict):
                raise BenchmarkError(f"{file.name}, line {number} must be an object {{...}}, it is {found!r:.60}")
            yield Row(found, f"{file.name}, line {number}", number)


def told(files: Sequence[Path], examples: Sequence[Example], tasks: Mapping[str, Sequence[str]]) -> str:
    """Return in words where a support is from, and how many of its labels are no class: the benchmark's stand instead.

    Raises `BenchmarkError` where none of them is a class: it is the list of something else.
    """
    hashes = ", ".join(f"{file.name} (SHA-256 {sha256(file.read_bytes()).hexdigest()[:12]})" for file in files)
    classes = sorted({name for of_task in tasks.values() for name in of_task})
    unknown = [example for example in examples if example.label not in classes]
    if len(unknown) == len(examples):
        faults = [Fault(example.place, f"its class is {example.label!r:.60}") for example in unknown]
        known = ", ".join(classes[:10]) + (" ..." if len(classes) > 10 else "")
        raise BenchmarkError(f"no training example is of a class of this benchmark ({known})", faults)
    words = f", {len(unknown)} of whose labels are no class here and do not count" if unknown else ""
    return f"the support is the {len(examples)} examples of {hashes}{words}"


def with_support(
    samples: Iterable[Sample],
    others: Iterable[Sample],
    examples: Sequence[Example],
    tasks: Mapping[str, Sequence[str]],
) -> list[Sample]:
    """Return the samples with the examples as their pool, in the order of the examples, and what is left as the test.

    Tasks without an example stay as they are. Examples are looked for among the samples, then among `others`, by the
    names of their pictures, and where these are not enough by words and class; the class is the file's, where it is one
    of the task's. An example of a group that is scored as a whole is in the test as well, as in the papers.

    Raises `BenchmarkError` listing the examples that are no sample, lack the words that tell which, or stand twice.
    """
    samples = list(samples)
    known = _by_pictures([*samples, *others])
    taken: dict[str, Sample] = {}
    # By words: those of an example may be part of what other samples of its picture ask.
    said: set[tuple[tuple[str, ...], str]] = set()
    faults: list[Fault] = []
    for example in examples:
        found = [one for one in _candidates(known, example) if one.sample_id not in taken]
        best = min(found, key=lambda one: _unlikeness(one, example), default=None)
        by_words = best is not None and _told_by_words(best)
        if by_words and not example.asked:
            faults.append(
                Fault(example.place, f"it has no {' or '.join(WORDS)} to tell the samples of a picture apart")
            )
            continue
        key = (example.pictures, example.asked)
        if best is None or (by_words and (_unlikeness(best, example)[0] or key in said)):
            faults.append(Fault(example.place, "it is no sample of this benchmark, or stands twice"))
            continue
        said.add(key)
        label = example.label if example.label in tasks[best.task] else best.label
        taken[best.sample_id] = replace(_as_printed(best, example, tasks[best.task]), split="pool", label=label)
    if faults:
        raise BenchmarkError("these training examples cannot be used", faults)
    covered = {sample.task for sample in taken.values()}
    pool = [_alone(sample) for sample in taken.values()]
    return [*pool, *(kept for sample in samples for kept in _rest(sample, covered, taken))]


def _alone(sample: Sample) -> Sample:
    """Return a sample that only teaches: its group is tested without it."""
    if sample.group is None:
        return sample
    return replace(sample, sample_id=f"support-{sample.sample_id}", group=None, slot=None)


def _rest(sample: Sample, covered: Iterable[str], taken: Mapping[str, Sample]) -> Iterator[Sample]:
    if sample.task not in covered:
        yield sample
    elif sample.split != "pool" and (sample.group is not None or sample.sample_id not in taken):
        yield replace(sample, split="test")


def _by_pictures(samples: Iterable[Sample]) -> dict[tuple[str, ...], list[Sample]]:
    """Return the samples by the names of their pictures, or by their ids where pictures are no files."""
    known: dict[tuple[str, ...], dict[str, Sample]] = {}
    for sample in samples:
        if sample.group is not None and sample.split == "pool":  # a copy, which stands for a support already
            continue
        names = tuple(image.name for image in sample.images if isinstance(image, Path))
        key = names if len(names) == len(sample.images) else (sample.sample_id,)
        known.setdefault(key, {}).setdefault(sample.sample_id, sample)
    return {key: list(found.values()) for key, found in known.items()}


def _candidates(known: Mapping[tuple[str, ...], list[Sample]], example: Example) -> list[Sample]:
    return known.get(example.pictures) or known.get(example.identities) or []


def _unlikeness(sample: Sample, example: Example) -> tuple[bool, int, bool]:
    """Return whether a sample does not ask in the words of an example, how much more it says, and in another class."""
    return example.asked not in " ".join(sample.question.split()), len(sample.question), sample.label != example.label


def _told_by_words(sample: Sample) -> bool:
    """Tell whether samples of one picture may differ in their words: not where these are options, or it has its id."""
    return not sample.options and all(isinstance(image, Path) for image in sample.images)


def _as_printed(sample: Sample, example: Example, classes: Sequence[str]) -> Sample:
    """Return a sample of printed options with those of the example, which were drawn by chance there too."""
    theirs = LETTERED.search(example.words)
    options = tuple(re.split(LETTER, f" {theirs[0].strip()}")[1:]) if theirs else ()
    if not sample.options or not theirs or not set(options) <= set(classes):
        return sample
    printed = " ".join(f"{letter}. {name}" for letter, name in zip(ascii_uppercase, sample.options, strict=False))
    return replace(sample, question=sample.question.replace(printed, theirs[0].strip()), options=options)


def _name(path: str) -> str:
    return PurePosixPath(path.replace("\\", "/")).name
