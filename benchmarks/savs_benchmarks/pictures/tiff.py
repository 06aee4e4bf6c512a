"""TIFF files say how their numbers are meant; what Pillow passes over is done here, or refused."""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COLORMAP,
    COMPRESSION,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    TiffImageFile,
)

from savs_benchmarks.pictures.exif import numbers, read_directory

INK_SET = 332
UNCOMPRESSED, SEPARATE_PLANES, SIGNED, WHITE_IS_ZERO, NOT_CMYK = 1, 2, 2, 0, 2
# Fax: white is 0 where nothing else is said, for Pillow as for libtiff.
FAX = ("tiff_ccitt", "group3", "group4")
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L")


def unsupported(opened: Image.Image) -> str:
    """Return what a TIFF declares that would come out as other pixels than are meant, "" where there is nothing.

    MaxSampleValue is not looked at: it "is not to be used to affect the visual appearance" (TIFF 6.0, page 37).
    """
    if not isinstance(opened, TiffImageFile):
        return ""
    tags = opened.tag_v2
    if SIGNED in tags.get(SAMPLEFORMAT, ()):
        return "signed numbers have no fixed black and white"
    grey = opened.mode in ("1", "L", *SIXTEEN_BIT_MODES) and opened.info.get("compression") not in FAX
    if grey and PHOTOMETRIC_INTERPRETATION not in tags:
        return "it does not say whether white is 0 (PhotometricInterpretation is missing)"
    planes = tags.get(PLANAR_CONFIGURATION) == SEPARATE_PLANES and tags.get(COMPRESSION, 1) == UNCOMPRESSED
    if planes and max(tags.get(BITSPERSAMPLE, (1,))) > 8:
        return "separate planes of more than 8 bits"  # Pillow reads them as if they had 8
    if opened.mode == "CMYK" and tags.get(INK_SET) == NOT_CMYK:
        return "its inks are not those of CMYK"
    return ""


def unknown_layout(content: bytes) -> str:
    """Return in words how the pixels of a TIFF lie that Pillow does not know, "" where nothing can be told."""
    try:
        found = read_directory(content)
    except ValueError:
        return ""
    width, height = numbers(found, 256), numbers(found, 257)
    if not (width and height):
        return ""
    bits, meaning = numbers(found, BITSPERSAMPLE) or (1,), numbers(found, PHOTOMETRIC_INTERPRETATION)
    order = "big-endian" if found.order == ">" else "little-endian"
    declared = f"PhotometricInterpretation {meaning[0] if meaning else '?'}"
    return f"pixels of {', '.join(map(str, bits))} bits, {order}, {declared}"


def to_eight_bits(wide: Image.Image) -> Image.Image:
    """Return a picture of 16-bit grey in 8 bits: by the bits that its file declares, white as 0 turned round."""
    largest, inverted = 2**16 - 1, False
    if isinstance(wide, TiffImageFile):
        largest = 2 ** wide.tag_v2[BITSPERSAMPLE][0] - 1
        inverted = wide.tag_v2[PHOTOMETRIC_INTERPRETATION] == WHITE_IS_ZERO
    grey = np.asarray(wide).astype(np.float64)
    return Image.fromarray(np.round((largest - grey if inverted else grey) / (largest / 255)).astype(np.uint8))


def correct_palette(opened: Image.Image) -> None:
    """Give a palette of 8-bit numbers its colours: the format wants 16 bits, and some writers forget it.

    Known by that no number is above 255, as libtiff knows it.
    """
    if isinstance(opened, TiffImageFile) and opened.mode in ("P", "PA"):
        colours = opened.tag_v2[COLORMAP]
        if max(colours) < 256:
            opened.putpalette(bytes(colours), "RGB;L")
