"""Tables of others: CSV and TSV, JSON, Parquet, Arrow. Columns first, then rows; no picture is decoded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from savs_benchmarks.absent import as_whole, is_absent
from savs_benchmarks.errors import BenchmarkError, Fault, KindError
from savs_benchmarks.files.columns import PICTURES, Columns, choose_columns, picture_column
from savs_benchmarks.files.reading import OwnRow, Reading
from savs_benchmarks.files.rows import parse_json
from savs_benchmarks.pictures.pictures import StoredPicture
from savs_benchmarks.pictures.roots import PictureRoot

DELIMITERS = ",;\t|"
# Lines that show which delimiter a table has, and the bytes at the end of a file that tell it from another.
LOOKED_AT = 20
MOST_NAMES = 10
END_BYTES = 2**16
BATCH_ROWS = 4096

Values: TypeAlias = Iterator[tuple[str, int, Mapping[str, Any]]]


@dataclass(frozen=True)
class Table:
    """A table of a file: its columns, and a function that yields (place, number, values) of every row.

    `pictures` are the columns with pictures in bytes, `classes` the names of the numbers in a column.
    """

    file: Path
    columns: tuple[str, ...]
    rows: Callable[[Sequence[str]], Values]
    revision: str
    pictures: tuple[str, ...] = ()
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def rows_of(table: Table, root: Path, reading: Reading, split: str | None = None, prefix: str = "") -> Iterator[OwnRow]:
    """Yield the rows of a table; paths of pictures lie below `root`, and none leads out of it.

    `split` is that of rows without one; `prefix` stands before the names of pictures.
    Raises `BenchmarkError` naming all rows whose picture has no path, and where no picture is there.
    """
    columns = choose_columns(table.file.name, table.columns, reading, table.pictures, tuple(table.classes))
    if columns.image is None:
        for place, _, values in table.rows(table.columns):
            if name := picture_column(values, (columns.label, columns.question)):
                raise BenchmarkError(
                    f"{table.file}, {place}: is there a picture in its column {name!r}? Say so with --image-column "
                    f"{name}, or leave the column out"
                )
            yield _row(table, columns, values, OwnRow(place, None, ""), split)
        return
    stored = columns.image in table.pictures
    faults: list[Fault] = []
    present, number = False, None
    pictures = PictureRoot(root)
    for place, number, values in table.rows(columns.plain if stored else (columns.image, *columns.plain)):
        try:
            name = str(number + 1) if stored else _path_name(values, columns.image)
            picture = (
                StoredPicture(table.file, number, columns.image, root) if stored else _find_picture(pictures, name)
            )
            present = present or isinstance(picture, StoredPicture) or pictures.has(picture)
            yield _row(table, columns, values, OwnRow(place, picture, "" if stored else prefix + name), split)
        except ValueError as error:
            faults.append(Fault(place, str(error), getattr(error, "kind", "")))
        except (OSError, RuntimeError) as error:  # a name too long, links in a circle
            faults.append(Fault(place, str(error)))
    if faults:
        raise BenchmarkError(f"{table.file} has {len(faults)} bad {'row' if len(faults) == 1 else 'rows'}", faults)
    if not present and number is not None:
        raise BenchmarkError(f"no picture of {table.file} is below {root}: say where they are with --image-root FOLDER")


def _row(table: Table, columns: Columns, values: Mapping[str, Any], bare: OwnRow, split: str | None) -> OwnRow:
    label = values.get(columns.label) if columns.label is not None else None
    if columns.label in table.classes:
        label = _class_name(label, table.classes[str(columns.label)])
    others = {key: values.get(name) for key, name in columns.others.items()}
    if is_absent(others.get("split")) or others.get("split") == "":
        others["split"] = split
    question = values.get(columns.question) if columns.question is not None else None
    return OwnRow(bare.place, bare.picture, bare.name, label, question, **others)


def _class_name(value: Any, names: Sequence[str]) -> str | None:
    """Return the name of a class by its number; -1 is none."""
    if is_absent(value) or value == -1:
        return None
    number = as_whole(value)
    if number is None or not 0 <= number < len(names):
        raise ValueError(f"its label {value!r} is the number of none of {len(names)} classes")
    return names[number]


def _path_name(values: Mapping[str, Any], column: str) -> str:
    value = values.get(column)
    if is_absent(value):
        raise ValueError(f"it has no {column!r}, got {', '.join(name for name in values if name != column)}")
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"its picture must be a path, got {value!r:.60}")
    return value.strip()


def _find_picture(root: PictureRoot, name: str) -> Path:
    """Return the path of a picture below the root, also where it is written as Windows does."""
    picture = _below(root, name)
    if not root.has(picture) and "\\" in name:
        return _below(root, name.replace("\\", "/"))
    return picture


def _below(root: PictureRoot, name: str) -> Path:
    try:
        return root.find(name)
    except KindError as error:
        if "://" in name or "\0" in name:
            raise
        raise KindError(f"{error}: name a folder above it with --image-root", error.kind) from None


def open_csv(file: Path) -> Table:
    """Return the table of a text file whose cells are kept apart by commas, semicolons, tabs or bars.

    Raises `BenchmarkError` where it cannot be read as one, with the reason.
    """
    text, remarks = _decoded(file)
    delimiter = _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = tuple(name.strip() for name in next(reader, []))
    except csv.Error as error:
        raise BenchmarkError(f"{file} cannot be read, line 1: {error}") from None
    if not any(columns):
        raise BenchmarkError(f"{file} has no rows")
    if twice := sorted({name for name in columns if name and columns.count(name) > 1}):
        raise BenchmarkError(f"{file} has the column {twice[0]!r} {columns.count(twice[0])} times: rename one")
    if any((file.parent / name).is_file() for name in columns if name and len(name) < 256 and "\0" not in name):
        raise BenchmarkError(
            f"{file} begins with a row, not with names of columns: add a first line such as image,label"
        )
    return Table(file, columns, lambda names: _csv_rows(file, text, delimiter, columns), _digest(text), remarks=remarks)


def _csv_rows(file: Path, text: str, delimiter: str, columns: Sequence[str]) -> Values:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    faults: list[Fault] = []
    number = 0
    try:
        next(reader)
        for cells in reader:
            place = f"line {reader.line_num}"
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
                faults.append(Fault(place, f"it has {len(cells)} cells, there are {len(columns)} columns"))
                continue
            yield place, number, dict(zip(columns, cells, strict=False))
            number += 1
    except csv.Error as error:
        raise BenchmarkError(f"{file} cannot be read, line {reader.line_num}: {error}") from None
    if faults:
        raise BenchmarkError(
            f"{file} has {len(faults)} rows that are too long: put cells with a comma in quotes", faults
        )


def _decoded(file: Path) -> tuple[str, tuple[str, ...]]:
    """Return the text of a file: UTF-8, UTF-16 where it begins so, else that of older Windows, with a remark."""
    try:
        content = file.read_bytes()
    except OSError as error:
        raise BenchmarkError(f"{file} cannot be read: {error}") from None
    wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        return content.decode("utf-16" if wide else "utf-8-sig"), ()
    except UnicodeDecodeError as error:
        place = error
    try:
        if b"\0" in content:
            raise BenchmarkError(f"{file} is no text: {place}; name a folder of pictures or a table")
        return content.decode("cp1252"), (f"{file.name} is not UTF-8; it was read as Windows-1252: check its letters",)
    except UnicodeDecodeError:
        raise BenchmarkError(f"{file} is not UTF-8 text: {place}; save it as UTF-8") from None


def _delimiter(text: str) -> str:
    """Return what keeps the cells apart: that which gives the first lines equally many, and most."""
    lines = [line for line in text[: 2**16].splitlines() if line.strip()][:LOOKED_AT]

    def judge(delimiter: str) -> tuple[bool, int]:
        counts = [len(cells) for cells in csv.reader(lines, delimiter=delimiter) if cells]
        return len(set(counts)) == 1 and counts[0] > 1, counts[0] if counts else 0

    return max(DELIMITERS, key=judge)


def open_json(file: Path) -> Table:
    """Return the table of a JSON file: a list of objects, or an object a line."""
    text, _ = _decoded(file)
    rows = _json_rows(file, text)
    if wrong := next((row for _, row in rows if not isinstance(row, dict)), None):
        raise BenchmarkError(f"{file} must hold objects {{...}}, it holds {wrong!r:.60}")
    columns = tuple(dict.fromkeys(name for _, row in rows for name in row))

    def values(names: Sequence[str]) -> Values:
        yield from ((place, number, row) for number, (place, row) in enumerate(rows))

    return Table(file, columns, values, _digest(text))


def _json_rows(file: Path, text: str) -> list[tuple[str, Any]]:
    """Return the place and content of every row. Raises `BenchmarkError`, of lines with what the good ones have."""
    if text.lstrip().startswith("["):
        try:
            return [(f"row {number}", row) for number, row in enumerate(parse_json(text))]
        except (ValueError, RecursionError) as error:
            raise BenchmarkError(f"{file} is not JSON: {error}") from None
    rows, faults = [], []
    for place, line in ((f"line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()):
        try:
            rows.append((place, parse_json(line)))
        except (ValueError, RecursionError) as error:
            faults.append(Fault(place, f"not JSON: {error}", "not JSON"))
    if faults:
        raise BenchmarkError(f"{file} has {len(faults)} lines that are not JSON{_in_others(rows)}", faults)
    return rows


def _in_others(rows: Sequence[tuple[str, Any]]) -> str:
    """Say which fields other lines have, and that none of them is a picture's where that is so."""
    names = list(dict.fromkeys(name for _, row in rows if isinstance(row, dict) for name in row))
    if not names:
        return ""
    without = "" if any(name.lower() in PICTURES for name in names) else ", no picture ('image')"
    return f"; the others have {', '.join(names[:MOST_NAMES])}{without}"


def open_parquet(file: Path) -> Table:
    """Return the table of a Parquet file. Raises `BenchmarkError` where it is damaged."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(file) as opened:
            schema = opened.schema_arrow
    except (OSError, pyarrow.ArrowException) as error:
        raise BenchmarkError(f"{file} cannot be read: {error}") from None

    def batches(names: Sequence[str]) -> Iterator[Any]:
        with pyarrow.parquet.ParquetFile(file) as opened:
            yield from opened.iter_batches(BATCH_ROWS, columns=list(names))

    return _arrow_table(file, schema, batches)


def open_arrow(file: Path) -> Table:
    """Return the table of an Arrow file, a stream or one with an index. Raises `BenchmarkError` where it is damaged."""
    import pyarrow

    from savs_benchmarks.pictures.pictures import read_arrow

    try:
        table = read_arrow(file)
    except (OSError, pyarrow.ArrowException) as error:
        raise BenchmarkError(f"{file} cannot be read: {error}") from None
    return _arrow_table(file, table.schema, lambda names: table.select(list(names)).to_batches(BATCH_ROWS))


def _arrow_table(file: Path, schema: Any, batches: Callable[[Sequence[str]], Any]) -> Table:
    features = _features(schema)
    pictures = tuple(name for name in schema.names if _holds_bytes(schema.field(name).type))
    classes = {
        name: feature["names"]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and feature.get("names")
    }

    def values(names: Sequence[str]) -> Values:
        import pyarrow

        number = 0
        if not names:
            for number in range(_count_rows(file)):
                yield f"{file.name}, row {number}", number, {}
            return
        try:
            for batch in batches(names):
                for row in batch.to_pylist():
                    yield f"{file.name}, row {number}", number, row
                    number += 1
        except (OSError, pyarrow.ArrowException) as error:
            raise BenchmarkError(f"{file} cannot be read: {error}") from None

    return Table(file, tuple(schema.names), values, _end_digest(file), pictures, classes)


def _features(schema: Any) -> Mapping[str, Any]:
    """Return what the `datasets` library says of the columns, nothing where it does not."""
    try:
        return dict(json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"])
    except (KeyError, ValueError, TypeError):
        return {}


def _holds_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0
    return types.is_binary(kind) or types.is_large_binary(kind)


def _count_rows(file: Path) -> int:
    import pyarrow.parquet

    from savs_benchmarks.pictures.pictures import is_parquet, read_arrow

    return pyarrow.parquet.read_metadata(file).num_rows if is_parquet(file) else read_arrow(file).num_rows


def _digest(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _end_digest(file: Path) -> str:
    """Return a hash of a file's size and of its end, where Parquet says what is in it: it may have many gigabytes."""
    with file.open("rb") as stream:
        size = stream.seek(0, 2)
        stream.seek(max(0, size - END_BYTES))
        return sha256(f"{size} ".encode() + stream.read()).hexdigest()[:12]
