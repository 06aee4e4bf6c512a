"""What pictures hash to, kept beside the data: read once, and by the first of several processes."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL
from PIL import features

from savs_benchmarks.pictures.near import COLOURS, SIDE, Look
from savs_benchmarks.pictures.pictures import POLICY, Picture, StoredPicture
from savs_benchmarks.pictures.traits import Traits
from savs_harvest.asking.hashing import HashedPicture, hash_pictures, key_of

NAME = ".savs-pictures.sqlite"
# Whatever decides what a picture hashes to; "1" changes when what is kept of it does.
RULES = json.dumps(["1", POLICY, PIL.__version__, *(features.version(one) for one in ("jpg", "webp", "zlib"))])
TABLES = (
    "CREATE TABLE rules (words TEXT)",
    "CREATE TABLE pictures (name TEXT PRIMARY KEY, bytes INTEGER, modified INTEGER, changed INTEGER, hash INTEGER, "
    "width INTEGER, height INTEGER, beside TEXT, look BLOB)",
)
# A file that changed so lately, in seconds, may change again without its times showing it.
SETTLED = 2.0
# Pictures that are read before what they hash to is written down.
WRITTEN_AT = 1024
# What several processes at once wait for one another, in seconds, where the disk knows no locks of files.
PATIENCE = 30.0


@dataclass(frozen=True)
class State:
    """By what a file is known to be the one that was read: its bytes, and when it and its entry changed, in ns."""

    bytes: int
    modified: int
    changed: int
    # Whether it had changed for the last time well before it was looked at: what is read later may be another one.
    settled: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, file: Path) -> State | None:
        try:
            found = file.stat()
        except (OSError, ValueError):  # missing, or a name that no file can have
            return None
        settled = time.time() - max(found.st_mtime_ns, found.st_ctime_ns) / 1e9 > SETTLED
        return cls(found.st_size, found.st_mtime_ns, found.st_ctime_ns, settled)

    @property
    def kept(self) -> tuple[int, int, int]:
        """What is written down of it."""
        return self.bytes, self.modified, self.changed


class KnownPictures:
    """The pictures of one command whose hashes may be known, by name; those in memory, and missing ones, are not.

    The hashes lie in one SQLite file in the folder that all pictures are below. Where that cannot be written, or is
    damaged, nothing is known and nothing kept: it saves time, and decides nothing.
    """

    def __init__(self, pictures: Iterable[Picture], looked: bool) -> None:
        self.looked = looked
        files = {key_of(picture): file for picture in pictures if (file := _file(picture))}
        self.folder = _common(files.values())
        states = {file: State.of(file) for file in set(files.values())}
        self.names = {key: _name(key, self.folder) for key in files} if self.folder else {}
        self.states = {self.names[key]: states[file] for key, file in files.items() if key in self.names}
        self.known: set[str] = set()
        self.base: sqlite3.Connection | None = None

    @contextmanager
    def open(self) -> Iterator[None]:
        """Keep the file open inside the block."""
        if self.folder is None:
            yield
            return
        self.base = _opened(self.folder / NAME)
        try:
            self.look()
            yield
        finally:
            if self.base:
                self.base.close()
            self.base = None

    def look(self) -> None:
        """See which pictures are known by now: those whose file is as it was when it was read."""
        for name, *state, has_look in self._ask(
            "SELECT name, bytes, modified, changed, look IS NOT NULL OR hash = 0 FROM pictures"
        ):
            if (now := self.states.get(name)) and now.kept == tuple(state) and (has_look or not self.looked):
                self.known.add(name)

    def has(self, picture: Picture) -> bool:
        return self.names.get(key_of(picture)) in self.known

    def get(self, picture: Picture) -> HashedPicture | None:
        """Return what a picture hashes to, None where nobody knows."""
        if not self.has(picture):
            return None
        columns = "hash, width, height, beside, look"
        rows = self._ask(f"SELECT {columns} FROM pictures WHERE name = ?", self.names[key_of(picture)])
        try:
            return next((_hashed(row, self.looked) for row in rows), None)
        except (ValueError, TypeError, KeyError, IndexError):  # a damaged row: its picture is read
            return None

    def keep(self, found: Sequence[tuple[Picture, HashedPicture]]) -> None:
        """Write down what pictures hash to; a file that changed a moment ago waits for the next command."""
        rows = []
        for picture, hashed in found:
            state = self.states.get(name := self.names.get(key_of(picture), ""))
            if state and state.settled and not (isinstance(picture, StoredPicture) and picture.elsewhere):
                rows.append((name, *state.kept, *_row(hashed)))
        with suppress(sqlite3.Error):
            if self.base and rows:
                with self.base:
                    self.base.executemany(f"REPLACE INTO pictures VALUES ({', '.join('?' * len(rows[0]))})", rows)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let one process read, the others wait and then see what it has read; where that can be had."""
        from filelock import FileLock

        file = self.folder / f"{NAME}.lock" if self.base and self.folder else None
        lock = FileLock(file) if file and not file.is_symlink() else None
        if lock:
            with suppress(OSError, NotImplementedError):  # not every disk knows locks
                lock.acquire()
        try:
            self.look()
            yield
        finally:
            if lock and lock.is_locked:
                Path(lock.lock_file).unlink(missing_ok=True)  # while it is held: nobody else's is removed
                lock.release()

    def _ask(self, words: str, *values: Any) -> list[tuple[Any, ...]]:
        try:
            return self.base.execute(words, values).fetchall() if self.base else []
        except sqlite3.Error:  # damaged: nothing in it counts
            self.known.clear()
            return []


def hashed(pictures: Sequence[Picture], looked: bool = False) -> Generator[HashedPicture, None, None]:
    """Yield what pictures hash to, in their order; what is known beside the data is not read again.

    Raises `ChildProcessError` where a process that reads them has died.
    """
    known = KnownPictures(pictures, looked)
    with known.open():
        if not all(map(known.has, pictures)):
            with known.alone():
                yield from _hashed_all(pictures, known)
        else:
            yield from _hashed_all(pictures, known)


def _hashed_all(pictures: Sequence[Picture], known: KnownPictures) -> Iterator[HashedPicture]:
    given = [known.has(picture) for picture in pictures]
    missing = [picture for picture, there in zip(pictures, given, strict=True) if not there]
    with closing(_read(missing, known)) as read:
        for picture, there in zip(pictures, given, strict=True):
            found = known.get(picture) if there else None
            yield found or next(read if not there else hash_pictures([picture], known.looked))


def _read(pictures: Sequence[Picture], known: KnownPictures) -> Generator[HashedPicture, None, None]:
    """Yield what pictures that nobody knows hash to; it is written down now and then, and however this ends."""
    waiting: list[tuple[Picture, HashedPicture]] = []
    try:
        for picture, found in zip(pictures, hash_pictures(pictures, known.looked), strict=True):
            waiting.append((picture, found))
            if len(waiting) == WRITTEN_AT:
                known.keep(waiting)
                waiting = []
            yield found
    finally:
        known.keep(waiting)


def _file(picture: Picture) -> Path | None:
    found = picture.file if isinstance(picture, StoredPicture) else picture
    return found if isinstance(found, Path) else None


def _name(key: Any, folder: Path) -> str:
    place = f"\0{key.row}\0{key.column}" if isinstance(key, StoredPicture) else ""
    file = key.file if isinstance(key, StoredPicture) else key
    return f"{os.fsencode(os.path.relpath(file, folder)).decode('utf-8', 'backslashreplace')}{place}"


def _common(files: Iterable[Path]) -> Path | None:
    """Return the folder that all files are below; None where there are none, or it is above the homes of users."""
    try:
        found = Path(os.path.commonpath({file.absolute().parent for file in files}))
    except ValueError:  # none, or of several drives
        return None
    return None if found in {Path(found.anchor), Path("/home"), Path("/Users"), *Path.home().parents} else found


def _opened(file: Path) -> sqlite3.Connection | None:
    """Return the file of hashes, made anew where its rules are others; None where there can be none.

    A link is not followed: a folder of data could have tables dropped and written in any file by it.
    """
    if file.is_symlink():
        return None
    base = None
    try:
        base = sqlite3.connect(file, timeout=PATIENCE)
        base.execute("PRAGMA synchronous = OFF")  # a power cut may cost the file, and no more
        with suppress(sqlite3.OperationalError):
            if base.execute("SELECT words FROM rules").fetchall() == [(RULES,)]:
                return base
        with base:
            base.execute("BEGIN IMMEDIATE")
            for name in ("rules", "pictures"):
                base.execute(f"DROP TABLE IF EXISTS {name}")
            for words in TABLES:
                base.execute(words)
            base.execute("INSERT INTO rules VALUES (?)", (RULES,))
        return base
    except sqlite3.DatabaseError as error:
        if base is not None:
            base.close()
        if not isinstance(error, sqlite3.OperationalError):  # no such file: whatever it was, it is ours by its name
            with suppress(OSError):
                file.unlink()
        return None


def _row(hashed: HashedPicture) -> tuple[Any, ...]:
    """Return what is kept of a picture; SQLite's integers have a sign."""
    look, traits = hashed.look, hashed.traits
    beside = {"code": hashed.code, "faults": hashed.faults, "traits": astuple(traits) if traits else None}
    number = int(np.uint64(hashed.hash).view(np.int64))
    packed = (
        None
        if look is None
        else b"".join(
            (
                np.uint64(look.hash).tobytes(),
                np.float64(look.left).tobytes(),
                look.grey.tobytes(),
                look.colours.tobytes(),
            )
        )
    )
    return number, *hashed.size, json.dumps(beside), packed


def _hashed(row: tuple[int, int, int, str, bytes | None], looked: bool) -> HashedPicture:
    number, width, height, beside, packed = row
    told = json.loads(beside)
    traits = told["traits"]
    made = Traits(tuple(traits[0]), *traits[1:]) if traits else None
    look = _look(packed) if looked and packed else None
    value = int(np.int64(number).view(np.uint64))
    return HashedPicture(value, (width, height), told["code"], tuple(told["faults"]), look, made)


def _look(packed: bytes) -> Look:
    numbers = np.frombuffer(packed[16:], dtype=np.uint8)
    grey, colours = numbers[: SIDE**2].reshape(SIDE, SIDE), numbers[SIDE**2 :].reshape(-1, COLOURS, COLOURS)
    return Look(int(np.frombuffer(packed[:8], np.uint64)[0]), grey, colours, float(np.frombuffer(packed[8:16])[0]))
