"""Pictures from disk: decoded whole, once, by one set of rules; never a crash, always a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from savs_benchmarks.errors import PictureError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
MAX_PIXELS = 50_000_000
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L")
SAFE_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "La", "RGBa")

# Part of every store's fingerprint: these words change when a rule changes.
POLICY = "exif applied, alpha dropped, 16 bit scaled to 8, first frame of animations, at most 50 MP, Pillow"


def load_picture(source: Path | Image.Image) -> Image.Image:
    """Return a picture as RGB, fully decoded.

    EXIF rotation is applied, alpha dropped, 16-bit grey scaled to 8 bit (Pillow alone clips it to
    white), an animation gives its first frame. Raises `PictureError` with a code: image_missing,
    not_an_image, image_too_large (judged from the header), image_corrupt, image_unsupported.
    """
    if isinstance(source, Image.Image):
        return _decode(source, "a picture in memory")
    if not source.is_file():
        raise PictureError("image_missing", f"{source}: there is no such file")
    try:
        opened = Image.open(source, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise PictureError("image_too_large", f"{source}: {error}") from None
    except UnidentifiedImageError:
        raise PictureError("not_an_image", f"{source}: not a picture in any of {', '.join(FORMATS)}") from None
    except Exception as error:  # damaged bytes make Pillow raise whatever they happen to hit
        raise PictureError("image_corrupt", f"{source}: {error}") from None
    with opened:
        return _decode(opened, source)


def _decode(opened: Image.Image, source: Path | str) -> Image.Image:
    width, height = opened.size
    if width * height > MAX_PIXELS:
        raise PictureError("image_too_large", f"{source}: {width} x {height} is more than {MAX_PIXELS:,} pixels")
    if opened.mode not in (*SAFE_MODES, *SIXTEEN_BIT_MODES):
        raise PictureError("image_unsupported", f"{source}: pixels of mode {opened.mode!r} have no fixed range")
    try:
        opened.load()
        upright = ImageOps.exif_transpose(opened)
        if upright.mode in SIXTEEN_BIT_MODES:
            upright = Image.fromarray(np.round(np.asarray(upright).astype(np.float64) / 257).astype(np.uint8))
        return upright.convert("RGB")
    except Exception as error:
        raise PictureError("image_corrupt", f"{source}: {error}") from None


def resolve_inside(root: Path, name: str) -> Path:
    """Return the file `name` below `root`; symbolic links are followed before judging.

    Raises ValueError where the name is a URL, holds a NUL, or leads out of the root.
    """
    if "\0" in name or "://" in name:
        raise ValueError(f"{name!r} is not a path below {root}")
    resolved = (root / name).resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise ValueError(f"{name!r} leads out of {root}")
    return resolved
