"""The directories of TIFF files and of EXIF: what they hold, and what is wrong with them."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

from PIL import ExifTags, TiffTags

ORIENTATION = ExifTags.Base.Orientation.value
NESTED = (ExifTags.IFD.Exif.value, ExifTags.IFD.GPSInfo.value)

# Bytes of one value, by type; TIFF 6.0, section 2, and BigTIFF.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
ASCII, RATIONALS, NUMBERS = 2, {5: "II", 10: "ii"}, {3: "H", 4: "I", 8: "h", 9: "i", 13: "I", 16: "Q"}
# A distance of endless length is written so; EXIF 2.32, SubjectDistance.
ENDLESS = 2**32 - 1
# Bytes that are looked at of a tag's values: a crafted directory may give the whole file to each of many tags.
MOST_BYTES = 256


class Entry(NamedTuple):
    """An entry of a directory: `data` are the first bytes of its values, None where these lie beyond the end."""

    tag: int
    type: int
    data: bytes | None
    whole: bytes


class Directory(NamedTuple):
    """The entries of a directory, fewer than it `declared` where it is cut."""

    order: str
    big: bool
    offset: int
    declared: int
    entries: list[Entry]


def read_directory(content: bytes, offset: int | None = None) -> Directory:
    """Return a directory, the first where no offset is given. Raises ValueError where the header is of no TIFF."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or not {42, 43} & set(content[2:4]) or len(content) < 8:
        raise ValueError("it has no TIFF header")
    big = 43 in content[2:4]
    try:
        if offset is None:
            (offset,) = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)
        (declared,) = struct.unpack_from(order + ("Q" if big else "H"), content, offset)
    except (struct.error, OverflowError):
        raise ValueError("its directory lies beyond the end") from None
    size, start = (20, offset + 8) if big else (12, offset + 2)
    present = min(declared, (len(content) - start) // size)
    entries = [_entry(content, start + number * size, order, big) for number in range(present)]
    return Directory(order, big, offset, declared, entries)


def _entry(content: bytes, place: int, order: str, big: bool) -> Entry:
    tag, kind, count = struct.unpack_from(order + ("HHQ" if big else "HHI"), content, place)
    room, at = (8, place + 12) if big else (4, place + 8)
    size = SIZES.get(kind, 0) * count
    if size > room:
        (at,) = struct.unpack_from(order + ("Q" if big else "I"), content, at)
    data = content[at : at + min(size, MOST_BYTES)] if at + size <= len(content) else None
    return Entry(tag, kind, data, content[place : place + (20 if big else 12)])


def numbers(found: Directory, tag: int) -> tuple[int, ...]:
    """Return the first whole numbers of a tag, none where it is absent, damaged or of another type."""
    for entry in found.entries:
        if entry.tag == tag and entry.data and entry.type in NUMBERS:
            return tuple(value for (value,) in struct.iter_unpack(found.order + NUMBERS[entry.type], entry.data))
    return ()


def exif_orientation(block: bytes) -> int | None:
    """Return the orientation of an EXIF block, also of one that is damaged elsewhere; None where it has none.

    Of several values the first counts, as for Pillow. Raises ValueError where the block has no header.
    """
    found = read_directory(_without_prefix(block))
    return next(iter(numbers(found, ORIENTATION)), None)


def _without_prefix(block: bytes) -> bytes:
    return re.sub(rb"^(Exif\0\0){1,2}", b"", block)


def exif_faults(block: bytes) -> list[str]:
    """Return what is wrong with an EXIF block, in words: cut, values beyond the end, of wrong types, out of range."""
    content = _without_prefix(block)
    try:
        return list(_faults(content, read_directory(content))) if content else []
    except ValueError as error:
        return [f"EXIF: {error}"]


def _faults(content: bytes, found: Directory, group: int | None = None) -> Iterator[str]:
    if len(found.entries) < found.declared:
        yield f"EXIF: {found.declared} entries, {len(found.entries)} of them there"
    for entry in found.entries:
        name = TiffTags.lookup(entry.tag, group).name
        if entry.data is None:
            yield f"EXIF: {name} lies beyond the end"
        elif entry.type not in SIZES:
            yield f"EXIF: {name} is of no known type: {entry.type}"
        elif reason := _wrong_value(found, entry, group):
            yield f"EXIF: {name} {reason}"
        elif entry.tag in NESTED and group is None:
            offset = numbers(found, entry.tag)
            yield from _faults(content, read_directory(content, offset[0]), entry.tag) if offset else ()


def _wrong_value(found: Directory, entry: Entry, group: int | None) -> str:
    expected = TiffTags.lookup(entry.tag, group).type
    if entry.data and expected in NUMBERS and entry.type == ASCII:
        return "is a text, not a number"
    if entry.type in RATIONALS and entry.data:
        for above, below in struct.iter_unpack(found.order + RATIONALS[entry.type], entry.data):
            if below == 0 and above not in (0, ENDLESS):
                return f"is {above}/0"
    if entry.tag == ORIENTATION and group is None:
        values = numbers(found, ORIENTATION)
        if len(values) != 1 or not 0 <= values[0] <= 8:  # nought is written where it is not known
            return f"is {', '.join(map(str, values)) or 'no number'}, not one of 1 to 8"
    return ""
