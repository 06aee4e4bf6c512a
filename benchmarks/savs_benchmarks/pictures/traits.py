"""What a file of a picture has beside its pixels: size, format, mode, camera, bytes. Nothing that a picture shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from PIL import ExifTags, Image

MAKERS = (ExifTags.Base.Make.value, ExifTags.Base.Model.value)


@dataclass(frozen=True)
class Traits:
    """The traits of a file; `size` is (width, height) as it is stored, `camera` what EXIF says, or ""."""

    size: tuple[int, int]
    form: str
    mode: str
    camera: str
    bytes: int


def traits_of(opened: Image.Image, stream: BinaryIO) -> Traits:
    """Return the traits of a file that is open, before it is decoded."""
    place = stream.tell()
    count = stream.seek(0, 2)
    stream.seek(place)
    return Traits(opened.size, opened.format or "", opened.mode, _camera(opened), count)


def _camera(opened: Image.Image) -> str:
    """Return the maker and the model of the camera, as far as they can be read."""
    if "exif" not in opened.info:
        return ""
    try:
        found = opened.getexif()
        return " ".join(str(found[tag]).strip("\0 ") for tag in MAKERS if found.get(tag))
    except Exception:  # damaged in any way
        return ""
