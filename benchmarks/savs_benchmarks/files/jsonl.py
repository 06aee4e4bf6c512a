"""Bring your own: a benchmark from a JSON-lines file, one sample a line.

    {"image": "cats/1.jpg", "question": "Which animal is this?", "label": "cat"}

`question` is needed; `image` or `images` (paths below the file's folder), `label`, `id`, `split` (pool, test,
either), `task`, `group`, `slot` and `options` may be added; null and NaN are as if absent. A line without a
picture is asked in words alone, one without a label is asked, and never a support or a test.
Slots 0..3 = 2 * question + image make groups of four, slots 0 and 1 alone make pairs.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

from savs_benchmarks.absent import as_word, is_absent
from savs_benchmarks.errors import BenchmarkError, Fault, KindError
from savs_benchmarks.files.columns import PICTURES, picture_column
from savs_benchmarks.files.reading import Reading, classes_of, own_benchmark, replaced_questions
from savs_benchmarks.files.rows import parse_json
from savs_benchmarks.pictures.roots import PictureRoot
from savs_benchmarks.sample import DEFAULT_TASK, SPLITS, Benchmark, Sample

EITHER = "it has both 'image' and 'images': say either 'image' or 'images'"
FIELDS = ("image", "images", "question", "label", "id", "split", "task", "group", "slot", "options")


def load_jsonl(path: Path, reading: Reading = Reading()) -> Benchmark:  # noqa: B008  it is frozen
    """Return the benchmark of a JSON-lines file.

    Samples with a `slot` make it a benchmark of groups: of pairs where no slot is above 1, else
    `question-image-group`. All others are scored by accuracy.
    Raises `BenchmarkError` listing every bad line with its number and reason.
    """
    samples: dict[str, tuple[int, Sample]] = {}
    faults: list[tuple[int, Exception]] = []
    digest, asked = sha256(), []
    root = PictureRoot(reading.image_root or path.parent)
    for number, line in enumerate(_lines(path), 1):
        digest.update(line.encode())
        if not line.strip():
            continue
        try:
            row = _object(line, reading)
            asked += [row.get("question")] if reading.question else []
            sample = _sample(row, number, root, reading.question)
            if sample.sample_id in samples:
                before = f"id {sample.sample_id!r} was used before, in line {samples[sample.sample_id][0]}"
                raise KindError(before, "its id was used before")
            samples[sample.sample_id] = (number, sample)
        except (ValueError, OSError, RuntimeError) as error:  # also names too long, links in a circle, deep nesting
            faults.append((number, error))
    faults += [*_option_faults(samples), *_slot_faults(samples)]
    if not samples and not faults:
        raise BenchmarkError(f"{path} has no lines")
    if faults:
        count = len({number for number, _ in faults})
        faults.sort(key=lambda fault: fault[0])
        lines = [Fault(f"line {number}", str(error), getattr(error, "kind", "")) for number, error in faults]
        raise BenchmarkError(f"{path} has {count} bad {'line' if count == 1 else 'lines'}", lines)
    remarks = tuple(replaced_questions(asked, reading))
    own = [sample for _, sample in samples.values()]
    return own_benchmark(path, own, digest.hexdigest()[:12], remarks, reading)


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a text, with their ends. Raises `BenchmarkError` where it is none."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from file
    except FileNotFoundError:
        raise BenchmarkError(f"there is no file {path}") from None
    except UnicodeDecodeError as error:
        raise BenchmarkError(f"{path} is not UTF-8 text: {error}") from None


def _option_faults(samples: dict[str, tuple[int, Sample]]) -> Iterator[tuple[int, Exception]]:
    classes = classes_of([sample for _, sample in samples.values()])
    for number, sample in samples.values():
        if unknown := set(sample.options) - set(classes[sample.task]):
            kind = "options are the label of no sample"
            yield number, KindError(f"options {sorted(unknown)} are the label of no sample", kind)


def _slot_faults(samples: dict[str, tuple[int, Sample]]) -> Iterator[tuple[int, Exception]]:
    without = [number for number, sample in samples.values() if sample.slot is None]
    if len(without) < len(samples):
        for number in without:
            yield number, ValueError("it has no 'slot' though other lines have one: all must, or none")


def _sample(row: dict[str, Any], number: int, root: PictureRoot, asked: str) -> Sample:
    """Return the sample of one line; raises ValueError saying what is wrong with it."""
    question = asked or row.get("question")
    if not asked and "question" not in row:
        raise ValueError("the field 'question' is missing")
    if not isinstance(question, str) or not question.strip():
        raise ValueError("'question' must be a text that is not empty")
    return Sample(
        sample_id=_word(row, "id") if "id" in row else str(number),
        images=tuple(_images(row, root)),
        question=question,
        label=_word(row, "label") if str(row.get("label", "")).strip() else "",
        split=_one_of(row, "split", SPLITS, "either"),
        task=_word(row, "task") if "task" in row else DEFAULT_TASK,
        group=_word(row, "group") if str(row.get("group", "")).strip() else None,
        slot=_one_of(row, "slot", (0, 1, 2, 3), None),
        options=tuple(_options(row)),
    )


def _object(line: str, reading: Reading) -> dict[str, Any]:
    try:
        row = parse_json(line)
        if "\\u" in line:
            json.dumps(row, ensure_ascii=False).encode()  # JSON can spell half a character ("\ud800"), hashes cannot
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(row, dict):
        raise ValueError(f"expected an object {{...}}, got {type(row).__name__}")
    for name, option in (("image", reading.image_column), ("label", reading.label_column)):
        if option and option in row:
            row[name] = row.pop(option)
    for name in row:
        if name not in FIELDS and (close := difflib.get_close_matches(name, FIELDS, n=1, cutoff=0.75)):
            raise ValueError(f"unknown field {name!r}, did you mean {close[0]!r}?")
    return {name: value for name, value in row.items() if not is_absent(value)}


def _images(row: dict[str, Any], root: PictureRoot) -> Iterator[Path]:
    if "image" in row and "images" in row:
        raise ValueError(EITHER)
    other = next((name for name in row if name.lower() in PICTURES), "") or picture_column(row, FIELDS)
    if other and not row.keys() & {"image", "images"}:
        words = f"is its picture {other!r}? Say --image-column {other}, or leave it out"
        raise KindError(words, "is there a picture?")
    names = row["images"] if "images" in row else [row["image"]] if "image" in row else []
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise ValueError("'image' must be a path, 'images' a list of paths")
    for name in names:
        picture = root.find(name)
        if not root.has(picture):
            raise KindError(
                f"there is no picture {name!r} below {root.root}", f"there is no such picture below {root.root}"
            )
        yield picture


def _word(row: dict[str, Any], name: str) -> str:
    value = as_word(row[name])
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name!r} must be a text or a whole number, got {value!r}")
    return value.strip()


def _one_of(row: dict[str, Any], name: str, values: tuple[Any, ...], default: Any) -> Any:
    value = row.get(name, default)
    if value != default and (isinstance(value, bool) or value not in values):
        raise ValueError(f"{name!r} must be one of {', '.join(map(str, values))}, got {value!r}")
    return int(value) if isinstance(value, float) else value


def _options(row: dict[str, Any]) -> list[str]:
    options = row.get("options", [])
    if not isinstance(options, list) or not all(isinstance(option, str) for option in options):
        raise ValueError(f"'options' must be a list of labels, got {options!r}")
    return options
