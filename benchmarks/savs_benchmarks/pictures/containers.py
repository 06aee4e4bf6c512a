"""A picture's file taken apart: what its pixels need, and what says how to turn them.

Pillow refuses whole files for faults beside the pixels. What is kept here has no such parts; everything
is copied, nothing decoded.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from savs_benchmarks.pictures.exif import Directory, read_directory

# What is unpacked of a compressed text, at most; Pillow's own limit.
MOST_TEXT = 2**20

PNG = b"\x89PNG\r\n\x1a\n"
PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt")
RAW_EXIF, PNG_XMP = b"Raw profile type exif", b"XML:com.adobe.xmp"
EXIF, XMP = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0"
# Of the application segments, libjpeg itself reads these two, from these lengths on: they say how colours are stored.
JPEG_COLOURS = {0xE0: (b"JFIF\0", 14), 0xEE: (b"Adobe", 12)}
WEBP_PIXELS = (b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF")
# Where and how the pixels lie, and which side is up.
TIFF_PIXELS = (
    *(254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325),
    *(332, 338, 339, 347, 512, 513, 514, 515, 519, 520, 521, 529, 530, 531, 532),
)


@dataclass(frozen=True)
class Parts:
    """A file of the pixels alone, and the metadata that may turn them, under the names that Pillow gives it."""

    pixels: bytes
    info: dict[str, Any] = field(default_factory=dict)


def take_apart(content: bytes) -> Parts | None:
    """Return the parts of a file, None where it is of no format that has metadata or cannot be taken apart."""
    for signature, take in FORMATS.items():
        if content.startswith(signature):
            try:
                return take(content)
            except (struct.error, IndexError, ValueError):
                return None
    return None


class Chunk(NamedTuple):
    """A chunk of a PNG, `whole` with its length and checksum; `sound` where the checksum is right."""

    name: bytes
    data: bytes
    whole: bytes
    sound: bool

    @property
    def ancillary(self) -> bool:
        return self.name[:1].islower()


def png_chunks(content: bytes) -> Iterator[Chunk]:
    """Yield the chunks of a PNG up to its end, or to where it is cut."""
    place = len(PNG)
    while place + 12 <= len(content):
        length, name = struct.unpack_from(">I4s", content, place)
        whole = content[place : place + 12 + length]
        if len(whole) < 12 + length:
            return
        sound = zlib.crc32(whole[4:-4]) == int.from_bytes(whole[-4:], "big")
        yield Chunk(name, whole[8:-4], whole, sound)
        if name == b"IEND":
            return
        place += len(whole)


def _png(content: bytes) -> Parts:
    kept: list[bytes] = [PNG]
    info: dict[str, Any] = {}
    for chunk in png_chunks(content):
        if not chunk.ancillary:
            kept.append(chunk.whole)
        elif chunk.name == b"eXIf":
            info["exif"] = EXIF + chunk.data
        elif chunk.name in PNG_TEXTS:
            info |= _png_text(chunk)
    return Parts(b"".join(kept), info)


def _png_text(chunk: Chunk) -> dict[str, Any]:
    """Return EXIF or XMP that hides in a text, by Pillow's name for it."""
    key, _, value = chunk.data.partition(b"\0")
    if key not in (RAW_EXIF, PNG_XMP):
        return {}
    compressed = chunk.name == b"zTXt"
    if chunk.name == b"iTXt":
        compressed, value = value[:1] != b"\0", value[2:].split(b"\0", 2)[-1]
    elif compressed:
        value = value[1:]
    if compressed:
        value = _inflated(value)
    return {"xmp": value} if key == PNG_XMP else {key.decode(): value.decode("latin-1")}


def _inflated(data: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, MOST_TEXT)
    except zlib.error:
        return b""


def _jpeg(content: bytes) -> Parts:
    """Return the parts of a JPEG: its segments up to the first scan are looked at, the rest is kept as it is."""
    kept: list[bytes] = [content[:2]]
    info: dict[str, Any] = {}
    place = 2
    while place + 4 <= len(content):
        marker = content[place + 1]
        if content[place] != 0xFF or marker in (0, 0xFF):  # padding, or junk between segments
            place += 1
            continue
        if marker == 0xDA:
            break
        if 0xD0 <= marker <= 0xD9 or marker == 0x01:  # markers that stand alone
            segment = content[place : place + 2]
        else:
            segment = content[place : place + 2 + max(2, int.from_bytes(content[place + 2 : place + 4], "big"))]
        if _holds_pixels(marker, segment[4:]):
            kept.append(segment)
        elif segment[4:].startswith(EXIF):  # more than one segment may carry it
            info["exif"] = info["exif"] + segment[10:] if "exif" in info else segment[4:]
        elif segment[4:].startswith(XMP):
            info["xmp"] = segment[4 + len(XMP) :]
        place += len(segment)
    return Parts(b"".join([*kept, content[place:]]), info)


def _holds_pixels(marker: int, data: bytes) -> bool:
    if marker in JPEG_COLOURS:
        beginning, least = JPEG_COLOURS[marker]
        return data.startswith(beginning) and len(data) >= least
    return not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _webp(content: bytes) -> Parts:
    if content[8:12] != b"WEBP":
        raise ValueError("another kind of RIFF")
    kept: list[bytes] = []
    info: dict[str, Any] = {}
    place = 12
    while place + 8 <= len(content):
        name, length = struct.unpack_from("<4sI", content, place)
        chunk = content[place : place + 8 + length + length % 2]
        if name == b"VP8X" and length:  # its flags announce ICC, EXIF and XMP
            chunk = chunk[:8] + bytes([chunk[8] & ~0b101100]) + chunk[9:]
        if name in WEBP_PIXELS:
            kept.append(chunk)
        elif name in (b"EXIF", b"XMP "):
            info[name.decode().strip().lower()] = chunk[8 : 8 + length]
        place += len(chunk)
    body = b"WEBP" + b"".join(kept)
    return Parts(b"RIFF" + struct.pack("<I", len(body)) + body, info)


def _tiff(content: bytes) -> Parts:
    """Return a TIFF whose first directory names the pixels alone, and no second one."""
    found = read_directory(content)
    kept = [entry.whole for entry in found.entries if entry.tag in TIFF_PIXELS]
    return Parts(_with_directory(content, found, kept))


def _with_directory(content: bytes, found: Directory, entries: list[bytes]) -> bytes:
    count = struct.pack(found.order + ("Q" if found.big else "H"), len(entries))
    directory = count + b"".join(entries) + bytes(8 if found.big else 4)
    return content[: found.offset] + directory + content[found.offset + len(directory) :]


def _gif(content: bytes) -> Parts:
    """Return a GIF without extensions before its first picture, but for a whole graphic control."""
    flags = content[10]
    place = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    kept = [content[:place]]
    while content[place] == 0x21:
        end = place + 2
        while content[end]:
            end += 1 + content[end]
        block = content[place : end + 1]
        if block[1] == 0xF9 and block[2] >= 4:
            kept.append(block)
        place = end + 1
    return Parts(b"".join([*kept, content[place:]]))


FORMATS: dict[bytes, Callable[[bytes], Parts]] = {
    PNG: _png,
    b"\xff\xd8\xff": _jpeg,
    b"RIFF": _webp,
    b"GIF8": _gif,
    b"II": _tiff,
    b"MM": _tiff,
}
