"""Damage beside the pixels costs no picture: pixels are kept, turns taken where they can be read, faults told."""

import io
import zlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from kit.files import chunk, exif, png, riff, segment, tiff, with_chunks, with_segments
from savs_benchmarks import PictureError, load_picture
from savs_benchmarks.pictures.pictures import read_picture

# Pillow tells of some faults by warnings, whose filters are one for all threads: they are left as they are.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

PIXELS = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
TURN, SHORT, ASCII, RATIONAL, SIGNED = 274, 3, 2, 5, 10
SIX = {TURN: (SHORT, [6])}
PHOTOSHOP = b"Photoshop 3.0\08BIM\x03\xed\0\0"
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


def encoded(form, **options):
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, form, **options)
    return buffer.getvalue()


JPEG, WEBP, GIF = encoded("JPEG"), encoded("WEBP", lossless=True), encoded("GIF")


def app1(block):
    return segment(0xE1, block)


def text(key, value):
    return key + b"\0\0" + zlib.compress(value)


def raw_profile(block):
    return b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % len(block) + block.hex().encode() + b"\n")


def compressed(name):
    return {"zTXt": b"a\0\0", "iTXt": b"a\0\1\0\0\0", "iCCP": b"a\0\0"}[name] + zlib.compress(bytes(2**21))


def jpeg(*segments):
    return with_segments(JPEG, *segments)


def webp(flags, *chunks):
    return with_chunks(WEBP, (40, 30), flags, *chunks)


def raw_tiff(**more):
    entries = {256: (3, [40]), 257: (3, [30]), 258: (3, [8, 8, 8]), 262: (3, [2]), 273: (4, [8]), 277: (3, [3])}
    return tiff(entries | {279: (4, [3600])} | {int(tag[1:]): value for tag, value in more.items()}, PIXELS.tobytes())


def gif(*extensions):
    start = 13 + 3 * 256
    assert GIF[10] & 0x87 == 0x87
    return GIF[:start] + b"".join(extensions) + GIF[start:]


# Name: a damaged file, and whether orientation 6 can be read in it.
DAMAGED = {
    "EXIF rational -1/0": (jpeg(app1(exif(SIX | {282: (SIGNED, [(-1, 0)])}))), True),
    "EXIF rational -1/0 of another tag": (jpeg(app1(exif(SIX | {33434: (SIGNED, [(-1, 0)])}))), True),
    "EXIF width in ASCII": (jpeg(app1(exif(SIX | {256: (ASCII, b"text\0")}))), True),
    "EXIF cut in the middle": (jpeg(app1(exif(SIX | {271: (ASCII, b"a maker\0")})[:-9])), True),
    "EXIF cut in its header": (jpeg(app1(b"Exif\0\0II*")), False),
    "EXIF of junk": (jpeg(app1(b"Exif\0\0" + b"junk" * 20)), False),
    "EXIF of more entries than there are": (jpeg(app1(exif(SIX, declared=900))), True),
    "EXIF whose directory is beyond the end": (jpeg(app1(b"Exif\0\0II*\0\xff\xff\xff\x7f")), False),
    "EXIF value beyond the end": (jpeg(app1(exif(SIX | {271: (ASCII, b"maker\0")})[:-2])), True),
    "EXIF of an unknown type": (jpeg(app1(exif(SIX | {271: (77, b"abcd")}))), True),
    "EXIF with a directory beyond the end": (jpeg(app1(exif(SIX | {34665: (4, [999999])}))), True),
    "EXIF junk, XMP whole": (jpeg(app1(b"Exif\0\0junkjunk"), app1(b"http://ns.adobe.com/xap/1.0/\0" + XMP)), True),
    "orientation in ASCII": (jpeg(app1(exif({TURN: (ASCII, b"6\0")}))), False),
    "orientation of two values": (jpeg(app1(exif({TURN: (SHORT, [6, 1])}))), True),
    "orientation 9": (jpeg(app1(exif({TURN: (SHORT, [9])}))), False),
    "APP13 cut": (jpeg(app1(exif(SIX)), segment(0xED, b"Photoshop 3.0\0" + b"8BIM\x04\x04")), True),
    "APP2 with a cut profile": (jpeg(app1(exif(SIX)), segment(0xE2, b"ICC_PROFILE\0")), True),
    "APP0 cut": (jpeg(app1(exif(SIX)), segment(0xE0, b"JFIF\0")), True),
    "APP14 cut": (jpeg(segment(0xEE, b"Adobe")), False),
    **{
        f"PNG {name} {size}": (png(PIXELS, before=chunk(b"eXIf", tiff(SIX)) + chunk(name.encode(), data)), True)
        for name, size, data in [
            *((name, "of 2 MB", compressed(name)) for name in ("zTXt", "iTXt", "iCCP")),
            *((name, "too short", b"\1") for name in ("gAMA", "pHYs", "cHRM", "acTL", "tRNS", "fcTL")),
            ("sRGB", "without a byte", b""),
            ("zTXt", "of another method", b"a\0\7x"),
            ("iCCP", "of another method", b"a\0\7x"),
            ("iCCP", "cut", b"a\0"),
            ("fcTL", "out of sequence", bytes([0, 0, 0, 9, 0, 0, 0, 40, 0, 0, 0, 30]) + bytes(14)),
            ("fcTL", "out of the picture", bytes([0, 0, 0, 0, 0, 0, 9, 40, 0, 0, 0, 30]) + bytes(14)),
        ]
    },
    "PNG zTXt of 2 MB behind the pixels": (png(PIXELS, after=chunk(b"zTXt", compressed("zTXt"))), False),
    "PNG pHYs too short behind the pixels": (png(PIXELS, after=chunk(b"pHYs", b"a")), False),
    **{
        f"PNG {name} with a wrong checksum": (
            png(PIXELS, before=chunk(b"eXIf", tiff(SIX)) + chunk(name.encode(), data, sound=False)),
            True,
        )
        for name, data in [
            ("gAMA", bytes(4)),
            ("pHYs", bytes(9)),
            ("cHRM", bytes(32)),
            ("sRGB", b"\0"),
            ("tIME", bytes(7)),
            ("tEXt", b"a\0b"),
            ("zTXt", text(b"a", b"b")),
            ("iTXt", b"a\0\0\0\0\0b"),
            ("iCCP", text(b"a", b"b")),
            ("tRNS", bytes(6)),
            ("vpAg", bytes(9)),
        ]
    },
    "PNG eXIf with a wrong checksum": (png(PIXELS, before=chunk(b"eXIf", tiff(SIX), sound=False)), True),
    "PNG tEXt with a wrong checksum behind": (png(PIXELS, after=chunk(b"tEXt", b"a\0b", sound=False)), False),
    "PNG eXIf of junk": (png(PIXELS, before=chunk(b"eXIf", b"junkjunk")), False),
    "PNG eXIf of junk, XMP whole": (
        png(PIXELS, chunk(b"eXIf", b"junkjunk") + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP)),
        True,
    ),
    "PNG raw profile beside a short gAMA": (
        png(PIXELS, chunk(b"zTXt", raw_profile(exif(SIX))) + chunk(b"gAMA", b"")),
        True,
    ),
    "PNG raw profile of no numbers": (png(PIXELS, chunk(b"tEXt", b"Raw profile type exif\0\n\n\nxyz")), False),
    "WEBP EXIF of junk": (webp(0b1000, riff(b"EXIF", b"junkjunk")), False),
    "WEBP EXIF rational -1/0": (webp(0b1000, riff(b"EXIF", tiff(SIX | {282: (SIGNED, [(-1, 0)])}))), True),
    "WEBP EXIF of junk, XMP whole": (webp(0b1100, riff(b"EXIF", b"junkjunk"), riff(b"XMP ", XMP)), True),
    "WEBP EXIF longer than the file": (webp(0b1000, riff(b"EXIF", tiff(SIX))[:-3]), True),
    "TIFF with a private tag beyond the end": (raw_tiff(_65000=(7, b"x" * 50))[:-9], False),
    "TIFF with a directory beyond the end": (raw_tiff(_34665=(4, [9999999])), False),
    "TIFF with a directory that is a text": (raw_tiff(_34665=(2, b"ab\0"), _274=(3, [6])), True),
    "GIF with a cut graphic control": (gif(b"\x21\xf9\x01\x00\x00"), False),
}


def turned(pixels):
    """Return what orientation 6 means: what is stored on the left belongs to the top."""
    return np.rot90(pixels, -1)


def expected_of(name, content):
    """Return the pixels that plain Pillow gives of the same file without the damage."""
    whole = {b"\xff\xd8": JPEG, b"GI": GIF}
    if content[:2] not in whole:
        return PIXELS
    return np.asarray(Image.open(io.BytesIO(whole[content[:2]])).convert("RGB"))


@pytest.mark.parametrize("name", DAMAGED)
def test_the_pixels_are_kept_the_turn_is_taken_and_the_fault_is_told(name, tmp_path):
    content, readable = DAMAGED[name]
    (tmp_path / "picture").write_bytes(content)
    read = read_picture(tmp_path / "picture")
    whole = expected_of(name, content)
    assert np.array_equal(np.asarray(read.pixels), turned(whole) if readable else whole)
    assert read.faults


# Pillow passes over the last three, as over all that it does not use.
SOUND = {
    "JPEG": jpeg(app1(exif(SIX | {282: (RATIONAL, [(72, 1)]), 296: (SHORT, [2])}))),
    "JPEG with an unknown distance": jpeg(app1(exif(SIX | {37382: (RATIONAL, [(2**32 - 1, 0)])}))),
    "JPEG with an unknown lens": jpeg(app1(exif(SIX | {42034: (RATIONAL, [(0, 0)] * 4)}))),
    "PNG": png(
        PIXELS, chunk(b"eXIf", tiff(SIX)) + chunk(b"gAMA", bytes([0, 0, 177, 143])) + chunk(b"tEXt", b"a\0\xff")
    ),
    "PNG, EXIF behind": png(PIXELS, after=chunk(b"eXIf", tiff(SIX)) + chunk(b"tIME", bytes(7))),
    "WEBP": webp(0b1000, riff(b"EXIF", tiff(SIX))),
    "TIFF": raw_tiff(_274=(3, [6]), _65000=(7, b"x" * 50)),
    "APP13 with a length beyond the end": jpeg(app1(exif(SIX)), segment(0xED, PHOTOSHOP + b"\x7f\xff\xff\xff")),
    "APP13 of a short resolution": jpeg(app1(exif(SIX)), segment(0xED, PHOTOSHOP + bytes(4))),
    "APP2 with junk of several pictures": jpeg(app1(exif(SIX)), segment(0xE2, b"MPF\0junk")),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_metadata_has_no_fault(name, tmp_path):
    (tmp_path / "picture").write_bytes(SOUND[name])
    read = read_picture(tmp_path / "picture")
    assert np.array_equal(np.asarray(read.pixels), turned(expected_of(name, SOUND[name])))
    assert read.faults == ()


@pytest.mark.parametrize("orientation", range(10))
def test_every_orientation_is_what_pillow_makes_of_it(orientation, tmp_path):
    from PIL import ImageOps

    content = jpeg(app1(exif({TURN: (SHORT, [orientation])})))
    (tmp_path / "picture").write_bytes(content)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    assert load_picture(tmp_path / "picture").tobytes() == expected.tobytes()
    assert bool(read_picture(tmp_path / "picture").faults) == (orientation == 9)


PIXEL_DAMAGE = {
    "PNG header": png(PIXELS, header=False),
    "PNG data": png(PIXELS, data=False),
    "PNG palette": encoded("PNG").replace(b"IDAT", b"IDAX"),
    "PNG header and a short gAMA": png(PIXELS, before=chunk(b"gAMA", b""), header=False),
    "JPEG cut, with junk beside": jpeg(segment(0xED, b"Photoshop 3.0\08BIM\x04\x04"))[:-300],
    "WEBP cut, with junk beside": webp(0b1000, riff(b"EXIF", b"junkjunk"))[:600],
}


@pytest.mark.parametrize("name", PIXEL_DAMAGE)
def test_damage_to_pixels_stays_a_failure(name, tmp_path):
    (tmp_path / "picture").write_bytes(PIXEL_DAMAGE[name])
    with pytest.raises(PictureError) as raised:
        load_picture(tmp_path / "picture")
    assert raised.value.code in ("image_corrupt", "not_an_image")


# Where the metadata lies in whole files, which a law then damages.
BESIDE = {
    "JPEG": (SOUND["JPEG"], b"Exif\0\0", 60),
    "PNG": (SOUND["PNG"], b"eXIf", 30),
    "PNG behind": (SOUND["PNG, EXIF behind"], b"eXIf", 30),
    "WEBP": (SOUND["WEBP"], b"II*\0", 26),
}


@pytest.mark.parametrize("kind", BESIDE)
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_happens_to_metadata_the_pixels_are_kept(kind, data, tmp_path):
    content, beginning, length = BESIDE[kind]
    start = content.index(beginning) + (4 if beginning == b"eXIf" else 0)
    damaged = bytearray(content)
    for place in data.draw(st.lists(st.integers(start, start + length - 1), min_size=1, max_size=8)):
        damaged[place] = data.draw(st.integers(0, 255))
    (tmp_path / "picture").write_bytes(damaged)
    pixels = np.asarray(load_picture(tmp_path / "picture"))
    whole = expected_of(kind, content)
    sides = [np.rot90(flipped, k) for flipped in (whole, whole[:, ::-1]) for k in range(4)]
    assert any(np.array_equal(pixels, side) for side in sides)


def test_nothing_that_others_share_is_changed(tmp_path):
    shared = (ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)
    for content, _ in DAMAGED.values():
        (tmp_path / "picture").write_bytes(content)
        load_picture(tmp_path / "picture")
    assert shared == (ImageFile.LOAD_TRUNCATED_IMAGES, PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY)
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_a_profile_that_unpacks_to_much_is_skipped_not_unpacked(tmp_path):
    import tracemalloc

    bomb = b"a\0\0" + zlib.compress(bytes(100 * 2**20), 9)
    (tmp_path / "picture").write_bytes(png(PIXELS, before=chunk(b"iCCP", bomb) + chunk(b"zTXt", bomb)))
    tracemalloc.start()
    try:
        assert np.array_equal(np.asarray(load_picture(tmp_path / "picture")), PIXELS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**23
