"""Pictures from disk: decoded whole, once, by one set of rules; never a crash, always a reason."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, TypeAlias

from PIL import Image, UnidentifiedImageError

from savs_benchmarks.errors import KindError, PictureError
from savs_benchmarks.pictures.containers import png_chunks, take_apart
from savs_benchmarks.pictures.exif import ORIENTATION, exif_faults, exif_orientation
from savs_benchmarks.pictures.tiff import SIXTEEN_BIT_MODES, correct_palette, to_eight_bits, unknown_layout, unsupported
from savs_benchmarks.pictures.traits import Traits, traits_of

# How files of pictures are called.
ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 50_000_000
# No file of so many pixels has more bytes, but for what is beside them.
MOST_BYTES = 2**30
SAFE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa")

# What brings a picture upright, by its EXIF orientation; 1 is upright.
TURNS: Mapping[Any, Image.Transpose] = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

# Part of every store's fingerprint: these words change when a rule changes.
POLICY = (
    "exif applied, alpha dropped, grey scaled to 8 of its declared bits, white where declared 0, "
    "first frame of animations, at most 50 MP, Pillow"
)


_PARQUET = Lock()  # its readers are not made for threads


@dataclass(frozen=True)
class StoredPicture:
    """A picture inside a Parquet or Arrow file, in the hub's form: a column of {bytes, path}, or of bytes.

    Where a cell has a path and no bytes, that path is below `root`.
    """

    file: Path
    row: int
    column: str
    root: Path | None = None

    def __str__(self) -> str:
        return f"{self.file}, row {self.row}, {self.column}"

    def read(self) -> bytes | None:
        """Return the encoded picture, None where the cell is empty."""
        with _PARQUET:
            cell = self._cell()
        if not isinstance(cell, dict):
            return cell
        if cell.get("bytes") is None and cell.get("path") and self.root is not None:
            return resolve_inside(self.root, cell["path"]).read_bytes()
        return cell.get("bytes")

    @property
    def elsewhere(self) -> bool:
        """Whether the cell has but the path of a file of its own."""
        with _PARQUET:
            cell = self._cell()
        return isinstance(cell, dict) and cell.get("bytes") is None

    def _cell(self) -> Any:
        if not is_parquet(self.file):
            return read_arrow(self.file).column(self.column)[self.row].as_py()
        group, place = _row_group(self.file, self.row)
        return _column(self.file, group, self.column)[place].as_py()


Picture: TypeAlias = Path | Image.Image | StoredPicture


@lru_cache(maxsize=1024)
def is_parquet(file: Path) -> bool:
    """Tell by its first bytes whether a file is Parquet."""
    with file.open("rb") as stream:
        return stream.read(4) == b"PAR1"


@lru_cache(maxsize=64)
def read_arrow(file: Path) -> Any:
    """Return the table of an Arrow file, a stream or one with an index; its pages are read when they are needed."""
    import pyarrow

    mapped = pyarrow.memory_map(str(file))
    indexed = mapped.read(6) == b"ARROW1"
    mapped.seek(0)
    return (pyarrow.ipc.open_file if indexed else pyarrow.ipc.open_stream)(mapped).read_all()


@lru_cache(maxsize=8)
def _parquet(file: Path) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(file)


def _row_group(file: Path, row: int) -> tuple[int, int]:
    """Return the row group that holds a row, and the row's place in it."""
    metadata = _parquet(file).metadata
    for group in range(metadata.num_row_groups):
        if row < (rows := metadata.row_group(group).num_rows):
            return group, row
        row -= rows
    raise IndexError(f"{file} has no such row")


# Pictures are asked for in order: the last few row groups serve almost all of them.
@lru_cache(maxsize=4)
def _column(file: Path, group: int, column: str) -> Any:
    return _parquet(file).read_row_group(group, columns=[column]).column(column)


@dataclass(frozen=True)
class ReadPicture:
    """A picture as RGB, upright, what is wrong beside its pixels (faults that cost nothing), and its file's traits."""

    pixels: Image.Image
    faults: tuple[str, ...] = ()
    traits: Traits | None = None


def load_picture(source: Picture) -> Image.Image:
    """Return a picture as RGB, fully decoded: the pixels of `read_picture`."""
    return read_picture(source).pixels


def picture_size(source: Picture) -> tuple[int, int]:
    """Return (width, height) as a picture's header says, (0, 0) where it cannot be read."""
    if isinstance(source, Image.Image):
        return source.size
    try:
        with Image.open(io.BytesIO(source.read() or b"") if isinstance(source, StoredPicture) else source) as opened:
            return opened.size
    except Exception:  # damaged bytes make Pillow raise whatever they happen to hit
        return 0, 0


def read_picture(source: Picture) -> ReadPicture:
    """Return a picture as RGB, fully decoded, with the faults of its metadata.

    EXIF rotation is applied where it can be read, alpha dropped, grey of 12 or 16 bits scaled to 8 (Pillow
    alone clips it), an animation gives its first frame. Where Pillow refuses a file, its pixels are decoded
    without its metadata: that is no reason to lose a picture. Raises `PictureError` with a code: image_missing,
    not_an_image, image_too_large (judged from the header), image_corrupt, image_unsupported.
    """
    if isinstance(source, Image.Image):
        return _decode(source, "a picture in memory")
    try:
        return _read(_encoded(source), source)
    except PictureError as error:
        if error.code not in ("not_an_image", "image_corrupt"):
            raise
        return _read_without_metadata(source, error)


def _read(file: Path | io.BytesIO, source: Path | StoredPicture, info: Mapping[str, Any] | None = None) -> ReadPicture:
    """Return the picture of a file; `info` is metadata that was taken out of it.

    Pillow gets no path: it would map files of plain pixels into memory, where it scrambles a turned TIFF.
    """
    with _stream(file, source) as stream:
        try:
            opened = Image.open(stream, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise PictureError("image_too_large", f"{source}: {error}") from None
        except UnidentifiedImageError:
            raise PictureError("not_an_image", f"{source}: not a picture in any of {', '.join(FORMATS)}") from None
        except Exception as error:  # damaged bytes make Pillow raise whatever they happen to hit
            raise PictureError("image_corrupt", f"{source}: {error}") from None
        opened.info.update(info or {})
        traits = traits_of(opened, stream)
        read = _decode(opened, source)
        return ReadPicture(read.pixels, (*read.faults, *_faults_beside(opened.format, stream, source)), traits)


def _stream(file: Path | io.BytesIO, source: Path | StoredPicture) -> AbstractContextManager[BinaryIO]:
    try:
        return nullcontext(file) if isinstance(file, io.BytesIO) else file.open("rb")
    except OSError as error:
        raise PictureError("image_corrupt", f"{source}: {error}") from None


def _read_without_metadata(source: Path | StoredPicture, refused: PictureError) -> ReadPicture:
    """Return the picture of a file that Pillow refuses, of its pixels alone; raises as Pillow did where it must."""
    try:
        file = _encoded(source)
        content = file.getvalue() if isinstance(file, io.BytesIO) else _bounded(file)
    except Exception:
        raise refused from None
    parts = take_apart(content)
    if parts is None:
        raise refused
    try:
        read = _read(io.BytesIO(parts.pixels), source, parts.info)
    except PictureError as error:
        if layout := unknown_layout(content) if error.code == "not_an_image" else "":
            raise PictureError("image_unsupported", f"{source}: {layout}") from None
        raise (refused if error.code == "not_an_image" else error) from None
    words = f" ({refused})" if refused.code == "image_corrupt" else ""
    return ReadPicture(read.pixels, (f"Pillow alone cannot read the file with it{words}", *read.faults), read.traits)


def _bounded(file: Path) -> bytes:
    if file.stat().st_size > MOST_BYTES:
        raise ValueError("more bytes than the largest picture has")
    return file.read_bytes()


def _faults_beside(form: str | None, stream: BinaryIO, source: Path | StoredPicture) -> list[str]:
    """Return what a whole file has beside its pixels that is damaged; Pillow passes over some of it.

    Raises `PictureError` where a checksum says that the pixels themselves are damaged.
    """
    if form not in ("PNG", "TIFF"):
        return []
    stream.seek(0)
    content = stream.read()
    if form == "TIFF":
        return exif_faults(content)
    damaged = [chunk for chunk in png_chunks(content) if not chunk.sound]
    for chunk in damaged:
        if chunk.name in (b"IHDR", b"PLTE", b"IDAT"):
            raise PictureError("image_corrupt", f"{source}: the checksum of its {chunk.name.decode()} is wrong")
    return [f"the checksum of {chunk.name.decode('ascii', 'replace')} is wrong" for chunk in damaged]


def _encoded(source: Path | StoredPicture) -> Path | io.BytesIO:
    if isinstance(source, StoredPicture):
        try:
            content = source.read()
        except FileNotFoundError as error:
            raise PictureError("image_missing", f"{source}: {error}") from None
        except Exception as error:
            raise PictureError("image_corrupt", f"{source}: {error}") from None
        if content is None:
            raise PictureError("image_missing", f"{source}: the cell is empty")
        if not isinstance(content, bytes):
            raise PictureError("image_corrupt", f"{source}: the cell holds no bytes: {content!r:.60}")
        return io.BytesIO(content)
    if not os.path.isfile(source):  # noqa: PTH113  a name that is too long, or has a NUL, is no file's
        raise PictureError("image_missing", f"{source}: there is no such file")
    return source


def _decode(opened: Image.Image, source: Path | StoredPicture | str) -> ReadPicture:
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise PictureError("image_too_large", f"{source}: {width} x {height} is more than {MAX_PIXELS:,} pixels")
    if opened.mode not in (*SAFE_MODES, *SIXTEEN_BIT_MODES):
        raise PictureError("image_unsupported", f"{source}: pixels of mode {opened.mode!r} have no fixed range")
    try:
        if reason := unsupported(opened):
            raise PictureError("image_unsupported", f"{source}: {reason}")
        opened.load()
        correct_palette(opened)
        pixels = to_eight_bits(opened) if opened.mode in SIXTEEN_BIT_MODES else opened
        turn, faults = _turn(opened)
        pixels = pixels if turn is None else pixels.transpose(turn)
        return ReadPicture(_rgb(pixels), faults)
    except PictureError:
        raise
    except Exception as error:
        raise PictureError("image_corrupt", f"{source}: {error}") from None


def _rgb(pixels: Image.Image) -> Image.Image:
    """Return a copy in RGB without metadata: a transparent colour makes Pillow stumble, and is dropped anyway."""
    copied = pixels.copy()
    copied.info = {}
    return (copied.convert("LA") if copied.mode == "La" else copied).convert("RGB")


def _turn(opened: Image.Image) -> tuple[Image.Transpose | None, tuple[str, ...]]:
    """Return how a picture must be turned to be upright, as far as its metadata can be read, and its faults."""
    block = opened.info.get("exif")
    faults = exif_faults(block) if isinstance(block, bytes) else []
    if opened.format == "TIFF":  # Pillow has turned it
        return None, tuple(faults)
    xmp = Image.new("1", (1, 1))
    xmp.info = {key: opened.info[key] for key in ("xmp", "XML:com.adobe.xmp") if key in opened.info}
    ways: tuple[Callable[[], Any], ...] = (
        lambda: exif_orientation(block) if isinstance(block, bytes) else None,
        lambda: opened.getexif().get(ORIENTATION),
        lambda: xmp.getexif().get(ORIENTATION),
    )
    for read in ways:
        try:
            if (orientation := read()) is not None:
                return TURNS.get(orientation), tuple(faults)
        except Exception as error:
            faults = faults or [f"EXIF: {error}"]
    return None, tuple(faults)


def resolve_inside(root: Path, name: str) -> Path:
    """Return the file `name` below `root`; symbolic links are followed before judging.

    Raises `KindError` where the name is a URL, holds a NUL, or leads out of the root.
    """
    if "\0" in name or "://" in name:
        raise KindError(f"{name!r} is not a path below {root}", f"is not a path below {root}")
    resolved = (root / name).resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise KindError(f"{name!r} leads out of {root}", f"leads out of {root}")
    return resolved
