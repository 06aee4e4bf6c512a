"""Bring your own: a folder of pictures, a table, a folder of the `datasets` library, known by what they are."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.folders import begins_as_picture, read_folder, walk
from savs_benchmarks.files.jsonl import load_jsonl
from savs_benchmarks.files.reading import Found, OwnRow, Reading, benchmark_of, split_of
from savs_benchmarks.files.tables import Table, open_arrow, open_csv, open_json, open_parquet, rows_of
from savs_benchmarks.pictures.pictures import ENDINGS
from savs_benchmarks.sample import Benchmark

ARCHIVES = {b"PK\x03\x04": "a ZIP archive or a spreadsheet", b"\x1f\x8b": "packed", b"7z\xbc\xaf": "an archive"}
WORDS_OF_ARCHIVES = "unpack it and name the folder; save a spreadsheet as CSV"


def load_own(path: Path, reading: Reading = Reading()) -> Benchmark:  # noqa: B008  it is frozen
    """Return the benchmark of a user's own file or folder.

    Raises `BenchmarkError` with what is wrong, in which row, and what to do.
    """
    if path.is_dir():
        return benchmark_of(path, _of_folder(path, reading), reading)
    if not path.exists():
        raise BenchmarkError(f"there is no file {path}")
    if _is_lines(path):
        return load_jsonl(path, reading)
    table = _opener(path)(path)
    rows = list(rows_of(table, reading.image_root or path.parent, reading))
    return benchmark_of(path, Found(rows, table.revision, (*table.remarks, *_without_label(table, rows))), reading)


def _without_label(table: Table, rows: Iterable[object]) -> Iterator[str]:
    if all(getattr(row, "label", None) is None for row in rows):
        yield f"{table.file.name}: no column was taken for the label; columns are {', '.join(table.columns)}"


def _is_lines(path: Path) -> bool:
    """Tell whether a file holds JSON lines in this project's own words, or is empty and called so."""
    first = _first_bytes(path, 2**16)
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip()
    called = path.name.lower().endswith((".jsonl", ".json", ".ndjson"))
    if text.startswith(b"["):
        return False
    if not text.startswith(b"{"):
        return called and not first.startswith((b"PAR1", b"ARROW1"))
    try:
        row = json.loads(text.split(b"\n", 1)[0])
    except ValueError:
        return True
    return not isinstance(row, dict) or bool({"image", "images", "question"} & set(row))


def _opener(path: Path) -> Callable[[Path], Table]:
    first = _first_bytes(path, 16)
    if first.startswith(b"PAR1"):
        return open_parquet
    if first.startswith((b"ARROW1", b"\xff\xff\xff\xff")):
        return open_arrow
    for beginning, words in ARCHIVES.items():
        if first.startswith(beginning):
            raise BenchmarkError(f"{path} is {words}: {WORDS_OF_ARCHIVES}")
    if begins_as_picture(path) and not first.startswith(b"BM,"):
        raise BenchmarkError(f"{path} is a picture: name the folder that it is in, or a table")
    return open_json if first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"[", b"{") else open_csv


def _first_bytes(path: Path, count: int) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(count)
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error}") from None


def _of_folder(folder: Path, reading: Reading) -> Found:
    """Return the rows of a folder: of the `datasets` library, of Parquet files, of pictures."""
    try:
        if (folder / "dataset_dict.json").is_file():
            return _of_tables(_splits_on_disk(folder), folder, reading)
        if (folder / "state.json").is_file() or (folder / "dataset_info.json").is_file():
            return _of_tables(_parts_on_disk(folder, None), folder, reading)
        if tables := _parquet_parts(folder):
            return _of_tables(tables, folder, reading)
        return read_folder(folder, reading)
    except OSError as error:
        raise BenchmarkError(f"{folder} cannot be read: {error}") from None


def _splits_on_disk(folder: Path) -> Iterator[tuple[str | None, Table]]:
    try:
        names = json.loads((folder / "dataset_dict.json").read_text(encoding="utf-8"))["splits"]
    except (ValueError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{folder / 'dataset_dict.json'} must list its splits: {error!r}") from None
    for name in names:
        yield from _parts_on_disk(folder / str(name), split_of(str(name)))


def _parts_on_disk(folder: Path, split: str | None) -> Iterator[tuple[str | None, Table]]:
    """Yield the Arrow files of a folder that `save_to_disk` wrote, in their order."""
    names = [file.name for file in sorted(folder.glob("*.arrow"))]
    state = folder / "state.json"
    if state.is_file():
        try:
            content = json.loads(state.read_text(encoding="utf-8"))
            names = [Path(file["filename"]).name for file in content["_data_files"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(f"{state} must list its files: {error!r}") from None
        if content.get("_indices_data_files"):
            raise BenchmarkError(f"{folder} keeps a choice of rows beside them: save it with flatten_indices()")
        split = split or split_of(str(content.get("_split") or ""))
    if missing := [name for name in names if not (folder / name).is_file()]:
        raise BenchmarkError(f"{folder} lacks {', '.join(missing[:3])}, which its state.json lists: copy it whole")
    if not names:
        raise BenchmarkError(f"{folder} has no .arrow files: copy it whole")
    for name in names:
        yield split, open_arrow(folder / name)


def _parquet_parts(folder: Path) -> list[tuple[str | None, Table]]:
    """Return the Parquet files of a folder with their splits, none where it holds pictures."""
    files = list(islice(walk(folder, []), 100_000))
    tables = [file for file in files if file.path.suffix.lower() == ".parquet"]
    if not tables or any(file.path.suffix.lower() in ENDINGS for file in files):
        return []
    return [(split_of(file.path.stem) or split_of(file.path.parent.name), open_parquet(file.path)) for file in tables]


def _of_tables(parts: Iterable[tuple[str | None, Table]], folder: Path, reading: Reading) -> Found:
    rows: list[OwnRow] = []
    remarks: list[str] = []
    digest = sha256()
    for split, table in parts:
        rows += list(rows_of(table, reading.image_root or folder, reading, split))
        remarks += table.remarks
        digest.update(table.revision.encode())
    return Found(rows, digest.hexdigest()[:12], tuple(remarks))
