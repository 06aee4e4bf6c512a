"""Files of pictures put together byte by byte, as no library would write them."""

import struct
import zlib


def chunk(name, data, sound=True):
    """Return a PNG chunk, with a wrong checksum where it is not `sound`."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data) ^ (not sound))


def png(pixels, before=b"", after=b"", header=True, data=True):
    """Return a PNG of an RGB array `[row, column, 3]` with chunks before and after its pixels.

    `header` and `data` say whether the checksums of IHDR and IDAT are sound.
    """
    height, width, _ = pixels.shape
    lines = zlib.compress(b"".join(b"\0" + line.tobytes() for line in pixels))
    beginning = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), header)
    return beginning + before + chunk(b"IDAT", lines, data) + after + chunk(b"IEND", b"")


def segment(marker, data):
    """Return a segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def with_segments(jpeg, *segments):
    """Return a JPEG with segments put behind its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def riff(name, data):
    """Return a chunk of a WEBP."""
    return name + struct.pack("<I", len(data)) + data + bytes(len(data) % 2)


def with_chunks(webp, size, flags, *chunks):
    """Return a WEBP in the extended format, with chunks behind its pixels; `flags` announce them."""
    width, height = ((side - 1).to_bytes(3, "little") for side in size)
    body = b"WEBP" + riff(b"VP8X", bytes([flags, 0, 0, 0]) + width + height) + webp[12:] + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


TYPES = {1: "B", 3: "H", 4: "I", 8: "h", 9: "i"}


def entry(order, tag, kind, values, place):
    """Return an entry of a directory and what lies at `place` outside of it; `values` are numbers, pairs or bytes."""
    data = values
    if not isinstance(values, bytes):
        flat = [number for value in values for number in (value if isinstance(value, tuple) else (value,))]
        data = struct.pack(order + {5: "I", 10: "i"}.get(kind, TYPES.get(kind, "")) * len(flat), *flat)
    begin = struct.pack(order + "HHI", tag, kind, len(values))
    return (begin + data.ljust(4, b"\0"), b"") if len(data) <= 4 else (begin + struct.pack(order + "I", place), data)


def tiff(entries, content=b"", order="<", declared=None):
    """Return a TIFF: header, content from byte 8 on, the directory of {tag: (type, values)}, and what it points at."""
    offset = 8 + len(content)
    place = offset + 2 + 12 * len(entries) + 4
    directory = outside = b""
    for tag, (kind, values) in sorted(entries.items()):
        inside, data = entry(order, tag, kind, values, place + len(outside))
        directory += inside
        outside += data
    header = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, offset)
    count = struct.pack(order + "H", len(entries) if declared is None else declared)
    return header + content + count + directory + bytes(4) + outside


def exif(entries, **options):
    return b"Exif\0\0" + tiff(entries, **options)
