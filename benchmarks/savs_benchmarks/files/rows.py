"""Rows of the files that benchmarks come in; every value is checked where it is read, with its place named."""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from savs_benchmarks.errors import BenchmarkError, Fault
from savs_benchmarks.pictures.pictures import StoredPicture, resolve_inside
from savs_benchmarks.sample import Sample

# Reading stops after so many bad rows: a wrong file is wrong in every one of them.
MOST_FAULTS = 1000
BATCH_ROWS = 64


class RowError(ValueError):
    """What is wrong with a row."""


class RepeatedKeyError(ValueError):
    """A key that stands twice in an object of JSON; `kind` is the same words wherever it does."""

    def __init__(self, key: str, found: Mapping[str, Any]) -> None:
        self.kind = f"the key {key!r} stands twice"
        super().__init__(f"{self.kind} in {json.dumps(found, default=str)[:60]} ...")


class Row:
    """One row of a file. Reading a value that is missing or of the wrong kind raises `RowError`."""

    def __init__(self, values: Mapping[str, Any], place: str, number: int) -> None:
        self.values = values
        self.place = place
        self.number = number

    def __getitem__(self, name: str) -> Any:
        if name not in self.values:
            raise RowError(f"{name!r} is missing; there are {', '.join(map(str, self.values)) or 'no columns'}")
        return self.values[name]

    def text(self, name: str, stripped: bool = True) -> str:
        """Return a text that is not empty, without space around it if `stripped`."""
        value = self[name]
        if not isinstance(value, str) or not value.strip():
            raise RowError(f"{name!r} must be a text that is not empty, got {value!r}")
        return value.strip() if stripped else value

    def texts(self, name: str, stripped: bool = True) -> list[str]:
        """Return a list of texts, without space around them if `stripped`."""
        value = self[name]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise RowError(f"{name!r} must be a list of texts, got {value!r}")
        return [item.strip() for item in value] if stripped else value

    def flag(self, name: str) -> bool:
        """Return a truth value, also written 0 or 1."""
        value = self[name]
        if value not in (0, 1):
            raise RowError(f"{name!r} must be true or false, got {value!r}")
        return bool(value)

    def one_of(self, name: str, words: Collection[str]) -> str:
        """Return a text that is one of the words."""
        return known(self.text(name), words, name)

    def picture(self, name: str, folder: Path) -> Path:
        """Return the path of a picture below a folder; whether the file is there shows when it is read."""
        picture = self.text(name)
        try:
            found = resolve_inside(folder, picture)
            found.exists()  # a name may be too long for a disk
            return found
        except (OSError, RuntimeError, ValueError) as error:
            raise RowError(f"{name!r}: {error}") from None


def known(value: str, words: Collection[str], name: str) -> str:
    """Return a value that is one of the words. Raises `RowError` suggesting the nearest."""
    if value not in words:
        close = difflib.get_close_matches(value, words, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        listed = ", ".join(map(repr, list(words)[:20])) + (" ..." if len(words) > 20 else "")
        raise RowError(f"{name!r} must be one of {listed}, got {value!r}{hint}")
    return value


def read_samples(rows: Iterable[Row], make: Callable[[Row], Iterable[Sample]]) -> Iterator[Sample]:
    """Yield the samples that `make` gives of each row.

    Raises `BenchmarkError` at the end, listing all bad rows with their places.
    """
    faults: list[Fault] = []
    for row in rows:
        try:
            yield from make(row)
        except RowError as fault:
            faults.append(Fault(row.place, str(fault)))
            if len(faults) == MOST_FAULTS:
                break
    if faults:
        raise BenchmarkError("these rows cannot be read", faults)


def parse_json(text: str) -> Any:
    """Return what a JSON text holds. Raises `RepeatedKeyError` where a key stands twice in an object."""
    return json.loads(text, object_pairs_hook=_without_repetition)


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        repeated = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise RepeatedKeyError(repeated, found)
    return found


def read_json(file: Path) -> Any:
    """Return what a file of JSON holds. Raises `BenchmarkError` where it is missing or no JSON."""
    try:
        return parse_json(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise BenchmarkError(f"{file} cannot be read: {error.strerror}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BenchmarkError(f"{file} is not JSON: {error}") from None
    except ValueError as error:  # a key twice, a number of thousands of digits
        raise BenchmarkError(f"{file}: {error}") from None


def json_rows(file: Path) -> Iterator[Row]:
    """Yield the objects of a JSON array, or of an object by key; the key is then the row's column `key`.

    Raises `BenchmarkError` where the file is missing or no such JSON.
    """
    content = read_json(file)
    if isinstance(content, dict):
        content = [{"key": key, **value} if isinstance(value, dict) else value for key, value in content.items()]
    if not isinstance(content, list):
        raise BenchmarkError(f"{file} must hold a list of objects, it holds {type(content).__name__}")
    for number, value in enumerate(content):
        if not isinstance(value, dict):
            raise BenchmarkError(f"{file.name}, row {number} must be an object {{...}}, it is {value!r:.60}")
        yield Row(value, f"{file.name}, row {number}", number)


def text_rows(file: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Yield the lines of a text file as rows of its first columns, cut at spaces; lines beginning with # are left out.

    Raises `BenchmarkError` where the file cannot be read.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchmarkError(f"{file} cannot be read: {error}") from None
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            yield Row(dict(zip(columns, line.split(), strict=False)), f"{file.name}, line {number}", number)


def parquet_rows(
    files: Sequence[Path], columns: Sequence[str], pictures: Sequence[str] = (), optional: Sequence[str] = ()
) -> Iterator[Row]:
    """Yield the rows of Parquet files: plain columns, and pictures that are read when they are asked for.

    An `optional` picture is None where its cell is empty; finding that out reads the column once.
    Raises `BenchmarkError` where a file is damaged or lacks a column.
    """
    import pyarrow
    import pyarrow.parquet

    for file in files:
        try:
            opened = pyarrow.parquet.ParquetFile(file)
            if missing := [name for name in (*columns, *pictures, *optional) if name not in opened.schema_arrow.names]:
                raise BenchmarkError(
                    f"{file} has no column {' and '.join(map(repr, missing))}; "
                    f"there are {', '.join(opened.schema_arrow.names)}"
                )
            number = 0
            for batch in opened.iter_batches(BATCH_ROWS, columns=[*columns, *optional]):
                values = batch.select(list(columns)).to_pylist() if columns else [{} for _ in range(len(batch))]
                for place, row in enumerate(values):
                    stored = {name: StoredPicture(file, number, name) for name in (*pictures, *optional)}
                    empty = {name: None for name in optional if _is_empty(batch.column(name)[place])}
                    yield Row(row | stored | empty, f"{file.name}, row {number}", number)
                    number += 1
        except (OSError, pyarrow.ArrowException) as error:
            raise BenchmarkError(f"{file} cannot be read: {error}") from None


def _is_empty(cell: Any) -> bool:
    """Tell whether a picture's cell is null, or {bytes: null}."""
    return not cell.is_valid or ("bytes" in getattr(cell, "keys", list)() and not cell["bytes"].is_valid)
