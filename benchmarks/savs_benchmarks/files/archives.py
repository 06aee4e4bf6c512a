"""Unpacking archives from elsewhere: whole or not at all, and never outside of the folder."""

from __future__ import annotations

import gzip
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from savs_benchmarks.errors import BenchmarkError
from savs_benchmarks.pictures.pictures import resolve_inside

DAMAGE = (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, lzma.LZMAError)
UNPACKING = ".unpacking"
SUFFIXES = (".zip", ".tgz", ".tar.gz", ".tar")
# Pictures hardly shrink: what grows more than this is made to fill a disk.
MOST_GROWTH = 100


class ArchiveError(BenchmarkError):
    """An archive that cannot be unpacked; `damaged` where its bytes are the reason."""

    def __init__(self, summary: str, archive: Path, damaged: bool) -> None:
        super().__init__(summary)
        self.archive, self.damaged = archive, damaged


def is_archive(file: Path) -> bool:
    return file.name.endswith(SUFFIXES)


def is_unfinished(folder: Path) -> bool:
    """Tell whether unpacking into a folder was begun and did not end."""
    return (folder / UNPACKING).exists()


def unpack(archive: Path, folder: Path, more: bool = False) -> None:
    """Unpack an archive into a folder, as `unzip` and `tar xf` do; with `more` to come, it stays unfinished.

    Raises `ArchiveError`, having written nothing into the folder, for a damaged archive and for one that
    would write outside of the folder, holds links or devices, or grows beyond reason.
    """
    beside = folder / UNPACKING / archive.name
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        (_unzip if zipfile.is_zipfile(archive) else _untar)(archive, beside)
        shutil.copytree(beside, folder, dirs_exist_ok=True, copy_function=shutil.move)
    except Exception as error:  # damaged bytes make unpackers raise whatever they happen to hit
        reason = str(error).split("\n", 1)[0]
        raise ArchiveError(f"{archive} cannot be unpacked: {reason}", archive, isinstance(error, DAMAGE)) from None
    finally:
        shutil.rmtree(beside if more else beside.parent, ignore_errors=True)


def unpack_all(folder: Path, inner: Iterable[str] = ()) -> None:
    """Unpack the archives that lie in a folder, then the `inner` ones below it, and remove them when all are unpacked.

    Until then the folder `is_unfinished`, whatever stops this; the next call begins again.
    """
    archives = sorted(file for file in folder.glob("*") if file.is_file() and is_archive(file))
    within = [folder / name for name in inner]
    if archives or any(archive.exists() for archive in within):
        (folder / UNPACKING).mkdir(exist_ok=True)
    for archive in archives:
        unpack(archive, folder, more=True)
    within = [archive for archive in within if archive.exists()]
    for archive in within:
        unpack(archive, archive.parent)
    shutil.rmtree(folder / UNPACKING, ignore_errors=True)
    for archive in [*archives, *within]:
        archive.unlink()


def _unzip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        _check_growth(archive, sum(member.file_size for member in members))
        for member in members:
            if member.external_attr >> 28 == 0o12:  # a symbolic link, in the words of Unix
                raise ValueError(f"{member.filename!r} is a link")
            resolve_inside(folder, member.filename)
        for member in members:
            opened.extract(member, folder)


def _untar(archive: Path, folder: Path) -> None:
    with tarfile.open(archive) as opened:
        members = opened.getmembers()
        _check_end(opened)
        _check_growth(archive, sum(member.size for member in members))
        for member in members:
            if not member.isfile() and not member.isdir():
                raise ValueError(f"{member.name!r} is a link or a device")
            resolve_inside(folder, member.name)
        opened.extractall(folder, members, filter="data")


def _check_end(opened: tarfile.TarFile) -> None:
    """Read to the end: a checksum stands there, and an archive that is cut may end between two members."""
    packed: Any = opened.fileobj
    while packed.read(1 << 20):
        pass
    if packed.tell() < opened.offset + tarfile.BLOCKSIZE:
        raise tarfile.ReadError("it is cut short")


def _check_growth(archive: Path, size: int) -> None:
    if size > MOST_GROWTH * max(archive.stat().st_size, 10_000):
        raise ValueError(f"it would grow to {size:,} bytes")
