"""Where answers go: line by line into a partial file, and from it, at the end, into a table that anybody reads."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO

from savs_analyze.runs.spreadsheet import inert
from savs_stores.format.fingerprint import differences
from savs_stores.terminal import printable

Row = dict[str, Any]
FIELDS = ("file", "question", "class", "probability", "set", "doubtful", "second", "likeness", "status")
FORMAT = "savs answers 1"
ENDINGS = (".csv", ".jsonl", ".json", ".ndjson")
BETWEEN = "; "
WIDEST = 60


class AnswersError(ValueError):
    """A partial file that does not belong to this command."""


@dataclass(frozen=True)
class Journal:
    """The partial file beside `out`: a header that says whose answers they are, then a row a line."""

    out: Path
    header: Mapping[str, Any]

    @property
    def path(self) -> Path:
        return self.out.with_name(f"{self.out.name}.partial")

    def check(self) -> None:
        """Raise `AnswersError` where the file is another command's, ValueError where `out` has an unknown ending."""
        if self.out.suffix.lower() not in ENDINGS:
            raise ValueError(f"--out must end in {', '.join(ENDINGS)}, got {self.out.name}")
        if self._begun():
            self._check_header()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes from the file inside the block. Raises `AnswersError` where one is at it."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            try:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:  # Windows has no such locks
                pass
            except OSError:
                raise AnswersError(f"{self.path} is being written by another process") from None
            yield

    def begin(self, block: int) -> int:
        """Return how many rows are kept, whole blocks of them; a torn end is cut off."""
        if not self._begun():
            self.path.write_bytes(_line({"format": FORMAT, **self.header}))
            return 0
        rows, end = self._whole(block)
        with self.path.open("r+b") as file:
            file.truncate(end)
        return rows

    def _begun(self) -> bool:
        return self.path.exists() and self.path.stat().st_size > 0

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows; when this returns, they are on the disk."""
        with self.path.open("ab") as file:
            file.write(b"".join(map(_line, rows)))
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> Iterator[Row]:
        with self.path.open("rb") as file:
            yield from (json.loads(line) for line in islice(file, 1, None))

    def finish(self, columns: Sequence[str]) -> None:
        """Write the answers where they were asked for, whole or not at all; the partial file goes."""
        write = _write_csv if self.out.suffix.lower() == ".csv" else _write_lines
        with NamedTemporaryFile(dir=self.out.parent, prefix=f".{self.out.name}.", delete=False) as file:
            try:
                write(file, self.rows(), columns)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
                file.close()
                Path(file.name).chmod(self.path.stat().st_mode)
                Path(file.name).replace(self.out)
            except BaseException:
                with suppress(FileNotFoundError):
                    Path(file.name).unlink()
                raise
        self.path.unlink()

    def _check_header(self) -> None:
        with self.path.open("rb") as file:
            try:
                found = json.loads(file.readline())
                known = isinstance(found, dict) and found.get("format") == FORMAT
            except ValueError:
                known = False
        if not known:
            raise AnswersError(f"{self.path} is no partial file of answers: move it away, or name another --out")
        if lines := differences(found, {"format": FORMAT, **self.header}):
            listed = "".join(f"\n  {line.replace(' in the store, ', ' there, ')}" for line in lines)
            raise AnswersError(
                f"{self.path} was begun otherwise: go on as it was begun, or remove it to begin again{listed}"
            )

    def _whole(self, block: int) -> tuple[int, int]:
        """Return how many rows there are in whole blocks, and where the last of them ends."""
        lines = place = kept = end = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                lines, place = lines + 1, place + len(line)
                if (lines - 1) % block == 0:  # the first line is the header
                    kept, end = lines - 1, place
        return kept, end


def columns_of(own_questions: bool) -> list[str]:
    return [name for name in FIELDS if own_questions or name != "question"]


def is_ours(line: bytes) -> bool:
    """Tell whether a file that begins with this line is one of answers: by all columns, in their order."""
    every = [columns_of(own_questions) for own_questions in (True, False)]
    if line.rstrip(b"\r\n") in [",".join(columns).encode() for columns in every]:
        return True
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(row, dict) and list(row) in every


def table_lines(rows: Sequence[Row], columns: Sequence[str], head: bool) -> Iterator[str]:
    """Yield rows for a terminal, in columns as wide as they need."""
    cells = [[_short(_cell(row.get(name))) for name in columns] for row in rows]
    titles = [columns, *cells] if head else cells
    widths = [max(len(line[place]) for line in [columns, *cells]) for place in range(len(columns))]
    for line in titles:
        yield "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()


def _short(text: str) -> str:
    return text if len(text) <= WIDEST else f"...{text[3 - WIDEST :]}"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return BETWEEN.join(printable(str(one)) for one in value)
    return printable(str(value))


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row).encode() + b"\n"


def _write_csv(file: BinaryIO, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Write CSV in UTF-8; a text that a spreadsheet would compute has an apostrophe in front."""
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    for row in rows:
        table.writerow([_number(value) or inert(_cell(value)) for value in map(row.get, columns)])
    text.detach()


def _number(value: Any) -> str:
    return repr(value) if isinstance(value, float) else ""


def _write_lines(file: BinaryIO, rows: Iterable[Row], columns: Sequence[str]) -> None:
    """Write JSON lines in UTF-8; half a character, as in odd names of files, is spelled as JSON spells it."""
    for row in rows:
        line = json.dumps({name: row.get(name) for name in columns}, ensure_ascii=False)
        file.write(line.encode("utf-8", "backslashreplace") + b"\n")
