"""Folders of pictures: a subfolder a class, train/ and test/ above, a table of metadata beside."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.files.reading import Found, OwnRow, Reading, readable, split_of
from savs_benchmarks.files.tables import open_csv, open_json, open_parquet, rows_of
from savs_benchmarks.pictures.pictures import ENDINGS

# How files of pictures begin.
BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# What file managers and archives leave behind.
LEFT_BEHIND = ("thumbs.db", "desktop.ini", "__macosx", "$recycle.bin", "icon\r")
METADATA = {
    "metadata.csv": open_csv,
    "metadata.tsv": open_csv,
    "metadata.jsonl": open_json,
    "metadata.parquet": open_parquet,
}
EXAMPLES = 3


@dataclass(frozen=True)
class FoundFile:
    """A file below a folder: the names that lead to it, and its size."""

    path: Path
    parts: tuple[str, ...]
    size: int

    @property
    def name(self) -> str:
        return "/".join(self.parts)


def read_folder(folder: Path, reading: Reading) -> Found:
    """Return the pictures below a folder as rows; the first subfolder is the class, none where there is none.

    Subfolders train, test, validation are splits, and a file metadata.csv, .tsv, .jsonl or .parquet names labels.
    Raises `BenchmarkError` where no picture is found.
    """
    rows: list[OwnRow] = []
    remarks: list[str] = []
    digest = sha256()
    for split, place in _splits(folder):
        files = list(walk(place, remarks))
        digest.update("\n".join(f"{file.name} {file.size}" for file in files).encode())
        beside = next((file.path for file in files if len(file.parts) == 1 and file.parts[0].lower() in METADATA), None)
        pictures, others = _sorted_out(file for file in files if file.path != beside)
        remarks += _passed_over(others)
        prefix = "" if place == folder else f"{readable(place.relative_to(folder).as_posix())}/"
        if beside:
            rows += _rows_of_metadata(beside, pictures, prefix, split, reading, remarks)
            digest.update(beside.read_bytes())
        else:
            rows += [_row(file, prefix, split) for file in pictures]
    if not rows:
        raise BenchmarkError(f"{folder} holds no pictures ({', '.join(ENDINGS)})", remarks)
    return Found(rows, digest.hexdigest()[:12], tuple(remarks))


def _row(file: FoundFile, prefix: str, split: str | None) -> OwnRow:
    label = file.parts[0] if len(file.parts) > 1 else None
    name = prefix + file.name
    return OwnRow(name, file.path, name, label, split=split)


def _rows_of_metadata(
    beside: Path, pictures: Sequence[FoundFile], prefix: str, split: str | None, reading: Reading, remarks: list[str]
) -> Iterator[OwnRow]:
    """Yield the rows of a table that stands beside the pictures; labels that it has not are their subfolders."""
    table = METADATA[beside.name.lower()](beside)
    named = {file.path.resolve(): file for file in pictures}
    remarks += table.remarks
    used = set()
    for row in rows_of(table, reading.image_root or beside.parent, reading, split, prefix):
        if row.picture is None:
            raise BenchmarkError(f"{beside}: no column has a picture's usual name; name one with --image-column")
        file = named.get(row.picture) if isinstance(row.picture, Path) else None
        used.add(row.picture)
        folder = file.parts[0] if file and len(file.parts) > 1 else None
        values = vars(row) | ({"label": folder} if row.label in (None, "") else {})
        yield OwnRow(**values)
    if left := [file for path, file in named.items() if path not in used]:
        remarks.append(f"not in {beside.name}, passed over: {len(left):,} pictures ({_examples(left)})")


def _splits(folder: Path) -> list[tuple[str | None, Path]]:
    """Return (split, folder) of all parts: subfolders of splits, where there are no others, else the folder itself.

    Folders that hold nothing but one folder of folders are gone into: archives are often unpacked so.
    """
    while (only := _only_folder(folder)) and _folders(only) and split_of(only.name) is None:
        folder = only
    inside = _folders(folder)
    if inside and all(split_of(place.name) for place in inside):
        return [(split_of(place.name), place) for place in inside]
    return [(None, folder)]


def _folders(folder: Path) -> list[Path]:
    return sorted(place for place in folder.iterdir() if place.is_dir() and not _is_hidden(place.name))


def _only_folder(folder: Path) -> Path | None:
    places = [place for place in folder.iterdir() if not _is_hidden(place.name)]
    return places[0] if len(places) == 1 and places[0].is_dir() else None


def walk(folder: Path, remarks: list[str]) -> Iterator[FoundFile]:
    """Yield all files below a folder, sorted; links are followed, but not in a circle. Hidden ones are left out."""
    yield from _walk(folder, (), (), remarks)


def _walk(
    folder: Path, parts: tuple[str, ...], above: tuple[tuple[int, int], ...], remarks: list[str]
) -> Iterator[FoundFile]:
    try:
        own = folder.stat()
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        remarks.append(f"{readable('/'.join(parts))} cannot be read: {error.strerror}")
        return
    here = (own.st_dev, own.st_ino)
    if here in above:
        return
    for entry in entries:
        if _is_hidden(entry.name):
            continue
        place = (*parts, readable(entry.name))
        if entry.is_dir():
            yield from _walk(Path(entry.path), place, (*above, here), remarks)
        elif (size := _size(entry)) is not None:
            yield FoundFile(Path(entry.path), place, size)


def _size(entry: os.DirEntry[str]) -> int | None:
    """Return a file's size, -1 where it is a link to nowhere, None where it is no file: a pipe has no end."""
    try:
        found = entry.stat()
    except OSError:
        return -1
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def _sorted_out(files: Iterator[FoundFile]) -> tuple[list[FoundFile], list[FoundFile]]:
    pictures: list[FoundFile] = []
    others: list[FoundFile] = []
    for file in files:
        (pictures if file.path.suffix.lower() in ENDINGS or begins_as_picture(file.path) else others).append(file)
    return pictures, others


def begins_as_picture(file: Path) -> bool:
    """Tell by its first bytes whether a file is a picture."""
    try:
        with file.open("rb") as stream:
            first = stream.read(12)
    except OSError:
        return False
    return first.startswith(BEGINNINGS) or (first[:4] == b"RIFF" and first[8:] == b"WEBP")


def _passed_over(others: Sequence[FoundFile]) -> Iterator[str]:
    """Yield what was left out, an ending a line."""
    for ending, count in Counter(file.path.suffix.lower() for file in others).items():
        of_ending = [file for file in others if file.path.suffix.lower() == ending]
        kind = f"{ending} files" if ending else "files without an ending"
        yield f"no pictures that can be read, passed over: {count:,} {kind} ({_examples(of_ending)})"


def _examples(files: Sequence[FoundFile]) -> str:
    return ", ".join(file.name for file in files[:EXAMPLES]) + (" ..." if len(files) > EXAMPLES else "")
